//! Everything that measurements share.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::api::{Api, Page};
use crate::docker::{Docker, STACK};
use crate::repo::Repo;
use crate::server::Server;
use crate::sshd::{Key, Sshd};

/// Fields are dropped from the first to the last: the server before what it would start again, folders at the end.
#[derive(Debug)]
pub struct World {
    /// Slipway.
    pub server: Server,
    /// The by-hand side of pushes.
    pub sshd: Sshd,
    /// The by-hand side of everything else.
    pub docker: Docker,
    /// Slipway's API.
    pub api: Api,
    /// The person's key.
    pub key: Key,
    /// The sample web app, and its repository.
    pub web: (String, Repo),
    /// The app that the router is measured with, deployed.
    pub nginx: String,
    /// An app that nothing was ever deployed to.
    pub empty: String,
    /// Gone at the end.
    pub folder: TempDir,
}

impl World {
    /// Starts both servers, registers a person, creates three apps and deploys two of them.
    pub async fn set_up() -> Result<Self> {
        let run_id = format!("{:08x}", rand::random::<u32>());
        let name = |app: &str| format!("bench-{run_id}-{app}");
        let (web, nginx, empty) = (name("web"), name("nginx"), name("empty"));
        let folder = tempfile::Builder::new().prefix("slipway-bench-").tempdir()?;
        // Before anything that could put something into the engine.
        let docker = Docker::find(&run_id, vec![web.clone(), nginx.clone(), empty.clone()]).await?;
        ensure_stack(&docker).await?;
        let key = Key::make(folder.path()).await?;
        let sshd = Sshd::start(folder.path(), &key).await?;
        let server = Server::start(folder.path()).await?;
        let api = Api::register(&server.addresses).await?;
        api.add_key(&key.public).await?;
        for app in [&web, &nginx, &empty] {
            api.create_app(app).await?;
        }
        let web_repo = Repo::web_app(folder.path(), "web", &key.ssh_command()).await?;
        let nginx_repo = Repo::nginx_app(folder.path(), "nginx", &key.ssh_command()).await?;
        let world = Self { server, sshd, docker, api, key, web: (web, web_repo), nginx, empty, folder };
        world.web.1.git(&["push", "-q", &world.remote(&world.web.0), "main"]).await?;
        nginx_repo.git(&["push", "-q", &world.remote(&world.nginx), "main"]).await?;
        Ok(world)
    }

    /// Where an app is pushed to.
    pub fn remote(&self, app: &str) -> String {
        format!("ssh://git@{}/{app}.git", self.server.addresses.ssh)
    }

    /// An app behind the router.
    pub fn page(&self, app: &str) -> Result<Page> {
        Page::new(&self.server.addresses.http, &host(app))
    }

    /// The number of the release of the web app that answers now.
    pub async fn web_version(&self) -> Result<u64> {
        let release = self.page(&self.web.0)?.release().await.context("the web app does not answer")?;
        Ok(release.trim_start_matches('v').parse()?)
    }

    /// A folder below the temporary one.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }
}

/// The host name of an app.
pub fn host(app: &str) -> String {
    format!("{app}.localhost")
}

/// The sample apps are built on Slipway's own image.
async fn ensure_stack(docker: &Docker) -> Result<()> {
    if !docker.has_image(STACK).await? {
        println!("       building {STACK}, which takes some minutes");
        let status = Command::new(Path::new(env!("CARGO_BIN_EXE_slipway"))).args(["stack", "build"]).status().await?;
        anyhow::ensure!(status.success(), "slipway stack build failed; what it said is above");
    }
    Ok(())
}
