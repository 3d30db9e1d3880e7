//! Which addresses git may be given, and how it is kept at what was checked.

use super::names::shown;
use crate::model::{InvalidTarget, Target};
use crate::outbound::{Outbound, Pinned};

/// What is fetched from, and the usual ports.
pub(super) const SCHEMES: [(&str, u16); 3] = [("https", 443), ("http", 80), ("git", 9418)];

/// An address that git may be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    target: Target,
    /// Where it is written, for messages.
    pub(super) place: &'static str,
}

/// What git is told, so that it asks the addresses that were checked and looks nothing up itself.
#[derive(Debug)]
pub(super) struct Pin {
    /// The address, with whatever password it holds.
    pub(super) url: String,
    /// For `git -c`.
    pub(super) setting: Option<String>,
    /// The host that a server at a `git://` address is asked for.
    pub(super) virtual_host: Option<String>,
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
        if !url.contains("://") {
            return Err(format!("its address is of this server's own files: {instead}"));
        }
        let target = Target::parse(url, &SCHEMES).map_err(|why| {
            let why = match why {
                InvalidTarget::Scheme(scheme) => InvalidTarget::Scheme(shown(scheme.as_bytes())),
                why => why,
            };
            format!("{why}: {instead}")
        })?;
        Ok(Self { target, place: written_in })
    }

    /// Where it is.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// The address as it was read, with whatever password it holds.
    pub(super) fn url(&self) -> &str {
        self.target.url().as_str()
    }

    /// The address without user and password, safe to print.
    pub(super) fn shown(&self) -> String {
        shown(self.target.shown().as_bytes())
    }

    /// Looks the host up and checks where it is.
    ///
    /// # Errors
    /// Why it cannot be asked, as the end of a sentence.
    pub(super) async fn pin(&self, outbound: &Outbound) -> Result<Pin, String> {
        let pinned = outbound.resolve(&self.target).await.map_err(|why| why.to_string())?;
        Ok(self.pin_to(&pinned))
    }

    fn pin_to(&self, pinned: &Pinned) -> Pin {
        let (target, first) = (&self.target, pinned.addresses()[0]);
        let url = target.url();
        if url.scheme() == "git" {
            // There is no setting for this transport; but the host's name is said to its server, and can be said apart.
            let host =
                if target.host().contains(':') { format!("[{}]", target.host()) } else { target.host().to_owned() };
            return Pin {
                url: format!("git://{first}{}", url.path()),
                setting: None,
                virtual_host: Some(format!("{host}:{}", target.port())),
            };
        }
        let addresses: Vec<_> = pinned.addresses().iter().map(|it| it.ip().to_string()).collect();
        let setting = target
            .ip()
            .is_none()
            .then(|| format!("http.curloptResolve={}:{}:{}", target.host(), target.port(), addresses.join(",")));
        Pin { url: url.as_str().to_owned(), setting, virtual_host: None }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_addresses_of_the_net_are_read() {
        let parse = |url: &str| {
            let remote = Remote::parse(url, ".gitmodules");
            remote.map(|remote| (remote.target.host().to_owned(), remote.target.port()))
        };
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
            ("http://127.0.0.1:1\\@example.com/x", "backslashes"),
        ] {
            let error = Remote::parse(url, ".gitmodules").unwrap_err();
            assert!(error.contains(text), "{url:?}: {error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let remote = Remote::parse("https://bob:hunter22@example.com/a.git", ".gitmodules").unwrap();
        assert_eq!(remote.shown(), "https://example.com/a.git");
        assert_eq!(remote.url(), "https://bob:hunter22@example.com/a.git");
    }

    #[tokio::test]
    async fn git_is_kept_at_what_was_checked() {
        let outbound = Outbound::new("localhost,127.0.0.1".parse().unwrap());
        let pin = async |url: &str| Remote::parse(url, ".gitmodules").unwrap().pin(&outbound).await.unwrap();
        let web = pin("http://localhost:81/x").await;
        assert!(web.setting.unwrap().starts_with("http.curloptResolve=localhost:81:"));
        assert_eq!((web.url.as_str(), web.virtual_host), ("http://localhost:81/x", None));
        assert_eq!(pin("http://127.0.0.1:81/x").await.setting, None);
        let git = pin("git://localhost/~a/x.git").await;
        let host = git.url.strip_prefix("git://").and_then(|rest| rest.strip_suffix(":9418/~a/x.git")).unwrap();
        assert!(["127.0.0.1", "[::1]"].contains(&host), "{host}");
        assert_eq!(git.virtual_host.as_deref(), Some("localhost:9418"));
    }
}
