//! Repositories that mean harm, or look as if: each push ends in an answer, and the app serves on.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{App, Options, Repo, Slipway};

/// Longest time until a hostile push is answered.
const BOUND: Duration = Duration::from_secs(230);

/// Commits files on top of main that `write` describes to `git fast-import`; nothing is checked out.
fn import(repo: &Repo, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) {
    let mut command = Command::new("git");
    repo.isolate(&mut command);
    command
        .args(["-c", "core.bigFileThreshold=1m", "-c", "core.compression=1", "fast-import", "--quiet", "--force"])
        .stdin(Stdio::piped());
    let mut child = command.spawn().expect("git can be started");
    let mut input = BufWriter::new(child.stdin.take().expect("it is piped"));
    let head = "commit refs/heads/main\ncommitter t <t@example.com> 0 +0000\ndata 0\nfrom refs/heads/main^0\n";
    input.write_all(head.as_bytes()).and_then(|()| write(&mut input)).expect("git takes it");
    drop(input);
    assert!(child.wait().expect("a child can be waited for").success());
}

/// Runs git with something to read; yields what it prints.
fn git_with(repo: &Repo, arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new("git");
    repo.isolate(&mut command);
    let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git starts");
    child.stdin.take().expect("it is piped").write_all(input).expect("git takes it");
    let output = child.wait_with_output().expect("a child can be waited for");
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).expect("an id").trim().to_owned()
}

/// Stores a tree with nothing checked: mode, name, id.
fn tree(repo: &Repo, entries: &[(&str, &str, &str)]) -> String {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        bytes.extend_from_slice(&hex::decode(id).expect("an id"));
    }
    git_with(repo, &["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &bytes)
}

/// Makes main a commit of the old root with one folder more.
fn commit_below(repo: &Repo, folder: &str, id: &str) {
    let mut listing = repo.git(&["ls-tree", "HEAD"]);
    listing.push_str(&format!("040000 tree {id}\t{folder}\n"));
    let root = git_with(repo, &["mktree"], listing.as_bytes());
    let commit = git_with(repo, &["commit-tree", &root, "-p", "HEAD"], b"c");
    repo.git(&["update-ref", "refs/heads/main", &commit]);
}

/// Pushes, past what the pusher's own git has against it; the answer is no, for reasons that `texts` are part of.
async fn is_refused(app: &App<'_>, repo: &Repo, texts: &[&str]) {
    let arguments = ["-c", "core.maxTreeDepth=1000000", "push", "--force", &app.remote(), "HEAD:refs/heads/main"];
    let push = app.user.git(repo, &arguments).await.failed().says(texts);
    assert!(push.took < BOUND, "{:?}", push.took);
    assert!(!push.output().contains('\u{1b}'), "what a terminal obeys is not echoed: {}", push.output());
}

#[tokio::test]
async fn odd_names_and_loops_are_built_and_served() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let names = ["line\nend", "esc\u{1b}[2J", "tab\there", "-rf", "$(id)", "README", "readme", "späte Grüße"];
    for (fixture, page) in [("docker-web", "/files"), ("static-site", "/")] {
        let (app, repo) = (owner.create("web").await, Repo::of(fixture));
        for name in names {
            repo.write(name, name);
        }
        // An image may have anything beside the tree, so that a link may lead there; a slug is the tree alone.
        let outside = (fixture == "docker-web").then_some(("up", "../../../etc"));
        let loops = [("loop-a", "loop-b"), ("loop-b", "loop-a"), ("Procfile", "loop-a")];
        for (link, target) in loops.into_iter().chain(outside) {
            std::os::unix::fs::symlink(target, repo.tree().join(link)).expect("our own folder");
        }
        repo.commit("Odd names");
        let push = app.push(&repo).await.succeeded();
        assert!(push.took < BOUND, "{:?}", push.took);
        let answer = app.ask(page).await.expect(200);
        if fixture == "docker-web" {
            let files = answer.json();
            let files: Vec<_> = files.as_array().expect("a list").iter().filter_map(|name| name.as_str()).collect();
            for name in names {
                assert!(files.contains(&name), "{name:?} is not in {files:?}");
            }
        } else {
            std::os::unix::fs::symlink("../../etc", repo.tree().join("up")).expect("our own folder");
            repo.commit("Lead out");
            is_refused(&app, &repo, &["The symbolic link 'up' leads out of the repository"]).await;
        }
    }
}

#[tokio::test]
async fn a_hundred_thousand_files_are_built() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    import(&repo, |out| {
        (0..100_000).try_for_each(|n| write!(out, "M 100644 inline many/{}/{n}\ndata 6\n{n:06}\n", n % 1000))
    });
    let push = app.push(&repo).await.succeeded();
    assert!(push.took < BOUND, "{:?}", push.took);
    assert_eq!(app.page().await["version"], "1");
}

#[tokio::test]
async fn a_file_of_a_gigabyte_is_built_and_a_larger_one_refused() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    let with = |size: u64| {
        import(&repo, |out| {
            writeln!(out, "M 100644 inline big")?;
            writeln!(out, "data {size}")?;
            std::io::copy(&mut std::io::repeat(0).take(size), out).map(drop)
        });
    };
    with(1_000_000_000);
    let push = app.push(&repo).await.succeeded();
    assert!(push.took < BOUND, "{:?}", push.took);
    assert!(peak_bytes(server.pid()) < 512 << 20, "{} MiB", peak_bytes(server.pid()) >> 20);
    let before = app.snapshot(&repo).await;
    with((1 << 30) + 1);
    is_refused(&app, &repo, &["'big' has 1073741825 bytes", "take it out of the repository"]).await;
    app.assert_unchanged(&repo, &before).await;
}

/// Most memory that a process ever had.
fn peak_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel tells");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

#[tokio::test]
async fn trees_without_a_bottom_or_an_end_are_refused() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let (before, start) = (app.snapshot(&repo).await, repo.head());
    let deep = |levels: usize| {
        repo.git(&["update-ref", "refs/heads/main", &start]);
        import(&repo, |out| write!(out, "M 100644 inline {}f\ndata 1\nx\n", "d/".repeat(levels)));
    };
    deep(1000);
    is_refused(&app, &repo, &["more than 512 folders deep"]).await;
    // What git itself has to say of it.
    deep(10_000);
    is_refused(&app, &repo, &["remote rejected"]).await;

    repo.git(&["update-ref", "refs/heads/main", &start]);
    let mut id = git_with(&repo, &["hash-object", "-w", "--stdin"], b"boom");
    for level in 0..12 {
        let mode = if level == 0 { "100644" } else { "40000" };
        let names: Vec<_> = (0..10).map(|n| format!("n{n}")).collect();
        let entries: Vec<_> = names.iter().map(|name| (mode, name.as_str(), id.as_str())).collect();
        id = tree(&repo, &entries);
    }
    commit_below(&repo, "bomb", &id);
    is_refused(&app, &repo, &["more than 500000 files and folders"]).await;
    app.assert_unchanged(&repo, &before).await;
}

#[tokio::test]
async fn names_that_something_takes_for_git_are_refused() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let (before, start) = (app.snapshot(&repo).await, repo.head());
    let blob = git_with(&repo, &["hash-object", "-w", "--stdin"], b"x");
    for name in [".git", ".GIT", "git~1", ".g\u{200c}it", "..", ".", "\u{1b}[2J/../../x"] {
        repo.git(&["update-ref", "refs/heads/main", &start]);
        let inner = tree(&repo, &[("100644", name, &blob)]);
        commit_below(&repo, "sub", &inner);
        is_refused(&app, &repo, &["remote rejected"]).await;
    }
    app.assert_unchanged(&repo, &before).await;
}

#[tokio::test]
async fn a_pushed_commit_is_built_with_its_submodules_and_told_of_lfs_pointers() {
    let host = Host::start();
    let module = Repo::empty();
    module.commit_file("from-a-submodule", "1\n");
    let path = host.folder.path().join("lib.git");
    module.git(&["clone", "-q", "--bare", ".", path.to_str().expect("UTF-8")]);
    module.git(&["--git-dir", path.to_str().expect("UTF-8"), "update-server-info"]);

    let server = Slipway::start_with(Options::default().env("SLIPWAY_OUTBOUND_ALLOW", &host.address.to_string())).await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    let link = |url: &str| {
        repo.write(".gitmodules", &format!("[submodule \"lib\"]\n\tpath = lib\n\turl = {url}\n"));
        repo.git(&["add", "-A"]);
        repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},lib", module.head())]);
        repo.git(&["commit", "-q", "-m", "Use lib"]);
    };
    for (url, texts) in [
        ("../lib.git", ["'lib' (../lib.git)", "relative"]),
        ("git@example.com:team/lib.git", ["'lib'", "write https://example.com/team/lib.git"]),
        ("/srv/lib.git", ["'lib' (/srv/lib.git)", "this server's own files"]),
        ("http://127.0.0.1:1/lib.git", ["'lib' (http://127.0.0.1:1/lib.git", "not found at a public address"]),
        (&host.url("none.git"), ["'lib'", "not found"]),
    ] {
        link(url);
        is_refused(&app, &repo, &texts).await;
    }
    link(&host.url("lib.git"));
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:";
    repo.write("model.bin", &format!("{pointer}{}\nsize 12345\n", "0".repeat(64)));
    repo.git(&["add", "model.bin"]);
    repo.git(&["commit", "-q", "-m", "Add a pointer"]);
    let url = host.url("lib.git");
    let texts = ["-----> Fetching submodules", "lib at", &url, " !     1 file is a pointer of git-lfs", "model.bin"];
    app.push(&repo).await.succeeded().says(&texts);
    let files = app.ask("/files").await.json();
    assert!(files.to_string().contains("from-a-submodule"), "{files}");
}

/// A web server for bare repositories, at the address that containers have for this machine: its own loopback address is
/// out of bounds.
struct Host {
    folder: tempfile::TempDir,
    child: Child,
    address: String,
}

impl Host {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let bridge = "172.17.0.1";
        let mut command = Command::new("python3");
        command.args(["-u", "-m", "http.server", "0", "--bind", bridge, "--directory"]).arg(folder.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("python3 is there");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("it says its port");
        let port = line.split(" port ").nth(1).and_then(|rest| rest.split(' ').next());
        let address = format!("{bridge}:{}", port.unwrap_or_else(|| panic!("no port in: {line}")));
        Self { folder, child, address }
    }

    fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
