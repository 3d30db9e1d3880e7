//! Tenants that do not trust each other: alice has something, bob tries to get at it, use it up or keep it.
//!
//! Each test looks at the effect, what bob has in the end, and not at the words of a refusal alone.

mod accounts;
mod disk;
mod dockerfiles;
mod fetching;
mod images;
mod network;
mod quotas;
mod revocation;
mod runtimes;
mod schedules;

use crate::support::{KeyKind, Slipway, User};

/// Somebody with something to lose, and somebody who is after it: two ordinary people. An administrator came before them.
async fn alice_and_bob(server: &Slipway) -> (User<'_>, User<'_>) {
    server.admin().await;
    let alice = User::register(server, "alice", KeyKind::Ed25519).await;
    let bob = User::register(server, "bob", KeyKind::Ed25519).await;
    (alice, bob)
}

#[tokio::test]
async fn an_app_is_its_owners_alone() {
    let server = Slipway::start().await;
    let (alice, bob) = alice_and_bob(&server).await;
    let app = alice.create("hers").await;
    app.set(&serde_json::json!({"DATABASE_URL": "postgres://alice:secret@db/alice"})).await;
    for below in ["", "/config", "/logs", "/releases", "/builds", "/containers", "/perms", "/domains"] {
        let answer = bob.get(&app.path(below)).await;
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(!answer.text.contains("secret"), "{answer:?}");
        // Not even that it is there.
        assert_eq!(answer.text, bob.get(&format!("/apps/nobodys{below}")).await.text);
    }
    let repo = crate::support::Repo::of("docker-web");
    bob.git(&repo, &["ls-remote", &bob.remote(&app.name)]).await.failed();
    bob.git(&repo, &["push", &bob.remote(&app.name), "HEAD:refs/heads/main"]).await.failed();
}
