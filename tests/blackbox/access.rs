//! Who gets in, and what those learn who do not.

use std::process::Command as StdCommand;

use serde_json::json;
use tokio::process::Command;

use crate::support::{Key, KeyKind, Repo, Running, Slipway, User};

#[tokio::test]
async fn a_key_that_nobody_registered_learns_nothing() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    let key = Key::new(KeyKind::Ed25519);
    for name in [app.name.as_str(), "no-such-app"] {
        let refused = owner.start_git_with(&key, &repo, &["ls-remote", &owner.remote(name)]).finish().await.failed();
        let refused = refused.says(&["Permission denied (publickey)"]);
        assert!(!refused.output().contains("does not exist"), "{}", refused.output());
    }
    let push = owner.start_git_with(&key, &repo, &["push", &app.remote(), "main"]).finish().await;
    push.failed().says(&["Permission denied (publickey)"]);
    assert_eq!(app.versions().await, [1]);
}

#[tokio::test]
async fn a_strangers_app_and_one_that_does_not_exist_look_alike() {
    let server = Slipway::start().await;
    let (owner, stranger) = (server.owner().await, server.stranger().await);
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    for args in [["push", "REMOTE", "main"], ["fetch", "REMOTE", "main"], ["ls-remote", "REMOTE", "main"]] {
        let mut said = Vec::new();
        for name in [app.name.as_str(), "web-nobody"] {
            let remote = stranger.remote(name);
            let args = args.map(|arg| if arg == "REMOTE" { remote.as_str() } else { arg });
            let refused =
                stranger.git(&repo, &args).await.failed().says(&["does not exist, or you may not push to it"]);
            said.push((refused.code, refused.output().replace(name, "NAME")));
        }
        assert_eq!(said[0], said[1]);
    }
    assert_eq!(app.versions().await, [1]);

    // Nor does the API tell.
    for (below, body) in [
        ("/config", json!({})),
        ("/scale", json!({ "web": 1 })),
        ("/builds", json!({ "image": "x" })),
        ("/releases/rollback", json!({})),
    ] {
        let refused = stranger.post(&app.path(below), &body).await.expect(404);
        assert_eq!(refused.text, stranger.post(&format!("/apps/web-nobody{below}"), &body).await.expect(404).text);
    }
    for below in ["", "/config", "/builds", "/releases", "/releases/v1", "/containers", "/logs"] {
        let answer = stranger.get(&app.path(below)).await.expect(404);
        assert_eq!(answer.line(), "404 NOT FOUND");
        assert_eq!(answer.text, stranger.get(&format!("/apps/web-nobody{below}")).await.expect(404).text);
    }
    stranger.delete(&app.path("")).await.expect(404);
    assert_eq!(stranger.get("/apps").await.expect(200).json()["count"], 0);
    app.get("").await;
}

#[tokio::test]
async fn an_administrator_may_do_everything_with_every_app() {
    let server = Slipway::start().await;
    let admin = server.admin().await;
    let owner = User::register(&server, "owner", KeyKind::Ed25519).await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    admin.get(&app.path("")).await.expect(200);
    assert_eq!(admin.get("/apps").await.expect(200).json()["results"][0]["id"], app.name);
    admin.git(&repo, &["push", &app.remote(), "main"]).await.succeeded();
    assert_eq!(app.get("/releases/v2").await["summary"], format!("admin deployed {}", &repo.head()[..7]));
    admin.delete(&app.path("")).await.expect(204);
}

#[tokio::test]
async fn ssh_without_git_gets_one_friendly_line() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let greeting = "Hi owner! Slipway takes git pushes only: git push ssh://git@";
    let attempts: [(&[&str], &[&str]); 5] = [
        (&[], &[]),
        (&["-tt"], &[]),
        (&[], &["ls", "-la"]),
        (&[], &["git-upload-archive", "'web.git'"]),
        (&["-s"], &["sftp"]),
    ];
    for (options, command) in attempts {
        let said = owner.ssh(options, command).await.failed().says(&[greeting]);
        let lines = said.lines.iter().filter(|(_, line)| line.contains("Slipway")).count();
        assert_eq!(lines, 1, "{options:?} {command:?}: {}", said.output());
    }
    // No forwarding either: the server would be a way into its network.
    let forward = owner.ssh(&["-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"], &[]).await.failed();
    forward.says(&["forwarding failed"]);
}

#[tokio::test]
async fn an_app_can_be_cloned_back_and_its_empty_repository_fetched() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let app = owner.create("web").await;
    let repo = Repo::of("docker-web");
    // What `deis create` of 1.0 does with the new app.
    owner.git(&repo, &["remote", "add", "-f", "deis", &app.remote()]).await.succeeded();
    owner.git(&repo, &["push", "deis", "main"]).await.succeeded();
    repo.commit_file("VERSION", "2\n");
    owner.git(&repo, &["push", "deis", "main"]).await.succeeded();

    owner.git(&repo, &["clone", "-q", &app.remote(), "../clone"]).await.succeeded();
    let clone = repo.tree().join("../clone");
    let git = |args: &[&str]| {
        let mut command = StdCommand::new("git");
        repo.isolate(&mut command);
        crate::support::run(command.current_dir(&clone).args(args))
    };
    assert_eq!(git(&["rev-parse", "HEAD"]).trim(), repo.head());
    assert_eq!(git(&["symbolic-ref", "HEAD"]).trim(), "refs/heads/main");
    assert_eq!(git(&["status", "--porcelain"]), "");
    assert_eq!(git(&["rev-list", "--count", "HEAD"]).trim(), "2");
    owner.git(&repo, &["fetch", "deis"]).await.succeeded();
    assert_eq!(repo.git(&["rev-parse", "deis/main"]).trim(), repo.head());
}

#[tokio::test]
async fn the_scp_form_works_through_an_ssh_config() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let (app, repo) = (owner.create("web").await, Repo::of("docker-web"));
    let config = repo.tree().join("../ssh_config");
    let text = format!(
        "Host slipway\n  HostName 127.0.0.1\n  Port {}\n  User git\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
         IdentityAgent none\n  UserKnownHostsFile {}\n  StrictHostKeyChecking accept-new\n  BatchMode yes\n",
        server.addresses().ssh.port(),
        owner.key.path().display(),
        owner.key.known_hosts().display()
    );
    std::fs::write(&config, text).expect("our own folder");
    for remote in
        [format!("slipway:{}.git", app.name), format!("slipway:{}", app.name), format!("ssh://slipway/{}", app.name)]
    {
        let mut command = StdCommand::new("git");
        repo.isolate(&mut command);
        command.args(["push", &remote, "HEAD:main"]).env("GIT_SSH_COMMAND", format!("ssh -F {}", config.display()));
        Running::start(&mut Command::from(command)).finish().await.succeeded();
    }
    assert_eq!(app.head(&repo).await, Some(repo.head()));
}

#[tokio::test]
async fn rsa_and_ecdsa_keys_get_in_and_removed_keys_do_not() {
    let server = Slipway::start().await;
    server.admin().await;
    let rsa = User::register(&server, "rsa", KeyKind::Rsa).await;
    let ecdsa = User::register(&server, "ecdsa", KeyKind::Ecdsa).await;
    let repo = Repo::of("docker-web");
    for user in [&rsa, &ecdsa] {
        let app = user.create("keys").await;
        user.git(&repo, &["ls-remote", &app.remote()]).await.succeeded();
        // Both kinds of RSA signature that are not broken.
        if user.name == "rsa" {
            for algorithm in ["rsa-sha2-256", "rsa-sha2-512"] {
                let option = format!("PubkeyAcceptedAlgorithms={algorithm}");
                user.ssh(&["-o", &option], &[]).await.says(&["Hi rsa!"]);
            }
            user.ssh(&["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"], &[]).await.failed().says(&["Permission denied"]);
        }
        let more = Key::new(KeyKind::Ed25519);
        user.add_key("second", &more.public).await.expect(201);
        user.start_git_with(&more, &repo, &["ls-remote", &app.remote()]).finish().await.succeeded();
        user.delete("/keys/laptop").await.expect(204);
        user.git(&repo, &["ls-remote", &app.remote()]).await.failed().says(&["Permission denied (publickey)"]);
        user.start_git_with(&more, &repo, &["ls-remote", &app.remote()]).finish().await.succeeded();
    }
    // The same blob under another comment is the same key, whoever has it.
    let taken = ecdsa.get("/keys/second").await.expect(200).json()["public"].as_str().expect("a key").to_owned();
    let blob: Vec<&str> = taken.split_whitespace().take(2).collect();
    let answer = rsa.add_key("stolen", &format!("{} other@comment", blob.join(" "))).await.expect(400);
    assert_eq!(answer.json(), json!({ "public": ["This field must be unique."] }));
}
