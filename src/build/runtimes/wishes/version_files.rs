//! Files that are there for nothing but versions: one for each language, and those of version managers.

use super::super::Tool;
use super::{Files, Wish};
use crate::build::BuildError;

/// Where mise looks in a project: <https://mise.jdx.dev/configuration.html>.
const MISE_FILES: [&str; 6] = [
    "mise.toml",
    ".mise.toml",
    "mise/config.toml",
    ".mise/config.toml",
    ".config/mise.toml",
    ".config/mise/config.toml",
];

/// Files with one version in them, the first that counts first.
const fn files_of(tool: Tool) -> &'static [&'static str] {
    match tool {
        Tool::Go => &[".go-version"],
        Tool::Java => &[".java-version"],
        Tool::Node => &[".node-version", ".nvmrc"],
        Tool::Php => &[".php-version"],
        Tool::Python => &[".python-version", "runtime.txt"],
        Tool::Ruby => &[".ruby-version"],
        // Its file may have a version alone, or more: see the manifests.
        Tool::Rust => &[],
    }
}

/// The first line with something on it, of each of the language's own files.
pub(super) fn of_tool(tool: Tool, files: Files<'_>) -> Result<Vec<Wish>, BuildError> {
    let mut found = Vec::new();
    for name in files_of(tool) {
        let Some(text) = files(name)? else { continue };
        if let Some((number, line)) = lines(&text).next().filter(|(_, line)| *line != "system") {
            found.push(Wish::plain(tool, line, place(name, number)));
        }
    }
    Ok(found)
}

/// asdf's file, which mise reads, too: a tool on each line, and its versions by preference.
pub(super) fn tool_versions(tool: Tool, files: Files<'_>) -> Result<Option<Wish>, BuildError> {
    const NAME: &str = ".tool-versions";
    let Some(text) = files(NAME)? else { return Ok(None) };
    let wish = lines(&text).find_map(|(number, line)| {
        let mut words = line.split_whitespace();
        let version = words.next().filter(|name| is_called(tool, name)).and_then(|_| words.next())?;
        (version != "system").then(|| Wish::plain(tool, version, place(NAME, number)))
    });
    Ok(wish)
}

/// The table `[tools]` of mise's file.
pub(super) fn mise(tool: Tool, files: Files<'_>) -> Result<Option<Wish>, BuildError> {
    for name in MISE_FILES {
        let Some(text) = files(name)? else { continue };
        let Ok(document) = text.trim_start_matches('\u{feff}').parse::<toml::Table>() else {
            return Ok(Some(Wish::new(tool, "(no valid TOML)", name, None)));
        };
        let tools = document.get("tools").and_then(toml::Value::as_table);
        let found = tools.into_iter().flatten().find(|(key, _)| is_called(tool, key.trim_start_matches("core:")));
        if let Some((key, value)) = found {
            let version = version_of(value).unwrap_or_default();
            let wish = Wish::plain(tool, &version, format!("{name} ([tools] {key})"));
            return Ok((version != "system").then_some(wish));
        }
    }
    Ok(None)
}

/// `"22"`, `22`, `["22", "20"]`, `{ version = "22" }`.
fn version_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Array(values) => version_of(values.first()?),
        toml::Value::Table(table) => version_of(table.get("version")?),
        _ => None,
    }
}

fn is_called(tool: Tool, name: &str) -> bool {
    name == tool.name() || matches!((tool, name), (Tool::Node, "nodejs") | (Tool::Go, "golang"))
}

/// Lines with something on them, without comments, by their numbers.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.trim_start_matches('\u{feff}');
    let numbered =
        (1..).zip(text.lines()).map(|(number, line)| (number, line.split('#').next().unwrap_or_default().trim()));
    numbered.filter(|(_, line)| !line.is_empty())
}

/// A file, and the line where that is not plain to see.
pub(super) fn place(name: &str, line: usize) -> String {
    if line == 1 { name.to_owned() } else { format!("{name}, line {line}") }
}
