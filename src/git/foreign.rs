//! Repositories and archives of others, as they stand now: buildpacks that an app names by their addresses.

use std::io::{Seek, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use super::fetch::{Fetch, Fetched, Group, program};
use super::import::import_into;
use super::remote::{Remote, SCHEMES};
use super::{ArchiveOptions, GitError, Source, SourceLimits};
use crate::model::Target;
use crate::outbound::{Outbound, failure};

/// How often a server may send on to another address.
const REDIRECTS: usize = 5;
/// How much larger an archive may become when it is unpacked.
const UNPACKED_FACTOR: u64 = 10;

/// Most of what a server says of its branches and tags that is read.
const LIST_BYTES: u64 = 16 << 20;

/// What is to be fetched, and what bounds it.
#[derive(Debug, Clone)]
pub struct Foreign {
    /// Absolute `https`, `http` or `git` address.
    pub url: String,
    /// Branch, tag or full commit id; the server's default branch when `None`.
    pub reference: Option<String>,
    /// Where the address is written, for messages.
    pub place: &'static str,
    /// How long it may take.
    pub time_limit: Duration,
    /// Bytes that may come.
    pub max_bytes: u64,
    /// Certificates that are trusted beside the usual ones.
    pub ca_bundle: Option<PathBuf>,
    /// What may be asked.
    pub outbound: Outbound,
}

impl Foreign {
    /// Downloads a `.tar` or `.tar.gz` file and takes it for a tree, without the only folder at its top where it has one.
    ///
    /// Cancel-safe as [`Foreign::fetch`] is.
    ///
    /// # Errors
    /// [`GitError::Refused`], as there, and for an archive that cannot be a tree.
    pub async fn download(&self) -> Result<Source, GitError> {
        let refused = |why: &str| GitError::Refused(format!("{} cannot be downloaded: {why}", self.shown()));
        let file = match tokio::time::timeout(self.time_limit, self.download_now()).await {
            Ok(Ok(Ok(file))) => file,
            Ok(Ok(Err(why))) => return Err(refused(&why)),
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(refused(&format!("it takes longer than {} s", self.time_limit.as_secs()))),
        };
        let limits =
            SourceLimits { total_bytes: self.max_bytes.saturating_mul(UNPACKED_FACTOR), ..SourceLimits::default() };
        let options = ArchiveOptions { limits, strip_top_folder: true };
        let folder = folder()?;
        let imported = tokio::task::spawn_blocking(move || import_into(folder, file, &options)).await;
        let imported =
            imported.map_err(|error| GitError::io("unpack", &std::env::temp_dir())(std::io::Error::other(error)))?;
        imported.map_err(|error| match error {
            GitError::Refused(why) => refused(&why),
            other => other,
        })
    }

    /// The file, or why it cannot be had. Each address on the way is looked at as the first one was.
    async fn download_now(&self) -> Result<Result<std::fs::File, String>, GitError> {
        let mut target = match Remote::parse(&self.url, self.place) {
            Ok(remote) => remote.target().clone(),
            Err(why) => return Ok(Err(why)),
        };
        for _ in 0..REDIRECTS {
            let answer = match self.ask(&target).await {
                Ok(answer) => answer,
                Err(why) => return Ok(Err(why)),
            };
            if answer.status().is_redirection() {
                let next = answer.headers().get("Location").and_then(|value| value.to_str().ok());
                let next = next.and_then(|next| target.join(next, &SCHEMES[..2]).ok());
                let Some(next) = next else {
                    return Ok(Err("it redirects to what is no plain https:// or http:// address".to_owned()));
                };
                target = next;
                continue;
            }
            if !answer.status().is_success() {
                return Ok(Err(format!("the server answers {}", answer.status())));
            }
            return self.keep(answer).await;
        }
        Ok(Err(format!("it redirects more than {REDIRECTS} times")))
    }

    async fn ask(&self, target: &Target) -> Result<reqwest::Response, String> {
        let pinned = self.outbound.resolve(target).await.map_err(|why| why.to_string())?;
        let mut client = pinned.http_client();
        if let Some(bundle) = &self.ca_bundle {
            let pem =
                tokio::fs::read(bundle).await.map_err(|error| format!("reading {}: {error}", bundle.display()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| error.to_string())?;
            client = certificates.into_iter().fold(client, reqwest::ClientBuilder::add_root_certificate);
        }
        let asked = async { client.build()?.get(target.url().clone()).send().await };
        asked.await.map_err(|error| failure(&error).to_owned())
    }

    async fn keep(&self, mut answer: reqwest::Response) -> Result<Result<std::fs::File, String>, GitError> {
        let temporary = std::env::temp_dir();
        let failed = || GitError::io("write to", &temporary);
        let (mut file, mut left) = (tempfile::tempfile().map_err(failed())?, self.max_bytes);
        loop {
            let chunk = match answer.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => return Ok(Err(failure(&error).to_owned())),
            };
            match left.checked_sub(chunk.len() as u64) {
                Some(rest) => left = rest,
                None => {
                    return Ok(Err(format!(
                        "it has more than {} MiB, which is as much as is fetched",
                        self.max_bytes >> 20
                    )));
                }
            }
            file.write_all(&chunk).map_err(failed())?;
        }
        file.rewind().map_err(failed())?;
        Ok(Ok(file))
    }

    /// Fetches the one commit, without history, into a folder that goes with the last clone of the source.
    ///
    /// Cancel-safe: dropped, git and all it started are killed, and the folder goes.
    ///
    /// # Errors
    /// [`GitError::Refused`] names the address, what is wrong with it or with what the server says, and what to do.
    pub async fn fetch(&self) -> Result<Source, GitError> {
        let refused = |why: &str| GitError::Refused(format!("{} cannot be fetched: {why}", self.shown()));
        let within = tokio::time::timeout(self.time_limit, self.fetch_now());
        match within.await {
            Ok(Ok(Ok(source))) => Ok(source),
            Ok(Ok(Err(why))) => Err(refused(&why)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(refused(&format!("it takes longer than {} s", self.time_limit.as_secs()))),
        }
    }

    /// The address without a login, for messages.
    pub fn shown(&self) -> String {
        Remote::parse(&self.url, self.place)
            .map_or_else(|_| "an address that cannot be read".to_owned(), |remote| remote.shown())
    }

    /// The source, or why it cannot be had.
    async fn fetch_now(&self) -> Result<Result<Source, String>, GitError> {
        let remote = match Remote::parse(&self.url, self.place) {
            Ok(remote) => remote,
            Err(why) => return Ok(Err(why)),
        };
        let folder = folder()?;
        let mut fetch = Fetch {
            repository: folder.path(),
            remote: &remote,
            commit: "",
            max_bytes: self.max_bytes,
            outbound: &self.outbound,
            ca_bundle: self.ca_bundle.as_deref(),
        };
        let commit = match self.commit(&fetch).await? {
            Ok(commit) => commit,
            Err(why) => return Ok(Err(why)),
        };
        fetch.commit = &commit;
        if let Fetched::No(why) = fetch.run().await? {
            return Ok(Err(why));
        }
        Ok(Ok(Source::open_temporary(folder, &commit)?))
    }

    /// The commit that the reference stands for now, asking the server unless it is one.
    async fn commit(&self, fetch: &Fetch<'_>) -> Result<Result<String, String>, GitError> {
        let is_commit = |text: &&str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(commit) = self.reference.as_deref().filter(is_commit) {
            return Ok(Ok(commit.to_owned()));
        }
        let pin = match fetch.remote.pin(&self.outbound).await {
            Ok(pin) => pin,
            Err(why) => return Ok(Err(why)),
        };
        let failed = || GitError::io("run 'git ls-remote' in", fetch.repository);
        let mut command = program(&pin, fetch.ca_bundle);
        command.args(["ls-remote", "--quiet", "--"]).arg(&pin.url).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed())?;
        let _group = Group::of(&child);
        let (out, errors) = (child.stdout.take(), child.stderr.take());
        let (mut listed, mut said) = (String::new(), String::new());
        let mut out = out.expect("it is piped").take(LIST_BYTES);
        let mut errors = errors.expect("it is piped").take(LIST_BYTES);
        let read = tokio::try_join!(out.read_to_string(&mut listed), errors.read_to_string(&mut said));
        read.map_err(failed())?;
        if !child.wait().await.map_err(failed())?.success() {
            return Ok(Err(fetch.reason(&said)));
        }
        Ok(chosen(&listed, self.reference.as_deref()).ok_or_else(|| match &self.reference {
            Some(reference) => format!("it has no branch or tag '{reference}'"),
            None => "it has no default branch".to_owned(),
        }))
    }
}

/// A folder for what is there for one build only.
fn folder() -> Result<TempDir, GitError> {
    let made = tempfile::Builder::new().prefix("slipway-fetch-").suffix(".git").tempdir();
    made.map_err(GitError::io("create a folder in", &std::env::temp_dir()))
}

/// The commit of a reference among the lines of `git ls-remote`: a branch before a tag, of a tag what it points to.
fn chosen(listed: &str, reference: Option<&str>) -> Option<String> {
    let names = match reference {
        None => vec!["HEAD".to_owned()],
        Some(name) => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}^{{}}"), format!("refs/tags/{name}")],
    };
    let find = |name: &String| {
        let found = listed.lines().find_map(|line| line.split_once('\t').filter(|(_, found)| found == name));
        found.map(|(commit, _)| commit.to_owned())
    };
    names.iter().find_map(find)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_goes_before_a_tag_and_a_tag_means_its_commit() {
        let listed = "1\tHEAD\n2\trefs/heads/main\n3\trefs/heads/v1\n4\trefs/tags/v1\n5\trefs/tags/v2\n6\trefs/tags/v2^{}\n\
                      7\trefs/tags/v3\n";
        let check = |reference: Option<&str>, expect: Option<&str>| {
            assert_eq!(chosen(listed, reference).as_deref(), expect, "{reference:?}");
        };
        check(None, Some("1"));
        check(Some("main"), Some("2"));
        check(Some("v1"), Some("3"));
        check(Some("v2"), Some("6"));
        check(Some("v3"), Some("7"));
        check(Some("v4"), None);
    }
}
