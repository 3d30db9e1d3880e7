//! SSH keys, made by the real ssh-keygen.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::run;

/// The kinds that Slipway takes.
#[derive(Debug, Clone, Copy)]
pub enum KeyKind {
    Ed25519,
    Rsa,
    Ecdsa,
}

/// A key pair in a folder of its own, with the known hosts of whoever uses it.
#[derive(Debug)]
pub struct Key {
    dir: TempDir,
    /// The public half, as in the `.pub` file.
    pub public: String,
}

impl Key {
    /// A fresh pair.
    pub fn new(kind: KeyKind) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder can be made");
        let kind = match kind {
            KeyKind::Ed25519 => ["-t", "ed25519", "-b", "256"],
            KeyKind::Rsa => ["-t", "rsa", "-b", "2048"],
            KeyKind::Ecdsa => ["-t", "ecdsa", "-b", "256"],
        };
        let file = dir.path().join("key");
        run(Command::new("ssh-keygen").args(["-q", "-N", "", "-C", "tester@laptop"]).args(kind).arg("-f").arg(&file));
        let public = std::fs::read_to_string(dir.path().join("key.pub")).expect("ssh-keygen wrote it");
        Self { dir, public: public.trim().to_owned() }
    }

    /// Where the private half is.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    /// Where ssh notes the servers that it has seen.
    pub fn known_hosts(&self) -> PathBuf {
        self.dir.path().join("known_hosts")
    }

    /// An ssh command line that uses this key and nothing of the person who runs the tests.
    pub fn ssh(&self) -> Vec<String> {
        let option = |name: &str, value: String| ["-o".to_owned(), format!("{name}={value}")];
        let mut words: Vec<String> = ["ssh", "-F", "none", "-i"].map(str::to_owned).into();
        words.push(self.path().display().to_string());
        words.extend(option("IdentitiesOnly", "yes".to_owned()));
        words.extend(option("IdentityAgent", "none".to_owned()));
        words.extend(option("BatchMode", "yes".to_owned()));
        words.extend(option("LogLevel", "ERROR".to_owned()));
        words.extend(option("StrictHostKeyChecking", "accept-new".to_owned()));
        words.extend(option("GlobalKnownHostsFile", "/dev/null".to_owned()));
        words.extend(option("UserKnownHostsFile", self.known_hosts().display().to_string()));
        words
    }
}
