//! Log drains: where else an app's log goes.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::{AppId, InvalidTarget, LogDrainId, Target, Timestamp};

/// Longest address of a log drain, in bytes.
pub const DRAIN_URL_MAX: usize = 2048;

/// Schemes with their usual ports.
const SCHEMES: [(&str, u16); 4] = [("syslog", 514), ("syslog+tls", 6514), ("http", 80), ("https", 443)];

/// How lines are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainKind {
    /// Frames of RFC 5424 over TCP, each with its length before it (RFC 6587 §3.4.1).
    Syslog,
    /// The same over TLS (RFC 5425).
    SyslogTls,
    /// POSTs of many frames, as Heroku's logplex sends them, over HTTP or HTTPS.
    Http,
}

/// The address of a log drain. It may hold a password or a token, so neither `Debug` nor [`DrainUrl::shown`] print those.
#[derive(Clone, PartialEq, Eq)]
pub struct DrainUrl {
    url: Url,
    kind: DrainKind,
}

/// Why a text is not the address of a log drain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDrainUrl {
    /// No address at all, or one of another kind.
    #[error(
        "Write it like syslog://logs.example.com:514, syslog+tls://logs.example.com:6514 or https://user:secret@logs.example.com/path."
    )]
    Malformed,
    /// Longer than is kept.
    #[error("Ensure this field has no more than 2048 characters.")]
    TooLong,
    /// A login, path or query where syslog has no place for it.
    #[error("Syslog takes a host and a port only, as in syslog://logs.example.com:514.")]
    BesideHost,
}

impl DrainUrl {
    /// The whole address with what is secret in it, for storing and for sending.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// How lines go there.
    pub fn kind(&self) -> DrainKind {
        self.kind
    }

    /// Where it is.
    ///
    /// # Errors
    /// For addresses of earlier versions, which took hosts that are not written plainly.
    pub fn target(&self) -> Result<Target, InvalidTarget> {
        Target::parse(self.as_str(), &SCHEMES)
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, of the kind's own if none is named.
    pub fn port(&self) -> u16 {
        let usual = match self.kind {
            DrainKind::Syslog => 514,
            DrainKind::SyslogTls => 6514,
            DrainKind::Http => 443,
        };
        self.url.port_or_known_default().unwrap_or(usual)
    }

    /// The address as people may see it: `***` stands for a login and for what a query holds.
    pub fn shown(&self) -> String {
        let mut url = self.url.clone();
        if !url.username().is_empty() || url.password().is_some() {
            // Of an address with a host, which every one of these is, both can be set.
            let _set = (url.set_username("***"), url.set_password(None));
        }
        if url.query().is_some() {
            url.set_query(Some("***"));
        }
        url.to_string()
    }
}

impl FromStr for DrainUrl {
    type Err = InvalidDrainUrl;

    fn from_str(text: &str) -> Result<Self, InvalidDrainUrl> {
        if text.len() > DRAIN_URL_MAX {
            return Err(InvalidDrainUrl::TooLong);
        }
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(InvalidDrainUrl::Malformed);
        }
        let url = Url::parse(text).map_err(|_| InvalidDrainUrl::Malformed)?;
        let kind = match url.scheme() {
            "syslog" => DrainKind::Syslog,
            "syslog+tls" => DrainKind::SyslogTls,
            "http" | "https" => DrainKind::Http,
            _ => return Err(InvalidDrainUrl::Malformed),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidDrainUrl::Malformed)?;
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if !host.bytes().all(is_host) || url.port() == Some(0) {
            return Err(InvalidDrainUrl::Malformed);
        }
        let has_login = !url.username().is_empty() || url.password().is_some();
        let has_path = !matches!(url.path(), "" | "/") || url.query().is_some();
        if kind != DrainKind::Http && (has_login || has_path) || url.fragment().is_some() {
            return Err(InvalidDrainUrl::BesideHost);
        }
        Ok(Self { url, kind })
    }
}

impl fmt::Debug for DrainUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// Somewhere that an app's log goes, line by line.
#[derive(Debug, Clone)]
pub struct LogDrain {
    /// Stable identity.
    pub id: LogDrainId,
    /// Whose log.
    pub app_id: AppId,
    /// Where to.
    pub url: DrainUrl,
    /// Since when.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_their_secrets() {
        let check = |text: &str, kind: DrainKind, host: &str, port: u16, shown: &str| {
            let url: DrainUrl = text.parse().unwrap();
            assert_eq!((url.kind(), url.host(), url.port(), url.shown().as_str()), (kind, host, port, shown), "{text}");
            assert_eq!(url.as_str().parse::<DrainUrl>().unwrap(), url, "what is stored is read again");
            assert_eq!(format!("{url:?}"), shown);
        };
        check("syslog://logs.example.com", DrainKind::Syslog, "logs.example.com", 514, "syslog://logs.example.com");
        check("syslog://10.0.0.1:601", DrainKind::Syslog, "10.0.0.1", 601, "syslog://10.0.0.1:601");
        check("syslog+tls://[2001:db8::1]/", DrainKind::SyslogTls, "2001:db8::1", 6514, "syslog+tls://[2001:db8::1]/");
        check(
            "https://user:pass@example.com/a?token=b",
            DrainKind::Http,
            "example.com",
            443,
            "https://***@example.com/a?***",
        );
        check("http://:pass@example.com", DrainKind::Http, "example.com", 80, "http://***@example.com/");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "x", "logs.example.com:514", "ftp://example.com", "syslog:", "syslog://", "syslog:///x"] {
            assert_eq!(text.parse::<DrainUrl>().unwrap_err(), InvalidDrainUrl::Malformed, "{text}");
        }
        for text in ["https://", "syslog://a b", "syslog://a\n", "syslog://a:0", "syslog://a:99999", "syslog://%00"] {
            assert_eq!(text.parse::<DrainUrl>().unwrap_err(), InvalidDrainUrl::Malformed, "{text}");
        }
        for text in ["syslog://u:p@a", "syslog://a/path", "syslog+tls://a?x", "https://a/#x"] {
            assert_eq!(text.parse::<DrainUrl>().unwrap_err(), InvalidDrainUrl::BesideHost, "{text}");
        }
        let long = format!("https://example.com/{}", "a".repeat(DRAIN_URL_MAX));
        assert_eq!(long.parse::<DrainUrl>().unwrap_err(), InvalidDrainUrl::TooLong);
    }
}
