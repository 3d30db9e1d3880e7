//! Docker as somebody uses it by hand: the command line.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::build::Mounts;
use crate::machine;
use crate::process::{outcome, run};

/// What every app is built on here; it has Python and nginx.
pub const STACK: &str = "slipway/stack:slipway-12-run";
/// What slugs are built in.
const BUILD_STACK: &str = "slipway/stack:slipway-12-build";
/// Where containers by hand find the certificates that builds trust.
const CA: &str = "/etc/bench-ca.crt";
/// Marks what is made by hand.
const HAND_LABEL: &str = "io.slipway.bench";
/// Marks what Slipway makes for an app.
const APP_LABEL: &str = "io.slipway.app-name";

/// The docker client of the by-hand side, and a look at what Slipway makes. Dropped, it removes everything that was made
/// in the engine for this run: Slipway itself has to be gone by then, since it starts again what vanishes.
#[derive(Debug)]
pub struct Docker {
    program: PathBuf,
    host: Option<String>,
    /// In words, for the report.
    pub builder: &'static str,
    is_buildkit: bool,
    run_id: String,
    /// Apps that this run makes.
    apps: Vec<String>,
}

impl Docker {
    /// Finds a client that reaches the builder that Slipway uses, BuildKit: clients up to 22 have it built in, newer ones
    /// need a plugin. Without either it is the classic builder.
    pub async fn find(run_id: &str, apps: Vec<String>) -> Result<Self> {
        let mut docker = Self {
            program: machine::find("docker").context("no docker")?,
            host: std::env::var("SLIPWAY_DOCKER_HOST").ok(),
            builder: "docker build with the classic builder (no docker client here reaches BuildKit)",
            is_buildkit: false,
            run_id: run_id.to_owned(),
            apps,
        };
        for program in machine::all("docker") {
            docker.program = program;
            let version = run(docker.command().arg("--version")).await?;
            let major = version.split_whitespace().nth(2).and_then(|text| text.split('.').next()?.parse().ok());
            let has_plugin = outcome(docker.command().args(["buildx", "version"])).await?.0;
            if has_plugin || major.is_some_and(|major: u32| (18..23).contains(&major)) {
                docker.builder = "docker build with DOCKER_BUILDKIT=1";
                docker.is_buildkit = true;
                break;
            }
        }
        Ok(docker)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("DOCKER_BUILDKIT", if self.is_buildkit { "1" } else { "0" });
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    /// Runs a docker command; yields its output.
    async fn docker(&self, arguments: &[&str]) -> Result<String> {
        run(self.command().args(arguments)).await
    }

    /// Engine and its version.
    pub async fn describe(&self) -> Result<String> {
        let engine = self.docker(&["version", "--format", "{{.Server.Version}}"]).await?;
        let client = self.docker(&["version", "--format", "{{.Client.Version}}"]).await?;
        Ok(format!("Docker Engine {engine}, client {client}"))
    }

    /// Whether an image is there.
    pub async fn has_image(&self, reference: &str) -> Result<bool> {
        Ok(outcome(self.command().args(["image", "inspect", reference])).await?.0)
    }

    /// Builds the tree that a bare repository's branch points to.
    pub async fn build(&self, repository: &Path, branch: &str, tag: &str) -> Result<()> {
        let mut archive = Command::new("git")
            .arg("--git-dir")
            .arg(repository)
            .args(["archive", branch])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let tree: Stdio = archive.stdout.take().context("it was asked for")?.try_into()?;
        let built = self
            .command()
            .args(["build", "--label", &self.label(), "-t", tag, "-"])
            .stdin(tree)
            .kill_on_drop(true)
            .output()
            .await?;
        if !archive.wait().await?.success() || !built.status.success() {
            bail!("docker build by hand failed:\n{}", String::from_utf8_lossy(&built.stderr));
        }
        Ok(())
    }

    /// Builds a folder.
    pub async fn build_folder(&self, folder: &Path, tag: &str) -> Result<()> {
        let folder = folder.to_str().context("its path is UTF-8")?;
        self.docker(&["build", "-q", "--label", &self.label(), "-t", tag, folder]).await.map(drop)
    }

    /// Makes a volume anew, empty.
    pub async fn new_volume(&self, name: &str) -> Result<()> {
        self.docker(&["volume", "rm", "-f", name]).await?;
        self.docker(&["volume", "create", "--label", &self.label(), name]).await.map(drop)
    }

    /// Runs a shell script in the image that slugs are built in, as the user that builds them.
    pub async fn run_in_build_image(&self, mounts: &Mounts<'_>, script: &str) -> Result<()> {
        let path = |path: &Path| path.display().to_string();
        let mut command = self.command();
        command.args(["run", "--rm", "--label", &self.label(), "--entrypoint", "bash", "-e", "HOME=/tmp"]);
        command.args(["-v", &format!("{}:/src:ro", path(&mounts.source)), "-v", &format!("{}:/out", path(mounts.out))]);
        command.args(["-v", &format!("{}:/cache", mounts.volume)]);
        if let Some(bundle) = std::env::var_os("SLIPWAY_BUILD_CA_BUNDLE") {
            command.args(["-v", &format!("{}:{CA}:ro", path(Path::new(&bundle)))]);
            for name in ["SSL_CERT_FILE", "PIP_CERT", "NODE_EXTRA_CA_CERTS"] {
                command.args(["-e", &format!("{name}={CA}")]);
            }
        }
        run(command.args([BUILD_STACK, "-ec", script])).await.map(drop)
    }

    /// Starts a container whose port 8000 is reached at `port` of this machine; yields its id.
    pub async fn start(&self, image: &str, port: u16, release: &str) -> Result<String> {
        let (publish, release) = (format!("127.0.0.1:{port}:8000"), format!("DEIS_RELEASE={release}"));
        let label = self.label();
        self.docker(&["run", "-d", "--label", &label, "-p", &publish, "-e", "PORT=8000", "-e", &release, image]).await
    }

    /// The image that the only container of an app of Slipway's runs.
    pub async fn image_of(&self, app: &str) -> Result<String> {
        let id = self.docker(&["ps", "-q", "--filter", &format!("label={APP_LABEL}={app}")]).await?;
        self.docker(&["inspect", "--format", "{{.Image}}", &id]).await
    }

    /// Removes a container, running or not.
    pub async fn remove(&self, container: &str) -> Result<()> {
        self.docker(&["rm", "-f", container]).await.map(drop)
    }

    /// Address and process id of the only container of an app of Slipway's.
    pub async fn instance(&self, app: &str) -> Result<(String, u32)> {
        let id = self.docker(&["ps", "-q", "--filter", &format!("label={APP_LABEL}={app}")]).await?;
        let format = "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let facts = self.docker(&["inspect", "--format", format, &id]).await?;
        let (pid, address) = facts.split_once(' ').with_context(|| format!("no single container of {app}: {facts}"))?;
        Ok((address.to_owned(), pid.parse()?))
    }

    fn label(&self) -> String {
        format!("{HAND_LABEL}={}", self.run_id)
    }

    /// Removes all containers, images, networks and volumes with that label. What fails is left, and said.
    fn sweep(&self, label: &str) {
        let filter = format!("label={label}");
        let ids = |arguments: &[&str]| -> Vec<String> {
            let listed = self.now(&[arguments, &["--filter", &filter]].concat());
            listed.split_whitespace().map(str::to_owned).collect()
        };
        let remove = |command: &[&str], ids: Vec<String>| {
            if !ids.is_empty() {
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                self.now(&[command, &ids].concat());
            }
        };
        remove(&["rm", "-f", "-v"], ids(&["ps", "-aq"]));
        remove(&["network", "rm"], ids(&["network", "ls", "-q"]));
        remove(&["volume", "rm"], ids(&["volume", "ls", "-q"]));
        remove(&["rmi", "-f"], ids(&["images", "-q"]));
    }

    /// Runs a command without a runtime.
    fn now(&self, arguments: &[&str]) -> String {
        let mut command = self.command();
        match command.as_std_mut().args(arguments).stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
            Ok(output) => {
                eprintln!("bench: docker {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
                String::new()
            }
            Err(error) => {
                eprintln!("bench: docker: {error}");
                String::new()
            }
        }
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        self.sweep(&self.label());
        for app in &self.apps {
            self.sweep(&format!("{APP_LABEL}={app}"));
        }
    }
}
