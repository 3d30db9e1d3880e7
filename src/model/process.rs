//! Process types, the Procfile that declares them, and the formation that counts them.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest process type name; it is part of engine names and log lines.
pub const PROCESS_TYPE_MAX: usize = 63;

/// A Procfile name such as `web`: 1 to 63 characters of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessType(String);

/// The text is not a process type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a process type: use 1 to 63 letters, digits, '-' and '_'")]
pub struct InvalidProcessType(pub String);

impl ProcessType {
    /// The type that takes HTTP traffic.
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// The type that runs an image's own command (Deis).
    pub fn cmd() -> Self {
        Self("cmd".to_owned())
    }

    /// The type that one-off commands are listed and logged under (Deis).
    ///
    /// A Procfile may declare a type of this name too: it is built, scaled, listed and logged as any other, but asking for
    /// the containers of type `run` shows the one-offs (spec §8).
    pub fn run() -> Self {
        Self("run".to_owned())
    }

    /// The type that runs of scheduled commands are logged under. A Procfile may declare one of this name, too.
    pub fn cron() -> Self {
        Self("cron".to_owned())
    }

    /// The type whose command has to succeed before a release serves (Heroku's release phase). It is declared as any other.
    pub fn release() -> Self {
        Self("release".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether instances of this type receive requests: `web` and `cmd` only, as in Deis (spec §18).
    pub fn is_routed(&self) -> bool {
        self.0 == "web" || self.0 == "cmd"
    }
}

impl FromStr for ProcessType {
    type Err = InvalidProcessType;
    fn from_str(text: &str) -> Result<Self, InvalidProcessType> {
        let valid = (1..=PROCESS_TYPE_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidProcessType(text.to_owned())) }
    }
}

impl TryFrom<String> for ProcessType {
    type Error = InvalidProcessType;
    fn try_from(text: String) -> Result<Self, InvalidProcessType> {
        text.parse()
    }
}

impl From<ProcessType> for String {
    fn from(process: ProcessType) -> Self {
        process.0
    }
}

impl fmt::Display for ProcessType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Process types and the command of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Procfile(BTreeMap<ProcessType, String>);

/// What is wrong with a Procfile, and on which line (counted from 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcfileError {
    /// The bytes are not UTF-8 text.
    #[error("Procfile is not UTF-8 text")]
    NotText,
    /// The line is neither blank, a comment, nor `name: command`.
    #[error("Procfile line {line}: cannot parse '{text}'; write it as 'name: command'")]
    Unparsable {
        /// Line number from 1.
        line: usize,
        /// The line, shortened.
        text: String,
    },
    /// The process type was declared before.
    #[error("Procfile line {line}: process type '{name}' is already declared on line {first}; keep one of them")]
    Duplicate {
        /// Line number from 1.
        line: usize,
        /// The repeated name.
        name: String,
        /// Where it was first declared.
        first: usize,
    },
    /// No process type at all.
    #[error("Procfile declares no process types; add a line such as 'web: ./server'")]
    Empty,
}

impl Procfile {
    /// Parses the file's bytes by the field's rules (Heroku's Procfile format).
    ///
    /// One `name: command` per line; blank lines and lines that start with `#` are skipped; CRLF, a byte order mark and
    /// surrounding blanks are accepted.
    ///
    /// # Errors
    /// The first line that breaks a rule, by number.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProcfileError> {
        let text = std::str::from_utf8(bytes).map_err(|_| ProcfileError::NotText)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut commands = BTreeMap::new();
        let mut lines = BTreeMap::new();
        for (index, raw) in (1..).zip(text.lines()) {
            let entry = raw.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            let unparsable = || ProcfileError::Unparsable { line: index, text: entry.chars().take(80).collect() };
            let (name, command) = entry.split_once(':').ok_or_else(unparsable)?;
            let process: ProcessType = name.parse().map_err(|_| unparsable())?;
            let command = command.trim();
            if command.is_empty() || command.contains('\0') {
                return Err(unparsable());
            }
            if let Some(first) = lines.insert(process.clone(), index) {
                return Err(ProcfileError::Duplicate { line: index, name: process.to_string(), first });
            }
            commands.insert(process, command.to_owned());
        }
        if commands.is_empty() { Err(ProcfileError::Empty) } else { Ok(Self(commands)) }
    }

    /// Process types with their commands, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&ProcessType, &str)> {
        self.0.iter().map(|(process, command)| (process, command.as_str()))
    }

    /// The command of one process type.
    pub fn command(&self, process: &ProcessType) -> Option<&str> {
        self.0.get(process).map(String::as_str)
    }

    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `web, worker`
    pub fn names(&self) -> String {
        self.0.keys().map(ProcessType::as_str).collect::<Vec<_>>().join(", ")
    }
}

impl FromIterator<(ProcessType, String)> for Procfile {
    fn from_iter<I: IntoIterator<Item = (ProcessType, String)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl fmt::Display for Procfile {
    /// The text that [`Procfile::parse`] reads back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(process, command)| writeln!(f, "{process}: {command}"))
    }
}

/// Process type -> wanted count. A type that was scaled to zero stays in it with 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Formation(pub BTreeMap<ProcessType, u32>);

impl Formation {
    /// The wanted count of a type; 0 when it was never scaled.
    pub fn count(&self, process: &ProcessType) -> u32 {
        self.0.get(process).copied().unwrap_or(0)
    }

    /// Types with at least one wanted instance, in order of name.
    pub fn running(&self) -> impl Iterator<Item = (&ProcessType, u32)> {
        self.0.iter().filter(|(_, count)| **count > 0).map(|(process, count)| (process, *count))
    }

    /// This formation with the counts of `change` laid over it; types not mentioned keep theirs.
    #[must_use]
    pub fn merged(&self, change: &Formation) -> Self {
        let mut counts = self.0.clone();
        counts.extend(change.0.iter().map(|(process, count)| (process.clone(), *count)));
        Self(counts)
    }
}

impl fmt::Display for Formation {
    /// `web=2 worker=1`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|(process, count)| format!("{process}={count}")).collect();
        f.write_str(&parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn procfile(entries: &[(&str, &str)]) -> Procfile {
        entries.iter().map(|(name, command)| (name.parse().unwrap(), (*command).to_owned())).collect()
    }

    #[test]
    fn parses_the_fields_forms() {
        let check = |text: &str, expect: &[(&str, &str)]| {
            assert_eq!(Procfile::parse(text.as_bytes()), Ok(procfile(expect)), "{text:?}");
        };
        check("web: ./server", &[("web", "./server")]);
        check("web: a\nworker: b\n", &[("web", "a"), ("worker", "b")]);
        check("web: a\r\nworker: b\r\n", &[("web", "a"), ("worker", "b")]);
        check("\u{feff}web: a", &[("web", "a")]);
        check("# comment\n\nweb:a -p $PORT # kept\n", &[("web", "a -p $PORT # kept")]);
        check("  web:   a  ", &[("web", "a")]);
        check("my-worker_2: x: y", &[("my-worker_2", "x: y")]);
    }

    #[test]
    fn errors_name_the_line() {
        let check = |text: &[u8], expect: ProcfileError| assert_eq!(Procfile::parse(text), Err(expect));
        let unparsable = |line, text: &str| ProcfileError::Unparsable { line, text: text.to_owned() };
        check(b"web: a\nnonsense\n", unparsable(2, "nonsense"));
        check(b"web: a\r\n\r\nnonsense", unparsable(3, "nonsense"));
        check(b"web:\n", unparsable(1, "web:"));
        check(b"we b: a\n", unparsable(1, "we b: a"));
        check(b"web: a\n\n# c\nweb: b", ProcfileError::Duplicate { line: 4, name: "web".into(), first: 1 });
        check(b"# only\n", ProcfileError::Empty);
        check(b"", ProcfileError::Empty);
        check(b"web: \xff", ProcfileError::NotText);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Procfile::parse(&bytes);
        }

        #[test]
        fn printed_files_parse_back(entries in proptest::collection::btree_map("[A-Za-z0-9_-]{1,12}", "[!-~]([ -~]{0,30}[!-~])?", 1..6)) {
            let written: Procfile = entries.into_iter().map(|(name, command)| (name.parse().unwrap(), command)).collect();
            prop_assert_eq!(Procfile::parse(written.to_string().as_bytes()), Ok(written));
        }

        #[test]
        fn line_ends_do_not_matter(entries in proptest::collection::btree_map("[a-z]{1,8}", "[a-z]{1,8}", 1..6)) {
            let written: Procfile = entries.into_iter().map(|(name, command)| (name.parse().unwrap(), command)).collect();
            let dos = written.to_string().replace('\n', "\r\n");
            prop_assert_eq!(Procfile::parse(dos.as_bytes()), Ok(written));
        }

        #[test]
        fn merging_keeps_what_the_change_does_not_mention(
            old in proptest::collection::btree_map("[a-d]", 0u32..9, 0..4),
            new in proptest::collection::btree_map("[a-d]", 0u32..9, 0..4),
        ) {
            let formation = |m: &BTreeMap<String, u32>| Formation(m.iter().map(|(k, v)| (k.parse().unwrap(), *v)).collect());
            let merged = formation(&old).merged(&formation(&new));
            for name in ["a", "b", "c", "d"] {
                let process: ProcessType = name.parse().unwrap();
                let expect = new.get(name).or(old.get(name)).copied().unwrap_or(0);
                prop_assert_eq!(merged.count(&process), expect);
            }
        }
    }
}
