//! Host names as people type them: copied from a browser's address bar, with capitals, in their own script.

use std::str::FromStr;

use super::super::CertificateName;
use super::{DomainName, InvalidDomainName};

impl DomainName {
    /// Reads what a person typed as a domain. Spaces around it, capitals, `http://` or `https://` in front and a lone `/`
    /// behind say nothing; a name in another script becomes punycode (UTS #46, as in browsers).
    ///
    /// # Errors
    /// [`InvalidDomainName`]; [`InvalidDomainName::Part`] has what to write instead.
    pub fn as_typed(text: &str) -> Result<Self, InvalidDomainName> {
        let text = text.trim();
        if text.split_whitespace().nth(1).is_some() || text.contains([',', ';']) {
            return Err(InvalidDomainName::Several);
        }
        let (host, extra) = host_and_extra(text);
        let name: Self = match ascii(host) {
            Some(host) => host.parse()?,
            None => return Err(InvalidDomainName::Malformed),
        };
        match extra {
            None => Ok(name),
            Some(what) => Err(InvalidDomainName::Part { what, name: name.0 }),
        }
    }
}

impl CertificateName {
    /// Reads what a person typed as a certificate's name, as [`DomainName::as_typed`] does; `None` for what is none.
    pub fn as_typed(text: &str) -> Option<Self> {
        let (host, extra) = host_and_extra(text.trim());
        Self::from_str(&ascii(host)?).ok().filter(|_| extra.is_none())
    }
}

/// The host in a text that may be a URL, and what is there beside it that no domain has.
fn host_and_extra(text: &str) -> (&str, Option<&'static str>) {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    // What has more colons is an address, which is refused as such.
    let (host, port) = host.split_once(':').filter(|(_, port)| !port.contains(':')).unwrap_or((host, ""));
    let (host, dot) = host.strip_prefix('.').filter(|rest| !rest.is_empty()).map_or((host, false), |rest| (rest, true));
    let extra = [
        ("such protocol", !is_web(scheme)),
        ("user or password", user.is_some()),
        ("port", !port.is_empty()),
        ("path", !matches!(path, "" | "/")),
        ("dot in front", dot),
    ];
    (host, extra.into_iter().find_map(|(what, is_there)| is_there.then_some(what)))
}

fn is_web(scheme: &str) -> bool {
    ["http", "https", "ws", "wss"].iter().any(|web| scheme.eq_ignore_ascii_case(web))
}

/// The name in ASCII. What is ASCII already is left to the parser of names, which says best what is wrong with it.
fn ascii(host: &str) -> Option<String> {
    if host.is_ascii() {
        return Some(host.to_owned());
    }
    match host.strip_prefix("*.") {
        Some(below) => Some(format!("*.{}", idna::domain_to_ascii(below).ok()?)),
        None => idna::domain_to_ascii(host).ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_taken_as_meant() {
        for (typed, meant) in [
            ("https://www.example.com", "www.example.com"),
            ("HTTP://WWW.Example.COM./", "www.example.com"),
            ("//www.example.com", "www.example.com"),
            ("www.example.com/", "www.example.com"),
            (" www.example.com\r\n", "www.example.com"),
            ("\t*.Example.com", "*.example.com"),
            ("https://*.example.com/", "*.example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("https://BÜCHER.example/", "xn--bcher-kva.example"),
            ("*.bücher.example", "*.xn--bcher-kva.example"),
            ("bu\u{308}cher.example", "xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
            ("пример.рф", "xn--e1afmkfd.xn--p1ai"),
            ("www。example。com", "www.example.com"),
            ("ＷＷＷ.example.com", "www.example.com"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(DomainName::as_typed(typed).as_ref().map(DomainName::as_str), Ok(meant), "{typed:?}");
            assert_eq!(CertificateName::as_typed(typed).unwrap().as_str(), meant, "{typed:?}");
        }
        assert_eq!(CertificateName::as_typed("localhost").unwrap().as_str(), "localhost");
    }

    #[test]
    fn what_no_domain_has_is_refused_with_what_to_write() {
        for (typed, what, name) in [
            ("https://www.example.com/shop", "path", "www.example.com"),
            ("www.example.com?x=1", "path", "www.example.com"),
            ("https://Bücher.example/#top", "path", "xn--bcher-kva.example"),
            ("www.example.com:8080", "port", "www.example.com"),
            ("https://www.example.com:443/", "port", "www.example.com"),
            ("https://bob:secret@www.example.com/", "user or password", "www.example.com"),
            ("bob@example.com", "user or password", "example.com"),
            (".example.com", "dot in front", "example.com"),
            ("ftp://example.com", "such protocol", "example.com"),
        ] {
            let error = DomainName::as_typed(typed).unwrap_err();
            assert_eq!(error, InvalidDomainName::Part { what, name: name.to_owned() }, "{typed}");
            assert_eq!(error.to_string(), format!("a domain has no {what}: write {name}"));
            assert_eq!(CertificateName::as_typed(typed), None, "{typed}");
        }
        use InvalidDomainName as E;
        for (typed, expect) in [
            ("a.example.com,b.example.com", E::Several),
            ("a.example.com b.example.com", E::Several),
            ("my_shop.example.com", E::Underscore),
            ("https://my_shop.example.com/", E::Underscore),
            ("mailto:bob", E::SingleLabel),
            ("https://", E::Blank),
            ("  ", E::Blank),
            ("http://127.0.0.1:8000/", E::Address),
            ("http://[::1]/", E::Address),
            ("::1", E::Address),
            ("http://localhost:8000", E::SingleLabel),
            ("https://a.*.example.com", E::Wildcard),
            ("a\u{200d}.\u{202e}example.com", E::Malformed),
            ("b%C3%BCcher.example", E::Malformed),
            (".", E::Malformed),
        ] {
            assert_eq!(DomainName::as_typed(typed), Err(expect), "{typed:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_a_domain(text in "(https?://|\\*\\.|[a-z]{1,3}|ü|\\.|:|/|@|_|\\PC){0,9}") {
            if let Ok(name) = DomainName::as_typed(&text) {
                prop_assert_eq!(name.as_str().parse::<DomainName>(), Ok(name.clone()));
                prop_assert_eq!(DomainName::as_typed(&format!("https://{name}/")), Ok(name));
            }
        }
    }
}
