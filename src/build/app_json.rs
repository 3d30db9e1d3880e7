//! `app.json`: what an app asks of the platform that runs it.
//!
//! The format is Heroku's (<https://devcenter.heroku.com/articles/app-json-schema>), with Dokku's scripts
//! (<https://dokku.com/docs/advanced-usage/deployment-tasks/>), health checks and scheduled commands. Members that ask for nothing that Slipway has (`addons`,
//! `stack`, `image`, ...) are passed over, as other platforms do.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

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

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    env: BTreeMap<String, Value>,
    #[serde(default)]
    formation: BTreeMap<String, Value>,
    #[serde(default)]
    scripts: ScriptsMember,
    #[serde(default)]
    healthchecks: BTreeMap<String, Value>,
    #[serde(default)]
    buildpacks: Vec<Buildpack>,
    #[serde(default)]
    cron: Value,
}

#[derive(Default, Deserialize)]
struct ScriptsMember {
    predeploy: Option<String>,
    postdeploy: Option<String>,
    #[serde(default)]
    dokku: DokkuScripts,
}

#[derive(Default, Deserialize)]
struct DokkuScripts {
    predeploy: Option<String>,
    postdeploy: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Buildpack {
    Object { url: String },
    Text(String),
}

#[derive(Deserialize)]
struct EnvObject {
    #[serde(default)]
    description: String,
    value: Option<Value>,
    required: Option<bool>,
    generator: Option<String>,
}

impl AppJson {
    /// Reads the file.
    ///
    /// # Errors
    /// [`InvalidAppJson`] says which member is wrong, and how.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidAppJson> {
        let whole: Value = serde_json::from_slice(bytes).map_err(|error| InvalidAppJson(error.to_string()))?;
        if !whole.is_object() {
            return Err(InvalidAppJson("it is not a JSON object".to_owned()));
        }
        let file: File = serde_json::from_value(whole).map_err(|error| InvalidAppJson(error.to_string()))?;
        let env = file.env.into_iter().map(|(name, value)| Ok((name.clone(), env_var(&name, value)?)));
        let formation = file.formation.into_iter().map(|(name, value)| Ok((process(&name)?, quantity(&name, &value)?)));
        let ScriptsMember { predeploy, postdeploy, dokku } = file.scripts;
        let command = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Ok(Self {
            env: env.collect::<Result<_, _>>()?,
            formation: formation.collect::<Result<_, _>>()?,
            scripts: Scripts {
                predeploy: command(predeploy).or(command(dokku.predeploy)),
                first_deploy: command(postdeploy),
                postdeploy: command(dokku.postdeploy),
            },
            healthchecks: healthchecks::parse(&file.healthchecks)?,
            cron: cron::parse(&file.cron)?,
            buildpacks: file
                .buildpacks
                .into_iter()
                .map(|buildpack| match buildpack {
                    Buildpack::Object { url } => url,
                    Buildpack::Text(url) => url,
                })
                .collect(),
        })
    }
}

fn env_var(name: &str, value: Value) -> Result<EnvVar, InvalidAppJson> {
    let wrong = |problem: &str| InvalidAppJson(format!("env.{name} {problem}"));
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name {
        return Err(wrong("is not a config key: use letters, digits and _, not starting with a digit"));
    }
    if !value.is_object() {
        return text(&value).map(EnvVar::Value).ok_or_else(|| wrong("is neither a text nor an object"));
    }
    let object: EnvObject = serde_json::from_value(value).map_err(|error| wrong(&format!("is wrong: {error}")))?;
    if let Some(value) = object.value.filter(|value| !value.is_null()) {
        return text(&value).map(EnvVar::Value).ok_or_else(|| wrong("has a value that is no text"));
    }
    match object.generator.as_deref() {
        Some("secret") => Ok(EnvVar::Secret),
        Some(other) => Err(wrong(&format!("has the generator '{other}'; there is only 'secret'"))),
        None if object.required == Some(false) => Ok(EnvVar::Optional),
        None => Ok(EnvVar::Required { description: object.description }),
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
        None => Ok(1),
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
        assert_eq!(AppJson::parse(b"{}"), Ok(AppJson::default()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |text: &str, expect: &str| {
            let error = AppJson::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("app.json: ") && error.contains(expect), "{error}");
        };
        check("{", "line 1 column 1");
        check("[]", "not a JSON object");
        check(r#"{"env": {"2X": "y"}}"#, "env.2X is not a config key");
        check(r#"{"env": {"X": ["y"]}}"#, "env.X is neither");
        check(r#"{"env": {"X": {"generator": "uuid"}}}"#, "'uuid'");
        check(r#"{"env": {"X": {"value": {}}}}"#, "env.X has a value");
        check(r#"{"formation": {"a b": 1}}"#, "'a b' is not a process type");
        check(r#"{"formation": {"web": {"quantity": -1}}}"#, "formation.web asks for -1");
        check(r#"{"buildpacks": [{}]}"#, "Buildpack");
    }
}
