//! Buildpacks that are not ours: named by the repository or the app, fetched, composed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::support::{Options, Repo, Slipway, run};

/// A buildpack as somebody writes it for Heroku: every part of the contract is used.
const COMPILE: &str = r#"#!/usr/bin/env bash
set -e
BUILD_DIR=$1 CACHE_DIR=$2 ENV_DIR=$3
BP_DIR=$(cd "$(dirname "$0")/.."; pwd)
echo "-----> Greeting from $STACK"
echo "       cached before: $(cat "$CACHE_DIR/times" 2>/dev/null || echo 0)"
echo $(( $(cat "$CACHE_DIR/times" 2>/dev/null || echo 0) + 1 )) > "$CACHE_DIR/times"
mkdir -p "$BUILD_DIR/.profile.d" "$BUILD_DIR/vendor/bin"
cat "$ENV_DIR/GREETING" > "$BUILD_DIR/vendor/greeting"
echo 'export GREETED="$(cat $HOME/vendor/greeting)"' > "$BUILD_DIR/.profile.d/greeting.sh"
printf '#!/bin/sh\necho tool-of-the-first\n' > "$BUILD_DIR/vendor/bin/first-tool"
chmod +x "$BUILD_DIR/vendor/bin/first-tool"
echo "export PATH=\"$BUILD_DIR/vendor/bin:\$PATH\"" > "$BP_DIR/export"
"#;

const SECOND_COMPILE: &str = r#"#!/usr/bin/env bash
echo "-----> Second says $(first-tool)"
printf 'import http.server, os\nclass H(http.server.BaseHTTPRequestHandler):\n  def do_GET(self):\n    b=os.environ["GREETED"].encode()\n    self.send_response(200)\n    self.send_header("Content-Length", str(len(b)))\n    self.end_headers()\n    self.wfile.write(b)\nhttp.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), H).serve_forever()\n' > "$1/serve.py"
"#;

const SECOND_RELEASE: &str =
    "#!/usr/bin/env bash\ncat <<EOF\n---\ndefault_process_types:\n  web: python3 serve.py\nEOF\n";

/// Files of a folder over HTTP, as any web server gives out a repository or an archive.
struct WebServer {
    dir: TempDir,
    port: u16,
    _process: Child,
}

impl WebServer {
    async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("slipway-web-").tempdir().expect("a folder can be made");
        let mut process = tokio::process::Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
            .arg(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("python3 is installed");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let line = lines.next_line().await.expect("it says where").expect("it says where");
        let port =
            line.split("port ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|port| port.parse().ok());
        Self { dir, port: port.expect("a port"), _process: process }
    }

    fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.port)
    }

    /// Publishes a repository with these programs in `bin`; tagged `v1`, after which comes a commit that breaks it.
    fn publish(&self, name: &str, programs: &[(&str, &str)]) {
        let work = self.dir.path().join(format!("{name}.work"));
        write_programs(&work, programs);
        let git = |dir: &Path, args: &[&str]| {
            let author = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"];
            run(Command::new("git").current_dir(dir).args(author).args(args))
        };
        git(&work, &["init", "-q"]);
        git(&work, &["add", "-A"]);
        git(&work, &["commit", "-q", "-m", "A buildpack"]);
        git(&work, &["tag", "v1"]);
        fs::write(work.join("bin/compile"), "#!/bin/sh\necho ' !     the default branch is broken'\nexit 1\n").unwrap();
        git(&work, &["commit", "-q", "-a", "-m", "Break it"]);
        let bare = self.dir.path().join(format!("{name}.git"));
        git(self.dir.path(), &["clone", "-q", "--bare", work.to_str().unwrap(), bare.to_str().unwrap()]);
        git(&bare, &["update-server-info"]);
    }

    /// Publishes an archive with these programs in `bin`, below one folder.
    fn archive(&self, name: &str, programs: &[(&str, &str)]) {
        let folder = self.dir.path().join(name);
        write_programs(&folder, programs);
        run(Command::new("tar").current_dir(self.dir.path()).args(["-czf", &format!("{name}.tgz"), name]));
    }
}

fn write_programs(folder: &Path, programs: &[(&str, &str)]) {
    fs::create_dir_all(folder.join("bin")).unwrap();
    for (name, text) in programs {
        let path = folder.join("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

const DETECT: &str = "#!/bin/sh\ntest -f \"$1/greet.me\" || exit 1\necho Greeting\n";

#[tokio::test]
async fn buildpacks_of_others_are_fetched_and_composed_in_their_order() {
    let web = WebServer::start().await;
    web.publish("greeting", &[("detect", DETECT), ("compile", COMPILE)]);
    web.archive("second", &[("detect", DETECT), ("compile", SECOND_COMPILE), ("release", SECOND_RELEASE)]);
    let server = Slipway::start_with(Options::default().env("SLIPWAY_OUTBOUND_ALLOW", "127.0.0.0/8,localhost")).await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("packs").await, Repo::empty());
    app.set(&json!({ "GREETING": "hello from config" })).await;
    repo.write("greet.me", "please\n");
    repo.write(
        ".buildpacks",
        &format!("# one, then the other\n{}#v1\n{}\n", web.url("greeting.git"), web.url("second.tgz")),
    );
    repo.commit("Name buildpacks");
    app.push(&repo).await.succeeded().says(&[
        "Fetching buildpack http://127.0.0.1",
        "       commit ",
        "-----> Greeting from slipway-12",
        "       cached before: 0",
        "-----> Second says tool-of-the-first",
        ":v3 deployed to Slipway",
    ]);
    assert_eq!(app.ask("/").await.expect(200).text, "hello from config");

    // Nothing changed, not even the buildpacks: nothing is built. A change finds the cache of each buildpack.
    repo.git(&["commit", "-q", "--allow-empty", "-m", "Nothing changed"]);
    app.push(&repo).await.succeeded().says(&["Nothing to build"]);
    repo.commit_file("greet.me", "again\n");
    app.push(&repo).await.succeeded().says(&["       cached before: 1"]);

    // The config var goes before the file; the default branch is broken, and a reference that is not there is named.
    app.set(&json!({ "BUILDPACK_URL": web.url("greeting.git") })).await;
    repo.commit_file("greet.me", "once more\n");
    app.push(&repo).await.failed().says(&["the default branch is broken"]);
    app.set(&json!({ "BUILDPACK_URL": format!("{}#v9", web.url("greeting.git")) })).await;
    app.push(&repo).await.failed().says(&["cannot be fetched: it has no branch or tag 'v9'"]);
    app.set(&json!({ "BUILDPACK_URL": web.url("nowhere.tgz") })).await;
    app.push(&repo).await.failed().says(&["cannot be downloaded: the server answers 404"]);
    app.set(&json!({ "BUILDPACK_URL": "cobol" })).await;
    app.push(&repo).await.failed().says(&["BUILDPACK_URL names the buildpack 'cobol'"]);
}

#[tokio::test]
async fn app_json_names_built_in_buildpacks_and_this_machine_is_not_asked() {
    let web = WebServer::start().await;
    web.publish("greeting", &[("detect", DETECT), ("compile", COMPILE)]);
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("packs").await, Repo::of("static-site"));
    repo.write("app.json", r#"{"buildpacks": [{"url": "heroku/static"}]}"#);
    repo.commit("Name a buildpack");
    app.push(&repo).await.succeeded().says(&["Static app detected", ":v2 deployed"]);
    repo.write("app.json", r#"{"buildpacks": [{"url": "heroku/python"}]}"#);
    repo.commit("Name a wrong one");
    app.push(&repo).await.failed().says(&["python"]);
    app.set(&json!({ "BUILDPACK_URL": web.url("greeting.git") })).await;
    app.push(&repo).await.failed().says(&["is not found at a public address"]);
}

#[tokio::test]
async fn a_static_site_tells_browsers_what_its_files_are() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("types").await, Repo::empty());
    let types = [
        ("mjs", "application/javascript; charset=utf-8"),
        ("js", "application/javascript; charset=utf-8"),
        ("css", "text/css; charset=utf-8"),
        ("md", "text/markdown; charset=utf-8"),
        ("txt", "text/plain; charset=utf-8"),
        ("webmanifest", "application/manifest+json"),
        ("jsonld", "application/ld+json"),
        ("map", "application/json"),
        ("wasm", "application/wasm"),
        ("avif", "image/avif"),
        ("webp", "image/webp"),
        ("woff2", "font/woff2"),
    ];
    repo.write("public/index.html", "<script type=\"module\" src=\"/file.mjs\"></script>\n");
    for (ending, _) in types {
        repo.write(&format!("public/file.{ending}"), "content\n");
    }
    repo.commit("A site");
    app.push(&repo).await.succeeded();
    for (ending, expect) in types {
        let answer = app.ask(&format!("/file.{ending}")).await.expect(200);
        assert_eq!(answer.header("content-type"), expect, "{ending}");
    }
}
