//! The instructions of a Dockerfile: enough of its grammar to know where each begins and ends.
//!
//! Reference: <https://docs.docker.com/reference/dockerfile/> and BuildKit's `frontend/dockerfile/parser`.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Instruction {
    /// Lower case: `from`, `run`, `arg`.
    pub keyword: String,
    /// What follows the keyword, continuation lines joined, here-documents left out.
    pub rest: String,
    /// Its physical lines, here-documents included, counted from 0.
    pub lines: Range<usize>,
    /// Those of its here-documents, at the end of `lines`.
    pub documents: Range<usize>,
}

/// Whether the engine's builder knows here-documents: BuildKit has them from Dockerfile syntax 1.4 on, which came with
/// engine 23. To others their lines would be instructions, so that they are written in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HereDocuments {
    /// Their lines are text.
    Known,
    /// They are never given any.
    Unknown,
}

/// Splits a Dockerfile into instructions. Never fails: what is malformed is the engine's to refuse, by its own words.
pub(super) fn instructions(dockerfile: &str) -> Vec<Instruction> {
    let escape = escape_character(dockerfile);
    let mut found = Vec::new();
    let mut lines = dockerfile.lines().enumerate();
    while let Some((start, line)) = lines.next() {
        let mut text = String::new();
        let mut end = start + 1;
        let mut line = Some(line.strip_prefix('\u{feff}').unwrap_or(line));
        // Comments and blank lines vanish, even between the lines of one instruction.
        while let Some(current) = line {
            if is_blank_or_comment(current) {
                if text.is_empty() {
                    break;
                }
            } else if let Some(head) = continued(current, escape) {
                text.push_str(head);
            } else {
                text.push_str(current);
                break;
            }
            line = lines.next().map(|(index, next)| {
                end = index + 1;
                next
            });
        }
        let text = text.trim();
        let (keyword, rest) = text.split_once(|c: char| c.is_whitespace()).unwrap_or((text, ""));
        if keyword.is_empty() {
            continue;
        }
        let keyword = keyword.to_ascii_lowercase();
        let head = end;
        let documents = here_documents(&keyword, rest, escape);
        for document in documents {
            for (index, line) in lines.by_ref() {
                end = index + 1;
                if document.ends_at(line) {
                    break;
                }
            }
        }
        found.push(Instruction { keyword, rest: rest.trim().to_owned(), lines: start..end, documents: head..end });
    }
    found
}

/// Names that the Dockerfile declares with `ARG`, in any stage or before the first.
pub(super) fn declared_args(dockerfile: &str) -> BTreeSet<String> {
    let escape = escape_character(dockerfile);
    instructions(dockerfile)
        .iter()
        .filter(|instruction| instruction.keyword == "arg")
        .flat_map(|instruction| words(&instruction.rest, escape))
        .map(|word| word.split_once('=').map_or(word.as_str(), |(name, _)| name).to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// TCP ports that the last stage declares with `EXPOSE`, as far as they are plain numbers.
pub(super) fn exposed_ports(dockerfile: &str) -> BTreeSet<u16> {
    let escape = escape_character(dockerfile);
    let all = instructions(dockerfile);
    let last_stage = all.iter().rposition(|instruction| instruction.keyword == "from").unwrap_or(0);
    all[last_stage..]
        .iter()
        .filter(|instruction| instruction.keyword == "expose")
        .flat_map(|instruction| words(&instruction.rest, escape))
        .filter_map(|word| word.strip_suffix("/tcp").unwrap_or(&word).parse().ok())
        .collect()
}

fn is_blank_or_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// The character that continues lines and quotes: a backslash unless a `# escape=` directive above everything else says
/// it is a backtick.
pub(super) fn escape_character(dockerfile: &str) -> char {
    let text = dockerfile.strip_prefix('\u{feff}').unwrap_or(dockerfile);
    for line in text.lines() {
        let Some((name, value)) = line.trim().strip_prefix('#').and_then(|comment| comment.split_once('=')) else {
            break;
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "escape" if value.trim() == "`" => return '`',
            "escape" => return '\\',
            "syntax" | "check" => {}
            // The first comment that is no directive ends them.
            _ => break,
        }
    }
    '\\'
}

/// The line without its continuation mark; `None` when the instruction ends here. An escaped mark is none.
fn continued(line: &str, escape: char) -> Option<&str> {
    let head = line.trim_end_matches([' ', '\t', '\r']).strip_suffix(escape)?;
    (!head.ends_with(escape)).then_some(head)
}

/// A here-document that an instruction announces.
struct HereDocument {
    name: String,
    strips_tabs: bool,
}

impl HereDocument {
    fn ends_at(&self, line: &str) -> bool {
        (if self.strips_tabs { line.trim_start_matches('\t') } else { line }) == self.name
    }
}

/// `<<EOF`, `<<-EOF`, `<<"EOF"`, `3<<EOF` among the words of an instruction that may have them.
fn here_documents(keyword: &str, rest: &str, escape: char) -> VecDeque<HereDocument> {
    let rest = match keyword {
        "run" | "copy" | "add" => rest,
        "onbuild" => match rest.trim().split_once(char::is_whitespace) {
            Some((inner, rest)) if ["run", "copy", "add"].contains(&inner.to_ascii_lowercase().as_str()) => rest,
            _ => return VecDeque::new(),
        },
        _ => return VecDeque::new(),
    };
    raw_words(rest, escape)
        .into_iter()
        .filter_map(|word| {
            let mark = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
            let (strips_tabs, name) = mark.strip_prefix('-').map_or((false, mark), |name| (true, name));
            let name = unquoted(name, escape);
            (!name.is_empty() && !mark.contains('<')).then_some(HereDocument { name, strips_tabs })
        })
        .collect()
}

/// The words of an instruction as a shell would see them, quotes removed.
fn words(text: &str, escape: char) -> Vec<String> {
    raw_words(text, escape).iter().map(|word| unquoted(word, escape)).collect()
}

/// The words with their quotes and escapes still in place.
pub(super) fn raw_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        word.push(c);
        if c == escape && quote != Some('\'') {
            word.extend(chars.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

pub(super) fn unquoted(word: &str, escape: char) -> String {
    let mut text = String::new();
    let mut quote = None;
    let mut chars = word.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape && quote != Some('\'') => text.extend(chars.next()),
            _ => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn args(dockerfile: &str) -> Vec<String> {
        declared_args(dockerfile).into_iter().collect()
    }

    #[test]
    fn args_are_found_wherever_they_are_declared() {
        let check = |dockerfile: &str, expect: &[&str]| assert_eq!(args(dockerfile), expect, "{dockerfile:?}");
        check("ARG A\nFROM x\nARG B=1", &["A", "B"]);
        check("FROM x\narg a\nArG b", &["a", "b"]);
        check("ARG A B=2 C", &["A", "B", "C"]);
        check("ARG A=\"x y\" B='p q' C=a\\ b D", &["A", "B", "C", "D"]);
        check("ARG \"A=x y\"", &["A"]);
        check("ARG A \\\n  B \\\n  C\n", &["A", "B", "C"]);
        check("ARG A \\\n# ARG X\n\n  B", &["A", "B"]);
        check("ARG A \\  \r\n  B\r\n", &["A", "B"]);
        check("  ARG A", &["A"]);
        check("\u{feff}ARG A", &["A"]);
        check("ARG A=a#b", &["A"]);
    }

    #[test]
    fn what_only_looks_like_an_arg_is_none() {
        let check = |dockerfile: &str| assert_eq!(args(dockerfile), Vec::<String>::new(), "{dockerfile:?}");
        check("# ARG A");
        check("RUN echo \\\n ARG A");
        check("RUN ARG A");
        check("ONBUILD ARG A");
        check("ENV ARG=A");
        check("LABEL x=\"\\\nARG A\"");
        check("RUN <<EOF\nARG A\nEOF\n");
        check("COPY <<-'EOF' /x\nARG A\n\tEOF\n");
        check("RUN 3<<EOF cat\nARG A\nEOF");
        check("RUN cat <<A <<B\nARG X\nA\nARG Y\nB\n");
        check("ARG");
        check("");
    }

    #[test]
    fn a_here_string_or_a_quoted_mark_opens_no_here_document() {
        assert_eq!(args("RUN cat <<<EOF\nARG A\nEOF"), ["A"]);
        assert_eq!(args("RUN echo 'x <<EOF'\nARG A"), ["A"]);
        assert_eq!(args("ENV X=<<EOF\nARG A"), ["A"]);
    }

    #[test]
    fn the_escape_directive_counts_only_on_top() {
        assert_eq!(args("# escape=`\nARG A `\n B"), ["A", "B"]);
        assert_eq!(args("# syntax=x\n# escape=`\nRUN dir C:\\\nARG A"), ["A"]);
        assert_eq!(args("# hello\n# escape=`\nRUN a \\\nARG A"), Vec::<String>::new());
        assert_eq!(args("FROM x\n# escape=`\nRUN a \\\nARG A"), Vec::<String>::new());
        assert_eq!(args("RUN echo \\\\\nARG A"), ["A"], "an escaped backslash continues nothing");
    }

    #[test]
    fn instructions_know_their_lines() {
        let found = instructions("# top\nFROM a \\\n  AS b\n\nRUN <<E\nx\nE\nCMD [\"x\"]");
        let lines: Vec<_> = found.iter().map(|i| (i.keyword.as_str(), i.lines.clone())).collect();
        assert_eq!(lines, [("from", 1..3), ("run", 4..7), ("cmd", 7..8)]);
        assert_eq!(found[0].rest, "a   AS b");
    }

    #[test]
    fn the_last_stage_says_which_ports_are_exposed() {
        let check = |dockerfile: &str, expect: &[u16]| {
            assert_eq!(exposed_ports(dockerfile).into_iter().collect::<Vec<_>>(), expect, "{dockerfile:?}");
        };
        check("FROM x\nEXPOSE 8000", &[8000]);
        check("FROM x\nexpose 8000/tcp 53/udp \\\n 9000", &[8000, 9000]);
        check("FROM x AS build\nEXPOSE 1\nFROM y\nEXPOSE 2", &[2]);
        check("FROM x AS build\nEXPOSE 1\nFROM y", &[]);
        check("FROM x\nEXPOSE $PORT", &[]);
        check("EXPOSE 1", &[1]);
        check("", &[]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "(ARG|RUN|FROM|<<|E|\\\\|`|\"|'|#|=| |\n|\t|é){0,60}") {
            let count = text.lines().count();
            let mut last = 0;
            for instruction in instructions(&text) {
                prop_assert!(last <= instruction.lines.start && instruction.lines.end <= count);
                last = instruction.lines.end;
            }
            declared_args(&text);
            exposed_ports(&text);
        }
    }
}
