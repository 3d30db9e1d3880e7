//! The tree of a commit as a tar archive, straight from the object store.

use std::ffi::OsStr;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use git2::{Oid, Repository};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

use super::names::shown;
use super::program::{GIT, environment};
use super::source::{MODE_EXECUTABLE, MODE_FOLDER, MODE_SUBMODULE, MODE_SYMLINK};
use super::{GitError, Source, SourceLimits, SourceOptions};

/// Chunks of a [`TarStream`], and the buffer before any other sink.
const CHUNK: usize = 256 * 1024;
/// Chunks that wait for a slow taker.
const QUEUED: usize = 8;
/// Larger files are never whole in memory.
const STREAMED: u64 = 8 << 20;

/// A tar archive as it is being written.
pub type TarStream = BoxStream<'static, Result<Bytes, io::Error>>;

impl Source {
    /// Writes the tree as an uncompressed tar archive, entries in git's order, folders before what they hold.
    ///
    /// `include(path, is_folder)` filters. A folder that is left out is still searched, since something below it may be
    /// wanted; unpackers make missing parents themselves. Executable bits and symbolic links are kept; a submodule
    /// that was not fetched becomes an empty folder. The same tree and options always give the same bytes.
    ///
    /// # Errors
    /// [`GitError::TooLarge`] for a file over 1 GiB, [`GitError::Io`] when `out` fails.
    pub fn write_tar(
        &self,
        out: impl Write,
        options: SourceOptions,
        include: &mut dyn FnMut(&str, bool) -> bool,
    ) -> Result<(), GitError> {
        let mtime = u64::try_from(options.mtime.unwrap_or(self.time)).unwrap_or(0);
        let failed = || GitError::io("archive the tree of", &self.repository);
        let mut buffer = BufWriter::with_capacity(CHUNK, out);
        let mut archive = Builder::new(&mut buffer);
        let new_header = || {
            let mut header = Header::new_gnu();
            header.set_uid(options.owner);
            header.set_gid(options.owner);
            header.set_mtime(mtime);
            header
        };
        let below = options.below.as_ref().map(|folder| format!("{folder}/")).unwrap_or_default();
        let mut written = Ok(());
        if !below.is_empty() {
            let mut header = new_header();
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            written = archive.append_data(&mut header, &below, io::empty()).map_err(failed());
        }
        let written = written.and_then(|()| {
            self.visit(&mut |opened, path, mode, id| {
                let is_folder = matches!(mode, MODE_FOLDER | MODE_SUBMODULE);
                if !include(&String::from_utf8_lossy(path), is_folder) {
                    return Ok(());
                }
                let path = [below.as_bytes(), path].concat();
                self.append(&mut archive, &mut new_header(), opened, &path, mode, id)
            })
        });
        let written = written.and_then(|()| archive.finish().map_err(failed()));
        drop(archive);
        if written.is_err() {
            // A dropped archive writes its end mark; kept back, half an archive cannot be taken for a whole one.
            drop(buffer.into_parts());
            return written;
        }
        buffer.flush().map_err(failed())
    }

    fn append<W: Write>(
        &self,
        archive: &mut Builder<W>,
        header: &mut Header,
        opened: &Repository,
        path: &[u8],
        mode: i32,
        id: Oid,
    ) -> Result<(), GitError> {
        let failed = || GitError::io("archive the tree of", &self.repository);
        if matches!(mode, MODE_FOLDER | MODE_SUBMODULE) {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            let path = [path, b"/"].concat();
            return archive.append_data(header, Path::new(OsStr::from_bytes(&path)), io::empty()).map_err(failed());
        }
        let unreadable = || GitError::git("read a file of", &self.repository);
        let odb = opened.odb().map_err(unreadable())?;
        // The header first: a few pushed kilobytes may unpack to any size.
        let (size, _) = odb.read_header(id).map_err(unreadable())?;
        let max = SourceLimits::default().file_bytes;
        if size as u64 > max {
            return Err(GitError::TooLarge { path: shown(path), size: size as u64, max });
        }
        let path = Path::new(OsStr::from_bytes(path));
        if size as u64 > STREAMED && mode != MODE_SYMLINK {
            set_file(header, mode, size);
            return self.append_large(archive, header, opened, path, id);
        }
        let blob = odb.read(id).map_err(unreadable())?;
        if mode == MODE_SYMLINK {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            let target = Path::new(OsStr::from_bytes(blob.data()));
            return archive.append_link(header, path, target).map_err(failed());
        }
        set_file(header, mode, size);
        archive.append_data(header, path, blob.data()).map_err(failed())
    }

    /// Has git read a large file: libgit2 could do so only whole, in the memory of this server.
    fn append_large<W: Write>(
        &self,
        archive: &mut Builder<W>,
        header: &mut Header,
        opened: &Repository,
        path: &Path,
        id: Oid,
    ) -> Result<(), GitError> {
        let failed = || GitError::io("run 'git cat-file' in", opened.path());
        let mut command = Command::new(GIT);
        command.env_clear().envs(environment());
        if let Some(quarantine) = &self.quarantine {
            command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quarantine);
        }
        // Smaller ones are held in memory there.
        command.args(["-c", "core.bigFileThreshold=1m", "--git-dir"]).arg(opened.path());
        command.args(["cat-file", "blob"]).arg(id.to_string());
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(failed())?;
        let size = header.size().map_err(failed())?;
        let content = child.stdout.take().map(|output| Exactly { input: output, left: size });
        let appended = content.map(|content| archive.append_data(header, path, content)).unwrap_or(Ok(()));
        // Its output is closed by now, so that it ends if it has not.
        let status = child.wait().map_err(failed())?;
        appended.map_err(failed())?;
        if status.success() { Ok(()) } else { Err(failed()(io::Error::other(status.to_string()))) }
    }

    /// The archive of [`Self::write_tar`] as a stream of chunks, written on a blocking thread of the present runtime as
    /// fast as it is taken. An error ends the stream as its last item; dropping the stream ends the thread's work.
    pub fn tar_stream(
        &self,
        options: SourceOptions,
        mut include: impl FnMut(&str, bool) -> bool + Send + 'static,
    ) -> TarStream {
        let (sender, receiver) = mpsc::channel(QUEUED);
        let source = self.clone();
        // Owned by the stream: once that is dropped, the next send fails and the thread is done.
        drop(tokio::task::spawn_blocking(move || {
            if let Err(error) = source.write_tar(ChannelWriter(&sender), options, &mut include) {
                // Nobody is left to hear it when the receiver is gone, which is then also the cause.
                let _ = sender.blocking_send(Err(io::Error::other(error)));
            }
        }));
        stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|chunk| (chunk, receiver)) }).boxed()
    }
}

fn set_file(header: &mut Header, mode: i32, size: usize) {
    header.set_entry_type(EntryType::Regular);
    header.set_mode(if mode == MODE_EXECUTABLE { 0o755 } else { 0o644 });
    header.set_size(size as u64);
}

/// Fails when there is less than was said: an archive has nothing to fill the gap with.
struct Exactly<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.input.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// Hands each write on as one chunk; stands behind a buffer of [`CHUNK`] bytes.
struct ChannelWriter<'a>(&'a mpsc::Sender<Result<Bytes, io::Error>>);

impl Write for ChannelWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = &bytes[..bytes.len().min(CHUNK)];
        let gone = |_| io::Error::new(io::ErrorKind::BrokenPipe, "nobody takes the archive any more");
        self.0.blocking_send(Ok(Bytes::copy_from_slice(taken))).map_err(gone)?;
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
