//! Command lines: a text and the words that a POSIX shell would split it into.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// A command line as it was given. It is split as a POSIX shell splits words and quotes, and nothing in it is expanded: no
/// shell runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommandLine {
    text: String,
    words: Vec<String>,
}

/// Why a text is no command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCommandLine {
    /// A quote that is never closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A backslash with nothing after it.
    #[error("it ends in a backslash")]
    LoneBackslash,
    /// No container can be given a NUL.
    #[error("it contains a NUL character")]
    Nul,
}

impl CommandLine {
    /// Splits `text` (POSIX shell, §2.2 Quoting and §2.3 Token Recognition, without operators and expansions).
    ///
    /// # Errors
    /// [`InvalidCommandLine`].
    pub fn parse(text: &str) -> Result<Self, InvalidCommandLine> {
        if text.contains('\0') {
            return Err(InvalidCommandLine::Nul);
        }
        Ok(Self { text: text.to_owned(), words: split(text)? })
    }

    /// The text, as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The words.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Words as one text that [`CommandLine::parse`] splits into the same words.
    pub fn quoted(words: &[String]) -> String {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
        let mut text = String::new();
        for word in words {
            if !text.is_empty() {
                text.push(' ');
            }
            if !word.is_empty() && word.chars().all(is_plain) {
                text.push_str(word);
            } else {
                write!(text, "'{}'", word.replace('\'', r"'\''")).expect("a string takes all text");
            }
        }
        text
    }
}

impl TryFrom<String> for CommandLine {
    type Error = InvalidCommandLine;
    fn try_from(text: String) -> Result<Self, InvalidCommandLine> {
        Self::parse(&text)
    }
}

impl From<CommandLine> for String {
    fn from(line: CommandLine) -> Self {
        line.text
    }
}

fn split(text: &str) -> Result<Vec<String>, InvalidCommandLine> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        match next {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(InvalidCommandLine::OpenQuote)? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(InvalidCommandLine::OpenQuote)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or(InvalidCommandLine::OpenQuote)? {
                            '\n' => {}
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            '\\' => match chars.next().ok_or(InvalidCommandLine::LoneBackslash)? {
                '\n' => {}
                escaped => word.get_or_insert_default().push(escaped),
            },
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn splits_as_a_shell_does() {
        let check = |text: &str, expect: &[&str]| {
            assert_eq!(CommandLine::parse(text).unwrap().words(), expect, "{text:?}");
        };
        check("", &[]);
        check("  \t\n", &[]);
        check("/run.sh", &["/run.sh"]);
        check("a  b\tc", &["a", "b", "c"]);
        check("sh -c 'echo \"a b\"; sleep 1'", &["sh", "-c", "echo \"a b\"; sleep 1"]);
        check(r#"a "b \"c\" $D \e" f\ g"#, &["a", r#"b "c" $D \e"#, "f g"]);
        check("'' \"\" x''y", &["", "", "xy"]);
        check("a\\\nb", &["ab"]);
        check("$HOME; ls | wc", &["$HOME;", "ls", "|", "wc"]);
    }

    #[test]
    fn what_a_shell_would_wait_for_is_refused() {
        assert_eq!(CommandLine::parse("a 'b"), Err(InvalidCommandLine::OpenQuote));
        assert_eq!(CommandLine::parse("a \"b\\"), Err(InvalidCommandLine::OpenQuote));
        assert_eq!(CommandLine::parse("a \\"), Err(InvalidCommandLine::LoneBackslash));
        assert_eq!(CommandLine::parse("a\0"), Err(InvalidCommandLine::Nul));
    }

    proptest! {
        #[test]
        fn quoted_words_split_back(words in proptest::collection::vec("[ -~\n\u{e9}]{0,12}", 0..5)) {
            let text = CommandLine::quoted(&words);
            let split = CommandLine::parse(&text).unwrap();
            prop_assert_eq!(split.words(), &words[..]);
        }
    }
}
