//! References to images, read once, by Docker's own grammar.
//!
//! Source of the grammar: the package `reference` of distribution/distribution.

use std::fmt;
use std::str::FromStr;

/// Longest repository, registry included.
const REPOSITORY_MAX: usize = 255;
/// Longest tag.
const TAG_MAX: usize = 128;
/// Names of the registry that is meant where a reference names none.
const DEFAULT_REGISTRIES: [&str; 2] = ["docker.io", "index.docker.io"];
/// What the default registry's own images may be called in full.
const OFFICIAL: &str = "library/";
/// Everything at and below it is the platform's own.
const PLATFORM: &str = "slipway";

/// `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, in its shortest form: the default registry has no host, its own images no `library/`.
///
/// Two references that an engine takes for the same are equal here. Bounds: 255 characters for registry and path together, 128 for a tag;
/// a digest is SHA-256.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageReference {
    host: Option<String>,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// The text is not a reference to an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an image reference such as name:tag or host:5000/space/name:tag")]
pub struct InvalidImageReference(String);

impl ImageReference {
    /// The registry as it was named, `HOST[:PORT]`; `None` for the default one.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Registry and path, without tag and digest.
    pub fn repository(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}/{}", self.path),
            None => self.path.clone(),
        }
    }

    /// Whether it names neither a tag nor a digest.
    pub fn is_untagged(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// The same image repository with this tag.
    ///
    /// # Errors
    /// When the text cannot be a tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, InvalidImageReference> {
        if !is_tag(tag) {
            return Err(InvalidImageReference(format!("{}:{tag}", self.repository())));
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// Whether the name is the platform's to give: at or below `slipway`, wherever that is looked for, or in `stack`, the
    /// repository of the images that slugs are built and run on.
    pub fn is_platforms(&self, stack: &str) -> bool {
        let is_below = self.host.is_none() && self.path.split('/').next() == Some(PLATFORM);
        let is_stack = stack.parse::<Self>().is_ok_and(|stack| stack.host == self.host && stack.path == self.path);
        is_below || is_stack
    }
}

impl FromStr for ImageReference {
    type Err = InvalidImageReference;

    fn from_str(text: &str) -> Result<Self, InvalidImageReference> {
        let invalid = || InvalidImageReference(text.escape_debug().to_string());
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (text, None),
        };
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (name, None),
        };
        let (host, path) = match repository.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
            _ => (None, repository),
        };
        // An engine would look these up among the ids of all its images.
        let is_hex = path.len() == 64 && path.bytes().all(|b| b.is_ascii_hexdigit());
        let is_id = host.is_none() && (is_hex || path == "sha256");
        let is_valid = repository.len() <= REPOSITORY_MAX
            && !is_id
            && host.is_none_or(is_host)
            && path.split('/').all(is_component)
            && tag.is_none_or(is_tag)
            && digest.is_none_or(is_digest);
        if !is_valid {
            return Err(invalid());
        }
        let host = host.map(str::to_ascii_lowercase).filter(|host| !DEFAULT_REGISTRIES.contains(&host.as_str()));
        let path = if host.is_none() { path.strip_prefix(OFFICIAL).unwrap_or(path) } else { path };
        Ok(Self { host, path: path.to_owned(), tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository())?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "1"));
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.split('.').all(is_label)
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Lower-case letters and digits, with one dot, one or two underscores or any number of hyphens between them.
fn is_component(part: &str) -> bool {
    let is_outer = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let is_separator = |run: &[u8]| matches!(run, [] | b"." | b"_" | b"__") || run.iter().all(|b| *b == b'-');
    bytes.first().is_some_and(is_outer) && bytes.last().is_some_and(is_outer) && bytes.split(is_outer).all(is_separator)
}

/// Whether a text may be the tag of an image.
pub fn is_tag(tag: &str) -> bool {
    (1..=TAG_MAX).contains(&tag.len())
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn is_digest(digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:");
    hex.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<String> {
        text.parse::<ImageReference>().ok().map(|reference| reference.to_string())
    }

    #[test]
    fn one_image_has_one_reference() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, expect) in [
            ("hello", "hello"),
            ("docker.io/library/hello:1", "hello:1"),
            ("index.docker.io/hello", "hello"),
            ("Docker.IO/hello", "hello"),
            ("library/hello", "hello"),
            ("a/b__c-d--e.f:V_1", "a/b__c-d--e.f:V_1"),
            ("r.test:5000/a/b", "r.test:5000/a/b"),
            ("localhost/a", "localhost/a"),
            ("r.test/library/a", "r.test/library/a"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(expect), "{text}");
        }
        assert_eq!(parsed(&format!("a:1@{digest}")), Some(format!("a:1@{digest}")));
    }

    #[test]
    fn what_an_engine_would_not_take_is_none() {
        let id = "ab".repeat(32);
        for text in [
            "",
            "A",
            "a b",
            "a:",
            "a:-x",
            "/a",
            "a//b",
            "a/",
            "-a",
            "a..b",
            "a___b",
            "a@sha256:00",
            "r.test:x/a",
            "r.test:0/a",
            "r.test:+1/a",
            "r_x.test/a",
            "a\n",
            "http://r.test/a",
            "a@",
            "sha256:",
            "a:b:c",
            id.as_str(),
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    #[test]
    fn platform_names_are_known_in_every_spelling() {
        let is_platforms = |text: &str| text.parse::<ImageReference>().unwrap().is_platforms("r.test/stack");
        for text in [
            "slipway/stack:slipway-12-build",
            "docker.io/slipway/app-x",
            "index.docker.io/slipway/a/b",
            "slipway",
            "library/slipway:1",
            "docker.io/library/slipway",
            "r.test/stack:x",
        ] {
            assert!(is_platforms(text), "{text}");
        }
        for text in ["slipway-test/a", "r.test/slipway/a", "a/slipway", "r.test/stack2", "stack"] {
            assert!(!is_platforms(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_means_the_same(text in "(docker.io/|r.test:5000/|library/)?[a-z0-9]{1,8}(/[a-z0-9._-]{1,6})?(:[a-zA-Z0-9._-]{1,5})?") {
            if let Ok(reference) = text.parse::<ImageReference>() {
                prop_assert_eq!(reference.to_string().parse::<ImageReference>().unwrap(), reference);
            }
        }
    }
}
