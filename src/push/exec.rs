//! The command that a client asks to run: `git-receive-pack 'app.git'` and what git clients make of it.

use crate::model::AppName;

/// The two sides of git's pack protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// `git push`
    ReceivePack,
    /// `git fetch`, `git clone`
    UploadPack,
}

impl Service {
    /// The git command.
    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::ReceivePack => "receive-pack",
            Self::UploadPack => "upload-pack",
        }
    }
}

/// A command line that Slipway takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GitCommand {
    pub(super) service: Service,
    pub(super) app: AppName,
}

/// Why a command line is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExecError {
    /// It is not a push or a fetch of one repository at all.
    NotGit,
    /// It names a repository that no app can have; printable, shortened.
    NoSuchApp(String),
}

/// Longest part of a refused name that is repeated.
const SHOWN: usize = 80;

/// Parses the line of an SSH `exec` request.
///
/// Git writes `git-receive-pack '/app.git'`, quoted by its `sq_quote`: single quotes, with `'` and `!` outside of them
/// behind a backslash (git, `quote.c`). A leading slash, one trailing slash and the suffix `.git` may be missing, and so
/// may the quotes. Nothing else is taken: no options, no second argument, no home folders, no path of several parts.
pub(super) fn parse(line: &[u8]) -> Result<GitCommand, ExecError> {
    let line = std::str::from_utf8(line).map_err(|_| ExecError::NotGit)?;
    let (service, argument) = split_service(line).ok_or(ExecError::NotGit)?;
    let path = unquote(argument.trim_matches(' ')).ok_or(ExecError::NotGit)?;
    let name = path.strip_prefix('/').unwrap_or(&path);
    let name = name.strip_suffix('/').unwrap_or(name);
    let name = name.strip_suffix(".git").unwrap_or(name);
    let app = name.parse().map_err(|_| ExecError::NoSuchApp(printable(name)))?;
    Ok(GitCommand { service, app })
}

fn split_service(line: &str) -> Option<(Service, &str)> {
    let rest = line.strip_prefix("git-").or_else(|| line.strip_prefix("git "))?;
    for service in [Service::ReceivePack, Service::UploadPack] {
        if let Some(argument) = rest.strip_prefix(service.command()).filter(|argument| argument.starts_with(' ')) {
            return Some((service, argument));
        }
    }
    None
}

/// The one word that a shell would make of `text`; `None` when that is none, more than one, or needs a shell.
fn unquote(text: &str) -> Option<String> {
    let mut word = String::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '\'' => loop {
                match rest.next()? {
                    '\'' => break,
                    quoted => word.push(quoted),
                }
            },
            '\\' => match rest.next()? {
                escaped @ ('\'' | '!') => word.push(escaped),
                _ => return None,
            },
            bare if bare.is_ascii_alphanumeric() || "._/~@:+,=-".contains(bare) => word.push(bare),
            _ => return None,
        }
    }
    // A bare option would reach git as one.
    (!word.is_empty() && !text.starts_with('-')).then_some(word)
}

fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As git's `sq_quote_buf` writes it.
    fn sq_quote(text: &str) -> String {
        let mut quoted = String::from("'");
        for c in text.chars() {
            match c {
                '\'' | '!' => quoted.push_str(&format!("'\\{c}'")),
                _ => quoted.push(c),
            }
        }
        quoted + "'"
    }

    #[test]
    fn takes_what_git_clients_send() {
        let check = |line: &str, service| {
            let expect = GitCommand { service, app: "my-app".parse().unwrap() };
            assert_eq!(parse(line.as_bytes()), Ok(expect), "{line:?}");
        };
        check("git-receive-pack 'my-app.git'", Service::ReceivePack);
        check("git-receive-pack '/my-app.git'", Service::ReceivePack);
        check("git-upload-pack '/my-app.git/'", Service::UploadPack);
        check("git-upload-pack my-app", Service::UploadPack);
        check("git receive-pack 'my-app'", Service::ReceivePack);
        check("git upload-pack  /my-app.git ", Service::UploadPack);
    }

    #[test]
    fn refuses_everything_else() {
        let check = |line: &[u8], expect: ExecError| assert_eq!(parse(line), Err(expect), "{line:?}");
        let other: [&[u8]; 19] = [
            b"",
            b"ls",
            b"git",
            b"git-receive-pack",
            b"git-receive-pack ",
            b"git-receive-pack ''",
            b"git-receive-packs 'a'",
            b"git-receive-pack'a'",
            b"git-receive-pack 'a' 'b'",
            b"git-receive-pack 'a",
            b"git-receive-pack --help",
            b"git-receive-pack a;ls",
            b"git-receive-pack $(ls)",
            b"git-receive-pack \"a\"",
            b"git-receive-pack a\\",
            b"git-upload-archive 'a'",
            b"git  receive-pack 'a'",
            b" git-receive-pack 'a'",
            b"git-receive-pack '\xff'",
        ];
        other.into_iter().for_each(|line| check(line, ExecError::NotGit));
        let nobody = |line: &str, name: &str| check(line.as_bytes(), ExecError::NoSuchApp(name.to_owned()));
        nobody("git-receive-pack '~/a.git'", "~/a");
        nobody("git-receive-pack '../a.git'", "../a");
        nobody("git-receive-pack '//a.git'", "/a");
        nobody("git-receive-pack 'a/b.git'", "a/b");
        nobody("git-receive-pack 'A.git'", "A");
        nobody("git-receive-pack '--help'", "--help");
        nobody("git-receive-pack 'a\nb'", "ab");
        nobody("git-receive-pack 'a'\\''b'", "a'b");
        nobody("git-receive-pack '/.git'", "");
        nobody("git-receive-pack 'slipway.git'", "slipway");
    }

    proptest! {
        #[test]
        fn never_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&line);
        }

        #[test]
        fn never_panics_behind_the_command(line in "git[- ](receive|upload)-pack .{0,60}") {
            let _ = parse(line.as_bytes());
        }

        #[test]
        fn every_name_survives_gits_quoting(
            name in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
            slash in "/?",
            suffix in "(\\.git)?/?",
            command in "git[- ](receive|upload)-pack",
        ) {
            prop_assume!(name.parse::<AppName>().is_ok());
            let line = format!("{command} {}", sq_quote(&format!("{slash}{name}{suffix}")));
            prop_assert_eq!(parse(line.as_bytes()).map(|parsed| parsed.app.to_string()), Ok(name));
        }

        #[test]
        fn any_quoted_text_is_one_word(text in ".{1,60}") {
            prop_assert_eq!(unquote(&sq_quote(&text)), Some(text));
        }
    }
}
