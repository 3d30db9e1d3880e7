//! What a tree asks of its runtimes. Files are read, and nothing in them is run: a `mise.toml` may hold hooks and templates.

mod manifests;
mod version_files;

use super::Tool;
use super::ranges::{Dialect, version_or_alias};
use super::version::{Pick, Requirement, TEXT_MAX};
use crate::build::BuildError;

/// A file of the tree by its path; `None` where there is none.
pub(super) type Files<'a> = &'a dyn Fn(&str) -> Result<Option<String>, BuildError>;

/// One place of a tree that asks for a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// Of which language.
    pub tool: Tool,
    /// What is asked for, as it stands there, shortened and without control characters.
    pub text: String,
    /// File, and line or key.
    pub place: String,
    /// What it means; `None` when it is no version.
    pub requirement: Option<Requirement>,
}

impl Wish {
    fn new(tool: Tool, text: &str, place: impl Into<String>, requirement: Option<Requirement>) -> Self {
        let shown: String = text.trim().chars().take(TEXT_MAX).map(|c| if c.is_control() { '?' } else { c }).collect();
        Self { tool, text: shown, place: place.into(), requirement }
    }

    /// That of a tree that asks for nothing: any version will do.
    pub fn none(tool: Tool) -> Self {
        Self::new(tool, "", "", Some(Requirement::any(Pick::Settled)))
    }

    /// Whether the tree asks for anything.
    pub fn is_none(&self) -> bool {
        self.place.is_empty()
    }

    /// What stands in a version file, or in one of a version manager.
    fn plain(tool: Tool, text: &str, place: impl Into<String>) -> Self {
        Self::new(tool, text, place, plain(tool, text.trim()))
    }
}

/// All wishes about a language. The first one decides: a file that is there for nothing but the version goes before a
/// manifest, which often only says what a package can live with.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn wishes(tool: Tool, files: Files<'_>) -> Result<Vec<Wish>, BuildError> {
    let mut found = version_files::of_tool(tool, files)?;
    found.extend(version_files::tool_versions(tool, files)?);
    found.extend(version_files::mise(tool, files)?);
    found.extend(manifests::of_tool(tool, files)?);
    Ok(found)
}

/// Reads the text of a version file as that language's own tools do.
fn plain(tool: Tool, text: &str) -> Option<Requirement> {
    let dialect = match tool {
        Tool::Python => Dialect::Python,
        Tool::Ruby => Dialect::Gem,
        Tool::Php => Dialect::Composer,
        _ => Dialect::Npm,
    };
    let text = match tool {
        Tool::Python => text.strip_prefix("python-").or_else(|| text.strip_prefix("cpython-")).unwrap_or(text),
        Tool::Ruby => text.strip_prefix("ruby-").unwrap_or(text),
        Tool::Go => text.strip_prefix("go").unwrap_or(text),
        Tool::Java => return java(text),
        Tool::Rust => return rust(text),
        Tool::Node | Tool::Php => text,
    };
    // Another implementation of the language, pypy3.10 or jruby-9.4, is none of its versions.
    version_or_alias(text, dialect).filter(|requirement| requirement.vendor.is_empty())
}

/// `17`, `17.0.9`, `1.8`, `temurin-17`; names that mean whatever OpenJDK there is are taken off.
fn java(text: &str) -> Option<Requirement> {
    let text = ["openjdk-", "openjdk64-", "heroku-", "java-"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text);
    version_or_alias(text.strip_prefix("1.").filter(|rest| rest.starts_with('8')).unwrap_or(text), Dialect::Npm)
}

/// `1.75`, `stable`, each perhaps for a platform. Channels that change every day are no version.
fn rust(text: &str) -> Option<Requirement> {
    version_or_alias(text.split('-').next().unwrap_or(text), Dialect::Npm)
}

/// Reads the text of a manifest's range.
fn ranged(tool: Tool, text: &str, place: impl Into<String>, dialect: Dialect) -> Wish {
    Wish::new(tool, text, place, version_or_alias(text, dialect).filter(|requirement| requirement.vendor.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wishes about a tool as `place: text`, with `?` for one that means nothing.
    fn said(tool: Tool, files: &[(&str, &str)]) -> Vec<String> {
        let read = |path: &str| Ok(files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()));
        let wishes = wishes(tool, &read).unwrap();
        let mark = |wish: &Wish| if wish.requirement.is_some() { "" } else { "?" };
        wishes.iter().map(|wish| format!("{}: {}{}", wish.place, wish.text, mark(wish))).collect()
    }

    #[test]
    fn node_is_asked_for_in_all_the_usual_places() {
        let all = [
            (".node-version", "\u{feff}20.11.1\r\n"),
            (".nvmrc", "# a comment\n\nlts/jod # the one we use\n"),
            (".tool-versions", "# mine\npython 3.12.1\nnodejs   20.10.0 18.0.0\n"),
            ("mise.toml", "[env]\nA = \"{{ exec(command='id') }}\"\n[tools]\nnode = { version = '22' }\n"),
            ("package.json", r#"{"engines": {"node": ">=20"}, "volta": {"node": "20.1.0"}}"#),
        ];
        assert_eq!(
            said(Tool::Node, &all),
            [
                ".node-version: 20.11.1",
                ".nvmrc, line 3: lts/jod",
                ".tool-versions, line 3: 20.10.0",
                "mise.toml ([tools] node): 22",
                "package.json (volta.node): 20.1.0",
                "package.json (engines.node): >=20",
            ]
        );
        assert_eq!(said(Tool::Node, &[]), [""; 0]);
        for odd in
            ["", "[]", "{\"engines\": []}", "{\"engines\": {\"node\": 20}}", "{\"engines\": {\"node\": \"\"}}", "{"]
        {
            assert_eq!(said(Tool::Node, &[("package.json", odd)]), [""; 0], "{odd}");
        }
        assert_eq!(said(Tool::Node, &[(".nvmrc", "system")]), [""; 0]);
        assert_eq!(said(Tool::Node, &[(".nvmrc", "twenty\u{7}")]), [".nvmrc: twenty??"]);
        let engines = [("package.json", r#"{"engines": {"node": "twenty"}}"#)];
        assert_eq!(said(Tool::Node, &engines), ["package.json (engines.node): twenty?"]);
    }

    #[test]
    fn mise_files_are_read_and_never_run() {
        let of = |text| said(Tool::Python, &[(".config/mise.toml", text)]);
        assert_eq!(
            of("[tools]\n\"core:python\" = ['3.12', '3.11']"),
            [".config/mise.toml ([tools] core:python): 3.12"]
        );
        assert_eq!(of("[tools]\npython = 3.12"), [".config/mise.toml ([tools] python): 3.12"]);
        assert_eq!(
            of("[tools]\npython = \"{{ exec(command='id') }}\""),
            [".config/mise.toml ([tools] python): {{ exec(command='id') }}?"]
        );
        assert_eq!(of("[hooks]\nenter = 'id'"), [""; 0]);
        assert_eq!(of("[tools"), [".config/mise.toml: (no valid TOML)?"]);
        let everything = "tools = 1\n";
        assert_eq!(of(everything), [""; 0]);
    }

    #[test]
    fn python_is_asked_for_in_all_the_usual_places() {
        let of = |name, text| said(Tool::Python, &[(name, text)]);
        assert_eq!(of("runtime.txt", "python-3.11.4\n"), ["runtime.txt: python-3.11.4"]);
        assert_eq!(of(".python-version", "3.12\n3.11\n"), [".python-version: 3.12"]);
        assert_eq!(of(".python-version", "pypy3.10-7.3.12\n"), [".python-version: pypy3.10-7.3.12?"]);
        assert_eq!(
            of("pyproject.toml", "[project]\nrequires-python = \">=3.10, <4\"\n"),
            ["pyproject.toml (project.requires-python): >=3.10, <4"]
        );
        assert_eq!(
            of("pyproject.toml", "[tool.poetry.dependencies]\npython = \"^3.11\"\n"),
            ["pyproject.toml (tool.poetry.dependencies.python): ^3.11"]
        );
        assert_eq!(
            of("Pipfile", "[requires]\npython_version = \"3.11\"\n"),
            ["Pipfile (requires.python_version): 3.11"]
        );
        assert_eq!(of("pyproject.toml", "[tool.black]\n"), [""; 0]);
    }

    #[test]
    fn ruby_php_java_go_and_rust_are_asked_for_in_all_the_usual_places() {
        assert_eq!(said(Tool::Ruby, &[(".ruby-version", "ruby-3.2.2\n")]), [".ruby-version: ruby-3.2.2"]);
        assert_eq!(said(Tool::Ruby, &[(".ruby-version", "jruby-9.4\n")]), [".ruby-version: jruby-9.4?"]);
        let gemfile = "source 'x'\n# ruby '1'\nruby '>= 3.1', \"< 3.4\"\ngem 'rack'\n";
        assert_eq!(said(Tool::Ruby, &[("Gemfile", gemfile)]), ["Gemfile, line 3: >= 3.1, < 3.4"]);
        assert_eq!(said(Tool::Ruby, &[("Gemfile", "ruby(\"3.2.2\", patchlevel: 1)\n")]), ["Gemfile: 3.2.2"]);
        assert_eq!(said(Tool::Ruby, &[("Gemfile", "ruby file: '.ruby-version'\n")]), [""; 0]);
        let composer = r#"{"require": {"php": "^8.1", "ext-gd": "*"}}"#;
        assert_eq!(said(Tool::Php, &[("composer.json", composer)]), ["composer.json (require.php): ^8.1"]);
        let properties = "# x\nmaven.version=3\njava.runtime.version = 21\r\n";
        assert_eq!(said(Tool::Java, &[("system.properties", properties)]), ["system.properties, line 3: 21"]);
        for text in ["17", "1.8", "openjdk-17.0.9", "temurin-21", "zulu-17.40.19"] {
            assert_eq!(said(Tool::Java, &[(".java-version", text)]), [format!(".java-version: {text}")]);
        }
        let module = "module x\n\ngo 1.21 // the oldest\n\ntoolchain go1.22.3\n";
        assert_eq!(said(Tool::Go, &[("go.mod", module)]), ["go.mod, line 5: go1.22.3", "go.mod, line 3: 1.21"]);
        assert_eq!(said(Tool::Go, &[("go.mod", "// +heroku goVersion go1.23\nmodule x\n")]), ["go.mod: go1.23"]);
        assert_eq!(said(Tool::Go, &[(".tool-versions", "golang 1.22.1")]), [".tool-versions: 1.22.1"]);
        let channel = "[toolchain]\nchannel = \"1.75\"\n";
        assert_eq!(
            said(Tool::Rust, &[("rust-toolchain.toml", channel)]),
            ["rust-toolchain.toml (toolchain.channel): 1.75"]
        );
        assert_eq!(said(Tool::Rust, &[("rust-toolchain", channel)]), ["rust-toolchain (toolchain.channel): 1.75"]);
        assert_eq!(said(Tool::Rust, &[("rust-toolchain", "stable\n")]), ["rust-toolchain: stable"]);
        let nightly = said(Tool::Rust, &[("rust-toolchain", "nightly-2026-01-01\n")]);
        assert_eq!(nightly, ["rust-toolchain: nightly-2026-01-01?"]);
    }

    #[test]
    fn odd_files_neither_crash_nor_grow() {
        for name in [
            "package.json",
            "mise.toml",
            "Gemfile",
            "go.mod",
            ".nvmrc",
            "rust-toolchain",
            "pyproject.toml",
            "composer.json",
        ] {
            for text in ["\0\0\0", "[[[[[[[[", "{{{{{{", "\u{202e}x", "\r\r\r", "= = =", "ruby '", "go ", "\"\"\""] {
                for tool in Tool::ALL {
                    said(tool, &[(name, text)]);
                }
            }
        }
        let long = said(Tool::Node, &[(".nvmrc", &"9".repeat(100_000))]);
        assert!(long[0].len() < 300 && long[0].ends_with('?'));
    }
}
