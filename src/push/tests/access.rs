//! Who gets in, and what those learn who do not.

use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::Signature;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKeyOrCertificate};

use super::*;

impl World {
    fn ssh(&self, user: &str, options: &[&str], command: &[&str]) -> Command {
        let line = self.ssh_line(user);
        let mut words = line.split(' ');
        let mut ssh = Command::new(words.next().unwrap());
        ssh.args(words).args(options).args(["-p", &self.address.port().to_string(), "anyone@127.0.0.1"]).args(command);
        ssh.env_remove("SSH_AUTH_SOCK").kill_on_drop(true).stdin(Stdio::null());
        ssh.stdout(Stdio::piped()).stderr(Stdio::piped());
        ssh
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_registered_key_opens_the_door() {
    let world = World::new().await;
    for (kind, options) in [
        ("ed25519", &[][..]),
        ("ecdsa", &["-b", "256"]),
        ("ecdsa", &["-b", "384"]),
        ("ecdsa", &["-b", "521"]),
        ("rsa", &["-b", "2048"]),
    ] {
        world.key("ann", kind, options).await;
        let output = finish(world.ssh("ann", &[], &[])).await;
        assert!(heard(&output).starts_with("Hi ann!"), "{kind} {options:?}: {}", heard(&output));
    }
    // The RSA key is the last one; only its SHA-1 signature is refused.
    let sha1 = ["-o", "PubkeyAcceptedAlgorithms=ssh-rsa"];
    assert_eq!(denied(&finish(world.ssh("ann", &sha1, &[])).await), "");
    world.close().await;
}

/// Checks that nobody was let in; yields what else was said.
fn denied(output: &Output) -> String {
    let said = heard(output);
    assert_eq!(output.status.code(), Some(255), "{said}");
    let rest = said.strip_suffix("anyone@127.0.0.1: Permission denied (publickey).");
    rest.unwrap_or_else(|| panic!("{said:?}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_nobody_registered_learns_nothing() {
    let world = World::new().await;
    let path = world.path("mallory");
    let mut keygen = Command::new("ssh-keygen");
    assert!(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status().await.unwrap().success());
    for command in [&[][..], &["git-receive-pack 'app.git'"]] {
        assert_eq!(denied(&finish(world.ssh("mallory", &[], command)).await), "");
    }
    // Many wrong keys before the right one are no obstacle.
    let mallory = path.display().to_string();
    let copies: Vec<String> = (0..12).map(|n| world.path(&format!("k{n}")).display().to_string()).collect();
    for copy in &copies {
        let mut keygen = Command::new("ssh-keygen");
        assert!(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", copy]).status().await.unwrap().success());
    }
    let line = copies.iter().fold(format!("ssh -F none -i {mallory}"), |line, copy| format!("{line} -i {copy}"));
    let line = world.ssh_line("bob").replacen("ssh -F none", &line, 1);
    let mut words = line.split(' ');
    let mut ssh = Command::new(words.next().unwrap());
    ssh.args(words).args(["-p", &world.address.port().to_string(), "127.0.0.1"]).stdin(Stdio::null());
    let begun = Instant::now();
    let output = finish(ssh).await;
    assert!(heard(&output).starts_with("Hi bob!"), "{}", heard(&output));
    assert!(begun.elapsed() < Duration::from_secs(10), "14 keys took {:?}", begun.elapsed());
    world.close().await;
}

/// Accepts any host key.
struct Client;

impl russh::client::Handler for Client {
    type Error = russh::Error;
    async fn check_server_key(&mut self, _key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// Signs with this key, whichever is shown.
struct Signer(PrivateKey);

#[derive(Debug)]
struct CannotSign;

impl From<russh::SendError> for CannotSign {
    fn from(_: russh::SendError) -> Self {
        Self
    }
}

impl russh::Signer for Signer {
    type Error = CannotSign;
    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        _hash: Option<HashAlg>,
        mut data: Vec<u8>,
    ) -> Result<Vec<u8>, CannotSign> {
        let signature: Signature = self.0.try_sign(&data).map_err(|_| CannotSign)?;
        let mut encoded = Vec::new();
        signature.encode(&mut encoded).map_err(|_| CannotSign)?;
        encoded.encode(&mut data).map_err(|_| CannotSign)?;
        Ok(data)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offered_key_is_not_a_proven_key() {
    let world = World::new().await;
    let bobs = russh::keys::load_secret_key(world.path("bob"), None).unwrap();
    let forged = PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).unwrap();
    for (signer, expect) in [(forged, false), (bobs.clone(), true)] {
        let config = Arc::new(russh::client::Config::default());
        let mut session = russh::client::connect(config, world.address, Client).await.unwrap();
        let shown = bobs.public_key().clone();
        let result = session.authenticate_publickey_with("git", shown, None, &mut Signer(signer)).await;
        assert_eq!(result.unwrap().success(), expect);
        if expect {
            assert!(session.channel_open_session().await.is_ok());
        }
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_forbidden_apps_look_alike() {
    let world = World::new().await;
    world.commit("ok").await;
    for (user, app) in [("bob", "nothing"), ("bob", "secret"), ("eve", "app")] {
        for arguments in [&["push", &world.url(app), "main"][..], &["ls-remote", &world.url(app)]] {
            let output = finish(world.command_as(user, "work", arguments)).await;
            let line = format!("app '{app}' does not exist, or you may not push to it");
            assert_eq!(heard(&output).lines().next(), Some(line.as_str()), "{arguments:?}");
            assert_eq!(output.status.code(), Some(128));
        }
    }
    let output = finish(world.ssh("bob", &[], &["git-receive-pack '../app.git'"])).await;
    assert_eq!(heard(&output), "app '../app' does not exist, or you may not push to it");
    assert_eq!(output.status.code(), Some(128));
    assert!(world.deploys().is_empty());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_not_git_gets_one_friendly_line() {
    let world = World::new().await;
    let greeting = format!("Hi bob! Slipway takes git pushes only: git push ssh://git@{}/APP.git main", world.address);
    let pty = [&["-tt"][..], &["-o", "SetEnv=LANG=C"]];
    for (options, command) in [
        (&[][..], &[][..]),
        (&["-T"], &[]),
        (pty[0], &[]),
        (pty[0], &["ls"]),
        (pty[1], &["cat /etc/passwd"]),
        (&[], &["git-receive-pack 'app.git' --advertise-refs"]),
        (&["-s"], &["sftp"]),
    ] {
        let output = finish(world.ssh("bob", options, command)).await;
        let all = heard(&output) + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(all.trim(), greeting, "{options:?} {command:?}");
        assert_eq!(output.status.code(), Some(1), "{options:?} {command:?}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarding_is_refused() {
    let world = World::new().await;
    let output = finish(world.ssh("bob", &["-W", &world.address.to_string()], &[])).await;
    assert!(!output.status.success() && heard(&output) == "stdio forwarding failed", "{}", heard(&output));
    world.close().await;
}
