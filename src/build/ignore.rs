//! Path patterns: the grammar that `.dockerignore` and `.slugignore` are written in, as regular expressions.

use regex::Regex;

/// The pattern cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a valid pattern")]
pub(super) struct InvalidPattern(pub String);

/// A compiled pattern over paths whose parts are parted by `/`, without a slash at either end.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    whole: Regex,
}

impl Pattern {
    /// Compiles `pattern`: `*` and `?` stop at a slash, `**` does not, `[a-z]` and `[^a-z]` are classes, `\` takes the
    /// next character as it is. The rules, and their corner cases, are those of moby's `patternmatcher`:
    /// <https://github.com/moby/patternmatcher>.
    pub fn compile(pattern: &str) -> Result<Self, InvalidPattern> {
        let invalid = || InvalidPattern(pattern.to_owned());
        let mut regex = String::from("(?s)^");
        let mut chars = pattern.chars().peekable();
        let mut is_first = true;
        while let Some(c) = chars.next() {
            match c {
                '*' if chars.peek() == Some(&'*') => {
                    chars.next();
                    let has_slash = chars.next_if_eq(&'/').is_some();
                    let rest = chars.clone().collect::<String>();
                    // A leading `**foo` is a suffix of the whole path, as long as nothing but text follows.
                    let is_suffix = is_first && !has_slash && !rest.contains(['*', '?', '[', ']', '\\']);
                    regex.push_str(if rest.is_empty() || is_suffix { ".*" } else { "(?:.*/)?" });
                }
                '*' => regex.push_str("[^/]*"),
                '?' => regex.push_str("[^/]"),
                '[' => regex.push_str(&class(&mut chars).ok_or_else(invalid)?),
                '\\' => push_plain(&mut regex, chars.next().ok_or_else(invalid)?),
                plain => push_plain(&mut regex, plain),
            }
            is_first = false;
        }
        regex.push('$');
        let whole = Regex::new(&regex).map_err(|_| invalid())?;
        Ok(Self { whole })
    }

    /// Whether the pattern matches this very path.
    pub fn matches(&self, path: &str) -> bool {
        self.whole.is_match(path)
    }

    /// Whether the pattern matches the path or a directory above it.
    pub fn matches_at_or_above(&self, path: &str) -> bool {
        self.matches(path) || path.match_indices('/').any(|(end, _)| self.matches(&path[..end]))
    }
}

fn push_plain(regex: &mut String, plain: char) {
    regex.push_str(&regex::escape(plain.encode_utf8(&mut [0; 4])));
}

/// A character class after its `[`, as a regular expression; `None` when it does not end or is empty.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut regex = String::from("[");
    if chars.next_if_eq(&'^').is_some() {
        regex.push('^');
    }
    let mut is_empty = true;
    loop {
        match chars.next()? {
            ']' if is_empty => return None,
            ']' => break,
            '-' => return None,
            c => {
                regex.push_str(&escaped_in_class(if c == '\\' { chars.next()? } else { c }));
                if chars.next_if_eq(&'-').is_some() {
                    let end = match chars.next()? {
                        ']' => return None,
                        '\\' => chars.next()?,
                        end => end,
                    };
                    regex.push('-');
                    regex.push_str(&escaped_in_class(end));
                }
            }
        }
        is_empty = false;
    }
    regex.push(']');
    Some(regex)
}

fn escaped_in_class(c: char) -> String {
    if c.is_ascii_punctuation() { format!("\\{c}") } else { c.to_string() }
}

/// A path without `.` and empty parts, `..` resolved as far as it goes: Go's `filepath.Clean`, which `.dockerignore`
/// patterns go through.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match parts.last() {
            Some(&last) if part == ".." && last != ".." => {
                parts.pop();
            }
            None if part == ".." && path.starts_with('/') => {}
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_moby() {
        let check = |pattern: &str, path: &str, expect: bool| {
            assert_eq!(Pattern::compile(pattern).unwrap().matches(path), expect, "{pattern:?} on {path:?}");
        };
        // From the table of moby/patternmatcher.
        check("**", "file", true);
        check("**", "dir/file", true);
        check("**/", "dir/file", true);
        check("**/**", "dir/file", true);
        check("dir/**", "dir/file", true);
        check("dir/**", "dir/dir2/file", true);
        check("dir/**", "dir", false);
        check("**/dir", "dir", true);
        check("**/dir", "a/b/dir", true);
        check("**/dir", "xdir", false);
        check("**/dir2/*", "dir/dir2/file", true);
        check("**/dir2/*", "dir/dir2/dir2/file", true);
        check("**/dir2/**", "dir/dir2/dir2/file", true);
        check("**file", "file", true);
        check("**file", "dir/file", true);
        check("**file", "dir/dir.file", true);
        check("**/file", "dir/file", true);
        check("**file*", "dir/dir.file", false);
        check("**/file*", "dir/file.txt", true);
        check("**/file*txt", "dir/dir/file.txt", true);
        check("**/**/*.txt", "dir/dir/file.txt", true);
        check("a**/*.txt", "a/dir/file.txt", true);
        check("a/*.txt", "a/b/c.txt", false);
        check("a[b-d]e", "ace", true);
        check("a[b-d]e", "aae", false);
        check("a[^b-d]e", "aze", true);
        check("a[\\]]e", "a]e", true);
        check("a.|)$(}+{bc", "a.|)$(}+{bc", true);
        check("a\\*b", "a*b", true);
        check("a\\*b", "axb", false);
        check("a?b", "a/b", false);
        check("a?b", "axb", true);
        check(".*", ".foo", true);
        check(".*", "foo", false);
        check("abc.def", "abcddef", false);
        check("**/foo/bar", "foo/bar", true);
        check("**/foo/bar", "dir/dir2/foo/bar", true);
        check("abc/**", "abc/def/ghi", true);
        check("**/.foo", ".foo", true);
        check("**/.foo", "bar.foo", false);
        check("*.md", "über.md", true);
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for pattern in ["a[", "[]a]", "[-x]", "[x-]", "[a-b-c]", "a\\", "["] {
            assert_eq!(Pattern::compile(pattern).unwrap_err(), InvalidPattern(pattern.into()), "{pattern}");
        }
    }

    #[test]
    fn paths_are_cleaned_as_go_does() {
        let check = |path: &str, expect: &str| assert_eq!(clean(path), expect, "{path:?}");
        check("a/b/../c", "a/c");
        check("./a//b/", "a/b");
        check("../a", "../a");
        check("../../a", "../../a");
        check("/../a", "a");
        check(".", "");
        check("/", "");
    }

    proptest! {
        #[test]
        fn never_panics(pattern in "\\PC{0,40}", path in "[a-z*/.]{0,20}") {
            if let Ok(pattern) = Pattern::compile(&pattern) {
                pattern.matches_at_or_above(&path);
            }
        }

        #[test]
        fn a_path_escaped_matches_itself_alone(path in "[a-z.+(|$]{1,8}(/[a-z.+(|$]{1,8}){0,3}") {
            let pattern = Pattern::compile(&path).unwrap();
            prop_assert!(pattern.matches(&path));
            let longer = format!("{path}x");
            prop_assert!(!pattern.matches(&longer));
        }
    }
}
