//! Which program reads a Dockerfile: the engine's own, or one that the operator lists. Never one of a tenant's choice.
//!
//! A Dockerfile may name an image that BuildKit then runs outside of any build step, with rights that no step has. BuildKit
//! looks for that name in a directive (`# syntax=`, `// syntax=`, a JSON object) and in the build argument `BUILDKIT_SYNTAX`:
//! see `DetectSyntax` in its `frontend/dockerfile/parser`.

use super::BuildError;
use crate::model::{ConfigVars, Frontend, ImageReference};

/// The build argument that names a frontend, too.
const ARGUMENT: &str = "BUILDKIT_SYNTAX";
/// The frontend that every BuildKit has built in, by the names under which it is published.
const BUILT_IN: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];

/// The frontend for this text, one of `trusted`; `None` for the engine's own.
///
/// # Errors
/// [`BuildError::Refused`] when the text or the config asks for another one.
pub(super) fn frontend<'a>(
    path: &str,
    text: &str,
    config: &ConfigVars,
    trusted: &'a [Frontend],
) -> Result<Option<&'a Frontend>, BuildError> {
    let mut chosen = None;
    let argument = config.get(ARGUMENT).map(|value| (format!("the config var {ARGUMENT}"), value.to_string()));
    let asked = directives(text).into_iter().map(|name| (format!("{path}: the syntax directive"), name));
    for (place, name) in asked.chain(argument) {
        // Buildx passes options behind the name.
        let name = name.split_whitespace().next().unwrap_or_default();
        let reference: Option<ImageReference> = name.parse().ok();
        let repository = reference.as_ref().map(ImageReference::repository).unwrap_or_default();
        let listed = trusted.iter().find(|frontend| {
            frontend.image().repository() == repository && (!name.contains('@') || name.ends_with(&digest_of(frontend)))
        });
        match listed {
            Some(listed) => chosen = Some(listed),
            None if BUILT_IN.contains(&repository.as_str()) => {}
            None => {
                return Err(BuildError::Refused(format!(
                    "{place} names '{}' as the program that reads the Dockerfile; this server takes docker/dockerfile, \
                     which is the engine's own, and what its administrator lists in SLIPWAY_BUILD_FRONTENDS: take the \
                     directive out, commit and push again.",
                    name.escape_debug()
                )));
            }
        }
    }
    Ok(chosen)
}

/// `sha256:...`
fn digest_of(frontend: &Frontend) -> String {
    frontend.to_string().split_once('@').map(|(_, digest)| digest.to_owned()).unwrap_or_default()
}

/// What the text names as its frontend, in any spelling that any version of BuildKit looks for, and some that none does.
fn directives(text: &str) -> Vec<String> {
    let text = text.trim_start_matches('\u{feff}');
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let comment = line.strip_prefix("//").or_else(|| line.strip_prefix('#'));
        let Some(comment) = comment else {
            if line.is_empty() {
                continue;
            }
            break;
        };
        let Some((name, value)) = comment.split_once('=') else { continue };
        if name.trim().eq_ignore_ascii_case("syntax") && !value.trim().is_empty() {
            found.push(value.trim().to_owned());
        }
    }
    let json = text.lines().skip_while(|line| line.starts_with("#!")).collect::<Vec<_>>().join("\n");
    if json.trim_start().starts_with('{') {
        let first = serde_json::Deserializer::from_str(&json).into_iter::<serde_json::Value>().next();
        let object = first.and_then(Result::ok).unwrap_or_default();
        for (key, value) in object.as_object().into_iter().flatten() {
            if key.eq_ignore_ascii_case("syntax") {
                found.push(value.as_str().unwrap_or("{").to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConfigValue;

    fn chosen(text: &str, trusted: &[&str]) -> Result<Option<String>, String> {
        let trusted: Vec<Frontend> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        match frontend("Dockerfile", text, &ConfigVars::new(), &trusted) {
            Ok(chosen) => Ok(chosen.map(ToString::to_string)),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_official_names_are_the_engines_own() {
        for text in [
            "FROM a",
            "# syntax=docker/dockerfile:1\nFROM a",
            "#syntax=docker.io/docker/dockerfile:1.4-labs\nFROM a",
            "# syntax = docker/dockerfile-upstream:master\r\nFROM a",
            "\u{feff}# SYNTAX=docker/dockerfile\nFROM a",
            "# hello\n# syntax=docker/dockerfile:1\nFROM a",
            "FROM a\n# syntax=evil\n",
            "# syntax=\nFROM a",
        ] {
            assert_eq!(chosen(text, &[]), Ok(None), "{text:?}");
        }
    }

    #[test]
    fn others_are_refused_however_they_are_spelled() {
        for text in [
            "# syntax=evil/frontend\nFROM a",
            "#syntax=slipway/app-evil:1\nFROM a",
            "  #  SyNtAx  =  evil  \nFROM a",
            "\u{feff}#syntax=evil\r\nFROM a",
            "#!/usr/bin/env docker\n# syntax=evil\nFROM a",
            "// syntax=evil\nFROM a",
            "//syntax=evil\nFROM a",
            "# escape=`\n# syntax=evil\nFROM a",
            "\n# syntax=evil\nFROM a",
            "{\"syntax\": \"evil\"}\nFROM a",
            "#!x\n{\"a\": 1, \"syntax\": \"evil\"}",
            "# syntax=docker/dockerfile:1\n# syntax=evil\nFROM a",
            "# syntax=docker/dockerfile@evil\nFROM a",
            "# syntax=r.test/docker/dockerfile:1\nFROM a",
            "# syntax=${X}\nFROM a",
        ] {
            let refused = chosen(text, &[]).expect_err(text);
            assert!(refused.contains("SLIPWAY_BUILD_FRONTENDS"), "{refused}");
        }
    }

    #[test]
    fn what_the_operator_lists_is_taken_by_its_digest() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let listed = format!("good/frontend@{digest}");
        let chosen = |text: &str| chosen(text, &[&listed]);
        assert_eq!(chosen("# syntax=good/frontend:7\nFROM a"), Ok(Some(listed.clone())));
        assert_eq!(chosen(&format!("# syntax=docker.io/good/frontend@{digest}\nFROM a")), Ok(Some(listed.clone())));
        chosen(&format!("# syntax=good/frontend@sha256:{}\nFROM a", "cd".repeat(32))).expect_err("another digest");
        assert!("good/frontend:7".parse::<Frontend>().is_err());
    }

    #[test]
    fn the_build_argument_counts_as_well() {
        let config: ConfigVars = [(ARGUMENT.to_owned(), ConfigValue::Text("evil".to_owned()))].into();
        let refused = frontend("Dockerfile", "FROM a", &config, &[]).expect_err("it names another one");
        assert!(refused.to_string().contains("config var BUILDKIT_SYNTAX"), "{refused}");
    }
}
