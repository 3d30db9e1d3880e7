//! `RUN` with here-documents, for engines that do not know them: on one line, as the words that the shell is started with.

use super::super::instructions::raw_words;

/// What runs the commands of a stage unless `SHELL` says otherwise.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The shell of a stage, changed by its `SHELL` instructions.
#[derive(Debug, Clone)]
pub(super) struct Shell(Vec<String>);

impl Default for Shell {
    fn default() -> Self {
        Self(SHELL.map(str::to_owned).to_vec())
    }
}

impl Shell {
    /// Takes what follows `SHELL`; what is malformed is the engine's to refuse.
    pub fn change(&mut self, rest: &str) {
        if let Ok(words) = serde_json::from_str(rest) {
            self.0 = words;
        }
    }

    /// The exec form of a command line and the lines of its here-documents, as BuildKit runs them: one that is nothing but a
    /// document is that document's text.
    pub fn exec(&self, line: &str, documents: &[String], escape: char) -> String {
        let text = match (&raw_words(line, escape)[..], documents.split_last()) {
            ([mark], Some((_, body))) if mark.starts_with("<<") => {
                let strips_tabs = mark.starts_with("<<-");
                let line = |line: &String| if strips_tabs { line.trim_start_matches('\t') } else { line }.to_owned();
                body.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            _ => format!("{line}\n{}", documents.join("\n")),
        };
        serde_json::Value::from([self.0.clone(), vec![format!("{text}\n")]].concat()).to_string()
    }

    /// Whether a document is a program for another interpreter, which takes a file.
    pub fn is_program(line: &str, documents: &[String], escape: char) -> bool {
        let is_alone = matches!(&raw_words(line, escape)[..], [mark] if mark.starts_with("<<"));
        is_alone && documents.first().is_some_and(|first| first.starts_with("#!"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_the_shells_words() {
        let check = |line: &str, documents: &[&str], expect: &str| {
            let documents: Vec<String> = documents.iter().map(|&line| line.to_owned()).collect();
            assert_eq!(Shell::default().exec(line, &documents, '\\'), expect);
        };
        check("<<EOF", &["echo \"a\"", "echo $B", "EOF"], r#"["/bin/sh","-c","echo \"a\"\necho $B\n"]"#);
        check("<<-'E'", &["\techo a", "\tE"], r#"["/bin/sh","-c","echo a\n"]"#);
        check("python3 <<EOF", &["print(1)", "EOF"], r#"["/bin/sh","-c","python3 <<EOF\nprint(1)\nEOF\n"]"#);
        check("cat <<A <<B", &["x", "A", "y", "B"], r#"["/bin/sh","-c","cat <<A <<B\nx\nA\ny\nB\n"]"#);
        check("<<EOF", &["EOF"], r#"["/bin/sh","-c","\n"]"#);
        let mut shell = Shell::default();
        shell.change(r#"["/bin/bash", "-ec"]"#);
        assert_eq!(shell.exec("<<E", &["a".to_owned(), "E".to_owned()], '\\'), r#"["/bin/bash","-ec","a\n"]"#);
        assert!(Shell::is_program("<<E", &["#!/usr/bin/python3".to_owned()], '\\'));
        assert!(!Shell::is_program("sh <<E", &["#!/usr/bin/python3".to_owned()], '\\'));
    }
}
