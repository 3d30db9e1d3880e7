//! Apps get the version of the language that they ask for: from a mirror, once per server, checked, and kept.

use serde_json::json;

use crate::support::{BROKEN_NODE, Mirror, NODE, PYTHON, Repo, Slipway};

/// Answers with the version that runs it, and where that lies.
const SERVER: &str = "require('http').createServer((_, answer) => answer.end(`${process.version} ${process.execPath}`))\
                      .listen(process.env.PORT)\n";

/// A tree that asks for Node.js by `engines`.
pub fn node_app(engines: &str) -> Repo {
    let repo = Repo::empty();
    repo.write("server.js", SERVER);
    repo.write(
        "package.json",
        &json!({ "engines": { "node": engines }, "scripts": { "start": "node server.js" } }).to_string(),
    );
    repo.commit("Answer with the version");
    repo
}

#[tokio::test]
async fn an_open_range_gets_the_long_term_line_once_per_server_and_keeps_it() {
    let mirror = Mirror::start();
    let server = Slipway::start_with(mirror.options()).await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("node").await, node_app(">=20"));
    let fetching = format!("Fetching Node.js {NODE}");
    let wish = "Finding Node.js '>=20', which package.json (engines.node) asks for";
    app.push(&repo).await.succeeded().says(&[wish, &fetching, &format!("Node.js {NODE}")]);
    let page = app.ask("/").await.expect(200).text;
    assert_eq!(page, format!("v{NODE} /opt/slipway/runtimes/node/{NODE}/bin/node"));
    assert_eq!(mirror.downloads(NODE), 1);

    // The wish means the same from then on, and nobody is asked.
    let asked = mirror.asked().len();
    repo.write("more.txt", "more");
    repo.commit("Change something else");
    let push = app.push(&repo).await.succeeded().says(&[&format!("{NODE}, as in the last build")]);
    assert!(!push.has(&fetching), "{}", push.output());
    assert_eq!(mirror.asked().len(), asked, "{:?}", mirror.asked());

    // Another app asks for the same in another way: it is here.
    let (other, repo) = (owner.create("other").await, node_app("*"));
    repo.write(".nvmrc", "24\n");
    repo.commit("Ask by .nvmrc");
    let push = other.push(&repo).await.succeeded().says(&["Finding Node.js '24', which .nvmrc asks for"]);
    assert!(!push.has(&fetching), "{}", push.output());
    assert!(other.ask("/").await.expect(200).text.starts_with(&format!("v{NODE} ")));
    assert_eq!(mirror.downloads(NODE), 1, "{:?}", mirror.asked());
    let (third, repo) = (owner.create("third").await, node_app(""));
    third.push(&repo).await.succeeded().says(&["Finding a current Node.js: this app asks for none"]);
    assert!(third.ask("/").await.expect(200).text.starts_with(&format!("v{NODE} ")));
    assert_eq!(mirror.downloads(NODE), 1, "{:?}", mirror.asked());

    // The engine may lose an image: it is made again, with its runtime.
    let ours = format!("slipway/app-{}:", app.name);
    for name in server.docker().image_names(&format!("io.slipway.runtimes=node-{NODE}")).await {
        if name.starts_with(&ours) {
            server.docker().remove_image(&name).await;
        }
    }
    app.post("/releases/rollback", &json!({ "version": 2 })).await.expect(201);
    assert!(app.ask("/").await.expect(200).text.starts_with(&format!("v{NODE} ")));
    let one_off = other.post("/run", &json!({ "command": "node --version" })).await.expect(200).json();
    assert!(one_off.to_string().contains(NODE), "{one_off}");
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_with_what_there_is() {
    let mirror = Mirror::start();
    let server = Slipway::start_with(mirror.options()).await;
    let owner = server.owner().await;
    for (engines, texts) in [
        (">=99", ["asks for Node.js '>=99', and there is no such version", "There is: 25.9.0, 24.22.3"]),
        ("twenty", ["asks for Node.js 'twenty', which is no version", "write for example 24.x"]),
        // Its archive is not the one that its checksum was made of.
        (BROKEN_NODE, ["cannot fetch: the mirror http://172.17.0.1:", "SLIPWAY_RUNTIME_MIRRORS=node=URL"]),
        // It is listed and not there.
        ("23", ["asks for Node.js '23', which this server does not have", "It has: "]),
    ] {
        let app = owner.create("bad").await;
        app.push(&node_app(engines)).await.failed().says(&texts);
        assert_eq!(app.versions().await, [1], "{engines}: nothing is released");
    }
}

#[tokio::test]
async fn a_python_that_the_stack_lacks_is_built_with_and_runs_beside_node() {
    let mirror = Mirror::with_python();
    let server = Slipway::start_with(mirror.options()).await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("python").await, Repo::of("pyapp"));
    repo.write("runtime.txt", "python-3.9\n");
    repo.write("pyproject.toml", "[project]\nname = \"x\"\nversion = \"1\"\nrequires-python = \">=3.10\"\n");
    repo.commit("Ask for a Python that the stack does not have");
    app.push(&repo).await.succeeded().says(&[
        "Finding Python 'python-3.9', which runtime.txt asks for",
        &format!("Fetching Python {PYTHON}"),
        "Python 3.9.2 gets no more security fixes, since 2025-10-31",
        "pyproject.toml (project.requires-python) asks for Python '>=3.10', which 3.9.2 is not; runtime.txt goes first",
        "Successfully installed",
    ]);
    app.ask("/").await.expect(200);
    let run = async |command: &str| app.post("/run", &json!({ "command": command })).await.expect(200).text;
    let says = run("python -c 'import sys; print(sys.version, sys.base_prefix)'").await;
    assert!(says.contains("3.9.2 ") && says.contains("/opt/slipway/runtimes/python/3.9.2"), "{says}");

    // Both languages of a tree that is built by both.
    repo.write(".buildpacks", "nodejs\npython\n");
    repo.write("package.json", &json!({ "engines": { "node": "^24" } }).to_string());
    repo.commit("Build by Node.js, too");
    app.push(&repo).await.succeeded().says(&[&format!("Fetching Node.js {NODE}"), "3.9.2, as in the last build"]);
    let says = run("node --version; python --version").await;
    assert!(says.contains(NODE) && says.contains("3.9.2"), "{says}");

    let broken = owner.create("broken").await;
    repo.write("runtime.txt", "python-3.9.1\n");
    repo.commit("Ask for one that is not what its checksum says");
    broken.push(&repo).await.failed().says(&["asks for Python 'python-3.9.1'", "is not what its checksum in"]);
}
