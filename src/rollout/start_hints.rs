//! What to do about a program that the kernel or a shell would not start, told by the words of both.

/// A shell's exit statuses for a command that cannot be executed, and for one that is not found (POSIX).
const NOT_EXECUTABLE: i64 = 126;
const NOT_FOUND: i64 = 127;

/// A line of advice on an instance that ended with `code` and printed `output`; `None` where nothing is known.
pub(super) fn hint(code: i64, output: &[String]) -> Option<String> {
    let find = |words: &[&str]| {
        output.iter().rev().find(|line| words.iter().any(|word| line.to_lowercase().contains(&word.to_lowercase())))
    };
    if let Some(line) = find(&["$'\\r'", "bad interpreter: no such file", "cannot execute: required file not found"]) {
        return Some(line_ends(line));
    }
    if ![NOT_EXECUTABLE, NOT_FOUND].contains(&code) {
        return None;
    }
    if let Some(line) = find(&["permission denied"]) {
        let file = program(line).unwrap_or("FILE");
        return Some(format!(
            "{file} is not executable: in the repository, type: git update-index --chmod=+x {file} && git commit -m \
             'Make it executable' (in a Dockerfile: RUN chmod +x)"
        ));
    }
    if let Some(line) = find(&["exec format error"]) {
        let file = program(line).unwrap_or("the program");
        return Some(format!(
            "{file} is a script without a first line such as #!/bin/sh, or was built for another kind of processor"
        ));
    }
    // What is plainly a script and is not found is there, most often: its interpreter is not.
    let line = find(&["not found", "no such file or directory"])?;
    program(line).filter(|file| file.ends_with(".sh")).map(|_| line_ends(line))
}

fn line_ends(line: &str) -> String {
    let file = program(line).unwrap_or("the script");
    format!(
        "if {file} is there, it has Windows line ends, or its first line names a program that the image does not have. For line \
         ends, type: echo '*.sh text eol=lf' >> .gitattributes && git add --renormalize . && git commit -m 'Line ends'"
    )
}

/// The last word of a line that looks like a path, without what is around it, if it can stand in a command as it is.
fn program(line: &str) -> Option<&str> {
    let words = line
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && !"./_-".contains(c)));
    let is_path = |word: &&str| {
        let has_mark = word.contains('/') || word.ends_with(".sh");
        has_mark && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"./_-".contains(&b))
    };
    let mut found = words.filter(is_path).map(|word| word.strip_prefix("./").unwrap_or(word));
    let is_shell = |word: &str| ["/bin/sh", "/bin/bash", "/usr/bin/env"].contains(&word);
    found.rfind(|word| !is_shell(word) && !word.starts_with('-') && !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: i64, line: &str) -> String {
        hint(code, &["starting".to_owned(), line.to_owned()]).unwrap_or_default()
    }

    #[test]
    fn what_cannot_start_is_told_with_what_to_type() {
        for line in [
            "bash: line 1: ./start.sh: Permission denied",
            "/bin/sh: 1: ./start.sh: Permission denied",
            "[FATAL tini (7)] exec ./start.sh failed: Permission denied",
        ] {
            assert!(of(126, line).contains("git update-index --chmod=+x start.sh "), "{line}: {}", of(126, line));
        }
        for (code, line) in [
            (127, "bash: line 1: ./start.sh: cannot execute: required file not found"),
            (126, "bash: ./start.sh: /bin/bash^M: bad interpreter: No such file or directory"),
            (127, "/bin/sh: 1: ./start.sh: not found"),
            (127, "[FATAL tini (7)] exec ./start.sh failed: No such file or directory"),
            (127, "exec /start.sh: no such file or directory"),
            (2, "start.sh: line 2: $'\\r': command not found"),
        ] {
            let said = of(code, line);
            assert!(said.contains("start.sh is there, it has Windows line ends"), "{line}: {said}");
            assert!(said.contains(".gitattributes"), "{said}");
        }
        assert!(of(126, "exec ./start.sh: exec format error").contains("#!/bin/sh"));
        assert_eq!(of(1, "cannot open /data: Permission denied"), "");
        assert_eq!(of(127, "bash: gunicorn: command not found"), "");
        assert_eq!(of(127, ""), "");
        assert!(of(126, "sh: 1: ./a;rm -rf x: Permission denied").contains("chmod=+x FILE "));
    }
}
