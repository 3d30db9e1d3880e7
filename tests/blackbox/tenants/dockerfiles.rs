//! Dockerfiles that reach for what is not in their build: frontends, caches, bases, addresses.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::net::TcpListener;

use super::alice_and_bob;
use crate::support::{Finished, Repo, Slipway, fixture_dir};

/// The sample app with lines in its last stage.
fn with_lines(lines: &str) -> Repo {
    let repo = Repo::of("docker-web");
    write_lines(&repo, "", lines);
    repo
}

/// Writes the sample app's Dockerfile with `head` before it and `lines` in its last stage.
fn write_lines(repo: &Repo, head: &str, lines: &str) {
    let dockerfile = std::fs::read_to_string(fixture_dir("docker-web").join("Dockerfile")).expect("a fixture");
    repo.write("Dockerfile", &format!("{head}{}", dockerfile.replace("EXPOSE", &format!("{lines}\nEXPOSE"))));
    repo.commit("Change the Dockerfile");
}

/// The sample app with `early` before it copies its files, and `late` behind that: a change of `late` leaves `early` as it was.
fn with_early_lines(early: &str, late: &str) -> Repo {
    let repo = with_lines(late);
    repo.edit("Dockerfile", "COPY . /srv", &format!("{early}\nCOPY . /srv"));
    repo.commit("Do something before");
    repo
}

/// What a push printed about the step that contains `part`.
fn step(push: &Finished, part: &str) -> String {
    let output = push.output();
    let line = output.lines().find(|line| line.contains("Step ") && line.contains(part));
    line.unwrap_or_else(|| panic!("no step with '{part}' in:\n{output}")).to_owned()
}

/// The engine's name of the only image that was built so far.
async fn only_image(server: &Slipway) -> String {
    let mut found = server.rows("SELECT engine_image FROM builds WHERE status = 'succeeded'").await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[tokio::test]
async fn cache_mounts_are_an_apps_own() {
    let server = Slipway::start().await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (hers, his) = (alice.create("hers").await, bob.create("his").await);
    let mount = "RUN --mount=type=cache,target=/cache,id=npm-of-this-test";
    let writes = with_lines(&format!("USER 0\n{mount} echo token-of-alice > /cache/creds"));
    hers.push(&writes).await.succeeded();

    let attack = format!("USER 0\n{mount} echo \"seen: $(cat /cache/creds 2>&1)\"; echo poisoned > /cache/creds");
    let push = his.push(&with_lines(&attack)).await.succeeded().says(&["seen:"]);
    assert!(!push.has("token-of-alice"), "{}", push.output());

    write_lines(&writes, "", &format!("USER 0\n{mount} echo \"mine: $(cat /cache/creds)\""));
    let push = hers.push(&writes).await.succeeded().says(&["mine: token-of-alice"]);
    assert!(!push.has("poisoned"), "{}", push.output());
}

#[tokio::test]
async fn layers_are_served_to_no_other_app_and_tell_none_what_another_built() {
    let server = Slipway::start().await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (hers, his) = (alice.create("hers").await, bob.create("his").await);
    // A step with a secret, and one that writes something else whenever it runs.
    let early = "USER 0\nRUN --mount=type=secret,id=NPM_TOKEN cat /run/secrets/NPM_TOKEN > /tmp/secret; true\n\
                 RUN cat /proc/sys/kernel/random/uuid > /tmp/once";
    let tell = "RUN echo \"got $(cat /tmp/once /tmp/secret | tr '\\n' ' ')\"";
    let repo = with_early_lines(early, tell);
    repo.write("slipway-build.toml", "secrets = ['NPM_TOKEN']\n");
    repo.commit("Say that it is a secret");
    hers.set(&json!({ "NPM_TOKEN": "secret-of-alice" })).await;
    let first = hers.push(&repo).await.succeeded().says(&["secret-of-alice"]);

    // Own steps are taken over.
    repo.commit_file("more.txt", "more");
    let again = hers.push(&repo).await.succeeded();
    for part in ["NPM_TOKEN", "random/uuid"] {
        assert!(step(&again, part).contains("(cached)"), "{}", again.output());
    }

    // The same tree: nothing of it is there for bob, not even the knowledge that it was built.
    let push = his.push(&repo).await.succeeded();
    assert!(!push.has("secret-of-alice"), "{}", push.output());
    for part in ["COPY . /srv", "random/uuid", "NPM_TOKEN"] {
        assert!(!step(&push, part).contains("(cached)"), "{}", push.output());
    }
    let got = |push: &Finished| {
        let output = push.output();
        let line = output.lines().find(|line| line.trim_start().starts_with("got "));
        line.unwrap_or_else(|| panic!("no 'got' in:\n{output}")).split_whitespace().nth(1).expect("a word").to_owned()
    };
    assert_eq!(got(&first), got(&again));
    assert_ne!(got(&first), got(&push));
}

#[tokio::test]
async fn a_build_without_cache_replaces_nobody_elses_layers() {
    let server = Slipway::start().await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (hers, his) = (alice.create("hers").await, bob.create("his").await);
    let repo = with_early_lines("USER 0\nRUN cat /proc/sys/kernel/random/uuid > /srv/once", "");
    hers.push(&repo).await.succeeded();
    let cat = json!({ "command": "cat /srv/once" });
    let before = hers.post("/run", &cat).await.expect(200).text;

    bob.git(&repo, &["push", "-o", "no-cache", &his.remote(), "HEAD:refs/heads/main"]).await.succeeded();
    repo.commit_file("more.txt", "more");
    let again = hers.push(&repo).await.succeeded();
    assert!(step(&again, "random/uuid").contains("(cached)"), "{}", again.output());
    let poisoned = his.post("/run", &cat).await.expect(200).text;
    let after = hers.post("/run", &cat).await.expect(200).text;
    assert_eq!(after, before, "her own layer is what she gets");
    assert!(before.contains('-') && after.contains('-') && poisoned.contains('-'), "{before} {after} {poisoned}");
    assert_ne!(after, poisoned, "what bob's build wrote is in alice's image");
}

#[tokio::test]
async fn another_apps_image_is_no_base_by_any_name() {
    let server = Slipway::start().await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (hers, his) = (alice.create("hers").await, bob.create("his").await);
    let repo = Repo::of("docker-web");
    repo.commit_file("private.txt", "the-source-of-alice");
    hers.push(&repo).await.succeeded();
    let name = only_image(&server).await;
    let id = server.docker().client().inspect_image(&name).await.expect("it is there").id.expect("it has an id");
    let hex = id.trim_start_matches("sha256:").to_owned();
    let (repository, tag) = name.rsplit_once(':').expect("it has a tag");

    let show = "RUN cat /srv/private.txt /loot 2>/dev/null; true";
    let mut attacks = Vec::new();
    let by_digest = format!("{repository}@{id}");
    let canonical = format!("docker.io/{name}");
    for victim in [&name, &id, &hex, &hex[..12].to_owned(), &by_digest, &canonical] {
        attacks.push(format!("FROM {victim}\n{show}\n"));
        attacks
            .push(format!("FROM slipway/stack:slipway-12-run\nCOPY --from={victim} /srv/private.txt /loot\n{show}\n"));
        attacks.push(format!(
            "FROM slipway/stack:slipway-12-run\nRUN --mount=type=bind,from={victim},target=/m cat /m/srv/private.txt\n"
        ));
    }
    attacks.extend([
        format!("ARG V={tag}\nFROM {repository}:${{V}}\n{show}\n"),
        format!("ARG V\nFROM ${{V:-{name}}}\n{show}\n"),
        format!("FROM slipway/stack:slipway-12-run AS a\nONBUILD COPY --from={name} /srv/private.txt /loot\nFROM a\n{show}\n"),
        format!("FROM slipway/stack:slipway-12-run\nRUN --mount=from={name},type=cache,target=/m cat /m/srv/private.txt\n"),
        format!("# escape=`\nFROM `\n{name}\n{show}\n"),
    ]);
    let his_repo = Repo::empty();
    for attack in attacks {
        his_repo.commit_file("Dockerfile", &attack);
        let push = his.push(&his_repo).await.failed();
        assert!(!push.has("the-source-of-alice"), "{attack}\n{}", push.output());
    }

    // An image of the operator's whose trigger draws on hers.
    let trap = format!("slipway-test/{}:1", his.name);
    let dockerfile = format!("FROM scratch\nONBUILD COPY --from={name} /srv/private.txt /loot\n");
    server.docker().build_dockerfile(&dockerfile, &trap).await;
    his_repo.commit_file("Dockerfile", &format!("FROM {trap}\nCOPY Dockerfile /x\n"));
    let push = his.push(&his_repo).await;
    server.docker().remove_image(&trap).await;
    push.failed().says(&["ONBUILD"]);
}

#[tokio::test]
async fn the_engine_alone_reads_dockerfiles() {
    let server = Slipway::start().await;
    let (alice, bob) = alice_and_bob(&server).await;
    let (hers, his) = (alice.create("hers").await, bob.create("his").await);
    let repo = Repo::of("docker-web");
    hers.push(&repo).await.succeeded();
    let evil = only_image(&server).await;

    for head in [
        format!("# syntax={evil}\n"),
        format!("#SYNTAX = {evil}\r\n"),
        format!("// syntax={evil}\n"),
        format!("#!/usr/bin/env x\n# syntax={evil}\n"),
        format!("\u{feff}# syntax={evil}\n"),
        format!("{{\"syntax\": \"{evil}\"}}\n"),
    ] {
        write_lines(&repo, &head, "RUN true");
        his.push(&repo).await.failed();
    }
    write_lines(&repo, &format!("ARG BUILDKIT_SYNTAX={evil}\n"), "RUN echo read by the engine");
    his.push(&repo).await.succeeded().says(&["read by the engine"]);
    his.set(&json!({ "BUILDKIT_SYNTAX": evil })).await;
    write_lines(&repo, "ARG BUILDKIT_SYNTAX\n", "RUN true");
    his.push(&repo).await.failed();
    his.post("/config", &json!({ "values": { "BUILDKIT_SYNTAX": null } })).await.expect(201);

    // No registry can be reached for these.
    for name in ["docker/dockerfile:1", "docker.io/docker/dockerfile:1.4-labs"] {
        write_lines(&repo, &format!("# syntax={name}\n"), &format!("RUN echo built for {name}"));
        his.push(&repo).await.succeeded().says(&[&format!("built for {name}")]);
    }
}

#[tokio::test]
async fn no_address_of_the_host_is_asked_for_an_added_file() {
    let server = Slipway::start().await;
    let (_, bob) = alice_and_bob(&server).await;
    let app = bob.create("his").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&asked);
    let listening = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            seen.fetch_add(1, Ordering::SeqCst);
        }
    });
    for lines in [
        format!("ADD http://{address}/x /tmp/x"),
        format!("ADD --chown=0:0 HTTP://{address}/x /tmp/x"),
        format!("ADD [\"http://{address}/x\", \"/tmp/x\"]"),
        format!("ENV URL=http://{address}/x\nADD ${{URL}} /tmp/x"),
        format!("ADD git://{address}/x.git /tmp/x"),
        format!("ADD \\\n  http://{address}/x /tmp/x"),
        format!("ONBUILD ADD http://{address}/x /tmp/x"),
    ] {
        app.push(&with_lines(&lines)).await.failed();
    }
    listening.abort();
    assert_eq!(asked.load(Ordering::SeqCst), 0, "somebody asked the host's loopback");
}
