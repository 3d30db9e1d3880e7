//! The repository that an archive's files go into, written by `git fast-import`.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use git2::{Repository, RepositoryInitOptions};

use super::super::program::{GIT, environment};
use super::super::{GitError, read_ref};
use super::tree::{Folder, Node};

/// Where the commit is.
const REFERENCE: &str = "refs/heads/main";

/// Settings of the run, for `git -c`.
const SETTINGS: [&str; 4] = [
    // Larger ones go to the pack as they come; smaller ones are held in memory first.
    "core.bigFileThreshold=1m",
    // It is read once and deleted.
    "core.compression=1",
    "core.fsync=none",
    // One pack, however few the objects.
    "fastimport.unpackLimit=0",
];

/// A repository that is being written. Dropped, the writing program is ended.
pub(super) struct Objects {
    path: PathBuf,
    child: Child,
    input: BufWriter<ChildStdin>,
    answers: BufReader<ChildStdout>,
    errors: ChildStderr,
    marks: u64,
}

impl Objects {
    /// Makes a bare repository of the empty folder `path` and starts to write to it.
    pub(super) fn create(path: &Path) -> Result<Self, GitError> {
        let mut options = RepositoryInitOptions::new();
        options.bare(true).external_template(false).initial_head("main");
        Repository::init_opts(path, &options).map_err(GitError::git("create repository", path))?;
        let failed = || GitError::io("start 'git fast-import' in", path);
        let mut command = Command::new(GIT);
        command.env_clear().envs(environment());
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting])).arg("--git-dir").arg(path);
        command.args(["fast-import", "--quiet", "--done", "--depth=0", "--date-format=raw"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed())?;
        let (input, answers, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(answers), Some(errors)) = (input, answers, errors) else {
            unreachable!("all three are piped");
        };
        let (input, answers) = (BufWriter::with_capacity(64 * 1024, input), BufReader::new(answers));
        Ok(Self { path: path.to_owned(), child, input, answers, errors, marks: 0 })
    }

    /// Begins a file's content of exactly `size` bytes; yields its mark.
    pub(super) fn begin(&mut self, size: u64) -> Result<u64, GitError> {
        self.marks += 1;
        let mark = self.marks;
        self.say(|input| write!(input, "blob\nmark :{mark}\ndata {size}\n"))?;
        Ok(mark)
    }

    /// A part of the content.
    pub(super) fn write(&mut self, chunk: &[u8]) -> Result<(), GitError> {
        self.say(|input| input.write_all(chunk))
    }

    /// Ends the content.
    pub(super) fn end(&mut self) -> Result<(), GitError> {
        self.say(|input| input.write_all(b"\n"))
    }

    /// The id of the content with that mark.
    pub(super) fn id(&mut self, mark: u64) -> Result<String, GitError> {
        self.say(|input| {
            writeln!(input, "get-mark :{mark}")?;
            input.flush()
        })?;
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(1..) => Ok(line.trim_end().to_owned()),
            Ok(0) => Err(self.why(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.why(error)),
        }
    }

    /// Commits `root`; yields the commit's id, 40 hex digits.
    pub(super) fn commit(mut self, root: &Folder, time: u64) -> Result<String, GitError> {
        self.say(|input| {
            write!(input, "commit {REFERENCE}\ncommitter Slipway <slipway@localhost> {time} +0000\n")?;
            let message = "Uploaded archive\n";
            write!(input, "data {}\n{message}", message.len())?;
            write_folder(input, root, &mut Vec::new())?;
            input.write_all(b"done\n")?;
            input.flush()
        })?;
        let status = self.child.wait().map_err(GitError::io("wait for 'git fast-import' in", &self.path))?;
        if !status.success() {
            return Err(self.why(io::Error::other(status.to_string())));
        }
        let commit = read_ref(&self.path, REFERENCE)?;
        commit.ok_or_else(|| GitError::UnknownObject { repository: self.path.clone(), oid: REFERENCE.to_owned() })
    }

    fn say(&mut self, write: impl FnOnce(&mut BufWriter<ChildStdin>) -> io::Result<()>) -> Result<(), GitError> {
        write(&mut self.input).map_err(|error| self.why(error))
    }

    /// What the program said before it ended, which is the cause of a broken pipe to it.
    fn why(&mut self, error: io::Error) -> GitError {
        // It reads no more, and an end may never come by itself.
        let _ = self.child.kill();
        let mut said = String::new();
        let _ = self.errors.by_ref().take(4096).read_to_string(&mut said);
        let error = match said.lines().find(|line| line.starts_with("fatal")) {
            Some(line) => io::Error::other(line.to_owned()),
            None => error,
        };
        GitError::io("write the objects of an archive to", &self.path)(error)
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // Whatever went wrong; one that ended well takes no signal.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Recurses as deep as the limit on folders allows.
fn write_folder(input: &mut impl Write, folder: &Folder, path: &mut Vec<u8>) -> io::Result<()> {
    for (name, node) in folder {
        let length = path.len();
        path.extend_from_slice(name);
        match node {
            Node::Folder(below) => {
                path.push(b'/');
                write_folder(input, below, path)?;
            }
            Node::File(file) => {
                let mode = if file.is_executable { "100755" } else { "100644" };
                writeln!(input, "M {mode} :{} {}", file.mark, quoted(path))?;
            }
            Node::Link(target) => {
                write!(input, "M 120000 inline {}\ndata {}\n", quoted(path), target.len())?;
                input.write_all(target)?;
                input.write_all(b"\n")?;
            }
        }
        path.truncate(length);
    }
    Ok(())
}

/// A path as a C string, all that is not plain as octal numbers (git-fast-import(1), "filemodify").
fn quoted(path: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::from("\"");
    for byte in path {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => write!(out, "\\{byte:03o}").expect("a string takes everything"),
        }
    }
    out.push('"');
    out
}
