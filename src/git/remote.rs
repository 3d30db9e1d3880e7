//! Which addresses a submodule may be fetched from.

use std::net::IpAddr;
use std::time::Duration;

use super::names::shown;
use crate::model::is_own_address;

/// How long the look-up of a host may take.
const LOOK_UP: Duration = Duration::from_secs(10);
/// Proxies that git's transport knows, for servers that reach others only through one.
pub(super) const PROXIES: [&str; 7] =
    ["http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"];

/// An address that git may be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    /// As git takes it, with whatever password it holds.
    pub(super) url: String,
    /// Where it is written, for messages.
    pub(super) place: &'static str,
    host: String,
    port: u16,
    is_http: bool,
    /// User and password.
    secret: Option<String>,
}

impl Remote {
    /// Reads an absolute `https`, `http` or `git` address, which `place` names.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead, as the end of a sentence.
    pub(super) fn parse(url: &str, written_in: &'static str) -> Result<Self, String> {
        let instead = format!("write an absolute https:// address into {written_in} and push again");
        if url.starts_with("./") || url.starts_with("../") {
            return Err(format!("its address is relative, and to what is not known here: {instead}"));
        }
        if let Some(rest) = ssh(url) {
            return Err(format!(
                "it needs ssh, and this server has no key to use there: write https://{} into {written_in} and push again",
                shown(rest.as_bytes())
            ));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(format!("its address is of this server's own files: {instead}"));
        };
        let (port, is_http) = match scheme {
            "https" => (443, true),
            "http" => (80, true),
            "git" => (9418, false),
            _ => return Err(format!("'{}' is not fetched from: {instead}", shown(scheme.as_bytes()))),
        };
        if url.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(format!("its address has blanks or control characters: {instead}"));
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let (secret, place) = match authority.rsplit_once('@') {
            Some((secret, place)) => (Some(secret.to_owned()), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place, port).ok_or_else(|| format!("its address has no host: {instead}"))?;
        Ok(Self { url: url.to_owned(), place: written_in, host, port, is_http, secret })
    }

    /// The address without user and password, safe to print.
    pub(super) fn shown(&self) -> String {
        shown(self.without_secret(&self.url).as_bytes())
    }

    /// What git said, with neither user nor password, safe to print.
    pub(super) fn without_secret(&self, text: &str) -> String {
        let Some(secret) = &self.secret else { return text.to_owned() };
        let mut text = text.replace(&format!("{secret}@"), "");
        for part in secret.split(':').filter(|part| part.len() > 3) {
            text = text.replace(part, "***");
        }
        text
    }

    /// Looks the host up; yields a setting for `git -c` that keeps git at what was found, if there is one.
    ///
    /// The machine's own services, and those that clouds offer to a machine on link-local addresses, take whoever comes from
    /// it for a friend; a tenant's submodule is none.
    ///
    /// # Errors
    /// Why it cannot be asked, as the end of a sentence.
    pub(super) async fn look_up(&self, allow_loopback: bool) -> Result<Option<String>, String> {
        let first = self.address(allow_loopback).await?;
        let Some(first) = first.filter(|_| self.is_http && self.host.parse::<IpAddr>().is_err()) else {
            return Ok(None);
        };
        Ok(Some(format!("http.curloptResolve={}:{}:{first}", self.host, self.port)))
    }

    /// Its host.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Looks the host up; yields the address to ask, or `None` where only a proxy knows it.
    ///
    /// # Errors
    /// As [`Remote::look_up`].
    pub(super) async fn address(&self, allow_loopback: bool) -> Result<Option<IpAddr>, String> {
        let found = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((self.host.as_str(), self.port))).await;
        let addresses: Vec<IpAddr> = match found {
            Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
            // Behind a proxy names may mean nothing here.
            _ if PROXIES.iter().any(|name| std::env::var_os(name).is_some()) => return Ok(None),
            Ok(Err(_)) => return Err(format!("its host '{}' is not found", shown(self.host.as_bytes()))),
            Err(_) => return Err(format!("looking up its host '{}' takes too long", shown(self.host.as_bytes()))),
        };
        if !allow_loopback && addresses.iter().any(|address| is_own_address(*address)) {
            return Err(format!(
                "its address is this server's own: write a public one into {} and push again",
                self.place
            ));
        }
        Ok(addresses.first().copied())
    }
}

/// What stands behind the user in an address for ssh, as in `git@example.com:team/lib.git`, in the form of a path.
fn ssh(url: &str) -> Option<String> {
    let rest = ["ssh://", "git+ssh://", "ssh+git://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let is_scp = || {
        let (before, _) = url.split_once(':')?;
        (!url.contains("://") && !url.contains("::") && !before.contains('/') && before.contains('.')).then_some(url)
    };
    let rest = rest.or_else(is_scp)?;
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    Some(place.replacen(':', "/", 1))
}

fn host_and_port(place: &str, default: u16) -> Option<(String, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = match port {
        None | Some("") => default,
        Some(port) => port.parse().ok()?,
    };
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_addresses_of_the_net_are_read() {
        let parse = |url: &str| Remote::parse(url, ".gitmodules").map(|remote| (remote.host, remote.port));
        assert_eq!(parse("https://example.com/a.git"), Ok(("example.com".into(), 443)));
        assert_eq!(parse("http://u:p@example.com:8080/a"), Ok(("example.com".into(), 8080)));
        assert_eq!(parse("git://[::1]:9/a"), Ok(("::1".into(), 9)));
        for (url, text) in [
            ("../lib.git", "relative"),
            ("./lib.git", "relative"),
            ("git@example.com:team/lib.git", "write https://example.com/team/lib.git"),
            ("ssh://git@example.com/team/lib.git", "write https://example.com/team/lib.git"),
            ("/srv/lib.git", "this server's own files"),
            ("lib", "this server's own files"),
            ("file:///srv/lib.git", "'file' is not fetched from"),
            ("ext::sh -c touch% /tmp/x", "this server's own files"),
            ("ext::sh://x", "'ext::sh' is not fetched from"),
            ("fd://17", "'fd' is not fetched from"),
            ("HTTPS://example.com", "'HTTPS' is not fetched from"),
            ("-oProxyCommand=x", "this server's own files"),
            ("https:///x", "no host"),
            ("https://u@/x", "no host"),
            ("https://example.com:99999/x", "no host"),
            ("https://example.com/a b", "blanks"),
            ("https://example.com/\n", "blanks"),
        ] {
            let error = Remote::parse(url, ".gitmodules").unwrap_err();
            assert!(error.contains(text), "{url:?}: {error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let remote = Remote::parse("https://bob:hunter22@example.com/a.git", ".gitmodules").unwrap();
        assert_eq!(remote.shown(), "https://example.com/a.git");
        let said = remote.without_secret("cannot reach https://bob:hunter22@example.com/a.git, hunter22 is wrong");
        assert_eq!(said, "cannot reach https://example.com/a.git, *** is wrong");
    }

    #[tokio::test]
    async fn the_servers_own_addresses_are_not_asked() {
        for host in ["127.0.0.1", "127.1.2.3", "[::1]", "0.0.0.0", "169.254.169.254", "[::ffff:127.0.0.1]", "localhost"]
        {
            let remote = Remote::parse(&format!("http://{host}:1/x"), ".gitmodules").unwrap();
            let error = remote.look_up(false).await.unwrap_err();
            assert!(error.contains("this server's own"), "{host}: {error}");
            assert!(remote.look_up(true).await.is_ok(), "{host}");
        }
        let pinned =
            Remote::parse("http://localhost:81/x", ".gitmodules").unwrap().look_up(true).await.unwrap().unwrap();
        assert!(pinned.starts_with("http.curloptResolve=localhost:81:"), "{pinned}");
    }
}
