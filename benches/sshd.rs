//! Keys, and an OpenSSH server with a configuration of its own: the by-hand side of a push.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::machine;
use crate::process::{Daemon, free_port, listens, run};

/// sshd refuses to start without this folder when it runs as root; the package makes it only as the service starts.
const PRIVILEGE_FOLDER: &str = "/run/sshd";

/// What both servers have.
pub const KEY_EXCHANGE: &str = "curve25519-sha256";

/// The person's key, which both servers know.
#[derive(Debug)]
pub struct Key {
    file: PathBuf,
    known_hosts: PathBuf,
    /// The public half.
    pub public: String,
}

impl Key {
    /// Makes one below `folder`.
    pub async fn make(folder: &Path) -> Result<Self> {
        let file = folder.join("key");
        generate(&file).await?;
        let public = fs::read_to_string(file.with_extension("pub"))?.trim().to_owned();
        Ok(Self { file, known_hosts: folder.join("known_hosts"), public })
    }

    /// The ssh command that git is to use: this key, and nothing of whoever runs this.
    ///
    /// The key exchange is the same on both sides: left to themselves, two OpenSSH take one that costs them 150 ms more
    /// than the one that both sides have.
    pub fn ssh_command(&self) -> String {
        let quoted = |path: &Path| format!("'{}'", path.display());
        format!(
            "ssh -F none -i {} -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes \
             -o KexAlgorithms={KEY_EXCHANGE} \
             -o StrictHostKeyChecking=accept-new -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile={}",
            quoted(&self.file),
            quoted(&self.known_hosts)
        )
    }
}

async fn generate(file: &Path) -> Result<()> {
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f"]).arg(file))
        .await
        .map(drop)
}

/// A running sshd that lets the holder of one key run git. Dropped, it is stopped.
#[derive(Debug)]
pub struct Sshd {
    _daemon: Daemon,
    _folder: Option<PrivilegeFolder>,
    port: u16,
    user: String,
}

impl Sshd {
    /// Starts it below `folder`.
    pub async fn start(folder: &Path, key: &Key) -> Result<Self> {
        let folder = folder.join("sshd");
        fs::create_dir(&folder)?;
        let (host_key, authorized) = (folder.join("host_key"), folder.join("authorized_keys"));
        generate(&host_key).await?;
        fs::write(&authorized, format!("{}\n", key.public))?;
        let port = free_port()?;
        let config = folder.join("config");
        // The same git as Slipway runs, and nobody's configuration but the repository's own there, too. An empty home:
        // a shell that sshd starts reads its start-up file, and some people's takes longer than the push.
        let (path, home) = (std::env::var("PATH")?, folder.join("home"));
        fs::create_dir(&home)?;
        let environment = [
            format!("PATH={path}"),
            format!("HOME={}", home.display()),
            "GIT_CONFIG_GLOBAL=/dev/null".to_owned(),
            "GIT_CONFIG_NOSYSTEM=1".to_owned(),
        ]
        .join(" ");
        let lines = [
            format!("ListenAddress 127.0.0.1:{port}"),
            format!("HostKey {}", host_key.display()),
            format!("AuthorizedKeysFile {}", authorized.display()),
            format!("SetEnv {environment}"),
            "PidFile none".to_owned(),
            // The folder is temporary, and its parents are everybody's.
            "StrictModes no".to_owned(),
            "UsePAM no".to_owned(),
            "PasswordAuthentication no".to_owned(),
            "PermitRootLogin prohibit-password".to_owned(),
            "AcceptEnv GIT_PROTOCOL".to_owned(),
            "LogLevel ERROR".to_owned(),
        ];
        fs::write(&config, lines.join("\n") + "\n")?;
        let user = run(Command::new("id").arg("-un")).await?;
        let folder_made = PrivilegeFolder::make()?;
        // It starts itself again for each connection, which takes a whole path.
        let program = machine::find("sshd").context("no sshd")?;
        let mut command = std::process::Command::new(program);
        command.args(["-D", "-e", "-f"]).arg(&config);
        let mut daemon = Daemon::start("sshd", &mut command, &folder)?;
        daemon.until(Duration::from_secs(10), || listens(port)).await?;
        Ok(Self { _daemon: daemon, _folder: folder_made, port, user })
    }

    /// Where git reaches a repository.
    pub fn url(&self, repository: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, repository.display())
    }
}

/// Goes as it came.
#[derive(Debug)]
struct PrivilegeFolder;

impl PrivilegeFolder {
    fn make() -> Result<Option<Self>> {
        if Path::new(PRIVILEGE_FOLDER).is_dir() {
            return Ok(None);
        }
        fs::create_dir(PRIVILEGE_FOLDER).with_context(|| format!("making {PRIVILEGE_FOLDER} for sshd"))?;
        fs::set_permissions(PRIVILEGE_FOLDER, fs::Permissions::from_mode(0o755))?;
        Ok(Some(Self))
    }
}

impl Drop for PrivilegeFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir(PRIVILEGE_FOLDER);
    }
}
