//! One run of `git fetch`, within limits of time and size.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use git2::{Repository, RepositoryInitOptions};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

use super::program::{GIT, environment};
use super::remote::{Pin, Remote};
use super::{GitError, read_ref};
use crate::outbound::Outbound;

/// Between two looks at how much has come.
const LOOK: Duration = Duration::from_millis(200);
/// Most of what git says that is kept.
const SAID: u64 = 64 * 1024;
/// What a fetch may use.
const PROTOCOLS: &str = "https:http:git";
/// Words of git or of a server that gives out no single commit, but may give out branches.
const NO_SINGLE_COMMIT: [&str; 5] = ["unadvertised", "not our ref", "dumb http", "shallow", "not support"];

/// Settings of a fetch, for `git -c`. What comes is checked as strictly as what is pushed.
const SETTINGS: [&str; 13] = [
    "fetch.fsckObjects=true",
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.unpackLimit=1",
    "gc.auto=0",
    "maintenance.auto=false",
    "credential.helper=",
    // The address that was looked at is the one that is asked; what a server names beside it, alternates included, is not.
    "http.followRedirects=false",
    "transfer.bundleURI=false",
    // A server that sends less than 1000 bytes a second for that long has stopped.
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    "core.hooksPath=/dev/null",
];

/// What to fetch, and how.
pub(super) struct Fetch<'a> {
    /// A bare repository for this address, made when it is not there.
    pub(super) repository: &'a Path,
    pub(super) remote: &'a Remote,
    /// 40 hex digits.
    pub(super) commit: &'a str,
    /// Bytes that may come, unpacked or not.
    pub(super) max_bytes: u64,
    pub(super) outbound: &'a Outbound,
    pub(super) ca_bundle: Option<&'a Path>,
}

/// How it ended.
pub(super) enum Fetched {
    /// It was fetched before.
    Already,
    /// It is here now.
    Now,
    /// It cannot be had; why, as the end of a sentence.
    No(String),
}

impl Fetch<'_> {
    /// Sees to it that the commit is in the repository: alone where the server gives out single commits, else with all
    /// branches and tags.
    ///
    /// Cancel-safe: dropped, git and all it started are killed. What has come by then is not taken for the whole.
    ///
    /// # Errors
    /// When this machine fails. A server that does not give the commit is no error here.
    pub(super) async fn run(&self) -> Result<Fetched, GitError> {
        // Set only after git has made sure that nothing is missing below the commit.
        let reference = format!("refs/slipway/{}", self.commit);
        if self.repository.join("HEAD").is_file() {
            if read_ref(self.repository, &reference)?.is_some() {
                return Ok(Fetched::Already);
            }
        } else {
            create(self.repository)?;
        }
        let pin = match self.remote.pin(self.outbound).await {
            Ok(pin) => pin,
            Err(why) => return Ok(Fetched::No(why)),
        };
        let alone = [format!("{}:{reference}", self.commit)];
        let Some(said) = self.git(&pin, Some("--depth=1"), &alone).await? else { return Ok(Fetched::Now) };
        if !NO_SINGLE_COMMIT.iter().any(|words| said.contains(words)) {
            return Ok(Fetched::No(self.reason(&said)));
        }
        let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"].map(str::to_owned);
        if let Some(said) = self.git(&pin, None, &all).await? {
            return Ok(Fetched::No(self.reason(&said)));
        }
        self.mark(&reference)
    }

    /// Keeps a commit that came with all branches, if it did.
    fn mark(&self, reference: &str) -> Result<Fetched, GitError> {
        let failed = || GitError::git("read a fetched submodule in", self.repository);
        let opened = Repository::open_bare(self.repository).map_err(failed())?;
        let id = git2::Oid::from_str(self.commit).map_err(failed())?;
        if opened.find_commit(id).is_err() {
            let why = "no branch or tag there leads to this commit: push it there, then push here again";
            return Ok(Fetched::No(why.to_owned()));
        }
        opened.reference(reference, id, true, "fetched").map_err(failed())?;
        Ok(Fetched::Now)
    }

    /// Runs git; yields what it said if it failed.
    async fn git(&self, pin: &Pin, depth: Option<&str>, refspecs: &[String]) -> Result<Option<String>, GitError> {
        let failed = || GitError::io("run 'git fetch' in", self.repository);
        let mut child = self.command(pin, depth, refspecs).spawn().map_err(failed())?;
        let group = Group::of(&child);
        let mut errors = child.stderr.take().expect("it is piped").take(SAID);
        let mut said = Vec::new();
        let run = async {
            // It ends when everything that writes there has ended; what is more than kept breaks their pipe.
            errors.read_to_end(&mut said).await?;
            drop(errors);
            child.wait().await
        };
        let (status, is_outgrown) = tokio::select! {
            status = run => (Some(status.map_err(failed())?), self.size().await? > self.max_bytes),
            size = self.outgrown() => {
                size?;
                (None, true)
            }
        };
        let Some(status) = status.filter(|_| !is_outgrown) else {
            drop(group);
            // What has come is worth nothing, and would count the next time.
            fs::remove_dir_all(self.repository).map_err(failed())?;
            return Ok(Some(self.outgrew()));
        };
        Ok((!status.success()).then(|| String::from_utf8_lossy(&said).into_owned()))
    }

    fn command(&self, pin: &Pin, depth: Option<&str>, refspecs: &[String]) -> Command {
        let mut command = program(pin, self.ca_bundle);
        let mut folder = OsString::from("--git-dir=");
        folder.push(self.repository);
        command.arg(folder);
        command.args(["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--force"]);
        command.args(depth).arg("--");
        command.arg(&pin.url).args(refspecs);
        command.stdout(Stdio::null());
        command
    }

    /// Waits until the repository is larger than it may be.
    async fn outgrown(&self) -> Result<u64, GitError> {
        loop {
            tokio::time::sleep(LOOK).await;
            let size = self.size().await?;
            if size > self.max_bytes {
                return Ok(size);
            }
        }
    }

    /// Bytes that the repository has on disk.
    async fn size(&self) -> Result<u64, GitError> {
        let path = self.repository.to_owned();
        let size = tokio::task::spawn_blocking(move || folder_bytes(&path)).await;
        let size = size.unwrap_or_else(|error| Err(io::Error::other(error)));
        size.map_err(GitError::io("read", self.repository))
    }

    fn outgrew(&self) -> String {
        format!("it has more than {} MiB, which is as much as is fetched", self.max_bytes >> 20)
    }

    /// Why git failed, for a person who pushes: one of a few kinds. What the server there said is not quoted, since not everything that
    /// answers is a public one.
    pub(super) fn reason(&self, said: &str) -> String {
        let line = |words: &str| said.lines().find(|line| line.contains(words));
        if line("could not read Username").is_some() || line("Authentication failed").is_some() {
            return "it asks for a login: make it public, or put a token into its address".to_owned();
        }
        if line("returned error: 30").is_some() || line("redirect").is_some() {
            let place = self.remote.place;
            return format!(
                "it has moved, the server answers with another address: write that one into {place} and push again"
            );
        }
        if said == self.outgrew() {
            return said.to_owned();
        }
        let kinds: [(&[&str], &str); 6] = [
            (&["not found", "returned error: 404"], "the repository is not found there"),
            (&["returned error:"], "the server there answers with an error"),
            (&["certificate", "SSL", "TLS"], "its certificate is not trusted, or of another name"),
            (&["timed out", "too slow", "Operation too slow"], "it does not answer in time"),
            (
                &["Failed to connect", "unable to connect", "Connection refused", "unreachable", "No route"],
                "it cannot be reached",
            ),
            (
                &["fsck", "fatal: fsck error", "index-pack", "unpack-objects"],
                "what it sends is damaged, or not a sound repository",
            ),
        ];
        let kind = kinds.iter().find(|(words, _)| words.iter().any(|words| line(words).is_some()));
        kind.map_or("no repository that git can read answers there", |(_, kind)| kind).to_owned()
    }
}

/// git with the settings of a fetch, to be given a command.
pub(super) fn program(pin: &Pin, ca_bundle: Option<&Path>) -> Command {
    let mut command = Command::new(GIT);
    command.env_clear().envs(environment()).env("GIT_ALLOW_PROTOCOL", PROTOCOLS);
    if let Some(host) = &pin.virtual_host {
        command.env("GIT_OVERRIDE_VIRTUAL_HOST", host);
    }
    if let Some(bundle) = ca_bundle {
        // Beside the usual ones, which lie there one by one.
        command.env("GIT_SSL_CAINFO", bundle).env("GIT_SSL_CAPATH", "/etc/ssl/certs");
    }
    command.args(SETTINGS.iter().copied().chain(pin.setting.as_deref()).flat_map(|setting| ["-c", setting]));
    // A group of its own, so that a kill reaches what git starts.
    command.process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stderr(Stdio::piped());
    command
}

/// A process group that is killed when this is dropped. One that has ended by itself is gone from the table.
pub(super) struct Group(Option<Pid>);

impl Group {
    /// The group of a child that [`program`] started.
    pub(super) fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

fn create(path: &Path) -> Result<(), GitError> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).external_template(false).initial_head("main");
    Repository::init_opts(path, &options).map(drop).map_err(GitError::git("create repository", path))
}

/// Bytes of all files below a folder; what vanishes meanwhile does not count.
pub(super) fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let (mut folders, mut bytes): (Vec<PathBuf>, u64) = (vec![folder.to_owned()], 0);
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => bytes += metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bytes)
}
