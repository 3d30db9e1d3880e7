//! An uploaded archive becomes a [`Source`] like any other.
//!
//! Its files go straight into a repository of their own, as a pack that `git fast-import` writes: they never lie in a
//! checkout, so nothing in them can reach anything, and never whole in memory. The repository is there for the build only;
//! it goes with the last clone of the source. The app's own repository is not touched: what was uploaded has no history.

mod objects;
mod reader;
#[cfg(test)]
mod tests;
mod tree;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, SystemTime};

use flate2::bufread::MultiGzDecoder;
use tempfile::TempDir;

use self::objects::Objects;
use self::reader::{Entry, Kind, Reader};
use self::tree::{File, Node, Placed, Tree};
use super::names::shown;
use super::repositories::UPLOAD;
use super::{GitError, Repositories, Source, SourceLimits};
use crate::model::AppId;

/// Buffer in front of the upload.
const BUFFER: usize = 64 * 1024;

/// How an archive is taken.
#[derive(Debug, Clone, Copy, Default)]
pub struct ArchiveOptions {
    /// How large it may be.
    pub limits: SourceLimits,
    /// Takes the only folder at the top for the root, as in the archives that `git archive --prefix` and code hosts make.
    /// An archive that has anything beside that folder is taken as it is.
    pub strip_top_folder: bool,
}

impl Repositories {
    /// Reads an uploaded `tar.gz`, or an uncompressed tar, to its end, and makes a commit of it.
    ///
    /// The commit has no parent, and the time of the youngest entry: the same archive always gives the same commit. Of each
    /// entry it keeps what git keeps: path, content, whether it is executable, a link's target. Empty folders are lost, as
    /// they are by a push. A hard link becomes a file of its own.
    ///
    /// Blocks as long as `archive` does. Whoever wants to call it off lets `archive` fail. What was written goes then, and
    /// otherwise with the last clone of the source; [`Repositories::sweep`] removes what a killed server left.
    ///
    /// # Errors
    /// [`GitError::Refused`] names the entry and what to do about it: for everything that is no plain tree of files (paths
    /// or links that lead out of it, devices, names that something takes for `.git`, entries below a file or a link,
    /// entries that contradict each other), for more than the limits allow, and for an archive that is damaged or cut off.
    /// [`GitError::Io`] and [`GitError::Git`] when this machine fails.
    pub fn import_archive(&self, app: AppId, archive: impl Read, options: &ArchiveOptions) -> Result<Source, GitError> {
        fs::create_dir_all(self.root()).map_err(GitError::io("create folder", self.root()))?;
        let prefix = format!("{UPLOAD}{app}-");
        let folder = tempfile::Builder::new().prefix(&prefix).suffix(".git").tempdir_in(self.root());
        let folder = folder.map_err(GitError::io("create a folder in", self.root()))?;
        import_into(folder, archive, options)
    }
}

/// Makes a commit of an archive in an empty folder, which goes with the last clone of the source.
pub(super) fn import_into(folder: TempDir, archive: impl Read, options: &ArchiveOptions) -> Result<Source, GitError> {
    let mut objects = Objects::create(folder.path())?;

    let mut archive = BufReader::with_capacity(BUFFER, archive);
    let unpacked: Box<dyn Read + '_> = match kind_of(&mut archive)? {
        Packing::Gzip => Box::new(MultiGzDecoder::new(archive)),
        Packing::None => Box::new(archive),
    };
    // Headers and filling come on top of the files; that much for each entry is generous.
    let most = options.limits.total_bytes.saturating_add(options.limits.entries.saturating_mul(4096));
    let mut reader = Reader::new(unpacked, most);
    let (mut tree, mut youngest) = (Tree::new(options.limits), 0);
    while let Some(entry) = reader.next()? {
        youngest = youngest.max(entry.mtime);
        add(&mut tree, &mut reader, &mut objects, entry)?;
    }
    if options.strip_top_folder {
        tree.strip_top_folder();
    }
    tree.check_links()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let commit = objects.commit(&tree.root, youngest.min(now))?;
    Source::open_temporary(folder, &commit)
}

/// Puts one entry into the tree, and a file's content into the repository.
fn add(tree: &mut Tree, reader: &mut Reader<impl Read>, objects: &mut Objects, entry: Entry) -> Result<(), GitError> {
    let Entry { path, kind, size, is_executable, .. } = entry;
    let file = match kind {
        Kind::Folder => return tree.insert(&path, Node::Folder(tree::Folder::new())).map(drop),
        Kind::Symlink(target) => return tree.insert(&path, Node::Link(target)).map(drop),
        Kind::File => {
            tree.admit(&path, size)?;
            let mark = objects.begin(size)?;
            reader.content(|chunk| objects.write(chunk))?;
            objects.end()?;
            File { mark, size, is_executable }
        }
        Kind::HardLink(target) => {
            let Some(file) = tree.file(&target)? else {
                return Err(refused(format!(
                    "the hard link '{}' leads to '{}', which is no file that came before it. Make the archive with tar's \
                     --hard-dereference",
                    shown(&path),
                    shown(&target)
                )));
            };
            tree.admit(&path, file.size)?;
            file
        }
    };
    match tree.insert(&path, Node::File(file))? {
        Placed::Again(before) if before.mark != file.mark && objects.id(before.mark)? != objects.id(file.mark)? => {
            Err(tree::disagrees(&path))
        }
        Placed::Again(_) | Placed::New => Ok(()),
    }
}

enum Packing {
    Gzip,
    None,
}

/// Looks at the first bytes.
fn kind_of(archive: &mut impl BufRead) -> Result<Packing, GitError> {
    let head = archive.fill_buf().map_err(|error| refused(format!("it cannot be read: {error}. Upload it again")))?;
    let other = match head {
        [] => return Err(refused("it is empty. Make one: tar -czf app.tar.gz -C FOLDER .")),
        [0x1f, 0x8b, ..] => return Ok(Packing::Gzip),
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [b'B', b'Z', b'h', ..] => "compressed with bzip2",
        [0xfd, b'7', b'z', b'X', ..] => "compressed with xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "compressed with zstd",
        _ => return Ok(Packing::None),
    };
    Err(refused(format!("it is {other}; a tar.gz is taken. Make one: tar -czf app.tar.gz -C FOLDER .")))
}

/// What is wrong with the archive, and what to do.
fn refused(fault: impl std::fmt::Display) -> GitError {
    GitError::Refused(format!("The archive cannot be taken: {fault}."))
}
