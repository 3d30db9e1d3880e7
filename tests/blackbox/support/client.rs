//! A person with the original Deis client, a Python program of 2014, and with git: at a keyboard, not at the API.

use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use super::{App, Finished, Key, KeyKind, Repo, Running, Slipway, User};

/// Which of the two generations of clients somebody uses (spec §20).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// 1.0.2, for API 1.0.
    First,
    /// 1.5.2, for API 1.2.
    Second,
}

/// Somebody with a home folder, a key pair in it, a working copy, and a client that may be logged in.
pub struct Deis<'a> {
    /// The same account at the API. Its token is there after [`Deis::registered`].
    pub user: User<'a>,
    /// Where the person works.
    pub repo: Repo,
    pub generation: Generation,
    home: TempDir,
    program: PathBuf,
}

impl<'a> Deis<'a> {
    /// Somebody whom the server does not know yet, with a working copy of the sample app `fixture`.
    pub fn new(server: &'a Slipway, generation: Generation, name: &str, fixture: &str) -> Self {
        // What the clients of the time made; the first ones know no Ed25519.
        let kind = match generation {
            Generation::First => KeyKind::Rsa,
            Generation::Second => KeyKind::Ecdsa,
        };
        let (home, key) = (tempfile::tempdir().expect("a temporary folder can be made"), Key::new(kind));
        let write = |name: &str, text: &str| {
            std::fs::write(home.path().join(name), text).expect("a fresh folder can be written to");
        };
        std::fs::create_dir(home.path().join(".ssh")).expect("a fresh folder can be written to");
        write(".ssh/id_client.pub", &format!("{}\n", key.public));
        // The clients believe that git is at port 2222 of the API's host.
        let api = server.addresses().api;
        write(
            ".gitconfig",
            &format!(
                "[url \"ssh://git@{}/\"]\n\tinsteadOf = ssh://git@{}:2222/\n\
                 [user]\n\tname = {name}\n\temail = {name}@example.com\n",
                server.addresses().ssh,
                api.ip()
            ),
        );
        write("browser", "#!/bin/sh\nprintf '%s\\n' \"$1\" >>\"$HOME/opened\"\n");
        let password = format!("secret-of-{name}");
        let user = User { server, name: name.to_owned(), password, token: String::new(), key };
        Self { user, repo: Repo::of(fixture), generation, home, program: program(generation) }
    }

    /// Somebody with an account, logged in.
    pub async fn registered(server: &'a Slipway, generation: Generation, name: &str, fixture: &str) -> Self {
        let mut person = Self::new(server, generation, name, fixture);
        let command = format!("register {} {} --email={name}@example.com", person.controller(), person.credentials());
        person.can(&command, &[&format!("Registered {name}"), &format!("Logged in as {name}")]).await;
        person.user.token = person.settings()["token"].as_str().expect("the client noted its token").to_owned();
        person
    }

    /// What the API's address is called in commands.
    pub fn controller(&self) -> String {
        format!("http://{}", self.user.server.addresses().api)
    }

    /// The options that say who this is.
    pub fn credentials(&self) -> String {
        format!("--username={} --password={}", self.user.name, self.user.password)
    }

    /// What the client has noted.
    pub fn settings(&self) -> Value {
        let text = std::fs::read_to_string(self.home().join(".deis/client.json")).expect("the client made it");
        serde_json::from_str(&text).expect("the client's file is JSON")
    }

    /// The home folder, which is in no git repository.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The app of that name, at the API and through the router.
    pub fn app(&self, name: &str) -> App<'_> {
        self.user.app(name)
    }

    /// A command in the working copy that has to succeed and to say all of `texts`; yields what it said.
    pub async fn can(&self, command: &str, texts: &[&str]) -> String {
        self.run(&words(command)).await.succeeded().says(texts).output()
    }

    /// A command in the working copy that has to end with status 1 and to say all of `texts`.
    pub async fn cannot(&self, command: &str, texts: &[&str]) {
        let finished = self.run(&words(command)).await.failed().says(texts);
        assert_eq!(finished.code, Some(1), "{}", finished.output());
    }

    /// A command of these words in the working copy.
    pub async fn run(&self, words: &[&str]) -> Finished {
        self.run_at(&self.repo.tree(), words).await
    }

    /// A command of these words in some folder.
    pub async fn run_at(&self, folder: &Path, words: &[&str]) -> Finished {
        let mut command = self.command(&self.program, folder);
        let running = Running::start(command.args(words)).called(self.says("deis", words));
        sane(running.finish().await)
    }

    /// A command that asks: `input` is typed. There is no terminal, so the client reads passwords from its input as well.
    pub async fn type_in(&self, command: &str, input: &str) -> Finished {
        let mut file = tempfile::tempfile().expect("a temporary file can be made");
        file.write_all(input.as_bytes()).and_then(|()| file.rewind()).expect("our own file");
        // A session of its own has no terminal, whatever the tests were started from.
        let mut setsid = self.command(Path::new("setsid"), &self.repo.tree());
        setsid.arg("--wait").arg(&self.program).args(words(command));
        let running = Running::start_reading(&mut setsid, Stdio::from(file)).called(self.says("deis", &words(command)));
        sane(running.finish().await)
    }

    /// git in the working copy.
    pub async fn git(&self, command: &str) -> Finished {
        let words = words(command);
        let running = Running::start(self.command(Path::new("git"), &self.repo.tree()).args(&words));
        running.called(self.says("git", &words)).finish().await
    }

    /// What a browser was opened with, one address per line.
    pub fn opened(&self) -> String {
        std::fs::read_to_string(self.home().join("opened")).unwrap_or_default()
    }

    /// `bob$ deis apps`
    fn says(&self, program: &str, words: &[&str]) -> String {
        format!("'{}$ {program} {}'", self.user.name, words.join(" "))
    }

    /// Nothing of the caller's environment: the client would ask its proxy, and git would read its configuration.
    fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home()).env("LC_ALL", "C.UTF-8").env("PYTHONIOENCODING", "utf-8");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
        command.env("GIT_SSH_COMMAND", self.user.key.ssh().join(" "));
        // The moving dots of the clients cost half a second each.
        command.env("DEIS_HIDE_PROGRESS", "1");
        command.env("BROWSER", format!("sh {} %s", self.home().join("browser").display()));
        command
    }
}

/// This, if the client neither crashed nor found the server to be of another version.
#[track_caller]
fn sane(finished: Finished) -> Finished {
    for trouble in ["Traceback", "API versions do not match"] {
        assert!(!finished.has(trouble), "{}", finished.output());
    }
    finished
}

fn words(command: &str) -> Vec<&str> {
    command.split_whitespace().collect()
}

/// Where `scripts/clients` has put the client: as published where there is a Python 2, else converted.
fn program(generation: Generation) -> PathBuf {
    let version = match generation {
        Generation::First => "1.0.2",
        Generation::Second => "1.5.2",
    };
    let client = prepared(&format!("deis-{version}"));
    let must_convert = std::env::var("SLIPWAY_TEST_CLIENTS").is_ok_and(|wish| wish == "converted");
    let kinds = if must_convert { &["python3"][..] } else { &["python2", "python3"] };
    let mut complete = kinds.iter().map(|kind| client.join(kind)).filter(|folder| folder.join("stamp").exists());
    let folder = complete.next().unwrap_or_else(|| panic!("no {kinds:?} in {}. Type: make test", client.display()));
    folder.join("deis")
}

/// A folder of `scripts/clients`.
pub fn prepared(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is in the target folder");
    target.join("clients").join(name)
}
