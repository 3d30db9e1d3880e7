//! What the operator lets Dockerfiles use of this machine.

use std::fmt;
use std::str::FromStr;

use super::ImageReference;

/// A frontend that the operator trusts: an image, by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontend(ImageReference);

impl FromStr for Frontend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let reference: ImageReference = text.parse().map_err(|_| format!("'{text}' is no image reference"))?;
        if !text.contains("@sha256:") {
            return Err(format!("'{text}' has no digest, and a tag can move"));
        }
        Ok(Self(reference))
    }
}

impl Frontend {
    /// The image that it is.
    pub fn image(&self) -> &ImageReference {
        &self.0
    }
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which images that are on this machine a Dockerfile may build on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum BaseImages {
    /// All that no app's build made and no app pulled.
    #[default]
    Local,
    /// Those whose reference one of these patterns matches; `*` stands for anything.
    Listed(Vec<String>),
}

impl BaseImages {
    /// Whether the operator lets Dockerfiles build on an image of this machine by that reference.
    pub fn allow(&self, reference: &ImageReference) -> bool {
        let Self::Listed(patterns) = self else { return true };
        let name = reference.to_string();
        patterns.iter().any(|pattern| matches(pattern, &name))
    }
}

/// Whether the text is what the pattern says, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => text.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_what_dockerfiles_may_build_on() {
        let listed = BaseImages::Listed(vec!["python:3.*".to_owned(), "r.test/base".to_owned()]);
        let allow = |text: &str| listed.allow(&text.parse().unwrap());
        assert!(allow("python:3.12") && allow("docker.io/library/python:3.1") && allow("r.test/base"));
        assert!(!allow("python:2") && !allow("python") && !allow("r.test/base:2"));
        assert!(BaseImages::Local.allow(&"anything".parse().unwrap()));
    }
}
