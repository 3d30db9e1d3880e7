//! The original SDK, `python-tutum` of both lines that speak this API, through a whole story (spec §14).
//!
//! `scripts/clients` installs it from PyPI and rewrites it for Python 3.

use serde_json::{Value, json};

use crate::support::{KeyKind, Sdk, Slipway, User};

#[tokio::test]
async fn a_person_with_release_0_6_7() {
    story("0.6.7").await;
}

#[tokio::test]
async fn a_person_with_release_0_7_5() {
    story("0.7.5").await;
}

/// Python that waits until an object is in a state.
const UNTIL: &str = "
import time
def until(thing, state):
    for _ in range(600):
        assert thing.refresh(force=True)
        if thing.state == state: return thing
        time.sleep(0.1)
    raise Exception('%s is %s, not %s' % (thing.unique_name, thing.state, state))
";

async fn story(release: &'static str) {
    let server = Slipway::start().await;
    server.admin().await;
    let bob = User::register(&server, "bob", KeyKind::Ed25519).await;
    let image = server.foreign_image("docker-web").await;
    let nobody = Sdk::of(&server, release);
    log_in(&nobody, &bob).await;
    let person = crate::support::Tutum::of(&bob).await;
    let sdk = person.sdk(release);
    let run = async |code: String| sdk.run(&format!("{UNTIL}{code}")).await;

    assert_eq!(
        run("show([len(App.list()), len(Container.list()), len(tutum.Image.list())])".into()).await,
        json!([0, 0, 0])
    );
    let db = run(format!(
        "db = App.create(image='{image}', name='my-db', container_size='XS')\n\
         assert db.save() and db.state == 'Starting', db.state\n\
         until(db, 'Running')\n\
         show([db.uuid, db.resource_uri, db.unique_name, db.run_command])"
    ))
    .await;
    assert_eq!((&db[2], &db[3]), (&json!("my-db"), &json!("python3 server.py")));
    let (db_uuid, db_uri) = (text(&db[0]), text(&db[1]));

    // Create, linked to the other; both spellings of the image.
    let web = run(format!(
        "web = App.create(image_tag='{image}', name='web', target_num_containers=2, autorestart='ON_FAILURE',\n\
         \x20   linked_to_application=['{db_uri}'], container_envvars=[{{'key': 'GREETING', 'value': 'hello'}}])\n\
         assert web.save()\n\
         assert len(web.containers) == 2 and web.containers[0].startswith('/api/v1/container/'), web.containers\n\
         until(web, 'Running')\n\
         show(web.uuid)"
    ))
    .await;
    let web = text(&web);
    let shown = run(format!(
        "web = App.fetch('{web}')\n\
         first = Container.fetch(web.containers[0].split('/')[4])\n\
         known = dict((one['key'], one['value']) for one in first.container_envvars)\n\
         show([web.linked_to_application, web.running_num_containers, known, first.public_dns, first.link_variables])"
    ))
    .await;
    assert_eq!((&shown[0], &shown[1], &shown[2]["GREETING"]), (&json!([db_uri]), &json!(2), &json!("hello")));
    ask_from_inside(&person, &web, &shown[2]).await;

    // Scale, and filters.
    let scaled = run(format!(
        "web = App.fetch('{web}')\n\
         web.target_num_containers = 3\n\
         assert web.save() and web.state == 'Scaling', web.state\n\
         until(web, 'Running')\n\
         names = [one.unique_name for one in Container.list({filter})]\n\
         show([web.running_num_containers, web.target_num_containers, names])",
        filter = "application__name='web'",
    ))
    .await;
    assert_eq!(scaled, json!([3, 3, ["web-1", "web-2", "web-3"]]));
    // What is not truthy cannot be sent: the request is empty, and nothing happens.
    let nothing = run(format!("web = App.fetch('{web}'); web.target_num_containers = 0; show([web.save(), web.state, web.target_num_containers])")).await;
    assert_eq!(nothing, json!([true, "Running", 3]));

    // Stop and start, of the whole and of one.
    let states = run(format!(
        "web = App.fetch('{web}')\n\
         said = []\n\
         assert web.stop(); said.append(web.state); until(web, 'Stopped')\n\
         assert web.start(); said.append(web.state); until(web, 'Running')\n\
         one = Container.fetch(web.containers[0].split('/')[4])\n\
         assert one.stop(); said.append(one.state); until(one, 'Stopped'); said.append(one.exit_code is not None)\n\
         web.refresh(); said.append(web.state)\n\
         assert one.start(); said.append(one.state); until(one, 'Running')\n\
         until(web, 'Running')\n\
         show(said)"
    ))
    .await;
    assert_eq!(states, json!(["Stopping", "Starting", "Stopping", true, "Partly running", "Starting"]));
    let refused = sdk.try_run(&format!("App.fetch('{web}').start()")).await.failed();
    assert!(refused.has("Status 400 (POST http://") && refused.has("Response: {\"error\":"), "{}", refused.output());

    // Logs, policies, redeploy.
    let logs = run(format!(
        "web = App.fetch('{web}'); show([web.logs, Container.fetch(web.containers[0].split('/')[4]).logs])"
    ))
    .await;
    assert!(text(&logs[0]).contains("web-2 | listening on 5000"), "{logs}");
    assert!(text(&logs[1]).starts_with("listening on 5000"), "{logs}");
    let policies = run(format!(
        "web = App.fetch('{web}'); web.autorestart = 'ALWAYS'; assert web.save(); show(App.fetch('{web}').autorestart)"
    ))
    .await;
    assert_eq!(policies, "ALWAYS");
    killed_and_back(&person, &run, &web).await;
    let redeployed = run(format!(
        "web = App.fetch('{web}'); before = web.containers\n\
         assert web.redeploy('1'); state = web.state; until(web, 'Running')\n\
         show([state, [one for one in web.containers if one in before]])"
    ))
    .await;
    assert_eq!(redeployed, json!(["Redeploying", []]));

    // Terminate one, then all.
    let ended = run(format!(
        "web = App.fetch('{web}')\n\
         one = Container.fetch(web.containers[2].split('/')[4])\n\
         assert one.delete(); state = one.state; until(one, 'Terminated')\n\
         web.refresh()\n\
         assert web.target_num_containers == 2\n\
         assert web.delete(); states = [state, web.state]; until(web, 'Terminated')\n\
         db = App.fetch('{db_uuid}'); db.delete(); until(db, 'Terminated')\n\
         show([states, sorted(one.state for one in App.list()), web.destroyed_datetime is not None])"
    ))
    .await;
    assert_eq!(ended, json!([["Terminating", "Terminating"], ["Terminated", "Terminated"], true]));
    let gone = sdk.try_run("App.fetch('6fe5029e-c125-4088-9b9a-4e74da20ac58')").await.failed();
    assert!(gone.has("Status 404"), "{}", gone.output());
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// A password yields a key, and a wrong one an error of its own kind.
async fn log_in(nobody: &Sdk<'_>, bob: &User<'_>) {
    let refused = nobody.try_run("App.list()").await.failed();
    assert!(refused.has("Not authorized"), "{}", refused.output());
    let refused = nobody.try_run("tutum.auth.authenticate('bob', 'wrong')").await.failed();
    assert!(refused.has("TutumAuthError"), "{}", refused.output());
    let code = format!(
        "tutum.auth.authenticate('bob', '{}'); App.list(); show([tutum.user, len(tutum.apikey)])",
        bob.password
    );
    assert_eq!(nobody.run(&code).await, json!(["bob", 40]));
}

/// A request from inside one application to the other, at the address that its environment names.
async fn ask_from_inside(person: &crate::support::Tutum<'_>, web: &str, environment: &Value) {
    let application = person.fetch(&format!("/application/{web}/")).await;
    let container = person.containers(&application).await.remove(0);
    assert!(environment["MY_DB_1_PORT_5000_TCP_ADDR"].is_string(), "{environment}");
    let code = "import os, urllib.request as u; e = os.environ; print(u.urlopen('http://%s:%s/' % \
                (e['MY_DB_1_PORT_5000_TCP_ADDR'], e['MY_DB_1_PORT_5000_TCP_PORT']), timeout=10).status)";
    let id = person.in_engine(&container).await.id;
    assert_eq!(person.server.docker().exec(&id, &["python3", "-c", code]).await.trim(), "200");
}

/// `docker kill`, and the policy that the SDK has set brings the container back.
async fn killed_and_back(person: &crate::support::Tutum<'_>, run: &impl AsyncFn(String) -> Value, web: &str) {
    let application = person.fetch(&format!("/application/{web}/")).await;
    let container = person.containers(&application).await.remove(0);
    person.server.docker().kill(&person.in_engine(&container).await.id).await;
    let uuid = text(&container["uuid"]);
    let before = text(&container["started_datetime"]);
    let back = run(format!(
        "one = Container.fetch('{uuid}')\n\
         for _ in range(300):\n\
         \x20   one.refresh(force=True)\n\
         \x20   if one.state == 'Running' and one.started_datetime != '{before}': break\n\
         \x20   time.sleep(0.1)\n\
         show([one.state, one.started_datetime != '{before}'])"
    ))
    .await;
    assert_eq!(back, json!(["Running", true]));
}
