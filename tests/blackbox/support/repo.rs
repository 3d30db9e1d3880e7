//! A developer's working copy.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::run;

/// A git repository with a working tree, isolated from whatever the person who runs the tests has configured.
pub struct Repo {
    dir: TempDir,
}

impl Repo {
    /// An empty repository on branch main.
    pub fn empty() -> Self {
        let repo = Self { dir: tempfile::tempdir().expect("a temporary folder can be made") };
        std::fs::create_dir(repo.path().join("home")).expect("a fresh folder can be written to");
        std::fs::create_dir(repo.tree()).expect("a fresh folder can be written to");
        repo.git(&["init", "-q", "-b", "main"]);
        repo
    }

    /// A repository with one commit: the files of `fixtures/apps/NAME`.
    pub fn of(fixture: &str) -> Self {
        let repo = Self::empty();
        repo.become_app(fixture);
        repo
    }

    /// Replaces all files by those of another sample app, and commits.
    pub fn become_app(&self, fixture: &str) -> String {
        for entry in std::fs::read_dir(self.tree()).expect("our own folder") {
            let path = entry.expect("our own folder").path();
            if path.ends_with(".git") {
                continue;
            }
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
                .expect("our own files");
        }
        copy(&fixture_dir(fixture), &self.tree());
        self.commit(&format!("Become {fixture}"))
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.tree().join(name);
        std::fs::create_dir_all(path.parent().expect("it lies in the tree")).expect("our own folder");
        std::fs::write(path, text).expect("our own folder");
    }

    /// Replaces text in a file.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.tree().join(name)).expect("the file is there");
        assert!(text.contains(from), "{name} does not contain '{from}'");
        self.write(name, &text.replace(from, to));
    }

    /// Commits everything, even when nothing changed; yields the commit's id.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    /// Writes a file and commits.
    pub fn commit_file(&self, name: &str, text: &str) -> String {
        self.write(name, text);
        self.commit(&format!("Change {name}"))
    }

    /// The checked-out commit.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Runs git here.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        self.isolate(&mut command);
        run(command.args(args))
    }

    /// Where the files are.
    pub fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes a command run here, with nothing of the caller's git configuration.
    pub fn isolate(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GIT_")) {
            command.env_remove(name);
        }
        command.current_dir(self.tree()).env("HOME", self.path().join("home"));
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Tester").env(format!("GIT_{role}_EMAIL"), "tester@example.com");
        }
        command.env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C");
    }
}

/// Where a sample app lies.
pub fn fixture_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/apps").join(name)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("our own folder");
    for entry in std::fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.expect("a fixture can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a fixture can be copied");
        }
    }
}
