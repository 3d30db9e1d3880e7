//! Config: look at it, change it. Each change is a release.

use std::collections::BTreeMap;

use super::operations::Progress;
use super::{AppHandle, Error, Platform};
use crate::model::{Config, ConfigValue, Limits, OperationKind, Release, check_var};
use crate::release::{self, Change, Parts};
use crate::store::configs;

/// Name -> new value, or `None` to delete it.
pub type Changes = BTreeMap<String, Option<ConfigValue>>;

/// Longest value in bytes: what the kernel takes as one environment string.
const VALUE_MAX: usize = 128 * 1024 - 1;

/// What is laid over the config of the latest release. Maps that are not mentioned stay.
#[derive(Debug, Clone, Default)]
pub struct ConfigChange {
    /// Environment values.
    pub values: Changes,
    /// Memory limits per process type.
    pub memory: Changes,
    /// CPU shares per process type.
    pub cpu: Changes,
    /// Labels that a node must have to run the app.
    pub tags: Changes,
}

impl Platform {
    /// The config of the latest release.
    pub async fn config(&self, handle: &AppHandle) -> Result<Config, Error> {
        Ok(release::current(&self.0.store, handle.app().id).await?.config)
    }

    /// Changes config, cuts a release and, if the app has a build, rolls it out.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name or value, before anything happens; [`Error::DeployFailed`] when the instances do
    /// not come up with it: the old release goes on serving and the change is gone.
    pub async fn set_config(&self, handle: &AppHandle, change: ConfigChange) -> Result<(Config, Release), Error> {
        validate(&change)?;
        let (platform, handle) = (self.clone(), handle.clone());
        self.owned(async move {
            platform
                .change_release(OperationKind::Config, &handle, &Progress::none(), async |current, by| {
                    let old = &current.config;
                    let limits = Limits {
                        memory: merged(&old.limits.memory, &change.memory),
                        cpu: merged(&old.limits.cpu, &change.cpu),
                        tags: merged(&old.limits.tags, &change.tags),
                    };
                    let values = merged(&old.values, &change.values);
                    platform.check_config(handle.app(), (&values, &limits), (&old.values, &old.limits)).await?;
                    let (store, app) = (&platform.0.store, handle.app().id);
                    let id = configs::insert(store.pool(), store.sealer(), app, by.id, &values, &limits).await?;
                    let new = configs::get(store.pool(), store.sealer(), id).await?;
                    let summary = Change::Config { old, new: &new }.summary();
                    Ok((Parts { build: current.release.build_id, config: id }, summary))
                })
                .await
        })
        .await
        .map(|contents| (contents.config, contents.release))
    }
}

fn merged(old: &BTreeMap<String, ConfigValue>, changes: &Changes) -> BTreeMap<String, ConfigValue> {
    let mut new = old.clone();
    for (name, value) in changes {
        match value {
            Some(value) => new.insert(name.clone(), value.clone()),
            None => new.remove(name),
        };
    }
    new
}

fn validate(change: &ConfigChange) -> Result<(), Error> {
    for (name, value) in &change.values {
        if value.is_some() && !is_env_name(name) {
            let text = format!("'{name}' is not a config key: use letters, digits and _, not starting with a digit.");
            return Err(Error::invalid("values", text));
        }
        let text = value.as_ref().map(ToString::to_string).unwrap_or_default();
        if text.contains('\0') {
            return Err(Error::invalid("values", format!("The value of {name} contains a NUL character.")));
        }
        check_var(name, &text).map_err(|error| Error::invalid("values", error))?;
        if name.len() + 1 + text.len() > VALUE_MAX {
            return Err(Error::invalid("values", format!("The value of {name} is longer than {VALUE_MAX} bytes.")));
        }
    }
    validate_limits("memory", &change.memory, |text| {
        let digits = text.trim_end_matches(|c: char| "BKMGbkmg".contains(c));
        let is_valid = digits.len() + 1 == text.len() && digits.parse::<u64>().is_ok();
        is_valid.then_some(()).ok_or("Limit format: <number><unit>, where unit = B, K, M or G")
    })?;
    validate_limits("cpu", &change.cpu, |text| match text.parse::<u32>() {
        Ok(0..=1024) => Ok(()),
        Ok(_) => Err("CPU shares must be between 0 and 1024"),
        Err(_) => Err("CPU shares must be an integer"),
    })?;
    validate_tags(&change.tags)
}

fn validate_tags(changes: &Changes) -> Result<(), Error> {
    for (key, value) in changes {
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_lowercase()) {
            return Err(Error::invalid("tags", "Tag keys can only contain [a-z]"));
        }
        let Some(value) = value.as_ref().map(ToString::to_string) else { continue };
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(Error::invalid("tags", "Invalid tag value"));
        }
    }
    Ok(())
}

fn validate_limits(
    field: &'static str,
    changes: &Changes,
    check: impl Fn(&str) -> Result<(), &'static str>,
) -> Result<(), Error> {
    for (process, value) in changes {
        if !process.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(Error::invalid(field, "Process types can only contain [a-z]"));
        }
        if let Some(value) = value {
            check(&value.to_string()).map_err(|text| Error::invalid(field, text))?;
        }
    }
    Ok(())
}

fn is_env_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Option<ConfigValue> {
        Some(ConfigValue::Text(value.to_owned()))
    }

    #[test]
    fn names_and_values_are_checked() {
        let check = |name: &str, value: Option<ConfigValue>, is_valid: bool| {
            let change = ConfigChange { values: [(name.to_owned(), value)].into(), ..ConfigChange::default() };
            assert_eq!(validate(&change).is_ok(), is_valid, "{name}");
        };
        check("A_1", text("x y"), true);
        check("_a", text(""), true);
        check("1A", text("x"), false);
        check("", text("x"), false);
        check("A-B", text("x"), false);
        check("A B", None, true);
        check("A", text("a\0b"), false);
        check("HEALTHCHECK_URL", text("/up"), true);
        check("HEALTHCHECK_TIMEOUT", text("soon"), false);
        check("HEALTHCHECK_TIMEOUT", None, true);
        check("SLIPWAY_STRATEGY", text("stop-first"), true);
        check("SLIPWAY_STRATEGY", text("canary"), false);
        check("A", text(&"x".repeat(200_000)), false);
    }

    #[test]
    fn limits_are_checked() {
        let memory = |value: &str| {
            validate(&ConfigChange { memory: [("web".into(), text(value))].into(), ..Default::default() }).is_ok()
        };
        assert!(memory("64M") && memory("1g") && memory("0B"));
        assert!(!memory("64") && !memory("M") && !memory("1T") && !memory("-1M"));
        let cpu = |value: &str| {
            validate(&ConfigChange { cpu: [("web".into(), text(value))].into(), ..Default::default() }).is_ok()
        };
        assert!(cpu("0") && cpu("1024") && !cpu("1025") && !cpu("x") && !cpu("-1"));
    }

    #[test]
    fn changes_merge_over_the_old_map() {
        let old = [("A".to_owned(), ConfigValue::Integer(1)), ("B".to_owned(), ConfigValue::Integer(2))].into();
        let new = merged(&old, &[("A".to_owned(), None), ("C".to_owned(), Some(ConfigValue::Integer(3)))].into());
        assert_eq!(new.keys().collect::<Vec<_>>(), ["B", "C"]);
    }
}
