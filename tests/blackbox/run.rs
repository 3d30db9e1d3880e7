//! One-off commands: what they see, what comes back, and that none is left behind.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Answer, App, Container, LONG, Options, Repo, SHORT, Slipway, fresh_name, processes_with, wait_until,
};

/// Runs a command; it has to end. Yields its status and output.
async fn run(app: &App<'_>, command: &str) -> (i64, String) {
    let answer = app.post("/run", &json!({ "command": command })).await.expect(200);
    assert_eq!(answer.header("Content-Type"), "text/plain");
    let Value::Array(pair) = answer.json() else { panic!("no array: {}", answer.text) };
    assert_eq!(pair.len(), 2, "{}", answer.text);
    (pair[0].as_i64().expect("a status"), pair[1].as_str().expect("a text").to_owned())
}

/// The request of a command, to be sent in the background, dropped or waited for.
fn request(app: &App<'_>, command: &str) -> impl Future<Output = Result<Answer, String>> + Send + 'static {
    let request = app.user.request(reqwest::Method::POST, &app.path("/run")).json(&json!({ "command": command }));
    Answer::to(request.timeout(LONG), "POST run")
}

/// Containers of the app's one-offs, in the engine.
async fn one_offs(app: &App<'_>) -> Vec<Container> {
    let server = app.user.server;
    let labels = [format!("io.slipway.server={}", server.id().await), format!("io.slipway.app-name={}", app.name)];
    server.docker().containers(&[&labels[0], &labels[1], "io.slipway.one-off"]).await
}

async fn until_running(app: &App<'_>, count: usize) -> Vec<Container> {
    wait_until(&format!("{count} one-offs run"), SHORT, async || {
        let found = one_offs(app).await;
        let all_run = found.iter().all(|container| container.is_running);
        if found.len() == count && all_run { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await
}

async fn until_none(app: &App<'_>) {
    wait_until("no one-off is left", SHORT, async || {
        let found = one_offs(app).await;
        if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

fn is_set(env: &str, line: &str) -> bool {
    env.lines().any(|found| found == line)
}

/// What holds for every kind of app.
async fn check_commands(app: &App<'_>, sha: &str) {
    let (status, env) = run(app, "env").await;
    assert_eq!(status, 0);
    for line in
        [format!("GIT_SHA={sha}"), format!("DEIS_APP={}", app.name), "DEIS_RELEASE=v3".into(), "SAID=it's".into()]
    {
        assert!(is_set(&env, &line), "{line} is missing in {env}");
    }
    assert_eq!(run(app, "echo 'Hello, 世界'").await, (0, "Hello, 世界\n".to_owned()));
    assert_eq!(run(app, "").await, (0, String::new()));
    assert_eq!(run(app, "exit 3").await, (3, String::new()));
    assert_eq!(run(app, "kill -9 $$").await, (137, String::new()));
    assert_eq!(run(app, "sh -c 'kill -TERM $$'").await.0, 143);
    let (status, output) = run(app, "no-such-program").await;
    assert_eq!(status, 127);
    assert!(output.contains("no-such-program: command not found"), "{output}");
    assert_eq!(run(app, "-x").await.0, 127, "a command is no option of the shell");

    // Both outputs, in the order in which they were written.
    let (status, output) = run(app, "for i in $(seq 500); do echo out $i; echo err $i >&2; done").await;
    let expect: String = (1..=500).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert_eq!((status, output), (0, expect));
    assert_eq!(run(app, "printf 'no end'").await.1, "no end");
    assert_eq!(run(app, "printf 'a\\377\\376b\\r\\n'").await.1, "a\u{fffd}\u{fffd}b\r\n");
    let (status, output) = run(app, "seq 10000").await;
    assert_eq!(status, 0);
    assert_eq!(output, (1..=10_000).map(|i| format!("{i}\n")).collect::<String>());

    // The whole text is one argument, whatever is in it.
    let quotes = "printf '%s|' \"a b\" 'c\"d' it\\'s \"$DEIS_APP\"\nprintf '%s' `echo tick` $((1+1)) # end";
    assert_eq!(run(app, quotes).await.1, format!("a b|c\"d|it's|{}|tick2", app.name));
    for length in [1 << 10, 100_000] {
        let text = "é".repeat(length / 2);
        assert_eq!(run(app, &format!("echo '{text}'")).await, (0, format!("{text}\n")), "{length} bytes");
    }
    assert_eq!(run(app, "cat; tty").await, (1, "not a tty\n".to_owned()), "nothing to read, no terminal");
}

#[tokio::test]
async fn commands_in_a_slug_have_its_environment() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("hello"));
    repo.write(".profile", "export FROM_PROFILE=\"set for $DEIS_APP\"\n");
    repo.commit("Add a profile");
    app.push(&repo).await.succeeded();
    app.set(&json!({ "SAID": "it's" })).await;
    check_commands(&app, &repo.head()).await;
    assert_eq!(run(&app, "pwd; echo $FROM_PROFILE; echo $PORT; id -u").await.1, {
        format!("/app\nset for {}\n5000\n2000\n", app.name)
    });
    assert_eq!(run(&app, "python3 -c 'import bottle; print(bottle.__name__)'").await, (0, "bottle\n".to_owned()));
    until_none(&app).await;
}

#[tokio::test]
async fn commands_in_a_dockerfile_app_go_to_its_shell() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    app.set(&json!({ "SAID": "it's" })).await;
    check_commands(&app, &repo.head()).await;
    assert_eq!(run(&app, "pwd; cat VERSION; echo $BASH").await.1, "/srv\n1\n/bin/bash\n");
    let container = app.container().await;
    assert_eq!(run(&app, "getent hosts cmd").await.0, 0, "it is on the app's network");
    assert_eq!(app.container().await, container);
    assert_eq!(app.get("/containers").await["count"], 1);

    // More than is kept: the end of it, and that it was cut.
    let (status, output) = run(&app, "head -c 12000000 /dev/zero | tr '\\0' x; echo; echo the end").await;
    assert_eq!(status, 0);
    assert!(output.starts_with("[slipway: the first 1514249 bytes of the output are cut off]\nx"), "{:.90}", output);
    assert!(output.ends_with("x\nthe end\n"));
    let (status, output) = run(&app, "python3 -c 'x = bytearray(1 << 30)'").await;
    assert_eq!(status, 137, "{output}");
    assert!(output.ends_with("[slipway: the command ran out of memory (limit 512 MiB)]\n"), "{output}");

    let lines = app.logs().await;
    let has =
        |text: &str| assert!(lines.iter().any(|line| line.contains(text)), "{text} is missing:\n{}", lines.join("\n"));
    has("deis[api]: owner runs 'pwd; cat VERSION; echo $BASH'");
    has(&format!("{}[run.", app.name));
    until_none(&app).await;
}

#[tokio::test]
async fn an_image_without_bash_has_its_own_shell_or_a_clear_answer() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    repo.edit("Dockerfile", "EXPOSE 8000", "USER root\nRUN rm /bin/bash\nEXPOSE 8000");
    repo.commit("Lose bash");
    app.push(&repo).await.succeeded();
    assert_eq!(run(&app, "echo $0; echo 'Hello, 世界' >&2").await, (0, "/bin/sh\nHello, 世界\n".to_owned()));
    repo.edit("Dockerfile", "rm /bin/bash", "rm /bin/bash && python3 -c 'import os; os.remove(\"/bin/sh\")'");
    repo.commit("Lose every shell");
    app.push(&repo).await.succeeded();
    let answer = app.post("/run", &json!({ "command": "ls" })).await.expect(400);
    assert!(
        answer.json()["detail"].as_str().expect("a text").contains("neither /bin/bash nor /bin/sh"),
        "{}",
        answer.text
    );
    until_none(&app).await;
}

#[tokio::test]
async fn what_cannot_run_is_refused() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let app = owner.create("web").await;
    let answer = app.post("/run", &json!({ "command": "ls" })).await.expect(400);
    assert_eq!(answer.line(), "400 BAD REQUEST");
    assert_eq!(answer.json(), json!({ "detail": "No build associated with this release to run this command" }));
    let answer = app.post("/run", &json!({})).await.expect(400);
    assert_eq!(answer.json(), json!({ "command": ["This field is required."] }));
    let answer = app.post("/run", &json!({ "command": "a\0b" })).await.expect(400);
    assert_eq!(answer.json(), json!({ "command": ["Null characters are not allowed."] }));
    let path = app.path("/run");
    server.stranger().await.post(&path, &json!({ "command": "ls" })).await.expect(404);
    assert_eq!(owner.post("/apps/no-such-app/run", &json!({ "command": "ls" })).await.status, 404);
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_ended() {
    let server = Slipway::start_with(Options::default().env("SLIPWAY_RUN_TIMEOUT", "3s")).await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let marker = fresh_name("marker");
    let answer = app.post("/run", &json!({ "command": format!("echo {marker} | sleep 600") })).await.expect(503);
    assert_eq!(answer.line(), "503 SERVICE UNAVAILABLE");
    let detail = answer.json()["detail"].as_str().expect("a text").to_owned();
    assert!(detail.starts_with("container timed out") && detail.contains(&marker), "{detail}");
    assert_eq!(one_offs(&app).await, []);
    assert_eq!(processes_with(&marker), Vec::<String>::new());
}

#[tokio::test]
async fn a_one_off_blocks_nothing_is_listed_and_ends_with_its_client() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let first = tokio::spawn(request(&app, "sleep 600"));
    until_running(&app, 1).await;
    let second = tokio::spawn(request(&app, "until test -e /tmp/go; do sleep 0.1; done; echo $DEIS_RELEASE"));
    let running = until_running(&app, 2).await;
    assert!(running.iter().all(|container| container.memory == 512 << 20 && container.process == "run"), "{running:?}");
    let list = app.get("/containers/run").await;
    let shown = |list: &Value| -> Vec<String> {
        let results = list["results"].as_array().expect("a list").iter();
        results.map(|it| format!("{}.{} {} {}", it["type"], it["num"], it["state"], it["release"])).collect()
    };
    assert_eq!(shown(&list), ["\"run\".1 \"up\" \"v2\"", "\"run\".2 \"up\" \"v2\""], "{list}");
    assert_eq!(app.get("/containers").await["count"], 1);
    assert_eq!(app.get("/containers/run/2").await["owner"], "owner");

    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.succeeded();
    assert_eq!(app.page().await["release"], "v3");
    until_running(&app, 2).await;

    first.abort();
    wait_until("the one whose client went away is gone", SHORT, async || {
        let list = app.get("/containers/run").await;
        if shown(&list) == ["\"run\".2 \"up\" \"v2\""] { Ok(()) } else { Err(list.to_string()) }
    })
    .await;
    let [left] = &until_running(&app, 1).await[..] else { panic!("one is left") };
    let go = std::process::Command::new("docker").args(["exec", &left.id, "touch", "/tmp/go"]).status();
    assert!(go.expect("docker is installed").success());
    let answer = second.await.expect("not aborted").expect("an answer").expect(200);
    assert_eq!(answer.json(), json!([0, "v2\n"]), "it stays on the release that it began on");
    until_none(&app).await;
}

#[tokio::test]
async fn destroying_the_app_ends_its_one_offs() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let running = tokio::spawn(request(&app, "sleep 600"));
    until_running(&app, 1).await;
    // More of them begin while the app goes.
    let late: Vec<_> = (0..8).map(|_| tokio::spawn(request(&app, "sleep 600"))).collect();
    owner.delete(&app.path("")).await.expect(204);
    assert_eq!(one_offs(&app).await, []);
    let answer = running.await.expect("not aborted").expect("an answer").expect(503);
    assert!(answer.text.contains("was destroyed"), "{}", answer.text);
    for answer in late {
        let answer = answer.await.expect("not aborted").expect("an answer");
        assert!([404, 503].contains(&answer.status), "{answer:?}");
    }
    let label = format!("io.slipway.server={}", server.id().await);
    assert_eq!(server.docker().objects(&[&label]).await, Default::default());
}

#[tokio::test]
async fn a_killed_server_leaves_no_one_off_behind_and_a_stopping_one_says_so() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let asked = tokio::spawn(request(&app, "sleep 600"));
    until_running(&app, 1).await;
    server.kill9().await;
    asked.await.expect("not aborted").expect_err("the server is gone");
    assert_eq!(one_offs(&app).await.len(), 1);
    server.restart().await;
    assert_eq!(one_offs(&app).await, [], "gone before the server serves");

    let asked = tokio::spawn(request(&app, "trap 'echo ending' TERM; sleep 600 & wait"));
    until_running(&app, 1).await;
    server.stop().await;
    let answer = asked.await.expect("not aborted").expect("an answer").expect(503);
    assert!(answer.text.contains("Slipway is stopping"), "{}", answer.text);
    assert_eq!(one_offs(&app).await, []);
    server.restart().await;
    wait_until("commands run again", SHORT, async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (status, output) = run(&app, "echo again").await;
        if (status, output.as_str()) == (0, "again\n") { Ok(()) } else { Err(output) }
    })
    .await;
}
