//! A pushed commit, readable even while git still keeps it in quarantine.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Once};

use git2::{ObjectType, Oid, Repository, Tree};
use tempfile::TempDir;

use super::names::{self, shown};
use super::{GitError, SourceLimits};

/// File modes of git's tree entries (`git help fast-import`, "filemodify").
pub(super) const MODE_SYMLINK: i32 = 0o120_000;
pub(super) const MODE_EXECUTABLE: i32 = 0o100_755;
pub(super) const MODE_FOLDER: i32 = 0o040_000;
pub(super) const MODE_SUBMODULE: i32 = 0o160_000;

/// How many symbolic links in a row are followed: Linux stops at 40, nobody needs more than a few.
const MAX_LINKS: usize = 8;
/// Longest target of a link that is followed: what Linux takes.
const MAX_TARGET: usize = 4095;

/// A commit and its tree.
///
/// During pre-receive the objects lie in a quarantine folder that git deletes when the push is refused and merges into
/// the repository when it is accepted. A source with a quarantine is good only until then.
#[derive(Debug, Clone)]
pub struct Source {
    pub(super) repository: PathBuf,
    pub(super) quarantine: Option<PathBuf>,
    commit: String,
    tree: String,
    pub(super) time: i64,
    is_tag: bool,
    /// The submodules that were fetched, by their paths in the whole tree.
    modules: Arc<BTreeMap<Vec<u8>, Module>>,
    /// The folder of a repository that goes with the last clone of this.
    _temporary: Option<Arc<TempDir>>,
}

/// Where the files of a submodule are.
#[derive(Debug, Clone)]
pub(super) struct Module {
    pub(super) repository: PathBuf,
    /// Full id of its commit's tree.
    pub(super) tree: String,
}

/// How an archive of a [`Source`] is written.
#[derive(Debug, Clone, Default)]
pub struct SourceOptions {
    /// User and group of every entry.
    pub owner: u64,
    /// The folder that everything lies in; none when `None`.
    pub below: Option<String>,
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
        Ok(Self {
            repository,
            quarantine,
            commit: commit_id,
            tree,
            time,
            is_tag,
            modules: Arc::default(),
            _temporary: None,
        })
    }

    /// Opens a commit of a repository that is there for this source only, and goes with the last clone of it.
    pub(super) fn open_temporary(folder: TempDir, oid: &str) -> Result<Self, GitError> {
        let source = Self::open(folder.path(), None, oid)?;
        Ok(Self { _temporary: Some(Arc::new(folder)), ..source })
    }

    /// This with submodules.
    pub(super) fn with_modules(&self, modules: BTreeMap<Vec<u8>, Module>) -> Self {
        Self { modules: Arc::new(modules), ..self.clone() }
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
    /// Symbolic links are followed within the tree, as they would be in a checkout; fetched submodules belong to it.
    ///
    /// # Errors
    /// [`GitError::TooLarge`] when it has more than `max_bytes`; it is not read then.
    pub fn file(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, GitError> {
        let failed = || GitError::git("read a file of", &self.repository);
        let Some(Found { repository, id, .. }) = self.resolve(Path::new(path))? else { return Ok(None) };
        let (size, _) = repository.odb().and_then(|odb| odb.read_header(id)).map_err(failed())?;
        if size as u64 > max_bytes {
            return Err(GitError::TooLarge { path: shown(path.as_bytes()), size: size as u64, max: max_bytes });
        }
        Ok(Some(repository.find_blob(id).map_err(failed())?.content().to_vec()))
    }

    /// Whether the tree has an entry (file, folder, link, submodule) at `path`.
    ///
    /// # Errors
    /// [`GitError::Git`] when the repository cannot be read.
    pub fn exists(&self, path: &str) -> Result<bool, GitError> {
        Ok(self.lookup(Path::new(path))?.is_some())
    }

    /// The folder at `path` as a source of its own, of the same commit; `None` when there is no such folder.
    ///
    /// # Errors
    /// [`GitError::Git`] when the repository cannot be read.
    pub fn subtree(&self, path: &str) -> Result<Option<Self>, GitError> {
        let Some(found) = self.lookup(Path::new(path))? else { return Ok(None) };
        let (repository, tree) = match (found.mode, self.modules.get(path.as_bytes())) {
            (MODE_FOLDER, _) => (found.repository.path().to_owned(), found.id.to_string()),
            (MODE_SUBMODULE, Some(module)) => (module.repository.clone(), module.tree.clone()),
            _ => return Ok(None),
        };
        let below = |name: &[u8]| Some(name.strip_prefix(path.as_bytes())?.strip_prefix(b"/")?.to_vec());
        let modules = self.modules.iter().filter_map(|(name, module)| Some((below(name)?, module.clone()))).collect();
        Ok(Some(Self { repository, tree, modules: Arc::new(modules), ..self.clone() }))
    }

    /// Names of the files and links at the top of the tree, in git's order. Bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// [`GitError::Git`] when the tree cannot be read.
    pub fn top(&self) -> Result<Vec<String>, GitError> {
        let opened = self.opened()?;
        let is_file = |mode: i32| mode != MODE_FOLDER && mode != MODE_SUBMODULE;
        let tree = self.root(&opened)?;
        let files = tree.iter().filter(|entry| is_file(entry.filemode()));
        Ok(files.map(|entry| String::from_utf8_lossy(entry.name_bytes()).into_owned()).collect())
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

    /// Calls `each(repository, path, mode, id)` for every entry, folders before what they hold, and those of fetched
    /// submodules.
    ///
    /// # Errors
    /// [`GitError::Refused`] at folders deeper inside each other than any source may have: no stack ends in a tree.
    pub(super) fn visit<'a>(&self, each: &'a mut Visitor<'a>) -> Result<(), GitError> {
        let opened = self.opened()?;
        let tree = self.root(&opened)?;
        let mut walk = Walk { prefix: Vec::new(), depth: 0, entries: 0, each };
        self.visit_tree(&opened, &tree, &mut walk)
    }

    fn visit_tree(&self, opened: &Repository, tree: &Tree<'_>, walk: &mut Walk<'_>) -> Result<(), GitError> {
        let failed = || GitError::git("read the tree of", opened.path());
        walk.descend()?;
        for entry in tree {
            let length = walk.prefix.len();
            walk.prefix.extend_from_slice(entry.name_bytes());
            walk.admit(entry.name_bytes())?;
            (walk.each)(opened, &walk.prefix, entry.filemode(), entry.id())?;
            let is_module = entry.filemode() == MODE_SUBMODULE;
            let module = if is_module { self.modules.get(walk.prefix.as_slice()) } else { None };
            walk.prefix.push(b'/');
            if let Some(module) = module {
                let inside = open(&module.repository, None)?;
                let below = Oid::from_str(&module.tree).and_then(|id| inside.find_tree(id)).map_err(failed())?;
                self.visit_tree(&inside, &below, walk)?;
            } else if entry.filemode() == MODE_FOLDER {
                let below = opened.find_tree(entry.id()).map_err(failed())?;
                self.visit_tree(opened, &below, walk)?;
            }
            walk.prefix.truncate(length);
        }
        walk.depth -= 1;
        Ok(())
    }

    /// The entry at `path`, no links followed.
    fn lookup(&self, path: &Path) -> Result<Option<Found>, GitError> {
        let failed = || GitError::git("read the tree of", &self.repository);
        let mut repository = self.opened()?;
        let mut tree = Oid::from_str(&self.tree).map_err(failed())?;
        let mut at = Vec::new();
        let mut components = path.components().peekable();
        while let Some(component) = components.next() {
            let Component::Normal(name) = component else { return Ok(None) };
            at.extend_from_slice(name.as_bytes());
            let found = repository.find_tree(tree).map_err(failed())?;
            let entry = found.get_name_bytes(name.as_bytes()).map(|entry| (entry.filemode(), entry.id()));
            drop(found);
            let Some((mode, id)) = entry else { return Ok(None) };
            if components.peek().is_none() {
                return Ok(Some(Found { repository, mode, id }));
            }
            match (mode, self.modules.get(at.as_slice())) {
                (MODE_FOLDER, _) => tree = id,
                (MODE_SUBMODULE, Some(module)) => {
                    repository = open(&module.repository, None)?;
                    tree = Oid::from_str(&module.tree).map_err(failed())?;
                }
                _ => return Ok(None),
            }
            at.push(b'/');
        }
        Ok(None)
    }

    /// The regular file that `path` leads to, through symbolic links that stay inside the tree.
    fn resolve(&self, path: &Path) -> Result<Option<Found>, GitError> {
        let failed = || GitError::git("read a file of", &self.repository);
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            let Some(found) = self.lookup(&path)? else { return Ok(None) };
            match found.mode {
                MODE_FOLDER | MODE_SUBMODULE => return Ok(None),
                MODE_SYMLINK => {
                    let (size, _) =
                        found.repository.odb().and_then(|odb| odb.read_header(found.id)).map_err(failed())?;
                    if size > MAX_TARGET {
                        return Ok(None);
                    }
                    let target = found.repository.find_blob(found.id).map_err(failed())?;
                    let target = std::str::from_utf8(target.content()).ok();
                    let Some(next) = target.and_then(|text| join(&path, text)) else { return Ok(None) };
                    path = next;
                }
                _ => return Ok(Some(found)),
            }
        }
        Ok(None)
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

/// Where a walk through a tree is.
struct Walk<'a> {
    prefix: Vec<u8>,
    depth: usize,
    entries: u64,
    each: &'a mut Visitor<'a>,
}

impl Walk<'_> {
    fn descend(&mut self) -> Result<(), GitError> {
        self.depth += 1;
        let most = SourceLimits::default().depth;
        if self.depth <= most {
            return Ok(());
        }
        let folder = shown(&self.prefix);
        Err(GitError::Refused(format!(
            "'{folder}' lies more than {most} folders deep: move it, commit and push again."
        )))
    }

    /// Counts an entry, the end of the present path, and looks at its name: nobody behind this meets one that leads out of
    /// the tree.
    fn admit(&mut self, name: &[u8]) -> Result<(), GitError> {
        self.entries += 1;
        let most = SourceLimits::default().entries;
        if self.entries > most {
            return Err(GitError::Refused(format!(
                "The source has more than {most} files and folders: leave some out, commit and push again."
            )));
        }
        match names::fault(name) {
            Some(fault) => Err(GitError::Refused(format!(
                "'{}' {fault}: rename it in the repository, commit and push again.",
                shown(&self.prefix)
            ))),
            None => Ok(()),
        }
    }
}

/// What [`Source::lookup`] found, and where its objects are.
struct Found {
    repository: Repository,
    mode: i32,
    id: Oid,
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

/// Where a link at `link` with the text `target` leads; `None` when that is outside of the tree.
pub(super) fn join(link: &Path, target: impl AsRef<Path>) -> Option<PathBuf> {
    let mut path = link.parent()?.to_owned();
    for component in target.as_ref().components() {
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
