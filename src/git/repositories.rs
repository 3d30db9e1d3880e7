//! The folder of bare repositories, one per app.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use git2::{Repository, RepositoryInitOptions};
use uuid::Uuid;

use super::GitError;
use crate::model::AppId;

/// Marks a repository that is being made; it becomes visible by a rename.
const NEW: &str = ".new-";
/// Marks a repository that is being deleted; it became invisible by a rename.
const TRASH: &str = ".trash-";
/// Marks a repository that holds an uploaded archive as long as it is built.
pub(super) const UPLOAD: &str = ".upload-";

/// Settings of every repository, besides the size limit. `git config` names.
const SETTINGS: [(&str, &str); 12] = [
    // Nobody reads reflogs of a deploy target, and they would keep replaced history for ever.
    ("core.logAllRefUpdates", "false"),
    // An acknowledged push survives a power cut: by default git syncs everything but loose objects.
    ("core.fsync", "committed"),
    ("receive.fsckObjects", "true"),
    // Old and harmless flaws of published histories; refusing them would keep their owners from deploying.
    ("receive.fsck.zeroPaddedFilemode", "ignore"),
    ("receive.fsck.badTimezone", "ignore"),
    ("receive.fsck.missingSpaceBeforeDate", "ignore"),
    ("receive.advertisePushOptions", "true"),
    // The pre-receive hook refuses deletions with advice; this holds if it ever does not run.
    ("receive.denyDeletes", "true"),
    // A deploy follows whatever the pusher says, forced or not.
    ("receive.denyNonFastForwards", "false"),
    // The pre-receive hook refuses shallow histories, in words; left to git, the refusal comes after the deploy.
    ("receive.shallowUpdate", "true"),
    // One pack per push is faster to sync and to read than a hundred loose objects.
    ("transfer.unpackLimit", "1"),
    // Repacking runs inside receive-pack, while the pushed app is still locked: no build reads packs as they vanish, and
    // no process outlives its push.
    ("gc.autoDetach", "false"),
];

/// The bare repositories of all apps, below one folder.
///
/// They are named by app id, so that a new app that takes an old name never sees the old app's objects.
#[derive(Debug, Clone)]
pub struct Repositories {
    root: PathBuf,
}

/// What [`Repositories::sweep`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Leftovers that were removed.
    pub removed: usize,
    /// Leftovers that are too young to be told from work in progress.
    pub left: usize,
}

impl Repositories {
    /// Repositories below `root`, which need not exist yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder they are in.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the repository of an app is, or would be.
    pub fn path(&self, app: AppId) -> PathBuf {
        self.root.join(format!("{app}.git"))
    }

    /// Creates the repository of an app unless it exists, and brings its settings up to date; yields its path.
    ///
    /// `max_push_bytes` bounds the pack of one push (0 = no bound). The repository appears whole or not at all.
    ///
    /// # Errors
    /// [`GitError::Io`] or [`GitError::Git`], with nothing left behind that a later call would stumble over.
    pub fn ensure(&self, app: AppId, max_push_bytes: u64) -> Result<PathBuf, GitError> {
        let path = self.path(app);
        if path.join("HEAD").is_file() {
            let repository = Repository::open_bare(&path).map_err(GitError::git("open repository", &path))?;
            configure(&repository, &path, max_push_bytes)?;
            return Ok(path);
        }
        fs::create_dir_all(&self.root).map_err(GitError::io("create folder", &self.root))?;
        let fresh = self.root.join(format!("{NEW}{app}-{}", Uuid::new_v4().simple()));
        create(&fresh, max_push_bytes)?;
        match fs::rename(&fresh, &path) {
            Ok(()) => sync(&self.root)?,
            // Somebody else was faster; theirs is as good.
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                remove_tree(&fresh)?;
            }
            Err(error) => return Err(GitError::io("create repository", &path)(error)),
        }
        Ok(path)
    }

    /// Bytes that an app's repository takes on disk, what waits in quarantine included. What vanishes meanwhile counts
    /// nothing.
    pub fn size(&self, app: AppId) -> u64 {
        tree_bytes(&self.path(app))
    }

    /// Deletes the repository of an app. One that is gone is fine.
    ///
    /// It is out of the way at once, by a rename; what cannot be deleted behind that is left to [`Self::sweep`].
    ///
    /// # Errors
    /// [`GitError::Io`] when it could not be moved out of the way.
    pub fn remove(&self, app: AppId) -> Result<(), GitError> {
        let path = self.path(app);
        let trash = self.root.join(format!("{TRASH}{app}-{}", Uuid::new_v4().simple()));
        match fs::rename(&path, &trash) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(GitError::io("remove repository", &path)(error)),
        }
        if let Err(error) = remove_tree(&trash) {
            tracing::warn!(app.id = %app, %error, "a removed repository is left to the next sweep");
        }
        Ok(())
    }

    /// Removes what killed processes left behind: git's quarantine folders and lock files, half-made and half-removed
    /// repositories, uploaded archives. Meant for the start of the server, before the first push.
    ///
    /// A stale `refs/heads/main.lock` would refuse every later push, so nobody ever has to remove one by hand. What
    /// changed less than `min_age` ago is left: a receive-pack that outlived its server may be at work. Ask again when
    /// [`Swept::left`] is not 0.
    ///
    /// # Errors
    /// [`GitError::Io`] when a folder cannot be read; leftovers that cannot be removed are logged and counted as left.
    pub fn sweep(&self, min_age: Duration) -> Result<Swept, GitError> {
        let mut swept = Swept::default();
        for entry in entries(&self.root)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if [NEW, TRASH, UPLOAD].iter().any(|mark| name.starts_with(mark)) {
                swept.take(&entry.path(), min_age);
            } else if name.ends_with(".git") {
                sweep_repository(&entry.path(), min_age, &mut swept)?;
            }
        }
        Ok(swept)
    }
}

impl Swept {
    fn take(&mut self, path: &Path, min_age: Duration) {
        let age = fs::symlink_metadata(path)
            .and_then(|metadata| metadata.modified())
            .map(|modified| SystemTime::now().duration_since(modified).unwrap_or_default());
        let removed = match age {
            Ok(age) if age < min_age => return self.left += 1,
            Ok(_) => remove_tree(path),
            Err(error) => Err(GitError::io("read", path)(error)),
        };
        match removed {
            Ok(()) => self.removed += 1,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot sweep");
                self.left += 1;
            }
        }
    }
}

fn sweep_repository(path: &Path, min_age: Duration, swept: &mut Swept) -> Result<(), GitError> {
    for entry in entries(&path.join("objects"))? {
        let name = entry.file_name().to_string_lossy().into_owned();
        // git 2.35 and newer, and older ones.
        if name.starts_with("tmp_objdir-") || name.starts_with("incoming-") {
            swept.take(&entry.path(), min_age);
        }
    }
    for entry in entries(path)? {
        if entry.file_name().to_string_lossy().ends_with(".lock") {
            swept.take(&entry.path(), min_age);
        }
    }
    sweep_locks(&path.join("refs"), min_age, swept)
}

fn sweep_locks(folder: &Path, min_age: Duration, swept: &mut Swept) -> Result<(), GitError> {
    for entry in entries(folder)? {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep_locks(&entry.path(), min_age, swept)?;
        } else if entry.file_name().to_string_lossy().ends_with(".lock") {
            swept.take(&entry.path(), min_age);
        }
    }
    Ok(())
}

/// What a folder holds; nothing when it does not exist.
fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, GitError> {
    let read = || fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>();
    match read() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        result => result.map_err(GitError::io("read folder", folder)),
    }
}

fn create(path: &Path, max_push_bytes: u64) -> Result<(), GitError> {
    let mut options = RepositoryInitOptions::new();
    // No template: the machine's own would bring sample hooks, or real ones.
    options.bare(true).no_reinit(true).external_template(false).initial_head("main");
    let repository = Repository::init_opts(path, &options).map_err(GitError::git("create repository", path))?;
    configure(&repository, path, max_push_bytes)?;
    for name in ["config", "HEAD", ""] {
        sync(&path.join(name))?;
    }
    Ok(())
}

fn configure(repository: &Repository, path: &Path, max_push_bytes: u64) -> Result<(), GitError> {
    let apply = || -> Result<(), git2::Error> {
        let mut config = repository.config()?.open_level(git2::ConfigLevel::Local)?;
        let max = max_push_bytes.to_string();
        for (name, value) in SETTINGS.into_iter().chain([("receive.maxInputSize", max.as_str())]) {
            if config.get_string(name).ok().as_deref() != Some(value) {
                config.set_str(name, value)?;
            }
        }
        Ok(())
    };
    apply().map_err(GitError::git("configure repository", path))
}

fn sync(path: &Path) -> Result<(), GitError> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(GitError::io("sync", path))
}

/// Deletes a file or a whole folder; one that is gone is fine.
fn remove_tree(path: &Path) -> Result<(), GitError> {
    let is_folder = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let removed = if is_folder { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(GitError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

fn tree_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => tree_bytes(&entry.path()),
        Ok(found) => found.blocks().saturating_mul(512),
        Err(_) => 0,
    });
    bytes.fold(0, u64::saturating_add)
}
