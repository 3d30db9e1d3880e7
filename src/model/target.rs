//! Where somebody else's machine is, as a tenant writes it: read once, and in one way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Url;

/// Longest address, in bytes.
const URL_MAX: usize = 4096;
/// Longest name of a host (RFC 1035 §2.3.4).
const HOST_MAX: usize = 253;

/// An absolute address with a host. What was read is what is asked: nobody reads the text a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    url: Url,
    host: String,
    port: u16,
}

/// Why a text is no address that can be asked, as the end of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// Programs do not agree on what these mean.
    #[error("its address has blanks, backslashes or control characters")]
    Characters,
    /// More than anybody needs.
    #[error("its address is longer than {URL_MAX} bytes")]
    TooLong,
    /// Of no kind that is asked.
    #[error("'{0}' is not fetched from")]
    Scheme(String),
    /// Host and port are missing, or not what they seem to be.
    #[error(
        "its address has no host and port that are written plainly: a name in ASCII letters without a dot at its end, or an \
         IP address, as in https://example.com:8443/"
    )]
    Host,
}

impl Target {
    /// Reads an address of one of these schemes, each with its usual port.
    ///
    /// Refused is what two programs may read in two ways: backslashes, blanks and control characters, a second `@`, hosts that
    /// are escaped, not ASCII, numbers in other than dotted form, with a zone or a dot at their end, and ports that are 0, empty or padded.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, schemes: &[(&str, u16)]) -> Result<Self, InvalidTarget> {
        if text.len() > URL_MAX {
            return Err(InvalidTarget::TooLong);
        }
        if text.contains(|c: char| c == '\\' || c.is_control() || c.is_whitespace()) {
            return Err(InvalidTarget::Characters);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidTarget::Host)?;
        let usual = schemes.iter().find(|(name, _)| *name == scheme);
        let (_, usual) = usual.ok_or_else(|| InvalidTarget::Scheme(scheme.to_owned()))?;
        let url = Url::parse(text).map_err(|_| InvalidTarget::Host)?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let place = match authority.split_once('@') {
            Some((_, place)) if place.contains('@') => return Err(InvalidTarget::Host),
            Some((_, place)) => place,
            None => authority,
        };
        let (host, port) = host_and_port(place).ok_or(InvalidTarget::Host)?;
        let found = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let is_same = match (host.parse::<Ipv6Addr>(), found.parse::<Ipv6Addr>()) {
            (Ok(host), Ok(found)) => host == found,
            (Err(_), Err(_)) => host.eq_ignore_ascii_case(found),
            _ => false,
        };
        // A port that is the usual one is not in the parsed address.
        let is_same = is_same && url.port().is_none_or(|found| port == Some(found));
        if !is_same {
            return Err(InvalidTarget::Host);
        }
        let host = found.to_ascii_lowercase();
        Ok(Self { url, host, port: port.unwrap_or(*usual) })
    }

    /// A host, with a port or without one, as `HOST[:PORT]`; what is asked there is said elsewhere.
    ///
    /// # Errors
    /// As [`Target::parse`].
    pub fn of_host(text: &str, usual: u16) -> Result<Self, InvalidTarget> {
        if text.contains(['/', '?', '#', '@']) {
            return Err(InvalidTarget::Host);
        }
        Self::parse(&format!("https://{text}/"), &[("https", usual)])
    }

    /// Where an answer sends on to, of one of these schemes.
    ///
    /// # Errors
    /// As [`Target::parse`].
    pub fn join(&self, location: &str, schemes: &[(&str, u16)]) -> Result<Self, InvalidTarget> {
        if location.contains('\\') {
            return Err(InvalidTarget::Characters);
        }
        let is_whole = location.split_once(':').is_some_and(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        if is_whole {
            return Self::parse(location, schemes);
        }
        let next = self.url.join(location).map_err(|_| InvalidTarget::Host)?;
        Self::parse(next.as_str(), schemes)
    }

    /// The address as it was read, with whatever password it holds.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The host in lower case, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host, where it is an IP address.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// The port; never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address without user and password, safe to print.
    pub fn shown(&self) -> String {
        let mut url = self.url.clone();
        // Of an address with a host both can be taken away.
        let _taken = (url.set_username(""), url.set_password(None));
        url.to_string()
    }
}

/// Host and port, where both are written plainly.
fn host_and_port(place: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => {
            let (host, port) = place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port)));
            is_host(host).then_some((host, port))?
        }
    };
    let port = match port {
        None => None,
        Some(text) => Some(text.parse::<u16>().ok().filter(|port| *port != 0 && port.to_string() == text)?),
    };
    Some((host, port))
}

/// Whether a text is an IPv4 address in its usual form, or a name that nobody takes for one.
fn is_host(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last = text.rsplit('.').next().unwrap_or(text).to_ascii_lowercase();
    // What resolvers take for a number (WHATWG URL, "ends in a number").
    let is_number = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
    text.len() <= HOST_MAX && text.split('.').all(is_label) && (!is_number || text.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SCHEMES: [(&str, u16); 3] = [("https", 443), ("http", 80), ("git", 9418)];

    #[test]
    fn what_is_written_plainly_is_read() {
        for (text, host, port) in [
            ("https://example.com", "example.com", 443),
            ("https://Example.COM/a?b#c", "example.com", 443),
            ("http://u:p@example.com:8080/a", "example.com", 8080),
            ("https://example.com:443/", "example.com", 443),
            ("git://my_host/x", "my_host", 9418),
            ("git://[::1]:9/x", "::1", 9),
            ("http://[0:0::1]/x", "::1", 80),
            ("http://[::ffff:127.0.0.1]/", "::ffff:7f00:1", 80),
            ("http://127.0.0.1:5000/x", "127.0.0.1", 5000),
            ("https://a.com/x@y:1", "a.com", 443),
        ] {
            let target = Target::parse(text, &SCHEMES).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!((target.host(), target.port()), (host, port), "{text}");
        }
    }

    #[test]
    fn what_may_be_read_in_two_ways_is_refused() {
        for text in [
            "http://127.0.0.1:5002\\@8.8.8.8/pack.tgz",
            "http:\\\\127.0.0.1/",
            "http://a b/",
            "http://a\t/",
            "http://a/\u{a0}",
            "http://a/\u{7f}",
        ] {
            assert_eq!(Target::parse(text, &SCHEMES), Err(InvalidTarget::Characters), "{text}");
        }
        for text in [
            "http://a@b@c/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "git://127.1/",
            "git://2130706433/",
            "git://0x7f000001/",
            "http://%31%32%37.0.0.1/",
            "http://\u{ff11}27.0.0.1/",
            "http://127\u{3002}0.0.1/",
            "http://b\u{fc}cher.example/",
            "http://example.com./",
            "http://127.0.0.1./",
            "http://a..b/",
            "http://[fe80::1%25eth0]/",
            "http://[::1/",
            "http://[::1]x/",
            "http://::1/",
            "http://a:0/",
            "http://a:/",
            "http://a:080/",
            "http://a:+80/",
            "http://a:99999/",
            "http:///x",
            "http://u@/x",
            "http:/a",
            "http:a",
            "https:///127.0.0.1/",
            "git:///x",
        ] {
            assert_eq!(Target::parse(text, &SCHEMES), Err(InvalidTarget::Host), "{text}");
        }
        for text in ["ftp://a/", "HTTP://a/", "file:///etc/passwd", "ext::sh://x"] {
            assert!(matches!(Target::parse(text, &SCHEMES), Err(InvalidTarget::Scheme(_))), "{text}");
        }
    }

    #[test]
    fn a_redirect_is_read_as_strictly() {
        let from = Target::parse("https://example.com/a/b", &SCHEMES).unwrap();
        assert_eq!(from.join("../c", &SCHEMES).unwrap().url().as_str(), "https://example.com/c");
        assert_eq!(from.join("//127.0.0.1/c", &SCHEMES).unwrap().host(), "127.0.0.1");
        for location in ["\\\\127.0.0.1", "file:///etc", "http://a@b@c/"] {
            assert!(from.join(location, &SCHEMES).is_err(), "{location}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_the_same_again(
            text in "(https|http|git)://[a-zA-Z0-9.:@%\\[\\]\\\\_/?#x -]{0,24}(\\.com|\\.1|)(:[0-9]{0,5})?(/.{0,8})?"
        ) {
            if let Ok(target) = Target::parse(&text, &SCHEMES) {
                let again = Target::parse(target.url().as_str(), &SCHEMES);
                prop_assert_eq!(again.as_ref(), Ok(&target));
                prop_assert_eq!(Target::parse(&target.shown(), &SCHEMES).map(|it| (it.host, it.port)), Ok((target.host, target.port)));
            }
        }
    }
}
