//! A developer's repository.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::process::run;

/// The sample app without its `RUN`: what is built is a changed file in a new layer.
const DOCKERFILE: &str = "FROM slipway/stack:slipway-12-run
ENTRYPOINT []
ENV PYTHONUNBUFFERED=1
WORKDIR /srv
COPY . /srv
CMD [\"python3\", \"server.py\"]
";

/// The app that the router is measured with: nothing in front of the body. The image it is made from declares port 5000.
const NGINX_DOCKERFILE: &str = "FROM slipway/stack:slipway-12-run
ENTRYPOINT []
COPY nginx.conf big /srv/
CMD [\"nginx\", \"-e\", \"stderr\", \"-p\", \"/tmp\", \"-c\", \"/srv/nginx.conf\"]
";

const NGINX_CONF: &str = "daemon off;
master_process off;
pid /tmp/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path /tmp/body;
    proxy_temp_path /tmp/proxy;
    fastcgi_temp_path /tmp/fastcgi;
    uwsgi_temp_path /tmp/uwsgi;
    scgi_temp_path /tmp/scgi;
    server {
        listen 5000 backlog=4096;
        sendfile on;
        location = /big { root /srv; }
        location / { return 200 '{\"release\": \"any\", \"note\": \"a small body, as a status page has it...\"}'; }
    }
}
";

/// A work tree with its history.
#[derive(Debug)]
pub struct Repo {
    folder: PathBuf,
    ssh_command: String,
}

impl Repo {
    /// An empty one below `folder`.
    pub async fn new(folder: &Path, name: &str, ssh_command: &str) -> Result<Self> {
        let repo = Self { folder: folder.join(name), ssh_command: ssh_command.to_owned() };
        fs::create_dir(&repo.folder)?;
        repo.git(&["init", "-q", "-b", "main"]).await?;
        // A repack in the background would run into the next measurement.
        repo.git(&["config", "gc.auto", "0"]).await?;
        Ok(repo)
    }

    /// The sample web app.
    pub async fn web_app(folder: &Path, name: &str, ssh_command: &str) -> Result<Self> {
        let repo = Self::new(folder, name, ssh_command).await?;
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apps/docker-web");
        for file in ["server.py", "VERSION"] {
            fs::copy(fixture.join(file), repo.folder.join(file)).with_context(|| format!("copying {file}"))?;
        }
        repo.write("Dockerfile", DOCKERFILE)?;
        repo.commit("First").await?;
        Ok(repo)
    }

    /// An nginx that answers everything at once.
    pub async fn nginx_app(folder: &Path, name: &str, ssh_command: &str) -> Result<Self> {
        let repo = Self::new(folder, name, ssh_command).await?;
        repo.write("Dockerfile", NGINX_DOCKERFILE)?;
        repo.write("nginx.conf", NGINX_CONF)?;
        repo.write("big", vec![b'.'; 1 << 20])?;
        repo.commit("First").await?;
        Ok(repo)
    }

    /// Takes over the files of a sample app.
    pub fn copy_fixture(&self, name: &str) -> Result<()> {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apps").join(name);
        copy_folder(&from, &self.folder)
    }

    /// The work tree.
    pub fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// Writes a file.
    pub fn write(&self, path: &str, contents: impl AsRef<[u8]>) -> Result<()> {
        Ok(fs::write(self.folder.join(path), contents)?)
    }

    /// Commits everything, also when nothing has changed.
    pub async fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "-A"]).await?;
        self.git(&["commit", "-q", "--allow-empty", "-m", message]).await.map(drop)
    }

    /// Changes one file to what it never was, and commits that.
    pub async fn change(&self) -> Result<()> {
        self.write("VERSION", format!("{:032x}\n", rand::random::<u128>()))?;
        self.commit("Change").await
    }

    /// A git command that is to succeed; yields its output.
    pub async fn git(&self, arguments: &[&str]) -> Result<String> {
        run(&mut self.command(arguments)).await
    }

    /// A git command, away from the configuration of this machine.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            command.env_remove(name);
        }
        command
            .current_dir(&self.folder)
            .args(["-c", "user.name=bench", "-c", "user.email=bench@example.com"])
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_SSH_COMMAND", &self.ssh_command)
            .env("LC_ALL", "C");
        command
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Makes a bare repository as somebody does by hand.
pub async fn init_bare(path: &Path) -> Result<()> {
    run(Command::new("git").args(["init", "-q", "--bare", "-b", "main"]).arg(path)).await.map(drop)
}
