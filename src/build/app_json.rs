//! `app.json`: what an app asks of the platform that runs it.
//!
//! The format is Heroku's (<https://devcenter.heroku.com/articles/app-json-schema>), with Dokku's scripts
//! (<https://dokku.com/docs/advanced-usage/deployment-tasks/>), health checks and scheduled commands. Members that ask for nothing that Slipway has (`addons`,
//! `stack`, `image`, ...) are passed over, as other platforms do; so is what is `null`, and, with a warning, what is of
//! another kind than ours: programs that have nothing to do with deploys call a file by this name, too.

mod members;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use self::members::{Members, command, kind};
use super::text::text_of;
use super::{cron, healthchecks};
use crate::model::{Check, CronTask, ProcessType};

/// What an app asks for. The default asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppJson {
    /// Config vars that it needs, by name.
    pub env: BTreeMap<String, EnvVar>,
    /// How many instances of each process type the first deploy starts.
    pub formation: BTreeMap<ProcessType, u32>,
    /// Commands around a deploy.
    pub scripts: Scripts,
    /// What instances of each process type have to show.
    pub healthchecks: BTreeMap<ProcessType, Vec<Check>>,
    /// Buildpacks in their order: names, or URLs.
    pub buildpacks: Vec<String>,
    /// What the file has and is not ours, a line for the pusher each.
    pub warnings: Vec<String>,
    /// Commands that are run by a schedule.
    pub cron: Vec<CronTask>,
}

/// A config var that an app needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvVar {
    /// It gets this value where the app has none.
    Value(String),
    /// It gets a random value where the app has none.
    Secret,
    /// Somebody has to set it before a push can be taken.
    Required {
        /// What it is for, empty when the file does not say.
        description: String,
    },
    /// It may be missing.
    Optional,
}

/// Commands around a deploy, each for a shell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scripts {
    /// Before the switch of every deploy; its failure refuses the deploy (`scripts.predeploy`, `scripts.dokku.predeploy`).
    pub predeploy: Option<String>,
    /// After the first deploy of the app (Heroku's `scripts.postdeploy`).
    pub first_deploy: Option<String>,
    /// After every deploy (`scripts.dokku.postdeploy`).
    pub postdeploy: Option<String>,
}

/// What is wrong with an `app.json`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("app.json: {0}")]
pub struct InvalidAppJson(pub(super) String);

impl AppJson {
    /// Reads the file.
    ///
    /// # Errors
    /// [`InvalidAppJson`] says which member is wrong, and how. A member is wrong when it is ours, and what it asks for cannot
    /// be told.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidAppJson> {
        let text = text_of(bytes).map_err(|error| InvalidAppJson(format!("it {error}")))?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let whole: Value = serde_json::from_str(&text).map_err(|error| InvalidAppJson(error.to_string()))?;
        let mut members = Members::default();
        let mut whole = match whole {
            Value::Object(object) => object,
            other => {
                members.ignored("the file", &format!("is {} and not an object", kind(&other)));
                Map::new()
            }
        };
        let env = env(&mut members, whole.remove("env"))?;
        let asked = members.object("formation", whole.remove("formation")).into_iter();
        let formation = asked.filter(|(_, value)| !value.is_null());
        let formation = formation.map(|(name, value)| Ok((process(&name)?, quantity(&name, &value)?)));
        let formation = formation.collect::<Result<_, _>>()?;
        let scripts = scripts(&mut members, whole.remove("scripts"))?;
        let checks = members.object("healthchecks", whole.remove("healthchecks")).into_iter();
        let healthchecks = healthchecks::parse(&checks.filter(|(_, checks)| !checks.is_null()).collect())?;
        let buildpacks = members.list("buildpacks", whole.remove("buildpacks")).into_iter().enumerate();
        let buildpacks = buildpacks.map(|(index, entry)| buildpack(index, entry)).collect::<Result<_, _>>()?;
        let cron = cron::parse(&whole.remove("cron").unwrap_or_default())?;
        Ok(Self { env, formation, scripts, healthchecks, buildpacks, cron, warnings: members.warnings })
    }
}

fn scripts(members: &mut Members, value: Option<Value>) -> Result<Scripts, InvalidAppJson> {
    let mut scripts = members.object("scripts", value);
    let mut dokku = members.object("scripts.dokku", scripts.remove("dokku"));
    let predeploy = command("scripts.predeploy", scripts.remove("predeploy"))?;
    Ok(Scripts {
        predeploy: predeploy.or(command("scripts.dokku.predeploy", dokku.remove("predeploy"))?),
        first_deploy: command("scripts.postdeploy", scripts.remove("postdeploy"))?,
        postdeploy: command("scripts.dokku.postdeploy", dokku.remove("postdeploy"))?,
    })
}

/// A name or URL, or an object with one.
fn buildpack(index: usize, entry: Value) -> Result<String, InvalidAppJson> {
    let url = match entry {
        Value::Object(mut object) => object.remove("url").unwrap_or_default(),
        entry => entry,
    };
    let wrong = || {
        InvalidAppJson(format!("buildpacks[{index}] names no buildpack: write a name, a URL, or {{\"url\": \"...\"}}"))
    };
    url.as_str().map(str::to_owned).ok_or_else(wrong)
}

fn env(members: &mut Members, value: Option<Value>) -> Result<BTreeMap<String, EnvVar>, InvalidAppJson> {
    let mut vars = BTreeMap::new();
    for (name, value) in members.object("env", value) {
        match value {
            Value::Null => {}
            Value::Object(object) => {
                // Tools group variables by environment: {"production": {"LEVEL": "info"}}.
                let is_ours = |key: &str| ["description", "value", "required", "generator"].contains(&key);
                if object.is_empty() || object.keys().any(|key| is_ours(key)) {
                    let var = env_object(&name, object)?;
                    vars.insert(config_key(name)?, var);
                } else {
                    members
                        .ignored(&format!("env.{}", shown(&name)), "has no value, generator, required or description");
                }
            }
            value => {
                let text = text(&value).ok_or_else(|| wrong(&name, "is neither a text nor an object"))?;
                vars.insert(config_key(name)?, EnvVar::Value(text));
            }
        }
    }
    Ok(vars)
}

fn wrong(name: &str, problem: &str) -> InvalidAppJson {
    InvalidAppJson(format!("env.{} {problem}", shown(name)))
}

/// On one line, whatever the file has.
fn shown(name: &str) -> String {
    name.chars().take(80).collect::<String>().escape_debug().to_string()
}

fn config_key(name: String) -> Result<String, InvalidAppJson> {
    let is_key = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if is_key {
        return Ok(name);
    }
    Err(wrong(&name, "is not a config key: use letters, digits and _, not starting with a digit"))
}

fn env_object(name: &str, mut object: Map<String, Value>) -> Result<EnvVar, InvalidAppJson> {
    let mut member = |key: &str| object.remove(key).filter(|value| !value.is_null());
    if let Some(value) = member("value") {
        return text(&value).map(EnvVar::Value).ok_or_else(|| wrong(name, "has a value that is no text"));
    }
    match member("generator") {
        None => {}
        Some(Value::String(generator)) if generator == "secret" => return Ok(EnvVar::Secret),
        Some(other) => {
            let other = text(&other).unwrap_or_else(|| kind(&other).to_owned());
            return Err(wrong(name, &format!("has the generator '{}'; there is only 'secret'", shown(&other))));
        }
    }
    // It only tells people what the variable is for.
    let description = member("description").and_then(|value| text(&value)).unwrap_or_default();
    match member("required").map(|required| text(&required)) {
        None => Ok(EnvVar::Required { description }),
        Some(Some(required)) if required == "true" => Ok(EnvVar::Required { description }),
        Some(Some(required)) if required == "false" => Ok(EnvVar::Optional),
        Some(_) => Err(wrong(name, "has a 'required' that is neither true nor false")),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn process(name: &str) -> Result<ProcessType, InvalidAppJson> {
    name.parse().map_err(|error| InvalidAppJson(format!("formation: {error}")))
}

/// `{"quantity": 2}` (Heroku), or just `2`; one where nothing is said.
fn quantity(name: &str, value: &Value) -> Result<u32, InvalidAppJson> {
    let quantity = if value.is_object() { value.get("quantity") } else { Some(value) };
    match quantity {
        None | Some(Value::Null) => Ok(1),
        Some(quantity) => quantity.as_u64().and_then(|quantity| u32::try_from(quantity).ok()).ok_or_else(|| {
            InvalidAppJson(format!("formation.{name} asks for {quantity} instances; give a whole number from 0"))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_read() {
        let read = AppJson::parse(
            br#"{
                "name": "blog", "addons": ["heroku-postgresql"], "stack": "heroku-24",
                "env": {
                    "LEVEL": "info", "COUNT": 3, "WEB": {"value": "x", "required": true},
                    "KEY": {"generator": "secret"}, "MAIL": {"description": "where to"}, "MAYBE": {"required": false}
                },
                "formation": {"web": {"quantity": 2, "size": "standard-1x"}, "worker": 0, "clock": {}},
                "scripts": {"postdeploy": "seed", "dokku": {"predeploy": "migrate", "postdeploy": "warm"}},
                "buildpacks": [{"url": "heroku/nodejs"}, "python"]
            }"#,
        )
        .unwrap();
        let value = |text: &str| EnvVar::Value(text.to_owned());
        let env = [
            ("COUNT", value("3")),
            ("KEY", EnvVar::Secret),
            ("LEVEL", value("info")),
            ("MAIL", EnvVar::Required { description: "where to".to_owned() }),
            ("MAYBE", EnvVar::Optional),
            ("WEB", value("x")),
        ];
        assert_eq!(read.env, env.map(|(name, var)| (name.to_owned(), var)).into());
        let formation = read.formation.iter().map(|(process, count)| (process.as_str(), *count)).collect::<Vec<_>>();
        assert_eq!(formation, [("clock", 1), ("web", 2), ("worker", 0)]);
        let text = |text: &str| Some(text.to_owned());
        let scripts = Scripts { predeploy: text("migrate"), first_deploy: text("seed"), postdeploy: text("warm") };
        assert_eq!(read.scripts, scripts);
        assert_eq!(read.buildpacks, ["heroku/nodejs", "python"]);
        for nothing in ["{}", "", " \n", "\u{feff}{}", "\u{feff}{\r\n}\r\n"] {
            assert_eq!(AppJson::parse(nothing.as_bytes()), Ok(AppJson::default()), "{nothing:?}");
        }
    }

    #[test]
    fn members_that_are_null_ask_for_nothing() {
        for text in [
            r#"{"env": null, "formation": null, "scripts": null, "healthchecks": null, "buildpacks": null, "name": null}"#,
            r#"{"env": {"A": null}, "formation": {"web": null}, "healthchecks": {"web": null}, "buildpacks": [null]}"#,
            r#"{"scripts": {"predeploy": null, "postdeploy": null, "dokku": null}}"#,
            r#"{"scripts": {"dokku": {"predeploy": null, "postdeploy": null}}, "env": {}, "buildpacks": []}"#,
        ] {
            assert_eq!(AppJson::parse(text.as_bytes()), Ok(AppJson::default()), "{text}");
        }
        let nulls = r#"{"env": {"A": {"description": null, "value": null, "required": null, "generator": null}},
                        "formation": {"web": {"quantity": null}}}"#;
        let read = AppJson::parse(nulls.as_bytes()).unwrap();
        assert_eq!(read.env["A"], EnvVar::Required { description: String::new() });
        assert_eq!(read.formation.values().copied().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_another_program_keeps_there_is_passed_over_with_a_line() {
        let ignored = |text: &str| {
            let read = AppJson::parse(text.as_bytes()).unwrap();
            assert_eq!(AppJson { warnings: Vec::new(), ..read.clone() }, AppJson::default(), "{text}");
            read.warnings.join("\n")
        };
        let end = "ignored, as meant for another program.";
        assert_eq!(ignored(r#"{"env": "production"}"#), format!("app.json: env is a text and not an object: {end}"));
        assert_eq!(ignored("[]"), format!("app.json: the file is a list and not an object: {end}"));
        assert!(ignored("null").contains("the file is null"));
        for (text, place) in [
            (r#"{"env": ["A"]}"#, "env is a list"),
            (r#"{"formation": 2}"#, "formation is a number"),
            (r#"{"scripts": "build.sh"}"#, "scripts is a text"),
            (r#"{"scripts": {"dokku": true}}"#, "scripts.dokku is true or false"),
            (r#"{"healthchecks": []}"#, "healthchecks is a list"),
            (r#"{"buildpacks": true}"#, "buildpacks is true or false"),
            (r#"{"env": {"production": {"LEVEL": "info"}}}"#, "env.production has no value"),
        ] {
            assert!(ignored(text).contains(place), "{text}: {}", ignored(text));
        }
        assert_eq!(ignored(r#"{"expo": {"name": "x"}, "pages": ["a"], "scripts": {"test": ["y"]}}"#), "");
    }

    #[test]
    fn what_is_meant_is_taken() {
        let read = |text: &str| AppJson::parse(text.as_bytes()).unwrap();
        assert_eq!(read(r#"{"buildpacks": "heroku/python"}"#).buildpacks, ["heroku/python"]);
        assert_eq!(read(r#"{"buildpacks": {"url": "python"}}"#).buildpacks, ["python"]);
        let seed = read(r#"{"scripts": {"postdeploy": {"command": "seed", "size": "x"}}}"#);
        assert_eq!(seed.scripts.first_deploy.as_deref(), Some("seed"));
        assert_eq!(read(r#"{"env": {"A": {"required": "false"}}}"#).env["A"], EnvVar::Optional);
        assert!(matches!(read(r#"{"env": {"A": {"description": 5}}}"#).env["A"], EnvVar::Required { .. }));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |text: &str, expect: &str| {
            let error = AppJson::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("app.json: ") && error.contains(expect), "{error}");
        };
        check("{", "line 1 column 1");
        check("{\"env\": {}} x", "trailing characters");
        check(
            r#"{"scripts": {"predeploy": ["migrate"]}}"#,
            "scripts.predeploy is a list; write the command as one text",
        );
        check(r#"{"scripts": {"dokku": {"postdeploy": 5}}}"#, "scripts.dokku.postdeploy is a number");
        check(r#"{"env": {"X": {"required": "maybe"}}}"#, "neither true nor false");
        check(r#"{"env": {"2X": "y"}}"#, "env.2X is not a config key");
        check(r#"{"env": {"X": ["y"]}}"#, "env.X is neither");
        check(r#"{"env": {"X": {"generator": "uuid"}}}"#, "'uuid'");
        check(r#"{"env": {"X": {"value": {}}}}"#, "env.X has a value");
        check(r#"{"formation": {"a b": 1}}"#, "'a b' is not a process type");
        check(r#"{"formation": {"web": {"quantity": -1}}}"#, "formation.web asks for -1");
        check(r#"{"buildpacks": [{}]}"#, "buildpacks[0] names no buildpack");
        check(r#"{"buildpacks": ["python", 5]}"#, "buildpacks[1] names no buildpack");
    }
}
