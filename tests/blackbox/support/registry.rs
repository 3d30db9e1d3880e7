//! A registry of images that asks for a login.

use std::fs;
use std::process::Stdio;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::PushImageOptionsBuilder;
use futures_util::TryStreamExt;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::Options;
use super::docker::Docker;
use super::wait::{SHORT, wait_until};

/// Who may push and pull.
pub const USERNAME: &str = "puller";
pub const PASSWORD: &str = "pull-secret";
/// The line of `htpasswd -B` for them.
const HTPASSWD: &str = "puller:$2y$05$HQNt9wBH.lItvueRABu9Xu5EpEMwsLYsiF.b78ubSy5mt0kYLCY12\n";

/// Runs until it is dropped.
pub struct Registry {
    address: String,
    process: Child,
    _dir: TempDir,
}

impl Registry {
    /// Starts one on a free port of the loopback.
    pub async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("slipway-registry-").tempdir().expect("a folder can be made");
        let path = |name: &str| dir.path().join(name);
        fs::write(path("htpasswd"), HTPASSWD).expect("it can be written");
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \
             '127.0.0.1:0'}}\nauth: {{htpasswd: {{realm: test, path: {}}}}}\n",
            path("data").display(),
            path("htpasswd").display()
        );
        fs::write(path("config.yml"), config).expect("it can be written");
        let log = fs::File::create(path("log")).expect("it can be written");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(path("config.yml"))
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("docker-registry is installed: type make test");
        let address = wait_until("the registry listens", SHORT, async || {
            let said = fs::read_to_string(path("log")).unwrap_or_default();
            let after = said.split("listening on ").nth(1).and_then(|rest| rest.split(['"', ' ', '\n', ',']).next());
            after.map(str::to_owned).ok_or(said)
        });
        Self { address: address.await, process, _dir: dir }
    }

    /// What a server is started with that may pull from it.
    pub fn options() -> Options {
        Options::default().env("SLIPWAY_OUTBOUND_ALLOW", "127.0.0.1")
    }

    /// Ends it: nobody answers at its address any more.
    pub async fn stop(&mut self) {
        self.process.kill().await.expect("our own child");
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Puts an image of the engine into the registry, and takes its name from the engine again. Yields the reference.
    pub async fn take(&self, docker: &Docker, image: &str, name: &str) -> String {
        let repository = format!("{}/{name}", self.address);
        let login = DockerCredentials {
            username: Some(USERNAME.to_owned()),
            password: Some(PASSWORD.to_owned()),
            ..DockerCredentials::default()
        };
        docker.tag(image, &repository, "1").await;
        let options = PushImageOptionsBuilder::default().tag("1").build();
        let pushed = docker.client().push_image(&repository, Some(options), Some(login));
        pushed.try_collect::<Vec<_>>().await.expect("the registry takes it");
        let reference = format!("{repository}:1");
        docker.remove_image(&reference).await;
        reference
    }
}
