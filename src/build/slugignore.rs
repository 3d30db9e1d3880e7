//! `.slugignore`: what a slug leaves out.

use super::BuildError;
use super::ignore::{Pattern, clean};
use super::text::text_of;

/// The file itself.
pub(super) const SLUGIGNORE: &str = ".slugignore";

/// What buildpacks install; the patterns speak of the app's own files, and `*.txt` must not take packages apart.
const BUILDPACK_DIRS: [&str; 3] = [".heroku", ".profile.d", ".slipway"];

/// The rules of one `.slugignore`: those of `.gitignore` without exceptions, as on Heroku.
/// <https://devcenter.heroku.com/articles/slug-compiler#ignoring-files-with-slugignore>
///
/// They are applied to the finished tree, so a file that only the build needs can be listed, and so can what the build
/// leaves behind.
#[derive(Debug, Clone, Default)]
pub(super) struct Slugignore {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    pattern: Pattern,
    only_directories: bool,
}

impl Slugignore {
    /// Reads the rules.
    ///
    /// # Errors
    /// [`BuildError::Refused`] names the first line that is no pattern.
    pub fn parse(bytes: &[u8]) -> Result<Self, BuildError> {
        // Names of files are bytes to git; a pattern for one that is not UTF-8 is no reason to refuse.
        let text = text_of(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned());
        let mut rules = Vec::new();
        for (line, raw) in (1..).zip(text.lines()) {
            let entry = raw.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            if entry.starts_with('!') {
                return Err(BuildError::Refused(format!(
                    ".slugignore line {line}: '{entry}' is an exception, which .slugignore does not have: list what to \
                     leave out more closely, commit and push again."
                )));
            }
            let path = clean(entry);
            if path.is_empty() {
                continue;
            }
            // A slash that is not the last character ties a pattern to the root.
            let is_anchored = entry.trim_end_matches('/').contains('/');
            let pattern = if is_anchored { path } else { format!("**/{path}") };
            let pattern = Pattern::compile(&pattern).map_err(|_| {
                BuildError::Refused(format!(
                    ".slugignore line {line}: '{entry}' is not a valid pattern: correct it, commit and push again."
                ))
            })?;
            rules.push(Rule { pattern, only_directories: entry.ends_with('/') });
        }
        Ok(Self { rules })
    }

    /// Whether `path`, relative to the root of the app, stays out of the slug.
    pub fn excludes(&self, path: &str, is_directory: bool) -> bool {
        let first = path.split('/').next().unwrap_or_default();
        if BUILDPACK_DIRS.contains(&first) {
            return false;
        }
        let parent = path.rsplit_once('/').map(|(parent, _)| parent);
        self.rules.iter().any(|rule| {
            let here = (is_directory || !rule.only_directories) && rule.pattern.matches(path);
            here || parent.is_some_and(|parent| rule.pattern.matches_at_or_above(parent))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_those_of_gitignore() {
        let check = |text: &str, path: &str, is_directory: bool, expect: bool| {
            let rules = Slugignore::parse(text.as_bytes()).unwrap();
            assert_eq!(rules.excludes(path, is_directory), expect, "{text:?} on {path:?}");
        };
        check("*.psd\n*.pdf\n/test\n/spec\n", "art/logo.psd", false, true);
        check("*.psd\n*.pdf\n/test\n/spec\n", "test/a", false, true);
        check("/test\n", "lib/test/a", false, false);
        check("test\n", "lib/test/a", false, true);
        check("docs/api\n", "docs/api/x", false, true);
        check("docs/api\n", "x/docs/api/x", false, false);
        check("tmp/\n", "tmp", true, true);
        check("tmp/\n", "tmp", false, false);
        check("tmp/\n", "a/tmp/x", false, true);
        check("# c\n\n  *.md  \r\n", "README.md", false, true);
        check("docs/**/*.md", "docs/a/b.md", false, true);
        check("/\n.\n", "a", false, false);
        check("", "a", false, false);
    }

    #[test]
    fn what_buildpacks_install_is_left_alone() {
        let rules = Slugignore::parse(b"*.txt\nlib\n").unwrap();
        assert!(!rules.excludes(".heroku/python/lib/top_level.txt", false));
        assert!(!rules.excludes(".profile.d/lib", false));
        assert!(rules.excludes("top_level.txt", false));
    }

    #[test]
    fn errors_name_the_line() {
        let error = |text: &str| Slugignore::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error("a\n[x").starts_with(".slugignore line 2: '[x' is not a valid pattern"));
        assert!(error("!a").starts_with(".slugignore line 1: '!a' is an exception"));
    }
}
