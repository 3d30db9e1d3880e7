//! Time zones of scheduled commands.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;

/// Longest name that is looked up, in bytes.
const NAME_MAX: usize = 60;

/// A time zone of the IANA database, as it was when this program was built: the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// The text names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a time zone; give a name of the IANA database, such as UTC or Europe/Berlin")]
pub struct InvalidZone(String);

impl Zone {
    /// The name, in the database's own case.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    pub(super) fn rules(&self) -> &TimeZone {
        &self.rules
    }
}

impl Default for Zone {
    /// UTC.
    fn default() -> Self {
        Self { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }
}

impl FromStr for Zone {
    type Err = InvalidZone;

    fn from_str(text: &str) -> Result<Self, InvalidZone> {
        let invalid = || InvalidZone(text.chars().take(NAME_MAX).collect::<String>().escape_debug().collect());
        if text.is_empty() || text.len() > NAME_MAX {
            return Err(invalid());
        }
        let rules = TimeZone::get(text).map_err(|_| invalid())?;
        let name = rules.iana_name().ok_or_else(invalid)?.to_owned();
        Ok(Self { name, rules })
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_database_are_zones() {
        let check = |text: &str, expect: Option<&str>| {
            let name = text.parse::<Zone>().ok().map(|zone| zone.to_string());
            assert_eq!(name.as_deref(), expect, "{text}");
        };
        check("UTC", Some("UTC"));
        check("Europe/Berlin", Some("Europe/Berlin"));
        check("europe/berlin", Some("Europe/Berlin"));
        check("America/Argentina/Buenos_Aires", Some("America/Argentina/Buenos_Aires"));
        check("", None);
        check("Mars/Olympus", None);
        check("CET-1CEST", None);
        check("../../etc/passwd", None);
        check("/etc/localtime", None);
        check("+02:00", None);
        check(&"x".repeat(100), None);
        assert_eq!("UTC".parse(), Ok(Zone::default()));
    }
}
