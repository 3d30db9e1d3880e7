//! Runtimes: the version of a language that an app is built and run with.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

/// One language of a build whose version the app asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// The language, `node`.
    pub tool: String,
    /// The version that it was given, `24.1.0`; `None` for the stack's own.
    pub version: Option<String>,
    /// What was asked for, as it stood in the app's file. It means the same version until it changes.
    pub wish: String,
}

impl Runtime {
    /// What it is called in the store of runtimes, `node-24.1.0`; `None` for the stack's own, which is not kept there.
    pub fn archive(&self) -> Option<String> {
        Some(format!("{}-{}", self.tool, self.version.as_ref()?))
    }
}

/// Where runtimes are fetched from instead of where their publishers have them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeMirrors(BTreeMap<String, Url>);

impl RuntimeMirrors {
    /// What may have a mirror: the languages, and the npm registry, which has the tool that fetches them.
    pub const NAMES: [&str; 8] = ["go", "java", "node", "npm", "php", "python", "ruby", "rust"];

    /// The mirror of a language, without a slash at its end.
    pub fn of(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|url| url.as_str().trim_end_matches('/'))
    }
}

impl FromStr for RuntimeMirrors {
    type Err = String;

    /// Reads `node=https://mirror.example/node,python=https://mirror.example`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut mirrors = BTreeMap::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, url) = entry.split_once('=').ok_or_else(|| format!("'{entry}' is not NAME=URL"))?;
            if !Self::NAMES.contains(&name) {
                return Err(format!("'{name}' is none of {}", Self::NAMES.join(", ")));
            }
            let url = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            let url = url.filter(|url| url.query().is_none() && url.fragment().is_none());
            mirrors.insert(name.to_owned(), url.ok_or_else(|| format!("'{entry}' names no http or https address"))?);
        }
        Ok(Self(mirrors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_named_by_language() {
        let mirrors: RuntimeMirrors = "node=https://m.example/node/, python=http://10.0.0.1:81".parse().unwrap();
        assert_eq!(mirrors.of("node"), Some("https://m.example/node"));
        assert_eq!(mirrors.of("python"), Some("http://10.0.0.1:81"));
        assert_eq!(mirrors.of("go"), None);
        for bad in ["node", "perl=https://x", "node=ftp://x", "node=/x", "node=https://x/?a", "node=https://x/#a"] {
            assert!(bad.parse::<RuntimeMirrors>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_stacks_own_has_no_archive() {
        let runtime = |version: Option<&str>| Runtime {
            tool: "node".into(),
            version: version.map(str::to_owned),
            wish: ">=20".into(),
        };
        assert_eq!(runtime(Some("24.1.0")).archive().as_deref(), Some("node-24.1.0"));
        assert_eq!(runtime(None).archive(), None);
    }
}
