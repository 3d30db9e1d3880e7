//! What a release says about itself, in Deis's words (spec §7).

use std::collections::BTreeMap;

use crate::model::{Config, ConfigValue, Username};

/// What makes a release differ from the one before it.
#[derive(Debug)]
pub enum Change<'a> {
    /// The app was created.
    Initial {
        /// The app's owner.
        by: &'a Username,
    },
    /// Another build.
    Build {
        /// Whoever built it.
        by: &'a Username,
        /// Short commit id or image reference.
        source: &'a str,
    },
    /// Another config.
    Config {
        /// The config before.
        old: &'a Config,
        /// The config from now on; its owner made the change.
        new: &'a Config,
    },
    /// The build and config of an earlier release.
    Rollback {
        /// Whoever asked for it.
        by: &'a Username,
        /// Which release came back.
        version: i64,
    },
    /// The same slug on a rebuilt run image.
    Rebase {
        /// Short commit id.
        source: &'a str,
        /// Name of the stack.
        stack: &'a str,
    },
}

impl Change<'_> {
    /// The summary line.
    pub fn summary(&self) -> String {
        match self {
            Self::Initial { by } => format!("{by} created initial release"),
            Self::Build { by, source } => format!("{by} deployed {source}"),
            Self::Rollback { by, version } => format!("{by} rolled back to v{version}"),
            Self::Rebase { source, stack } => format!("Slipway rebased {source} on the rebuilt stack {stack}"),
            Self::Config { old, new } => config_summary(old, new),
        }
    }
}

fn config_summary(old: &Config, new: &Config) -> String {
    let mut parts = Vec::new();
    let values = Diff::of(&old.values, &new.values);
    if !values.is_empty() {
        parts.push(values.text(""));
    }
    let limits: Vec<&str> =
        [("memory", old.limits.memory != new.limits.memory), ("cpu", old.limits.cpu != new.limits.cpu)]
            .into_iter()
            .filter_map(|(name, is_changed)| is_changed.then_some(name))
            .collect();
    if !limits.is_empty() {
        parts.push(format!("changed limits for {}", limits.join(", ")));
    }
    let tags = Diff::of(&old.limits.tags, &new.limits.tags);
    if !tags.is_empty() {
        parts.push(tags.text("tag "));
    }
    if parts.is_empty() {
        format!("{} changed nothing", new.owner)
    } else {
        format!("{} {}", new.owner, parts.join(" and "))
    }
}

/// Names that appeared, got another value, or went.
struct Diff<'a> {
    added: Vec<&'a str>,
    changed: Vec<&'a str>,
    deleted: Vec<&'a str>,
}

impl<'a> Diff<'a> {
    fn of(old: &'a BTreeMap<String, ConfigValue>, new: &'a BTreeMap<String, ConfigValue>) -> Self {
        let keys = |map: &'a BTreeMap<String, ConfigValue>, keep: &dyn Fn(&String, &ConfigValue) -> bool| {
            map.iter().filter(|(name, value)| keep(name, value)).map(|(name, _)| name.as_str()).collect()
        };
        Self {
            added: keys(new, &|name, _| !old.contains_key(name)),
            changed: keys(new, &|name, value| old.get(name).is_some_and(|before| before != value)),
            deleted: keys(old, &|name, _| !new.contains_key(name)),
        }
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.deleted.is_empty()
    }

    /// `added A, B, changed C, deleted D`, only the parts that apply; each verb followed by `noun`.
    fn text(&self, noun: &str) -> String {
        [("added", &self.added), ("changed", &self.changed), ("deleted", &self.deleted)]
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(verb, names)| format!("{verb} {noun}{}", names.join(", ")))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AppId, ConfigId, Limits, Timestamp, UserId};

    fn config(values: &[(&str, &str)], limits: Limits) -> Config {
        Config {
            id: ConfigId::new(),
            app_id: AppId::new(),
            owner_id: UserId::new(),
            owner: "bob".parse().unwrap(),
            values: values.iter().map(|(k, v)| ((*k).to_owned(), ConfigValue::Text((*v).to_owned()))).collect(),
            limits,
            created_at: Timestamp::now(),
        }
    }

    #[test]
    fn says_what_changed_as_deis_words_it() {
        let check = |old: &Config, new: &Config, expect: &str| {
            assert_eq!(Change::Config { old, new }.summary(), expect);
        };
        let none = || config(&[], Limits::default());
        check(&none(), &none(), "bob changed nothing");
        check(&none(), &config(&[("A", "1"), ("B", "2")], Limits::default()), "bob added A, B");
        check(
            &config(&[("C", "1"), ("D", "1")], Limits::default()),
            &config(&[("A", "1"), ("C", "2")], Limits::default()),
            "bob added A, changed C, deleted D",
        );
        let some = |name: &str| [(name.to_owned(), ConfigValue::Integer(1))].into();
        let limited = Limits { memory: some("web"), cpu: some("web"), tags: some("disk") };
        check(
            &none(),
            &config(&[("A", "1")], limited),
            "bob added A and changed limits for memory, cpu and added tag disk",
        );
    }

    #[test]
    fn other_changes() {
        let bob: Username = "bob".parse().unwrap();
        assert_eq!(Change::Initial { by: &bob }.summary(), "bob created initial release");
        assert_eq!(Change::Build { by: &bob, source: "abc1234" }.summary(), "bob deployed abc1234");
        assert_eq!(Change::Rollback { by: &bob, version: 3 }.summary(), "bob rolled back to v3");
        let rebase = Change::Rebase { source: "abc1234", stack: "slipway-12" };
        assert_eq!(rebase.summary(), "Slipway rebased abc1234 on the rebuilt stack slipway-12");
    }
}
