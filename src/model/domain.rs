//! Domains: host names that people attach to their apps.

mod typed;

use std::fmt;
use std::str::FromStr;

use super::{AppId, Timestamp, Username};

/// Longest host name (RFC 1035 §2.3.4), written without the final dot.
pub(super) const HOST_MAX: usize = 253;
/// Where Deis begins to call a host name too long (spec §11).
const DEIS_MAX: usize = 255;
/// Longest label (RFC 1035 §2.3.4).
const LABEL_MAX: usize = 63;

/// A host name of at least two labels, or a wildcard `*.example.com` below one: lower case, without a final dot.
///
/// A label has 1 to 63 letters, digits and hyphens, with no hyphen at its ends (RFC 1123 §2.1); names in other scripts
/// come as punycode (`xn--...`). A wildcard stands for exactly one label, as in certificates (RFC 6125 §6.4.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainName(String);

/// Why a text is not a domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDomainName {
    /// No characters at all.
    #[error("a domain may not be blank")]
    Blank,
    /// Longer than a host name can be.
    #[error("a domain has no more than 255 characters")]
    TooLong,
    /// Not a host name.
    #[error("a domain is made of labels of letters, digits and hyphens, as in www.example.com")]
    Malformed,
    /// One label only, like `localhost`.
    #[error("a domain has at least two labels, as in www.example.com")]
    SingleLabel,
    /// An IP address, or a name that ends in a number and could be read as one.
    #[error("an IP address cannot be a domain")]
    Address,
    /// An asterisk anywhere but as the whole first label.
    #[error("a wildcard is a whole first label, as in *.example.com")]
    Wildcard,
    /// An underscore, which names of services and records have, and host names do not.
    #[error("a host name has no underscores: take a name with a hyphen instead, as in my-shop.example.com")]
    Underscore,
    /// More than one name.
    #[error("this is more than one domain: add each by itself, as in www.example.com")]
    Several,
    /// More than a host name, as in a URL.
    #[error("a domain has no {what}: write {name}")]
    Part {
        /// What a domain does not have.
        what: &'static str,
        /// The domain without it.
        name: String,
    },
}

impl DomainName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a wildcard stands below: `example.com` for `*.example.com`, nothing for a plain name.
    pub fn below(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }

    /// The wildcard that would match this plain name; `None` where no wildcard can, and for a wildcard.
    pub fn wildcard(&self) -> Option<Self> {
        let parent = parent(&self.0).filter(|_| self.below().is_none())?;
        format!("*.{parent}").parse().ok()
    }

    /// Whether the name is one of the platform at `domain`, or a wildcard that would match one: the domain itself and all
    /// below it. `domain` is in lower case.
    pub fn is_of_platform(&self, domain: &str) -> bool {
        let host = self.below().unwrap_or(&self.0);
        let is_below = host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        is_below || self.below().is_some_and(|below| parent(domain) == Some(below))
    }
}

/// The name without its first label; `None` for a single label.
pub fn parent(host: &str) -> Option<&str> {
    host.split_once('.').map(|(_, parent)| parent)
}

/// Whether every label of `host`, which is in lower case, may be one of a host name.
pub(super) fn has_host_labels(host: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    host.split('.').all(|label| {
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(is_allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

impl FromStr for DomainName {
    type Err = InvalidDomainName;

    fn from_str(text: &str) -> Result<Self, InvalidDomainName> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let host = name.strip_prefix("*.").unwrap_or(&name);
        if text.is_empty() {
            return Err(InvalidDomainName::Blank);
        }
        if name.len() > DEIS_MAX {
            return Err(InvalidDomainName::TooLong);
        }
        if host.contains('*') {
            return Err(InvalidDomainName::Wildcard);
        }
        let unbracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if unbracketed.parse::<std::net::IpAddr>().is_ok() {
            return Err(InvalidDomainName::Address);
        }
        if has_host_labels(&host.replace('_', "x")) && host.contains('_') {
            return Err(InvalidDomainName::Underscore);
        }
        if name.len() > HOST_MAX || !has_host_labels(host) {
            return Err(InvalidDomainName::Malformed);
        }
        let last = host.rsplit('.').next().unwrap_or(host);
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidDomainName::Address);
        }
        if last.len() == host.len() {
            return Err(InvalidDomainName::SingleLabel);
        }
        Ok(Self(name))
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host name at which an app answers beside its own. On one server it belongs to one app.
#[derive(Debug, Clone)]
pub struct Domain {
    /// The name.
    pub name: DomainName,
    /// Whose domain.
    pub app_id: AppId,
    /// Who added it, for display; the app's owner once that account is gone.
    pub owner: Username,
    /// When it was added.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names_of_two_labels_or_wildcards_below_them() {
        use InvalidDomainName as E;
        let check = |text: &str, expect: Result<&str, E>| {
            let parsed = text.parse::<DomainName>();
            assert_eq!(parsed.as_ref().map(DomainName::as_str), expect.as_ref().copied(), "{text:?}");
        };
        check("www.example.com", Ok("www.example.com"));
        check("WWW.Example.COM", Ok("www.example.com"));
        check("www.example.com.", Ok("www.example.com"));
        check("example.com", Ok("example.com"));
        check("123.com", Ok("123.com"));
        check("1.2.3.4.example", Ok("1.2.3.4.example"));
        check("a--b.example.com", Ok("a--b.example.com"));
        check("xn--bcher-kva.example", Ok("xn--bcher-kva.example"));
        check("x.xn--p1ai", Ok("x.xn--p1ai"));
        check("*.Example.com", Ok("*.example.com"));
        check("*.a.example.com.", Ok("*.a.example.com"));
        check("", Err(E::Blank));
        for bad in [".", "..", "www..example.com", ".example.com", "www.example.com..", "a b.example.com"] {
            check(bad, Err(E::Malformed));
        }
        for bad in ["-a.example.com", "a-.example.com", "bücher.example", "a.example.com:80", "http://a.example.com/"]
        {
            check(bad, Err(E::Malformed));
        }
        for bad in ["a.example.com\n", " a.example.com", "a.exam\0ple.com", "a%2eb.example.com", "*..com"] {
            check(bad, Err(E::Malformed));
        }
        check("a_b.example.com", Err(E::Underscore));
        for bad in ["localhost", "localhost.", "*.com", "com"] {
            check(bad, Err(E::SingleLabel));
        }
        for bad in ["127.0.0.1", "1.2", "5", "www.example.5", "::1", "2001:db8::1", "*.0.0.1"] {
            check(bad, Err(E::Address));
        }
        for bad in
            ["*", "*.", "**.example.com", "*.*.example.com", "a.*.example.com", "*a.example.com", "a*.example.com"]
        {
            check(bad, Err(E::Wildcard));
        }
        let label = "a".repeat(63);
        check(&format!("{label}.com"), Ok(&format!("{label}.com")));
        check(&format!("a{label}.com"), Err(E::Malformed));
        let longest = format!("{label}.{label}.{label}.{}", &label[..61]);
        check(&longest, Ok(&longest));
        check(&format!("{longest}."), Ok(&longest));
        check(&format!("a.{}", &longest[1..]), Err(E::Malformed));
        check(&format!("{longest}.com"), Err(E::TooLong));
    }

    #[test]
    fn a_wildcard_matches_one_label() {
        let wildcard = |text: &str| text.parse::<DomainName>().unwrap().wildcard().map(|name| name.to_string());
        assert_eq!(wildcard("www.example.com").as_deref(), Some("*.example.com"));
        assert_eq!(wildcard("a.b.example.com").as_deref(), Some("*.b.example.com"));
        assert_eq!(wildcard("example.com"), None, "*.com is no domain");
        assert_eq!(wildcard("*.example.com"), None);
    }

    #[test]
    fn names_of_the_platform_are_known() {
        let check = |text: &str, domain: &str, expect: bool| {
            assert_eq!(text.parse::<DomainName>().unwrap().is_of_platform(domain), expect, "{text} {domain}");
        };
        check("apps.example.com", "apps.example.com", true);
        check("hello.apps.example.com", "apps.example.com", true);
        check("a.b.apps.example.com", "apps.example.com", true);
        check("*.apps.example.com", "apps.example.com", true);
        check("*.b.apps.example.com", "apps.example.com", true);
        check("*.example.com", "apps.example.com", true);
        check("*.other.example.com", "apps.example.com", false);
        check("example.com", "apps.example.com", false);
        check("myapps.example.com", "apps.example.com", false);
        check("hello.localhost", "localhost", true);
        check("*.localhost.com", "localhost", false);
        check("xlocalhost.com", "localhost", false);
        check("a.xlocalhost", "localhost", false);
    }
}
