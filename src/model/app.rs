//! The app: what a tenant names, owns, pushes to and reaches under a host name.

use std::fmt;
use std::str::FromStr;

use super::{AppId, Timestamp, UserId, Username};

/// Longest app name: one DNS label (RFC 1035 §2.3.4).
pub const APP_NAME_MAX: usize = 63;

/// Names that would collide with hosts of the platform itself.
const RESERVED: [&str; 2] = ["deis", "slipway"];

/// An app's name: a DNS label of `[a-z0-9-]`, 1 to 63 characters, no hyphen at either end, not reserved.
///
/// The name is the host label of the app (`NAME.DOMAIN`), its repository (`NAME.git`) and part of engine names, so the
/// rule is that of RFC 1123 §2.1. A value of this type is safe in a path and in a host name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppName(String);

/// Why a text is not an app name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAppName {
    /// No characters at all.
    #[error("an app name may not be blank")]
    Blank,
    /// More than [`APP_NAME_MAX`] characters.
    #[error("an app name has no more than 63 characters")]
    TooLong,
    /// A character outside `[a-z0-9-]`.
    #[error("an app name contains only [a-z0-9-]")]
    Alphabet,
    /// A hyphen at an end.
    #[error("an app name starts and ends with a letter or digit")]
    Hyphen,
    /// The platform keeps this name for itself.
    #[error("this name is reserved")]
    Reserved,
}

impl AppName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppName {
    type Err = InvalidAppName;
    fn from_str(text: &str) -> Result<Self, InvalidAppName> {
        if text.is_empty() {
            return Err(InvalidAppName::Blank);
        }
        if !text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(InvalidAppName::Alphabet);
        }
        if text.len() > APP_NAME_MAX {
            return Err(InvalidAppName::TooLong);
        }
        if text.starts_with('-') || text.ends_with('-') {
            return Err(InvalidAppName::Hyphen);
        }
        if RESERVED.contains(&text) {
            return Err(InvalidAppName::Reserved);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a tenant owns: a name, config, releases and running instances.
#[derive(Debug, Clone)]
pub struct App {
    /// Stable identity.
    pub id: AppId,
    /// Host label and repository name.
    pub name: AppName,
    /// Who created it.
    pub owner_id: UserId,
    /// The owner's name, for display.
    pub owner: Username,
    /// Once true the app is on its way out: nothing may start in it again, and a restart finishes the destruction.
    pub is_destroying: bool,
    /// How often access to the app was taken from somebody. Streams, waiting pushes and caches belong to one epoch.
    pub epoch: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        let check = |text: &str, expect: Result<(), InvalidAppName>| {
            assert_eq!(text.parse::<AppName>().map(|_| ()), expect, "{text:?}");
        };
        check("hello", Ok(()));
        check("a", Ok(()));
        check("5", Ok(()));
        check(&"a".repeat(63), Ok(()));
        check(&"a".repeat(64), Err(InvalidAppName::TooLong));
        check("", Err(InvalidAppName::Blank));
        check("-x", Err(InvalidAppName::Hyphen));
        check("x-", Err(InvalidAppName::Hyphen));
        check("Hello", Err(InvalidAppName::Alphabet));
        check("a.b", Err(InvalidAppName::Alphabet));
        check("../a", Err(InvalidAppName::Alphabet));
        check("a\n", Err(InvalidAppName::Alphabet));
        check("deis", Err(InvalidAppName::Reserved));
        check("slipway", Err(InvalidAppName::Reserved));
    }
}
