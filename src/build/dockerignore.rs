//! `.dockerignore`: which files of a tree are left out of a build context. The daemon does not apply it to a streamed
//! context, so we do.

use super::ignore::{InvalidPattern, Pattern, clean};
use super::text::text_of;

/// The file itself.
pub(super) const DOCKERIGNORE: &str = ".dockerignore";

/// The rules of one `.dockerignore`, in order. The last rule that matches a path, or a directory above it, decides.
///
/// Semantics: <https://docs.docker.com/build/concepts/context/#dockerignore-files> and moby's `patternmatcher`.
#[derive(Debug, Clone, Default)]
pub(super) struct Dockerignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: Pattern,
    is_exception: bool,
}

/// What is wrong with a `.dockerignore`, and on which line (counted from 1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(".dockerignore line {line}: {problem}")]
pub(super) struct DockerignoreError {
    line: usize,
    problem: InvalidPattern,
}

impl Dockerignore {
    /// Reads the rules. Comments start with `#` in the first column; blanks around a pattern do not count.
    pub fn parse(bytes: &[u8]) -> Result<Self, DockerignoreError> {
        // Names of files are bytes to git; a pattern for one that is not UTF-8 is no reason to refuse.
        let text = text_of(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned());
        let mut rules = Vec::new();
        for (line, raw) in (1..).zip(text.lines()) {
            let (is_exception, pattern) = match raw.trim() {
                _ if raw.starts_with('#') => continue,
                "" => continue,
                trimmed => match trimmed.strip_prefix('!') {
                    Some(rest) => (true, rest.trim()),
                    None => (false, trimmed),
                },
            };
            let refused = |problem| DockerignoreError { line, problem };
            if pattern.is_empty() {
                return Err(refused(InvalidPattern("!".into())));
            }
            let pattern = clean(pattern);
            // `.` and `/` name the context itself, which Docker never leaves out.
            if !pattern.is_empty() {
                rules.push(Rule { pattern: Pattern::compile(&pattern).map_err(refused)?, is_exception });
            }
        }
        Ok(Self { rules })
    }

    /// Whether the rules leave out the path.
    pub fn excludes(&self, path: &str) -> bool {
        let mut is_excluded = false;
        for rule in &self.rules {
            // A rule that would not change the answer so far need not be looked at.
            if rule.is_exception == is_excluded && rule.pattern.matches_at_or_above(path) {
                is_excluded = !rule.is_exception;
            }
        }
        is_excluded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Dockerignore {
        Dockerignore::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_documented_examples_hold() {
        let check = |text: &str, path: &str, expect: bool| {
            assert_eq!(rules(text).excludes(path), expect, "{text:?} on {path:?}");
        };
        let first = "# comment\n*/temp*\n*/*/temp*\ntemp?\n";
        check(first, "somedir/temporary.txt", true);
        check(first, "somedir/temp", true);
        check(first, "somedir/subdir/temporary.txt", true);
        check(first, "tempa", true);
        check(first, "tempab", false);
        check(first, "temp", false);
        check(first, "a/b/c/temp", false);

        check("**/*.go", "main.go", true);
        check("**/*.go", "a/b/main.go", true);
        check("/foo/bar", "foo/bar", true);
        check("foo/bar/", "foo/bar/baz", true);

        check("*.md\n!README.md\n", "HISTORY.md", true);
        check("*.md\n!README.md\n", "README.md", false);
        check("*.md\n!README.md\n", "sub/other.md", false);
        let second = "*.md\n!README*.md\nREADME-secret.md\n";
        check(second, "README-secret.md", true);
        check(second, "README-a.md", false);
        check("*.md\nREADME-secret.md\n!README*.md\n", "README-secret.md", false);
    }

    #[test]
    fn the_last_rule_decides_below_excluded_directories_too() {
        let check = |text: &str, path: &str, expect: bool| {
            assert_eq!(rules(text).excludes(path), expect, "{text:?} on {path:?}");
        };
        check("docs\n!docs/keep.md", "docs/keep.md", false);
        check("docs\n!docs/keep.md", "docs/other.md", true);
        check("*\n!src/**", "src/a/b.rs", false);
        check("*\n!src/**", "src", true);
        check("*\n!src", "src/a/b.rs", false);
        check("*\n!src\nsrc/secret", "src/secret/key", true);
        check("a/b\n!a", "a/b/c", false);
        check("!a\na/b", "a/b/c", true);
        check("**/node_modules", "x/node_modules/y/z.js", true);
        check("!**/x\n**", "a/x", true);
    }

    #[test]
    fn oddities_read_as_docker_reads_them() {
        let check = |text: &str, path: &str, expect: bool| {
            assert_eq!(rules(text).excludes(path), expect, "{text:?} on {path:?}");
        };
        check("\u{feff}a\r\nb\r\n", "a", true);
        check("\u{feff}a\r\nb\r\n", "b", true);
        check("  a  ", "a", true);
        check("! a", "a", false);
        check("a\n! a", "a", false);
        check(" #a", "#a", true);
        check("#a", "#a", false);
        check(".", "a", false);
        check("/", "a", false);
        check("./a/../b", "b", true);
        check("../a", "a", false);
        check(".git", ".git/config", true);
        check(".git", ".gitignore", false);
        check("", "a", false);
    }

    #[test]
    fn errors_name_the_line() {
        let error = |text: &str| Dockerignore::parse(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(error("a\n[x"), ".dockerignore line 2: '[x' is not a valid pattern");
        assert_eq!(error("!\n"), ".dockerignore line 1: '!' is not a valid pattern");
    }
}
