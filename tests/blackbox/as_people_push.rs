//! What people push who come from other systems and platforms: saved on Windows, with settings meant for others.

use serde_json::{Value, json};

use crate::support::{App, Repo, Slipway};

/// Answers every request with its environment, its own file's first line and what the build left behind.
const SERVER: &str = r#"
import http.server, json, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        built = json.load(open("built.json")) if os.path.exists("built.json") else None
        body = json.dumps({"env": dict(os.environ), "built": built}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// Writes what the build sees.
const HOOK: &str =
    "#!/bin/bash\npython3 -c 'import json, os; json.dump(dict(os.environ), open(\"built.json\", \"w\"))'\n";

fn write(repo: &Repo, name: &str, bytes: &[u8]) {
    let path = repo.tree().join(name);
    std::fs::create_dir_all(path.parent().expect("it lies in the tree")).expect("our own folder");
    std::fs::write(path, bytes).expect("our own folder");
}

/// As PowerShell's `>` writes it.
fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{}", text.replace('\n', "\r\n")).encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// As Notepad saves it.
fn notepad(text: &str) -> Vec<u8> {
    format!("\u{feff}{}", text.replace('\n', "\r\n")).into_bytes()
}

fn executable(repo: &Repo, names: &[&str]) {
    repo.git(&["add", "-A"]);
    repo.git(&[&["update-index", "--chmod=+x"], names].concat());
    repo.git(&["commit", "-q", "-m", "Make it executable"]);
}

async fn page(app: &App<'_>) -> Value {
    app.ask("/").await.expect(200).json()
}

/// What a one-off prints.
async fn run(app: &App<'_>, command: &str) -> String {
    let answer = app.post("/run", &json!({ "command": command })).await.expect(200).json();
    answer[1].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn a_tree_that_was_saved_on_windows_is_deployed() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("windows").await, Repo::empty());
    write(&repo, "server.py", SERVER.as_bytes());
    write(&repo, "Procfile", &utf16("web: ./start.sh\n"));
    write(
        &repo,
        "app.json",
        &notepad("{\n  \"env\": { \"GREETING\": \"hello\" }, \"formation\": null, \"scripts\": \"x\"\n}\n"),
    );
    write(&repo, "start.sh", b"#!/bin/bash\r\nexec python3 server.py\r\n");
    write(&repo, "bin/pre_compile", &notepad(HOOK));
    write(&repo, "requirements.txt", b"# caf\xe9\r\npkg-resources==0.0.0\r\n");
    write(&repo, ".slugignore", &utf16("secret.txt\n"));
    write(&repo, "secret.txt", b"x");
    executable(&repo, &["start.sh", "bin/pre_compile"]);
    let push = app.push(&repo).await.succeeded();
    push.says(&[
        "app.json: scripts is a text and not an object: ignored",
        "requirements.txt is not UTF-8 (line 1)",
        "requirements.txt line 2: pkg-resources==0.0.0 is left out",
        "start.sh, bin/pre_compile have Windows line ends",
        ".gitattributes",
    ]);
    let page = page(&app).await;
    assert_eq!(page["env"]["GREETING"], "hello");
    assert_eq!(page["built"]["GREETING"], "hello", "the hook ran");
    assert!(run(&app, "ls secret.txt").await.contains("No such file"));

    // Kept as it was typed on Windows, in what nothing here can take.
    write(&repo, "Procfile", b"web: ./start.sh # caf\xe9\r\n");
    repo.commit("Save as Latin-1");
    app.push(&repo).await.failed().says(&["Procfile is not UTF-8 text (line 1)"]);
}

#[tokio::test]
async fn config_vars_may_have_any_name_that_a_shell_or_a_buildpack_uses() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("names").await, Repo::empty());
    write(&repo, "server.py", SERVER.as_bytes());
    write(&repo, "Procfile", b"web: python3 server.py\n");
    write(&repo, "requirements.txt", b"");
    write(
        &repo,
        "bin/pre_compile",
        HOOK.replace("#!/bin/bash\n", "#!/usr/bin/python3\n")
            .replace("python3 -c '", "")
            .replace("))'\n", "))\n")
            .as_bytes(),
    );
    executable(&repo, &["bin/pre_compile"]);
    let names = [
        "UID",
        "EUID",
        "PPID",
        "BASHOPTS",
        "BASH_VERSINFO",
        "IFS",
        "ENV",
        "PS4",
        "SECONDS",
        "RANDOM",
        "LINENO",
        "GROUPS",
        "DIRSTACK",
        "FUNCNAME",
        "CDPATH",
        "GLOBIGNORE",
        "TMOUT",
        "EPOCHREALTIME",
        "name",
        "file",
        "value",
        "build_dir",
        "version",
        "source",
        "python",
        "status",
        "key",
        "asked",
        "config_of_app",
    ];
    let mut values = serde_json::Map::new();
    for name in names {
        values.insert(name.to_owned(), json!("1000"));
    }
    values.insert("SHELLOPTS".to_owned(), json!("braceexpand"));
    values.insert("PATH".to_owned(), json!("/nope"));
    values.insert("BASH_ENV".to_owned(), json!("/app/nothing"));
    values.insert("LINES_AT_END".to_owned(), json!("a\nb\n\n"));
    app.set(&Value::Object(values.clone())).await;
    app.push(&repo).await.succeeded();
    let page = page(&app).await;
    for (name, value) in &values {
        if name != "PATH" {
            assert_eq!(&page["built"][name], value, "the build sees {name}");
            assert_eq!(&page["env"][name], value, "the app sees {name}");
        }
    }
    let path = page["env"]["PATH"].as_str().unwrap();
    assert!(path.contains("/nope:") && path.contains("/usr/bin"), "{path}");
    assert_eq!(run(&app, "printenv UID PPID name").await, "1000\n1000\n1000\n");
    assert_eq!(run(&app, "cd / && echo $UID $EUID").await, "1000 1000\n");

    // Those of a static site, which a shell script of the platform starts.
    let (site, repo) = (owner.create("site").await, Repo::of("static-site"));
    site.set(&json!({"PATH": "/nope", "UID": "1000", "GLOBIGNORE": "*", "CDPATH": "/tmp", "POSIXLY_CORRECT": "1"}))
        .await;
    site.push(&repo).await.succeeded();
    site.ask("/").await.expect(200);
}

#[tokio::test]
async fn a_start_script_that_cannot_run_is_told_with_what_to_type() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("script").await, Repo::empty());
    write(&repo, "server.py", SERVER.as_bytes());
    write(&repo, "requirements.txt", b"");
    write(&repo, "start.sh", b"#!/bin/sh\nexec python3 server.py\n");
    write(&repo, "Procfile", b"web: ./start.sh\n");
    repo.commit("Forget the mode");
    app.push(&repo).await.failed().says(&["start.sh, which is not executable", "git update-index --chmod=+x start.sh"]);
    write(&repo, "start.sh", b"#!/usr/local/bin/zsh\nexec python3 server.py\n");
    executable(&repo, &["start.sh"]);
    app.push(&repo).await.failed().says(&["asks for /usr/local/bin/zsh, which stack", "#!/bin/bash"]);

    // The same of an image, where only its end tells.
    let repo = Repo::of("docker-web");
    repo.edit("Dockerfile", "CMD [\"python3\", \"server.py\"]", "CMD [\"./start.sh\"]");
    write(&repo, "start.sh", b"#!/bin/bash\r\nexec python3 server.py\r\n");
    executable(&repo, &["start.sh"]);
    let push = app.push(&repo).await.failed();
    push.says(&["start.sh is there, it has Windows line ends", "git add --renormalize"]);
    repo.git(&["update-index", "--chmod=-x", "start.sh"]);
    repo.git(&["commit", "-q", "-m", "Forget the mode"]);
    repo.git(&["checkout", "-q", "."]);
    app.push(&repo).await.failed().says(&["start.sh is not executable", "git update-index --chmod=+x start.sh"]);
}

#[tokio::test]
async fn settings_for_other_servers_and_renamed_types_are_told() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("habits").await, Repo::empty());
    write(&repo, "Procfile", b"worker: sleep 1000\n");
    write(&repo, "app.json", br#"{"env": null, "formation": {"worker": 2}, "scripts": {"dokku": null}, "expo": {}}"#);
    repo.commit("Work");
    repo.git(&["tag", "-a", "v1.0", "-m", "first release"]);
    repo.git(&["config", "push.followTags", "true"]);
    repo.git(&["config", "push.pushOption", "ci.skip"]);
    let remote = app.remote();
    let push = owner.git(&repo, &["push", &remote, "main"]).await.succeeded();
    let push = push.says(&["Unknown push option 'ci.skip', ignored", "[new tag]"]);
    assert!(!push.has("http://habits"), "nothing answers there: {}", push.output());
    assert_eq!(app.containers_of("worker").await.len(), 2);

    repo.edit("Procfile", "worker", "jobs");
    repo.commit("Rename");
    let push = owner.git(&repo, &["push", &remote, "main"]).await.succeeded();
    push.says(&["no process type 'worker' any more: its 2 instances end", "deis scale jobs=2"]);
    assert!(app.containers_of("worker").await.is_empty());
}
