//! Submodules, from real repositories over real HTTP on this machine.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use super::*;
use crate::outbound::Outbound;

/// How a [`Host`] answers.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// By `git http-backend`, as code hosts do.
    Smart,
    /// With files, as any web server does.
    Dumb,
    /// Not at all.
    Silent,
    /// With zeros, for ever.
    Endless,
    /// That it wants a password.
    Locked,
    /// That it is elsewhere.
    Moved,
}

/// A web server for the bare repositories in a folder.
struct Host {
    folder: TempDir,
    address: std::net::SocketAddr,
    requests: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    fn start(manner: Manner) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop, root) = (requests.clone(), stopped.clone(), folder.path().to_owned());
        let thread = std::thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                // A client that goes away is none of our business.
                open.extend(answer(stream.unwrap(), &root, manner).ok().flatten());
            }
        });
        Self { folder, address, requests, stopped, thread: Some(thread) }
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// Takes a working copy over as `name`; yields the commit.
    fn publish(&self, world: &World, name: &str) -> String {
        let path = self.folder.path().join(name);
        git(&world.work(), &["add", "-A"]);
        git(&world.work(), &["commit", "-q", "--allow-empty", "-m", "c"]);
        if !path.exists() {
            git(self.folder.path(), &["init", "-q", "--bare", "-b", "main", name]);
        }
        git(&world.work(), &["push", "-q", path.to_str().unwrap(), "HEAD:main"]);
        git(&path, &["update-server-info"]);
        git(&world.work(), &["rev-parse", "HEAD"])
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

/// Answers one request and closes; a stream that is to stay open is handed back.
fn answer(stream: TcpStream, root: &Path, manner: Manner) -> std::io::Result<Option<TcpStream>> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let (mut first, mut headers) = (String::new(), BTreeMap::new());
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut stream = reader.into_inner();
    match manner {
        Manner::Silent => return Ok(Some(stream)),
        Manner::Endless => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")?;
            loop {
                stream.write_all(&[b'0'; 65536])?;
            }
        }
        Manner::Locked => {
            write!(stream, "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n")?
        }
        Manner::Moved => {
            write!(stream, "HTTP/1.1 301 Gone\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")?
        }
        Manner::Dumb => match fs::read(root.join(path.trim_start_matches('/'))) {
            Ok(bytes) => {
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
                    bytes.len()
                )?;
                stream.write_all(&bytes)?;
            }
            Err(_) => write!(stream, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")?,
        },
        Manner::Smart => {
            let mut command = Command::new("git");
            command.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
            command.env("PATH_INFO", path).env("QUERY_STRING", query).env("REQUEST_METHOD", method);
            command.env("CONTENT_TYPE", headers.get("content-type").map_or("", String::as_str));
            command.env("HTTP_CONTENT_ENCODING", headers.get("content-encoding").map_or("", String::as_str));
            command.env("GIT_PROTOCOL", headers.get("git-protocol").map_or("", String::as_str));
            command.env("CONTENT_LENGTH", length.to_string());
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
            child.stdin.take().unwrap().write_all(&body)?;
            let output = child.wait_with_output()?.stdout;
            let status = output.strip_prefix(b"Status: ").map(|rest| String::from_utf8_lossy(&rest[..3]).into_owned());
            write!(stream, "HTTP/1.1 {} X\r\nConnection: close\r\n", status.as_deref().unwrap_or("200"))?;
            stream.write_all(&output)?;
        }
    }
    Ok(None)
}

fn options() -> SubmoduleOptions {
    SubmoduleOptions { outbound: Outbound::new("127.0.0.0/8".parse().unwrap()), ..SubmoduleOptions::default() }
}

/// Puts a submodule into a working copy as `git submodule add` does, without asking anybody.
fn add(world: &World, path: &str, url: &str, commit: &str) {
    let before = fs::read_to_string(world.work().join(".gitmodules")).unwrap_or_default();
    world.write(".gitmodules", format!("{before}[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n"));
    git(&world.work(), &["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]);
    fs::create_dir_all(world.work().join(path)).unwrap();
}

fn push(world: &World) -> Source {
    let path = world.repositories.ensure(world.app, 0).unwrap();
    git(&world.work(), &["add", ".gitmodules"]);
    git(&world.work(), &["commit", "-q", "--allow-empty", "-m", "c"]);
    git(&world.work(), &["push", "-q", path.to_str().unwrap(), "HEAD:main"]);
    Source::open(&path, None, &git(&world.work(), &["rev-parse", "HEAD"])).unwrap()
}

async fn fetch(source: &Source, options: &SubmoduleOptions) -> (Result<Source, GitError>, Vec<String>) {
    let lines = Mutex::new(Vec::new());
    let fetched = source.fetch_submodules(options, &|line| lines.lock().unwrap().push(line.to_owned())).await;
    (fetched, lines.into_inner().unwrap())
}

/// Checks that the submodules cannot be fetched, for reasons that `texts` are part of.
async fn refuses(source: &Source, options: &SubmoduleOptions, texts: &[&str]) {
    let error = fetch(source, options).await.0.expect_err("it is refused");
    assert!(matches!(error, GitError::Refused(_)), "{error:?}");
    for text in texts {
        assert!(error.to_string().contains(text), "'{text}' is not in: {error}");
    }
}

#[tokio::test]
async fn submodules_and_theirs_are_part_of_what_is_built() {
    for manner in [Manner::Smart, Manner::Dumb] {
        let host = Host::start(manner);
        let (inner, outer, world) = (World::new(), World::new(), World::new());
        inner.write("deep", "deep 1");
        let inner_commit = host.publish(&inner, "inner.git");
        outer.write("lib/code", "code 1");
        symlink("lib/code", outer.work().join("link")).unwrap();
        git(&outer.work(), &["add", "-A"]);
        add(&outer, "third/inner", &host.url("inner.git"), &inner_commit);
        let outer_commit = host.publish(&outer, "outer.git");
        // The commit that is wanted is no branch's last one.
        outer.write("lib/code", "code 2");
        host.publish(&outer, "outer.git");
        add(&world, "vendor/outer", &host.url("outer.git"), &outer_commit);
        let pushed = push(&world);

        let (fetched, lines) = fetch(&pushed, &options()).await;
        let source = fetched.unwrap();
        assert_eq!(lines[0], "-----> Fetching submodules");
        let url = host.url("outer.git");
        let line = format!("       vendor/outer at {} of {url} (", &outer_commit[..10]);
        assert!(lines[1].starts_with(&line) && lines[1].ends_with(" s)"), "{lines:?}");
        assert!(lines[2].contains("vendor/outer/third/inner at"), "{lines:?}");
        let found = unpack(&tar(&source, |_, _| true));
        let files: Vec<_> = found.iter().map(|(path, entry)| (path.as_str(), entry.2.as_str())).collect();
        assert!(files.contains(&("vendor/outer/lib/code", "code 1")), "{files:?}");
        assert!(files.contains(&("vendor/outer/link", "lib/code")), "{files:?}");
        assert!(files.contains(&("vendor/outer/third/inner/deep", "deep 1")), "{files:?}");
        assert_eq!(source.tree(), pushed.tree());
        let read = |path: &str| source.file(path, 100).unwrap();
        assert_eq!(read("vendor/outer/third/inner/deep").as_deref(), Some(&b"deep 1"[..]));
        assert_eq!(read("vendor/outer/third/none"), None);
        let inspected = source.inspect(&SourceLimits::default()).unwrap();
        assert_eq!(inspected.entries, found.len() as u64);

        // What is here already is not asked for again, and what is not used any more goes.
        let asked = host.requests();
        let (fetched, lines) = fetch(&pushed, &options()).await;
        assert!(fetched.is_ok() && lines[1].ends_with("(fetched before)"), "{lines:?}");
        assert_eq!(host.requests(), asked);
        let cache = pushed.repository.join("slipway-submodules");
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 2);
        let (fetched, lines) = fetch(&pushed, &SubmoduleOptions { no_cache: true, ..options() }).await;
        assert!(fetched.is_ok() && lines[1].ends_with(" s)"), "{lines:?}");
        git(&world.work(), &["rm", "-q", "-f", "--cached", "vendor/outer"]);
        let (fetched, lines) = fetch(&push(&world), &options()).await;
        assert!(fetched.is_ok() && lines.is_empty(), "{lines:?}");
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_named_with_its_reason() {
    let host = Host::start(Manner::Smart);
    let (module, missing) = (World::new(), "c0ffee0000000000000000000000000000000000");
    let commit = host.publish(&module, "lib.git");
    let with = |url: &str, commit: &str| {
        let world = World::new();
        add(&world, "vendor/lib", url, commit);
        let source = push(&world);
        (world, source)
    };
    let (_world, source) = with(&host.url("none.git"), &commit);
    refuses(&source, &options(), &["'vendor/lib'", &host.url("none.git"), "cannot be fetched", "not found"]).await;
    let (_world, source) = with(&host.url("lib.git"), missing);
    refuses(&source, &options(), &["'vendor/lib'", "c0ffee0000", "no branch or tag there", "push it there"]).await;
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_world, source) = with(&format!("http://{dead}/lib.git"), &commit);
    refuses(&source, &options(), &["'vendor/lib'", "it cannot be reached"]).await;
    let (_world, source) = with("http://no-such-host.invalid/lib.git", &commit);
    refuses(&source, &options(), &["'no-such-host.invalid' is not found"]).await;
    // Where only the server's own trust stands in the way.
    let (_world, source) = with(&host.url("lib.git"), &commit);
    refuses(&source, &SubmoduleOptions::default(), &["'vendor/lib'", "not found at a public address"]).await;
    assert!(fetch(&source, &options()).await.0.is_ok());
    for (url, text) in [
        ("../lib.git", "relative"),
        ("git@example.com:a/b.git", "https://example.com/a/b.git"),
        ("/srv/x", "own files"),
    ] {
        refuses(&with(url, &commit).1, &options(), &["'vendor/lib'", url, text]).await;
    }
    let locked = Host::start(Manner::Locked);
    let (_world, source) = with(&locked.url("lib.git"), &commit);
    refuses(&source, &options(), &["'vendor/lib'", "asks for a login"]).await;
    let moved = Host::start(Manner::Moved);
    let (_world, source) = with(&moved.url("lib.git"), &commit);
    refuses(&source, &options(), &["'vendor/lib'", "it has moved"]).await;
}

#[tokio::test]
async fn a_submodule_that_gitmodules_does_not_know_is_an_accident() {
    let world = World::new();
    let link = format!("160000,{},vendor/lib", "1".repeat(40));
    git(&world.work(), &["update-index", "--add", "--cacheinfo", &link]);
    world.write(".gitmodules", "[submodule \"other\"]\n path = other\n url = https://example.com/other\n");
    refuses(&push(&world), &options(), &["'vendor/lib' has no address", "git rm --cached", "git submodule add"]).await;
    world.write(".gitmodules", "[submodule \"x\"]\n path = vendor/lib\n url = x\n update = none\n");
    let (fetched, lines) = fetch(&push(&world), &options()).await;
    assert!(fetched.is_ok() && lines.is_empty());
    world.write(".gitmodules", "[submodule\n");
    refuses(&push(&world), &options(), &[".gitmodules cannot be read", "line 1"]).await;
}

#[tokio::test]
async fn submodules_without_end_come_to_one() {
    let host = Host::start(Manner::Smart);
    let world = World::new();
    let mut commit = host.publish(&World::new(), "leaf.git");
    let mut name = "leaf.git".to_owned();
    for n in 0..4 {
        let nested = World::new();
        add(&nested, "m", &host.url(&name), &commit);
        name = format!("n{n}.git");
        commit = host.publish(&nested, &name);
    }
    add(&world, "m", &host.url(&name), &commit);
    let source = push(&world);
    refuses(&source, &SubmoduleOptions { depth: 4, ..options() }, &["'m/m/m/m/m'", "nested more than 4 deep"]).await;
    refuses(&source, &SubmoduleOptions { count: 3, ..options() }, &["'m/m/m/m'", "more than 3"]).await;
    let (fetched, _) = fetch(&source, &options()).await;
    let paths: BTreeSet<_> = unpack(&tar(&fetched.unwrap(), |_, _| true)).into_keys().collect();
    assert!(paths.contains("m/m/m/m/m/"), "{paths:?}");
}

/// Whether some process has `text` among its arguments.
fn runs(text: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|arguments| String::from_utf8_lossy(&arguments).contains(text))
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "not yet: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_and_a_cancelled_fetch_leaves_no_process() {
    let host = Host::start(Manner::Silent);
    let world = World::new();
    add(&world, "lib", &host.url("lib.git"), &"1".repeat(40));
    let source = push(&world);
    let hurried = SubmoduleOptions { time_limit: Duration::from_millis(1500), ..options() };
    refuses(&source, &hurried, &["took longer than 1 s"]).await;
    let address = host.address.to_string();
    until("the fetch that took too long is gone", || !runs(&address)).await;
    let asked = host.requests();
    let options = options();
    let mut fetching = Box::pin(source.fetch_submodules(&options, &|_| {}));
    until("git has asked", || {
        let waker = std::task::Waker::noop();
        let _ = fetching.as_mut().poll(&mut std::task::Context::from_waker(waker));
        host.requests() > asked
    })
    .await;
    assert!(runs(&address));
    drop(fetching);
    until("the cancelled fetch is gone", || !runs(&address)).await;
}

#[tokio::test]
async fn a_submodule_larger_than_it_may_be_is_given_up() {
    let host = Host::start(Manner::Smart);
    let module = World::new();
    let noise: Vec<u8> = (0u32..4_000_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for n in 0..8 {
        let mut bytes = noise.clone();
        bytes.rotate_left(n * 1000);
        bytes.iter_mut().step_by(7).for_each(|byte| *byte = byte.wrapping_mul(31).wrapping_add(n as u8));
        module.write(&format!("noise{n}"), &bytes);
    }
    let commit = host.publish(&module, "big.git");
    let world = World::new();
    add(&world, "big", &host.url("big.git"), &commit);
    let small = SubmoduleOptions { max_bytes: 100_000, ..options() };
    let source = push(&world);
    refuses(&source, &small, &["'big'", "it has more than 0 MiB"]).await;
    let endless = Host::start(Manner::Endless);
    let world = World::new();
    add(&world, "big", &endless.url("big.git"), &commit);
    let source = push(&world);
    let hurried = SubmoduleOptions { time_limit: Duration::from_secs(3), ..options() };
    let began = Instant::now();
    assert!(matches!(fetch(&source, &hurried).await.0, Err(GitError::Refused(_))));
    assert!(began.elapsed() < Duration::from_secs(10));
}
