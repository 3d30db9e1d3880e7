//! Routing settings: how the router treats an app's requests. They are the app's, not a release's.

use std::fmt;
use std::str::FromStr;

use super::build::words;

/// Most bytes of a maintenance page: a page with its style, not a site.
pub const MAINTENANCE_PAGE_MAX: usize = 64 << 10;

/// What a request by plain HTTP gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpsMode {
    /// The app's answer.
    Optional,
    /// The way to the same address by HTTPS.
    Redirect,
}

words!(HttpsMode, "https mode", Optional = "optional", Redirect = "redirect");

/// How the router treats an app's requests. [`Default`] gives the values named with each field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// Whether every request is answered 503 in place of the app. No.
    pub maintenance: bool,
    /// HTML shown meanwhile; `None` shows Slipway's own page, which is the default.
    pub maintenance_page: Option<String>,
    /// What plain HTTP gets. The app's answer.
    pub https: HttpsMode,
    /// For how long browsers are told to use HTTPS only (RFC 6797); 0 says nothing, the default. At most two years.
    pub hsts_seconds: u32,
    /// Whether that holds for the names below, too. No.
    pub hsts_subdomains: bool,
    /// Whether a client stays with the instance that answered it first. No.
    pub sticky: bool,
    /// Largest body of a request. 1 GiB; 1 KiB to 1 TiB.
    pub max_body_bytes: u64,
    /// From the request's last byte to the head of the response. 60; 1 to an hour.
    pub request_timeout_seconds: u32,
    /// Between two pieces of a body, in either direction. 300, so that a quiet event stream lives; 1 to a day.
    pub idle_timeout_seconds: u32,
    /// Requests at once, upgraded connections (websockets) included. 4096; 1 to 100000.
    pub max_connections: u32,
    /// Whether each request leaves a line in the app's log. Yes.
    pub access_log: bool,
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            maintenance: false,
            maintenance_page: None,
            https: HttpsMode::Optional,
            hsts_seconds: 0,
            hsts_subdomains: false,
            sticky: false,
            max_body_bytes: 1 << 30,
            request_timeout_seconds: 60,
            idle_timeout_seconds: 300,
            max_connections: 4096,
            access_log: true,
        }
    }
}

/// One of the settings of [`Routing`], by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoutingField {
    /// [`Routing::maintenance`]
    Maintenance,
    /// [`Routing::maintenance_page`]
    MaintenancePage,
    /// [`Routing::https`]
    Https,
    /// [`Routing::hsts_seconds`]
    HstsSeconds,
    /// [`Routing::hsts_subdomains`]
    HstsSubdomains,
    /// [`Routing::sticky`]
    Sticky,
    /// [`Routing::max_body_bytes`]
    MaxBodyBytes,
    /// [`Routing::request_timeout_seconds`]
    RequestTimeoutSeconds,
    /// [`Routing::idle_timeout_seconds`]
    IdleTimeoutSeconds,
    /// [`Routing::max_connections`]
    MaxConnections,
    /// [`Routing::access_log`]
    AccessLog,
}

words!(
    RoutingField,
    "routing setting",
    Maintenance = "maintenance",
    MaintenancePage = "maintenance_page",
    Https = "https",
    HstsSeconds = "hsts_seconds",
    HstsSubdomains = "hsts_subdomains",
    Sticky = "sticky",
    MaxBodyBytes = "max_body_bytes",
    RequestTimeoutSeconds = "request_timeout_seconds",
    IdleTimeoutSeconds = "idle_timeout_seconds",
    MaxConnections = "max_connections",
    AccessLog = "access_log",
);

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoutingRule {
    /// `true` or `false`.
    Flag,
    /// A whole number within these bounds.
    Number {
        /// Smallest.
        least: u64,
        /// Largest.
        most: u64,
    },
    /// `optional` or `redirect`.
    Https,
    /// Text of at least one and at most so many bytes, without NUL.
    Text {
        /// Most bytes.
        most: usize,
    },
}

impl fmt::Display for RoutingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("true or false"),
            Self::Number { least, most } => write!(f, "a whole number from {least} to {most}"),
            Self::Https => write!(f, "'{}' or '{}'", HttpsMode::Optional, HttpsMode::Redirect),
            Self::Text { most } => write!(f, "text of 1 to {most} bytes without NUL"),
        }
    }
}

/// A value that a setting does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} cannot be {shown}: it takes {}, or null for the default", .field.rule())]
pub struct InvalidRouting {
    /// Which setting.
    pub field: RoutingField,
    /// The value, or how long it is.
    pub shown: String,
}

impl RoutingField {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::Maintenance,
        Self::MaintenancePage,
        Self::Https,
        Self::HstsSeconds,
        Self::HstsSubdomains,
        Self::Sticky,
        Self::MaxBodyBytes,
        Self::RequestTimeoutSeconds,
        Self::IdleTimeoutSeconds,
        Self::MaxConnections,
        Self::AccessLog,
    ];

    /// What it takes.
    pub fn rule(self) -> RoutingRule {
        let number = |least, most| RoutingRule::Number { least, most };
        match self {
            Self::Maintenance | Self::HstsSubdomains | Self::Sticky | Self::AccessLog => RoutingRule::Flag,
            Self::MaintenancePage => RoutingRule::Text { most: MAINTENANCE_PAGE_MAX },
            Self::Https => RoutingRule::Https,
            Self::HstsSeconds => number(0, 2 * 365 * 24 * 3600),
            Self::MaxBodyBytes => number(1 << 10, 1 << 40),
            Self::RequestTimeoutSeconds => number(1, 3600),
            Self::IdleTimeoutSeconds => number(1, 24 * 3600),
            Self::MaxConnections => number(1, 100_000),
        }
    }

    fn number<T: TryFrom<u64>>(self, text: &str) -> Option<T> {
        let RoutingRule::Number { least, most } = self.rule() else { return None };
        // Digits alone: the parser would take a sign as well.
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = text.parse().ok().filter(|number| is_plain && (least..=most).contains(number))?;
        T::try_from(number).ok()
    }
}

impl Routing {
    /// Sets one of them from text, as it is stored; all others stay.
    ///
    /// # Errors
    /// When the field's [`rule`](RoutingField::rule) does not take the value; nothing is changed then.
    pub fn set(&mut self, field: RoutingField, text: &str) -> Result<(), InvalidRouting> {
        use RoutingField as F;
        let is_taken = match field {
            F::Maintenance => put(&mut self.maintenance, text.parse().ok()),
            F::MaintenancePage => put(&mut self.maintenance_page, page(text).map(Some)),
            F::Https => put(&mut self.https, HttpsMode::from_str(text).ok()),
            F::HstsSeconds => put(&mut self.hsts_seconds, field.number(text)),
            F::HstsSubdomains => put(&mut self.hsts_subdomains, text.parse().ok()),
            F::Sticky => put(&mut self.sticky, text.parse().ok()),
            F::MaxBodyBytes => put(&mut self.max_body_bytes, field.number(text)),
            F::RequestTimeoutSeconds => put(&mut self.request_timeout_seconds, field.number(text)),
            F::IdleTimeoutSeconds => put(&mut self.idle_timeout_seconds, field.number(text)),
            F::MaxConnections => put(&mut self.max_connections, field.number(text)),
            F::AccessLog => put(&mut self.access_log, text.parse().ok()),
        };
        if is_taken { Ok(()) } else { Err(InvalidRouting::new(field, text)) }
    }
}

impl InvalidRouting {
    /// For a value as people wrote it; a long one is told by its length.
    pub fn new(field: RoutingField, text: &str) -> Self {
        let shown = match text.len() {
            0..=100 => format!("'{}'", text.escape_debug()),
            bytes => format!("a text of {bytes} bytes"),
        };
        Self { field, shown }
    }
}

fn put<T>(place: &mut T, value: Option<T>) -> bool {
    value.map(|value| *place = value).is_some()
}

fn page(text: &str) -> Option<String> {
    let is_page = (1..=MAINTENANCE_PAGE_MAX).contains(&text.len()) && !text.contains('\0');
    is_page.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_takes_what_its_rule_says_and_nothing_else() {
        let check = |field: RoutingField, text: &str, is_taken: bool| {
            let mut routing = Routing::default();
            assert_eq!(routing.set(field, text).is_ok(), is_taken, "{field} {text:?}");
            assert!(is_taken || routing == Routing::default(), "{field} {text:?} left a trace");
        };
        for field in RoutingField::ALL {
            assert_eq!(field.as_str().parse(), Ok(field));
            for bad in ["", "\0", "nonsense\0"] {
                check(field, bad, false);
            }
            match field.rule() {
                RoutingRule::Flag => {
                    for (text, is_taken) in [("true", true), ("false", true), ("1", false), ("True", false)] {
                        check(field, text, is_taken);
                    }
                }
                RoutingRule::Number { least, most } => {
                    for (number, is_taken) in [(least, true), (most, true), (most + 1, false)] {
                        check(field, &number.to_string(), is_taken);
                    }
                    for bad in ["-1", "+5", "5 ", "1.5", "99999999999999999999999"] {
                        check(field, bad, false);
                    }
                    if least > 0 {
                        check(field, &(least - 1).to_string(), false);
                    }
                }
                RoutingRule::Https => {
                    for (text, is_taken) in [("optional", true), ("redirect", true), ("Redirect", false)] {
                        check(field, text, is_taken);
                    }
                }
                RoutingRule::Text { most } => {
                    check(field, &"x".repeat(most), true);
                    check(field, &"x".repeat(most + 1), false);
                }
            }
        }
    }

    #[test]
    fn a_refusal_names_field_value_and_bounds() {
        let refusal = |field: RoutingField, text: &str| Routing::default().set(field, text).unwrap_err().to_string();
        assert_eq!(
            refusal(RoutingField::RequestTimeoutSeconds, "0"),
            "request_timeout_seconds cannot be '0': it takes a whole number from 1 to 3600, or null for the default"
        );
        assert_eq!(
            refusal(RoutingField::Https, "always"),
            "https cannot be 'always': it takes 'optional' or 'redirect', or null for the default"
        );
        let long = refusal(RoutingField::MaintenancePage, &"x".repeat(70_000));
        assert!(long.contains("a text of 70000 bytes") && long.contains("1 to 65536 bytes"), "{long}");
    }
}
