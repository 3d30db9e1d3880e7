//! Instances that end by themselves, or are ended behind Slipway's back, come back.

use std::net::{IpAddr, SocketAddr};

use crate::support::{Answer, App, LONG, SHORT, Slipway, fresh_name, wait_until};

/// Waits until the app's only instance runs in another container than `before`, and serves.
async fn until_replaced(app: &App<'_>, before: &str) {
    wait_until("another container runs", LONG, async || {
        let containers = app.containers().await;
        match &containers[..] {
            [container] if container.id != before && container.is_running => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    app.until_page("release", "v2").await;
}

async fn until_logged(app: &App<'_>, text: &str) {
    wait_until(&format!("the app's log says '{text}'"), SHORT, async || {
        let lines = app.logs().await;
        if lines.iter().any(|line| line.contains(text)) { Ok(()) } else { Err(lines.join("\n")) }
    })
    .await;
}

#[tokio::test]
async fn a_killed_and_a_removed_container_come_back() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let first = app.container().await;
    server.docker().kill(&first.id).await;
    until_replaced(&app, &first.id).await;
    until_logged(&app, "cmd.1 was ended by signal 9").await;

    let second = app.container().await;
    assert_eq!(second.instance, first.instance, "it is still the same instance");
    server.docker().remove(&second.id).await;
    until_replaced(&app, &second.id).await;
    // Who forces a removal kills first: either may be seen, and it is counted once.
    until_logged(&app, "starting it again in 2 s (failure 2 in a row)").await;
    assert_eq!(app.versions().await, [2, 1], "supervision makes no release");
}

#[tokio::test]
async fn a_renamed_container_is_still_the_instance() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = owner.serving("docker-web").await;
    let before = app.container().await;
    server.docker().rename(&before.id, &fresh_name("renamed")).await;
    server.kill9().await;
    server.restart().await;
    app.until_page("release", "v2").await;
    assert_eq!(app.container().await, before);
    repo.commit_file("VERSION", "2\n");
    app.push(&repo).await.succeeded().says(&[":v3 deployed to Slipway"]);
    assert_eq!(app.page().await["version"], "2");
    assert_ne!(app.container().await.id, before.id);
}

#[tokio::test]
async fn an_app_that_keeps_crashing_is_restarted_with_growing_pauses() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    for (code, pause) in [(3, 1), (4, 2)] {
        let before = app.container().await.id;
        app.ask(&format!("/exit?code={code}")).await.expect(200);
        until_logged(&app, &format!("cmd.1 exited with status {code}; starting it again in {pause} s")).await;
        until_replaced(&app, &before).await;
    }
    until_logged(&app, "told to exit with code 3").await;
}

#[tokio::test]
async fn a_dead_instance_among_others_gets_no_requests() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    app.scale(&serde_json::json!({ "cmd": 2 })).await;
    let victim = app.containers().await.remove(0);
    server.docker().kill(&victim.id).await;
    until_logged(&app, "was ended by signal 9").await;
    for _ in 0..50 {
        app.ask("/").await.expect(200);
    }
    wait_until("both instances run again", LONG, async || {
        let containers = app.containers().await;
        let running = containers.iter().filter(|container| container.is_running).count();
        if running == 2 { Ok(()) } else { Err(format!("{containers:?}")) }
    })
    .await;
}

/// A container of somebody else's takes the address of an instance that is gone, once under the running server and once
/// while there is none, and answers there.
#[tokio::test]
async fn what_took_an_instances_address_is_not_taken_for_the_app() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, _repo) = owner.serving("docker-web").await;
    let id = server.rows("SELECT id FROM apps").await.remove(0);
    let network = server.docker().objects(&[&format!("io.slipway.app={id}")]).await.networks.remove(0);
    for has_server in [true, false] {
        let instance = app.container().await.instance;
        if !has_server {
            server.kill9().await;
        }
        let (squatter, address) = squat(&app, &network).await;
        until_squatting(&app, address).await;
        if !has_server {
            server.restart().await;
        }
        wait_until("the app itself serves", LONG, async || {
            let answer = app.try_ask("/").await?;
            assert!(!answer.text.contains("squatter"), "the wrong container answered for the app: {}", answer.text);
            if answer.status == 200 { Ok(()) } else { Err(answer.line()) }
        })
        .await;
        let now = app.container().await;
        assert!(now.ip != Some(address) && now.instance == instance, "{now:?}");
        for _ in 0..20 {
            assert!(!app.ask("/").await.expect(200).text.contains("squatter"));
        }
        server.docker().remove(&squatter).await;
    }
}

/// Removes the instance's container and puts another one at its address. Under a running server that is a race against the
/// instance's next container; each loss makes the supervisor wait longer.
async fn squat(app: &App<'_>, network: &str) -> (String, IpAddr) {
    let docker = app.user.server.docker();
    wait_until("the address is the squatter's", LONG, async || {
        let containers = app.containers().await;
        let Some((container, address)) = containers.iter().find_map(|it| Some((it, it.ip?))) else {
            return Err("the instance does not run".to_owned());
        };
        docker.remove(&container.id).await;
        let env = ["PORT=8000", "GREETING=squatter"];
        Ok((docker.try_run_at(&container.image, network, address, &env).await?, address))
    })
    .await
}

/// Waits until the squatter answers at the address, asking it as the router would, and the router all the while.
async fn until_squatting(app: &App<'_>, address: IpAddr) {
    wait_until("the squatter answers", LONG, async || {
        if let Ok(answer) = app.try_ask("/").await {
            assert!(!answer.text.contains("squatter"), "the wrong container answered for the app: {}", answer.text);
        }
        let request = app.user.server.http().get(format!("http://{}/", SocketAddr::new(address, 8000)));
        let answer = Answer::to(request, "the squatter".to_owned()).await?;
        if answer.text.contains("squatter") { Ok(()) } else { Err(answer.text) }
    })
    .await;
}
