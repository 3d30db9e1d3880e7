//! Config: the immutable snapshot of values and limits that a release carries.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{AppId, ConfigId, Timestamp, UserId, Username};

/// One config value. Numbers and booleans keep their JSON type; instances see their text.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ConfigValue {
    /// `true`, `false`
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Text, whatever characters it has but NUL.
    Text(String),
}

impl fmt::Display for ConfigValue {
    /// The environment text of the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
        }
    }
}

impl fmt::Debug for ConfigValue {
    /// Prints no content: values are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<config value>")
    }
}

/// Name -> value.
pub type ConfigVars = BTreeMap<String, ConfigValue>;

/// Config vars that hold the app's login at the registry of its images. They are for Slipway alone, no container has them.
pub const REGISTRY_USERNAME: &str = "SLIPWAY_REGISTRY_USERNAME";
/// The password beside [`REGISTRY_USERNAME`].
pub const REGISTRY_PASSWORD: &str = "SLIPWAY_REGISTRY_PASSWORD";

/// The variables that containers get, as text: all but the login at the registry.
pub fn for_containers(values: &ConfigVars) -> impl Iterator<Item = (String, String)> {
    let is_for_slipway = |name: &str| [REGISTRY_USERNAME, REGISTRY_PASSWORD].contains(&name);
    let values = values.iter().filter(move |(name, _)| !is_for_slipway(name));
    values.map(|(name, value)| (name.clone(), value.to_string()))
}

/// Limits per process type, by name of the type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// `<number><unit>` with a unit of B, K, M or G.
    pub memory: BTreeMap<String, ConfigValue>,
    /// Relative CPU shares, 0 to 1024.
    pub cpu: BTreeMap<String, ConfigValue>,
    /// What a node must be labelled with to run the app.
    pub tags: BTreeMap<String, ConfigValue>,
}

impl Limits {
    /// The memory limit of a process type in bytes; `None` when there is none or it is zero.
    pub fn memory_bytes(&self, process: &str) -> Option<i64> {
        let text = self.memory.get(process)?.to_string();
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match text.get(digits.len()..)?.to_ascii_uppercase().as_str() {
            "" | "B" => 1,
            "K" => 1 << 10,
            "M" => 1 << 20,
            "G" => 1 << 30,
            _ => return None,
        };
        digits.parse::<i64>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0)
    }

    /// The relative CPU weight of a process type; `None` when there is none or it is zero.
    pub fn cpu_shares(&self, process: &str) -> Option<i64> {
        self.cpu.get(process)?.to_string().parse().ok().filter(|shares| *shares > 0)
    }
}

/// An immutable snapshot; every change makes another one.
#[derive(Debug, Clone)]
pub struct Config {
    /// Stable identity.
    pub id: ConfigId,
    /// Whose config.
    pub app_id: AppId,
    /// Who made it.
    pub owner_id: UserId,
    /// The maker's name, for display.
    pub owner: Username,
    /// The environment of every instance.
    pub values: ConfigVars,
    /// What bounds instances.
    pub limits: Limits,
    /// When it was made.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_type_and_hide_from_debug() {
        let vars: ConfigVars = serde_json::from_str(r#"{"A":"x","N":10,"F":1.5,"B":true}"#).unwrap();
        assert_eq!(serde_json::to_string(&vars).unwrap(), r#"{"A":"x","B":true,"F":1.5,"N":10}"#);
        assert!(!format!("{vars:?}").contains('x'));
        assert_eq!(vars["F"].to_string(), "1.5");
    }

    #[test]
    fn limits_read_units() {
        let memory = |text: &str| {
            let limits =
                Limits { memory: [("web".to_owned(), ConfigValue::Text(text.to_owned()))].into(), ..Limits::default() };
            limits.memory_bytes("web")
        };
        assert_eq!(memory("64M"), Some(64 << 20));
        assert_eq!(memory("1g"), Some(1 << 30));
        assert_eq!(memory("512"), Some(512));
        assert_eq!(memory("0M"), None);
        assert_eq!(memory("x"), None);
        assert_eq!(memory("9999999999999999G"), None);
    }
}
