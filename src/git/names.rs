//! Names in trees: which ones mean trouble, and how any of them is shown.

/// Code points that HFS+ leaves out when it compares names (git's `utf8.c`, `next_hfs_char`).
const HFS_IGNORED: [std::ops::RangeInclusive<char>; 4] =
    ['\u{200c}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{206a}'..='\u{206f}', '\u{feff}'..='\u{feff}'];

/// Longest part of a name that messages show, in characters.
const SHOWN: usize = 200;

/// Whether some file system takes `name`, one component of a path, for `.git`: by case, by NTFS's short names, streams and
/// trailing dots and blanks, or by characters that HFS+ ignores. The rules are those of git's `verify_path`.
pub(super) fn is_git_alias(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    let without_ignored: String = text.chars().filter(|c| !HFS_IGNORED.iter().any(|range| range.contains(c))).collect();
    let on_ntfs = |part: &str| {
        let part = part.split(':').next().unwrap_or(part).trim_end_matches([' ', '.']);
        part.eq_ignore_ascii_case(".git") || part.eq_ignore_ascii_case("git~1")
    };
    without_ignored.eq_ignore_ascii_case(".git") || text.split('\\').any(on_ntfs)
}

/// Why `name` cannot be one component of a path; `None` when it can.
///
/// Line ends and other control characters are fine: git and Linux take them, and nothing here reads names line by line.
/// Messages show them by [`shown`].
pub(super) fn fault(name: &[u8]) -> Option<&'static str> {
    match name {
        b"" => Some("has an empty name in its path"),
        b"." | b".." => Some("has '.' or '..' in its path"),
        _ if name.contains(&b'/') => Some("has a '/' inside of a name"),
        _ if name.contains(&0) => Some("has a zero byte in its name"),
        _ if is_git_alias(name) => Some("has a name that git or a file system takes for '.git'"),
        _ => None,
    }
}

/// A path or other text of a stranger as messages show it: on one line, without anything that a terminal obeys, and not
/// longer than 200 characters.
pub(super) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN {
            out.push_str("...");
            break;
        }
        let is_direction = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || is_direction || matches!(c, '\u{2028}' | '\u{2029}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_some_file_system_takes_for_git_are_known() {
        let aliases =
            [".git", ".GIT", ".Git", "git~1", "GIT~1", ".git ", ".git...", ".git::$INDEX_ALLOCATION", ".g\u{200c}it"];
        for name in aliases.into_iter().chain([".git\u{feff}", "a\\.git", ".git\\hooks"]) {
            assert!(is_git_alias(name.as_bytes()), "{name:?}");
        }
        for name in
            [".gitignore", ".gitmodules", "git", "git~2", ".git-blame-ignore-revs", "a.git", ".gitkeep", "git~10"]
        {
            assert!(!is_git_alias(name.as_bytes()), "{name:?}");
        }
        assert!(fault(b"..").is_some() && fault(b"").is_some() && fault(b"a\0b").is_some() && fault(b"a/b").is_some());
        assert!(fault(b"a\nb\x1b").is_none() && fault(b"...").is_none() && fault(&[0xff, 0xfe]).is_none());
    }

    #[test]
    fn what_a_terminal_obeys_is_shown_as_text() {
        assert_eq!(shown(b"a\nb\x1b[31m\x7f"), "a\\nb\\u{1b}[31m\\u{7f}");
        assert_eq!(shown("sp\u{e4}te \u{202e}gpj.exe".as_bytes()), "sp\u{e4}te \\u{202e}gpj.exe");
        assert_eq!(shown(&[b'x'; 300]).len(), 203);
    }
}
