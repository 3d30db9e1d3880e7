//! The submodules of a commit, fetched so that they are built with it.
//!
//! Each address has a bare repository below the app's own, which stays: what was fetched for one push is there for the
//! next. What the present commit does not use any more is removed from there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::fetch::{Fetch, Fetched, folder_bytes};
use super::gitmodules::{self, GITMODULES};
use super::names::shown;
use super::remote::Remote;
use super::source::{MODE_SUBMODULE, Module};
use super::{GitError, Source};
use crate::outbound::Outbound;

/// Where the addresses of submodules are written.
const PLACE: &str = ".gitmodules";
/// The folder of submodules in an app's repository.
const FOLDER: &str = "slipway-submodules";
/// Largest `.gitmodules` that is read.
const MAX_GITMODULES: u64 = 1 << 20;

/// What bounds the fetching of submodules.
#[derive(Debug, Clone)]
pub struct SubmoduleOptions {
    /// How long all of them may take together.
    pub time_limit: Duration,
    /// Bytes that one may have, packed; also how much of it is kept between pushes.
    pub max_bytes: u64,
    /// How many there may be, nested ones included.
    pub count: usize,
    /// How deep they may be nested; 1 means that submodules have none.
    pub depth: usize,
    /// Certificates that are trusted beside the usual ones.
    pub ca_bundle: Option<PathBuf>,
    /// What may be asked.
    pub outbound: Outbound,
    /// Fetches everything anew.
    pub no_cache: bool,
}

impl Default for SubmoduleOptions {
    fn default() -> Self {
        Self {
            time_limit: Duration::from_secs(300),
            max_bytes: 1 << 30,
            count: 100,
            depth: 5,
            ca_bundle: None,
            outbound: Outbound::default(),
            no_cache: false,
        }
    }
}

/// A tree that may have submodules, and where it lies in the whole.
struct Level {
    source: Source,
    prefix: Vec<u8>,
    depth: usize,
}

impl Source {
    /// Fetches the submodules of the tree, and theirs, as `git submodule update --init --recursive` would; yields a source
    /// whose files and archive have them. Without any it is a copy, and `on_line` hears nothing.
    ///
    /// The tree's id does not change: it names the commit of each submodule.
    ///
    /// Cancel-safe: dropped, it kills what it runs; what was fetched whole stays for the next time. No two may run for one
    /// app at the same time.
    ///
    /// # Errors
    /// [`GitError::Refused`] names the submodule, its address, the reason and what to do: for one that `.gitmodules` has no
    /// address for, for addresses that are relative, local or need ssh, for a server or commit out of reach, and for more
    /// than the limits allow. [`GitError::Io`] and [`GitError::Git`] when this machine fails.
    pub async fn fetch_submodules(
        &self,
        options: &SubmoduleOptions,
        on_line: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Self, GitError> {
        let limit = options.time_limit;
        let fetched = tokio::time::timeout(limit, self.fetch_all(options, on_line)).await;
        fetched.unwrap_or_else(|_| {
            Err(GitError::Refused(format!(
                "Fetching the submodules took longer than {} s, which is as long as it may take. Push again; what has been \
                 fetched whole is kept.",
                limit.as_secs()
            )))
        })
    }

    async fn fetch_all(
        &self,
        options: &SubmoduleOptions,
        on_line: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Self, GitError> {
        let cache = self.repository.join(FOLDER);
        if options.no_cache {
            remove(&cache)?;
        }
        let (mut modules, mut used) = (BTreeMap::new(), BTreeSet::new());
        let mut levels = VecDeque::from([Level { source: self.clone(), prefix: Vec::new(), depth: 0 }]);
        while let Some(level) = levels.pop_front() {
            for (path, commit) in level.links().await? {
                let whole = [level.prefix.as_slice(), &path].concat();
                let Some(remote) = level.remote(&path, &whole).await? else { continue };
                if modules.is_empty() {
                    on_line("-----> Fetching submodules");
                }
                if modules.len() == options.count {
                    return Err(refused(&whole, &format!("is one of more than {}, which are too many", options.count)));
                }
                if level.depth == options.depth {
                    return Err(refused(&whole, &format!("is nested more than {} deep", options.depth)));
                }
                let repository = cache.join(format!("{}.git", hex::encode(Sha256::digest(remote.url()))));
                let source = fetch(&whole, &commit, &repository, &remote, options, on_line).await?;
                used.insert(repository.clone());
                modules.insert(whole.clone(), Module { repository, tree: source.tree().to_owned() });
                let prefix = [whole.as_slice(), b"/"].concat();
                levels.push_back(Level { source, prefix, depth: level.depth + 1 });
            }
        }
        remove_unused(&cache, &used)?;
        Ok(self.with_modules(modules))
    }
}

impl Level {
    /// Path and commit of each submodule of the tree.
    async fn links(&self) -> Result<Vec<(Vec<u8>, String)>, GitError> {
        let source = self.source.clone();
        blocking(&self.source.repository, move || {
            let mut links = Vec::new();
            source.visit(&mut |_, path, mode, id| {
                if mode == MODE_SUBMODULE {
                    links.push((path.to_vec(), id.to_string()));
                }
                Ok(())
            })?;
            Ok(links)
        })
        .await
    }

    /// Where the submodule at `path` comes from; `None` when `.gitmodules` leaves it out on purpose.
    async fn remote(&self, path: &[u8], whole: &[u8]) -> Result<Option<Remote>, GitError> {
        let source = self.source.clone();
        let text = blocking(&self.source.repository, move || source.file(GITMODULES, MAX_GITMODULES)).await?;
        let mut mappings = gitmodules::parse(&text.unwrap_or_default()).await?;
        let mapping = mappings.remove(path).unwrap_or_default();
        if mapping.is_left_out {
            return Ok(None);
        }
        let Some(url) = mapping.url.filter(|url| !url.is_empty()) else {
            return Err(refused(
                whole,
                "has no address in .gitmodules. If it is a repository that was added by accident, type: git rm --cached \
                 PATH && rm -rf PATH/.git && git add PATH. Else type: git submodule add URL PATH. Then commit and push again",
            ));
        };
        match Remote::parse(&url, PLACE) {
            Ok(remote) => Ok(Some(remote)),
            Err(why) => Err(refused(whole, &format!("({}) cannot be fetched: {why}", shown(url.as_bytes())))),
        }
    }
}

/// Fetches one submodule unless it is here.
async fn fetch(
    path: &[u8],
    commit: &str,
    repository: &Path,
    remote: &Remote,
    options: &SubmoduleOptions,
    on_line: &(dyn Fn(&str) + Send + Sync),
) -> Result<Source, GitError> {
    let what = format!("{} at {} of {}", shown(path), &commit[..10], remote.shown());
    let began = Instant::now();
    let old = repository.to_owned();
    let kept = blocking(repository, move || folder_bytes(&old).map_err(GitError::io("read", &old))).await?;
    if kept > options.max_bytes / 2 {
        // Commit by commit it has grown; the present one alone may be small.
        remove(repository)?;
    }
    let (max_bytes, outbound) = (options.max_bytes, &options.outbound);
    let ca_bundle = options.ca_bundle.as_deref();
    match (Fetch { repository, remote, commit, max_bytes, outbound, ca_bundle }).run().await? {
        Fetched::Already => on_line(&format!("       {what} (fetched before)")),
        Fetched::Now => on_line(&format!("       {what} ({:.1} s)", began.elapsed().as_secs_f64())),
        Fetched::No(why) => {
            let commit = &commit[..10];
            let text = format!("({} at {commit}) cannot be fetched: {}", remote.shown(), shown(why.as_bytes()));
            return Err(refused(path, &text));
        }
    }
    let (repository, commit) = (repository.to_owned(), commit.to_owned());
    let folder = repository.clone();
    blocking(&folder, move || Source::open(repository, None, &commit)).await
}

async fn blocking<T: Send + 'static>(
    repository: &Path,
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, GitError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(GitError::io("read", repository)(std::io::Error::other(error))))
}

fn remove_unused(cache: &Path, used: &BTreeSet<PathBuf>) -> Result<(), GitError> {
    let entries = match fs::read_dir(cache) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(GitError::io("read", cache))?,
    };
    for entry in entries {
        let path = entry.map_err(GitError::io("read", cache))?.path();
        if !used.contains(&path) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), GitError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(GitError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn refused(path: &[u8], fault: &str) -> GitError {
    GitError::Refused(format!("The submodule '{}' {fault}.", shown(path)))
}
