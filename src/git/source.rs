//! A pushed commit, readable even while git still keeps it in quarantine.

use std::path::{Component, Path, PathBuf};
use std::sync::Once;

use git2::{ErrorCode, ObjectType, Oid, Repository, Tree};

use super::GitError;

/// File modes of git's tree entries (`git help fast-import`, "filemodify").
pub(super) const MODE_SYMLINK: i32 = 0o120_000;
pub(super) const MODE_EXECUTABLE: i32 = 0o100_755;
pub(super) const MODE_FOLDER: i32 = 0o040_000;
pub(super) const MODE_SUBMODULE: i32 = 0o160_000;

/// How many symbolic links in a row are followed: Linux stops at 40, nobody needs more than a few.
const MAX_LINKS: usize = 8;

/// A commit and its tree.
///
/// During pre-receive the objects lie in a quarantine folder that git deletes when the push is refused and merges into
/// the repository when it is accepted. A source with a quarantine is good only until then.
#[derive(Debug, Clone)]
pub struct Source {
    pub(super) repository: PathBuf,
    quarantine: Option<PathBuf>,
    commit: String,
    tree: String,
    pub(super) time: i64,
    is_tag: bool,
}

/// How an archive of a [`Source`] is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct SourceOptions {
    /// User and group of every entry.
    pub owner: u64,
    /// Modification time of every entry, seconds since the epoch; the commit's time when `None`.
    pub mtime: Option<i64>,
}

impl Source {
    /// Opens the commit that `oid` (40 hex digits) names, peeling annotated tags.
    ///
    /// `quarantine` is git's `GIT_QUARANTINE_PATH`, if the objects may still be there.
    ///
    /// # Errors
    /// [`GitError::UnknownObject`], or [`GitError::NotACommit`] for a tree or a blob.
    pub fn open(repository: impl Into<PathBuf>, quarantine: Option<PathBuf>, oid: &str) -> Result<Self, GitError> {
        let repository = repository.into();
        let opened = open(&repository, quarantine.as_deref())?;
        let unknown = || GitError::UnknownObject { repository: repository.clone(), oid: oid.to_owned() };
        let id = Oid::from_str(oid).ok().filter(|_| oid.len() == 40).ok_or_else(unknown)?;
        let object = opened.find_object(id, None).map_err(|_| unknown())?;
        let kind = object.kind().map_or("object", |kind| kind.str()).to_owned();
        let commit = object.peel_to_commit().map_err(|_| GitError::NotACommit { oid: oid.to_owned(), kind })?;
        let (commit_id, tree, time) = (commit.id().to_string(), commit.tree_id().to_string(), commit.time().seconds());
        let is_tag = object.kind() == Some(ObjectType::Tag);
        Ok(Self { repository, quarantine, commit: commit_id, tree, time, is_tag })
    }

    /// Full id of the commit.
    pub fn commit(&self) -> &str {
        &self.commit
    }

    /// Full id of its tree: equal trees hold equal files.
    pub fn tree(&self) -> &str {
        &self.tree
    }

    /// Whether the object that was asked for is an annotated tag, which git refuses to put on a branch.
    pub fn is_tag(&self) -> bool {
        self.is_tag
    }

    /// Whether the history behind a shallow push is not all here: some commit of `boundary`, where the pusher's own
    /// history ends, has a parent that the repository does not hold either.
    ///
    /// A pusher names every end of its history, also those that this push does not reach; they are passed over.
    ///
    /// # Errors
    /// [`GitError::Git`] when a commit of `boundary` cannot be read.
    pub fn lacks_history(&self, boundary: &[String]) -> Result<bool, GitError> {
        let opened = self.opened()?;
        let lacks = |oid: &String| -> Result<bool, git2::Error> {
            let (id, odb) = (Oid::from_str(oid)?, opened.odb()?);
            if !odb.exists(id) {
                return Ok(false);
            }
            let commit = opened.find_commit(id)?;
            Ok(commit.parent_ids().any(|parent| !odb.exists(parent)))
        };
        for oid in boundary {
            if lacks(oid).map_err(GitError::git("read the history of", &self.repository))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The contents of a regular file at `path` (`Procfile`, `config/app.yml`); `None` when there is none.
    ///
    /// Symbolic links are followed within the tree, as they would be in a checkout.
    ///
    /// # Errors
    /// [`GitError::TooLarge`] when it has more than `max_bytes`; it is not read then.
    pub fn file(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, GitError> {
        let opened = self.opened()?;
        let tree = self.root(&opened)?;
        let failed = |error| GitError::git("read a file of", &self.repository)(error);
        let Some(id) = resolve(&opened, &tree, Path::new(path)).map_err(failed)? else { return Ok(None) };
        let (size, _) = opened.odb().and_then(|odb| odb.read_header(id)).map_err(failed)?;
        if size as u64 > max_bytes {
            return Err(GitError::TooLarge { path: path.to_owned(), size: size as u64, max: max_bytes });
        }
        Ok(Some(opened.find_blob(id).map_err(failed)?.content().to_vec()))
    }

    /// Whether the tree has an entry (file, folder, link, submodule) at `path`.
    ///
    /// # Errors
    /// [`GitError::Git`] when the repository cannot be read.
    pub fn exists(&self, path: &str) -> Result<bool, GitError> {
        let opened = self.opened()?;
        match self.root(&opened)?.get_path(Path::new(path)) {
            Ok(_) => Ok(true),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(false),
            Err(error) => Err(GitError::git("read the tree of", &self.repository)(error)),
        }
    }

    /// The folder at `path` as a source of its own, of the same commit; `None` when there is no such folder.
    ///
    /// # Errors
    /// [`GitError::Git`] when the repository cannot be read.
    pub fn subtree(&self, path: &str) -> Result<Option<Self>, GitError> {
        let opened = self.opened()?;
        match self.root(&opened)?.get_path(Path::new(path)) {
            Ok(entry) if entry.filemode() == MODE_FOLDER => {
                Ok(Some(Self { tree: entry.id().to_string(), ..self.clone() }))
            }
            Ok(_) => Ok(None),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(GitError::git("read the tree of", &self.repository)(error)),
        }
    }

    /// Paths of everything that is not a folder, in git's order. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// [`GitError::Git`] when a tree cannot be read.
    pub fn paths(&self) -> Result<Vec<String>, GitError> {
        let mut paths = Vec::new();
        self.visit(&mut |_, path, mode, _| {
            if mode != MODE_FOLDER {
                paths.push(String::from_utf8_lossy(path).into_owned());
            }
            Ok(())
        })?;
        Ok(paths)
    }

    /// Calls `each(repository, path, mode, id)` for every entry, folders before what they hold.
    pub(super) fn visit(&self, each: &mut Visitor<'_>) -> Result<(), GitError> {
        let opened = self.opened()?;
        let tree = self.root(&opened)?;
        visit_tree(&opened, &self.repository, &tree, &mut Vec::new(), each)
    }

    fn opened(&self) -> Result<Repository, GitError> {
        open(&self.repository, self.quarantine.as_deref())
    }

    fn root<'r>(&self, opened: &'r Repository) -> Result<Tree<'r>, GitError> {
        Oid::from_str(&self.tree)
            .and_then(|id| opened.find_tree(id))
            .map_err(GitError::git("read the tree of", &self.repository))
    }
}

/// Called by [`Source::visit`].
pub(super) type Visitor<'a> = dyn FnMut(&Repository, &[u8], i32, Oid) -> Result<(), GitError> + 'a;

fn visit_tree(
    opened: &Repository,
    repository: &Path,
    tree: &Tree<'_>,
    prefix: &mut Vec<u8>,
    each: &mut Visitor<'_>,
) -> Result<(), GitError> {
    for entry in tree {
        let length = prefix.len();
        prefix.extend_from_slice(entry.name_bytes());
        each(opened, prefix, entry.filemode(), entry.id())?;
        if entry.filemode() == MODE_FOLDER {
            prefix.push(b'/');
            let below = opened.find_tree(entry.id()).map_err(GitError::git("read the tree of", repository))?;
            visit_tree(opened, repository, &below, prefix, each)?;
        }
        prefix.truncate(length);
    }
    Ok(())
}

/// Opens a bare repository, with the quarantined objects readable beside its own.
fn open(repository: &Path, quarantine: Option<&Path>) -> Result<Repository, GitError> {
    static FAST: Once = Once::new();
    // Every pushed object was hashed by git a moment ago (index-pack, fsck); hashing each again on every read costs a
    // third of an export.
    FAST.call_once(|| git2::opts::strict_hash_verification(false));
    let opened = Repository::open_bare(repository).map_err(GitError::git("open repository", repository))?;
    if let Some(folder) = quarantine {
        let text = folder.to_str().ok_or_else(|| git2::Error::from_str("the path is not UTF-8"));
        text.and_then(|text| opened.odb()?.add_disk_alternate(text))
            .map_err(GitError::git("read the quarantine", folder))?;
    }
    Ok(opened)
}

/// The blob that `path` leads to, through symbolic links that stay inside the tree.
fn resolve(opened: &Repository, tree: &Tree<'_>, path: &Path) -> Result<Option<Oid>, git2::Error> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let entry = match tree.get_path(&path) {
            Ok(entry) => entry,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match entry.filemode() {
            MODE_FOLDER | MODE_SUBMODULE => return Ok(None),
            MODE_SYMLINK => {
                let target = opened.find_blob(entry.id())?;
                let Some(next) = std::str::from_utf8(target.content()).ok().and_then(|text| join(&path, text)) else {
                    return Ok(None);
                };
                path = next;
            }
            _ => return Ok(Some(entry.id())),
        }
    }
    Ok(None)
}

/// Where a link at `link` with the text `target` leads; `None` when that is outside of the tree.
fn join(link: &Path, target: &str) -> Option<PathBuf> {
    let mut path = link.parent()?.to_owned();
    for component in Path::new(target).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}
