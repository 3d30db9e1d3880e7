//! What manifests of packages say of their language beside everything else.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::super::Tool;
use super::super::ranges::{Dialect, at_least};
use super::version_files::{lines, place};
use super::{Files, Wish, ranged};
use crate::build::BuildError;

/// All that the language's manifests say, the first that counts first.
pub(super) fn of_tool(tool: Tool, files: Files<'_>) -> Result<Vec<Wish>, BuildError> {
    match tool {
        Tool::Go => go(files),
        Tool::Java => java(files),
        Tool::Node => node(files),
        Tool::Php => php(files),
        Tool::Python => python(files),
        Tool::Ruby => ruby(files),
        Tool::Rust => rust(files),
    }
}

/// A text by its path in a JSON file; nothing where the file is none, which whoever reads all of it says better.
fn in_json(files: Files<'_>, name: &str, path: &[&str]) -> Result<Option<String>, BuildError> {
    let Some(text) = files(name)? else { return Ok(None) };
    let document: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_default();
    let found = path.iter().try_fold(&document, |value, key| value.get(key)).and_then(Value::as_str);
    Ok(found.map(str::to_owned).filter(|text| !text.trim().is_empty()))
}

fn in_toml(files: Files<'_>, name: &str, path: &[&str]) -> Result<Option<String>, BuildError> {
    let Some(text) = files(name)? else { return Ok(None) };
    let document = text.trim_start_matches('\u{feff}').parse::<toml::Table>().unwrap_or_default();
    let (first, rest) = path.split_first().expect("a path has a key");
    let found = document.get(*first).and_then(|first| rest.iter().try_fold(first, |value, key| value.get(key)));
    Ok(found.and_then(toml::Value::as_str).map(str::to_owned).filter(|text| !text.trim().is_empty()))
}

fn node(files: Files<'_>) -> Result<Vec<Wish>, BuildError> {
    let mut found = Vec::new();
    for path in [["volta", "node"], ["engines", "node"]] {
        if let Some(text) = in_json(files, "package.json", &path)? {
            found.push(ranged(Tool::Node, &text, format!("package.json ({})", path.join(".")), Dialect::Npm));
        }
    }
    Ok(found)
}

fn php(files: Files<'_>) -> Result<Vec<Wish>, BuildError> {
    let text = in_json(files, "composer.json", &["require", "php"])?;
    let wish = |text: String| ranged(Tool::Php, &text, "composer.json (require.php)", Dialect::Composer);
    Ok(text.map(wish).into_iter().collect())
}

fn python(files: Files<'_>) -> Result<Vec<Wish>, BuildError> {
    let places: [(&str, &[&str]); 4] = [
        ("pyproject.toml", &["project", "requires-python"]),
        ("pyproject.toml", &["tool", "poetry", "dependencies", "python"]),
        ("Pipfile", &["requires", "python_full_version"]),
        ("Pipfile", &["requires", "python_version"]),
    ];
    let mut found = Vec::new();
    for (name, path) in places {
        if let Some(text) = in_toml(files, name, path)? {
            found.push(ranged(Tool::Python, &text, format!("{name} ({})", path.join(".")), Dialect::Python));
        }
    }
    Ok(found)
}

/// As it is written in nearly all of them; a version that is computed is left for Bundler to judge.
fn ruby(files: Files<'_>) -> Result<Vec<Wish>, BuildError> {
    static LINE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"^ruby[\s(]\s*((?:["'][^"']+["']\s*,?\s*)+)"#).expect("it is one"));
    static TEXT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"["']([^"']+)["']"#).expect("it is one"));
    let Some(gemfile) = files("Gemfile")? else { return Ok(Vec::new()) };
    let wish = lines(&gemfile).find_map(|(number, line)| {
        let texts = LINE.captures(line)?.get(1)?.as_str();
        let texts: Vec<&str> = TEXT.captures_iter(texts).filter_map(|found| Some(found.get(1)?.as_str())).collect();
        Some(ranged(Tool::Ruby, &texts.join(", "), place("Gemfile", number), Dialect::Gem))
    });
    Ok(wish.into_iter().collect())
}

/// Heroku's file, in the form of Java's property files.
fn java(files: Files<'_>) -> Result<Vec<Wish>, BuildError> {
    const NAME: &str = "system.properties";
    let Some(text) = files(NAME)? else { return Ok(Vec::new()) };
    let found = lines(&text).filter_map(|(number, line)| {
        let (key, value) = line.split_once(['=', ':'])?;
        (key.trim() == "java.runtime.version").then(|| Wish::plain(Tool::Java, value, place(NAME, number)))
    });
    Ok(found.last().into_iter().collect())
}

/// What `go.mod` says, which is the oldest version that will do, and the comment by which Heroku is told the one to use.
fn go(files: Files<'_>) -> Result<Vec<Wish>, BuildError> {
    const NAME: &str = "go.mod";
    let Some(text) = files(NAME)? else { return Ok(Vec::new()) };
    let lines = || (1..).zip(text.trim_start_matches('\u{feff}').lines());
    let word = |line: &str, start: &str| {
        let rest = line.trim().strip_prefix(start)?;
        rest.starts_with(char::is_whitespace).then(|| rest.split_whitespace().next().unwrap_or_default().to_owned())
    };
    let mut found = Vec::new();
    for (number, line) in lines() {
        let comment = line.trim().strip_prefix("//").and_then(|rest| word(rest, "+heroku goVersion"));
        found.extend(comment.map(|text| Wish::plain(Tool::Go, &text, place(NAME, number))));
    }
    for key in ["toolchain", "go"] {
        for (number, line) in lines() {
            let text = word(line, key).filter(|text| text != "default");
            found.extend(text.map(|text| Wish::new(Tool::Go, &text, place(NAME, number), at_least(&text))));
        }
    }
    Ok(found)
}

/// rustup's file: TOML, or a channel and nothing else.
fn rust(files: Files<'_>) -> Result<Vec<Wish>, BuildError> {
    for name in ["rust-toolchain.toml", "rust-toolchain"] {
        if let Some(channel) = in_toml(files, name, &["toolchain", "channel"])? {
            return Ok(vec![Wish::plain(Tool::Rust, &channel, format!("{name} (toolchain.channel)"))]);
        }
        let text = files(name)?.filter(|text| !text.contains('['));
        if let Some((number, line)) = text.as_deref().and_then(|text| lines(text).next()) {
            return Ok(vec![Wish::plain(Tool::Rust, line, place(name, number))]);
        }
    }
    Ok(Vec::new())
}
