//! Whose version matters for a tree: the languages of the buildpacks that will build it.

use super::Tool;
use super::wishes::Files;
use crate::build::BuildError;
use crate::build::buildpack_list::{Buildpack, Buildpacks};
use crate::build::buildpacks::ORDER;

/// The languages that a tree is built with. What other languages' files ask for beside them concerns nobody.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn languages(buildpacks: &Buildpacks, files: Files<'_>) -> Result<Vec<Tool>, BuildError> {
    match buildpacks {
        Buildpacks::Listed(listed) => {
            let mut tools: Vec<Tool> = listed
                .iter()
                .filter_map(|buildpack| match buildpack {
                    Buildpack::BuiltIn(name) => of_buildpack(name),
                    Buildpack::Git { .. } | Buildpack::Archive(_) => None,
                })
                .collect();
            tools.dedup();
            Ok(tools)
        }
        Buildpacks::Detected => {
            for name in ORDER {
                if accepts(name, files)? {
                    return Ok(of_buildpack(name).into_iter().collect());
                }
            }
            Ok(Vec::new())
        }
    }
}

fn of_buildpack(name: &str) -> Option<Tool> {
    if name == "nodejs" { Some(Tool::Node) } else { Tool::of_name(name) }
}

/// Whether a buildpack's `bin/detect` will accept the tree, as far as that depends on its files.
fn accepts(name: &str, files: Files<'_>) -> Result<bool, BuildError> {
    let any = |names: &[&str]| -> Result<bool, BuildError> {
        for name in names {
            if files(name)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    };
    match name {
        "python" => {
            let lists = ["requirements.txt", "uv.lock", "poetry.lock", "Pipfile.lock", "Pipfile", "setup.py"];
            let is_project = |line: &str| ["[project]", "[tool.poetry]"].iter().any(|table| line.starts_with(table));
            Ok(any(&lists)? || files("pyproject.toml")?.is_some_and(|text| text.lines().any(is_project)))
        }
        "ruby" => any(&["Gemfile"]),
        "php" => any(&["composer.json", "index.php", "public/index.php", "web/index.php"]),
        "java" => any(&["pom.xml"]),
        "go" => any(&["go.mod"]),
        "rust" => any(&["Cargo.toml"]),
        "nodejs" => {
            let Some(manifest) = files("package.json")? else { return Ok(false) };
            let scripts = ["\"build\"", "\"start\"", "\"heroku-prebuild\"", "\"heroku-postbuild\""];
            Ok(!any(&["static.json"])? || scripts.iter().any(|script| manifest.contains(script)))
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(buildpacks: &Buildpacks, files: &[(&str, &str)]) -> Vec<Tool> {
        let read = |path: &str| Ok(files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned()));
        languages(buildpacks, &read).unwrap()
    }

    #[test]
    fn the_language_is_that_of_the_buildpack() {
        let of = |files: &[(&str, &str)]| found(&Buildpacks::Detected, files);
        assert_eq!(of(&[("requirements.txt", ""), ("package.json", "{}")]), [Tool::Python]);
        assert_eq!(of(&[("pyproject.toml", "[tool.black]"), ("package.json", "{}")]), [Tool::Node]);
        assert_eq!(of(&[("package.json", "{}"), ("static.json", "{}")]), []);
        assert_eq!(of(&[("package.json", "{\"scripts\": {\"build\": \"x\"}}"), ("static.json", "{}")]), [Tool::Node]);
        assert_eq!(of(&[("index.html", "")]), []);
        let listed = Buildpacks::Listed(vec![Buildpack::BuiltIn("nodejs"), Buildpack::BuiltIn("python")]);
        assert_eq!(found(&listed, &[]), [Tool::Node, Tool::Python]);
    }
}
