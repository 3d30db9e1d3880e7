//! What `app.json` asks for around a deploy: config vars that have to be there, the first formation, scripts.

use super::super::operations::Progress;
use super::super::{AppHandle, Error, Platform};
use crate::build::{AppJson, EnvVar};
use crate::model::{Build, Config, ConfigValue, ConfigVars, Formation, ProcessType, Procfile};
use crate::store::{configs, random_hex};

/// Bytes of a generated secret; it is written as 64 hex digits, as Heroku does.
const SECRET_BYTES: usize = 32;

impl Platform {
    /// The config that a push builds and runs with: the present one, and what `app.json` asks for and it lacks.
    ///
    /// A config that is new is stored; it counts with the release, and goes with a push that comes to nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] names what somebody has to set before the push can be taken.
    pub(super) async fn wanted_config(
        &self,
        handle: &AppHandle,
        wishes: &AppJson,
        out: &Progress,
    ) -> Result<Config, Error> {
        let config = self.config(handle).await?;
        let added = missing(wishes, &config.values, || random_hex(SECRET_BYTES)).map_err(Error::DeployFailed)?;
        if added.is_empty() {
            return Ok(config);
        }
        let names = added.keys().cloned().collect::<Vec<_>>().join(", ");
        out.line("-----> Setting config vars that app.json asks for");
        out.line(&format!("       {names}"));
        let (store, app, by) = (&self.0.store, handle.app().id, handle.user().id);
        let values = config.values.iter().map(|(name, value)| (name.clone(), value.clone())).chain(added).collect();
        self.check_config(handle.app(), (&values, &config.limits), (&config.values, &config.limits)).await?;
        let id = configs::insert(store.pool(), store.sealer(), app, by, &values, &config.limits).await?;
        Ok(configs::get(store.pool(), store.sealer(), id).await?)
    }
}

/// What has to be added to `present`.
///
/// # Errors
/// The lines of a refusal.
fn missing(wishes: &AppJson, present: &ConfigVars, secret: impl Fn() -> String) -> Result<ConfigVars, Vec<String>> {
    let (mut added, mut unset) = (ConfigVars::new(), Vec::new());
    for (name, var) in wishes.env.iter().filter(|(name, _)| !present.contains_key(*name)) {
        match var {
            EnvVar::Value(value) => _ = added.insert(name.clone(), ConfigValue::Text(value.clone())),
            EnvVar::Secret => _ = added.insert(name.clone(), ConfigValue::Text(secret())),
            EnvVar::Required { description } => unset.push((name, description)),
            EnvVar::Optional => {}
        }
    }
    if unset.is_empty() {
        return Ok(added);
    }
    let names = unset.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
    let mut lines = vec![format!("app.json requires config vars that are not set: {}", names.join(", "))];
    let told = unset.iter().filter(|(_, description)| !description.is_empty());
    lines.extend(told.map(|(name, description)| format!("{name}: {}", description.replace(['\n', '\r'], " "))));
    lines.push(format!("Set them, for example with 'deis config:set {}=...', and push again.", names.join("=... ")));
    Err(lines)
}

/// The counts that a first deploy begins with: those that `app.json` gives to types that the build has.
pub(super) fn first_formation(wishes: &AppJson, build: &Build) -> Formation {
    let known = wishes.formation.iter().filter(|(process, _)| build.has_process(process));
    Formation(known.map(|(process, count)| (process.clone(), *count)).collect())
}

/// Lines for the pusher about process types that ran and that the new build does not have: most often they were renamed.
pub(super) fn ended_types(ended: &Formation, formation: &Formation, procfile: &Procfile) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (process, count) in &ended.0 {
        let (instances, place) = match count {
            1 => ("instance ends".to_owned(), "its"),
            _ => (format!("{count} instances end"), "their"),
        };
        lines.push(format!(
            "This build has no process type '{process}' any more: its {instances} with this release, and nothing takes {place} place."
        ));
    }
    let runs = |process: &ProcessType| formation.0.get(process).is_some_and(|count| *count > 0);
    // What runs once for each release is not scaled.
    let waits = |process: &&ProcessType| !runs(process) && process.as_str() != "release";
    let waiting: Vec<&str> =
        procfile.iter().map(|(process, _)| process).filter(waits).map(ProcessType::as_str).collect();
    if let Some(count) = ended.0.values().max().filter(|_| !waiting.is_empty()) {
        let asked = waiting.iter().map(|process| format!("{process}={count}")).collect::<Vec<_>>().join(" ");
        lines.push(format!("No instance runs of {}. To start some, type: deis scale {asked}", waiting.join(", ")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(json: &str) -> AppJson {
        AppJson::parse(json.as_bytes()).unwrap()
    }

    #[test]
    fn only_what_is_missing_is_added() {
        let wishes = wishes(r#"{"env": {"A": "1", "B": "2", "K": {"generator": "secret"}, "O": {"required": false}}}"#);
        let present = ConfigVars::from([("A".to_owned(), ConfigValue::Text("mine".to_owned()))]);
        let added = missing(&wishes, &present, || "random".to_owned()).unwrap();
        let added: Vec<String> = added.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(added, ["B=2", "K=random"]);
    }

    #[test]
    fn what_somebody_has_to_set_is_named_with_what_to_type() {
        let wishes =
            wishes(r#"{"env": {"URL": {"description": "of the\nshop"}, "TOKEN": {"required": true}, "A": "1"}}"#);
        let lines = missing(&wishes, &ConfigVars::new(), String::new).unwrap_err();
        assert_eq!(
            lines,
            [
                "app.json requires config vars that are not set: TOKEN, URL",
                "URL: of the shop",
                "Set them, for example with 'deis config:set TOKEN=... URL=...', and push again.",
            ]
        );
    }

    #[test]
    fn types_that_are_gone_are_named_with_those_that_wait() {
        let formation = |entries: &[(&str, u32)]| {
            Formation(entries.iter().map(|(process, count)| (process.parse().unwrap(), *count)).collect())
        };
        let procfile = Procfile::parse(b"web: a\njobs: b\nclock: c\nrelease: d\n").unwrap();
        let runs = formation(&[("web", 1), ("jobs", 0)]);
        assert_eq!(ended_types(&formation(&[]), &runs, &procfile), [""; 0]);
        assert_eq!(
            ended_types(&formation(&[("worker", 2)]), &runs, &procfile),
            [
                "This build has no process type 'worker' any more: its 2 instances end with this release, and nothing takes \
                 their place.",
                "No instance runs of clock, jobs. To start some, type: deis scale clock=2 jobs=2",
            ]
        );
        let only = Procfile::parse(b"web: a\n").unwrap();
        let lines = ended_types(&formation(&[("worker", 1)]), &runs, &only);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("its instance ends with this release, and nothing takes its place"), "{lines:?}");
    }
}
