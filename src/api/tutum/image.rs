//! References to images, as Docker writes them and as URIs of this API (spec §5, §5.1).

/// What a repository is called without a tag.
const LATEST: &str = "latest";

const URI_BEGIN: &str = "/api/v1/image/";
const URI_MIDDLE: &str = "/tag/";

/// `[HOST[:PORT]/][NAMESPACE/]NAME:TAG`, as far as it can be told apart: whether it is one at all the platform decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// With registry and namespace.
    repository: String,
    tag: String,
}

impl Image {
    /// The parts of a reference.
    pub(super) fn of(reference: &str) -> Self {
        let (repository, tag) = split(reference.split('@').next().unwrap_or(reference));
        Self { repository: repository.to_owned(), tag: tag.to_owned() }
    }

    /// `repository:tag`
    pub(super) fn name(&self) -> String {
        format!("{}:{}", self.repository, self.tag)
    }

    /// `/api/v1/image/REPOSITORY/tag/TAG/`
    pub(super) fn uri(&self) -> String {
        format!("{URI_BEGIN}{}{URI_MIDDLE}{}/", self.repository, self.tag)
    }
}

/// The reference that a client means, who may give the URI instead. `None` for a URI of something else.
pub(super) fn reference(text: &str) -> Option<String> {
    let Some(uri) = text.strip_prefix(URI_BEGIN) else { return Some(text.to_owned()) };
    let (repository, tag) = uri.strip_suffix('/').unwrap_or(uri).rsplit_once(URI_MIDDLE)?;
    Some(format!("{repository}:{tag}"))
}

/// The colon of a port is in front of a slash, that of a tag is not.
fn split(text: &str) -> (&str, &str) {
    match text.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (text, LATEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_and_their_uris() {
        let check = |text: &str, name: &str, uri: &str| {
            let image = Image::of(text);
            assert_eq!((image.name().as_str(), image.uri().as_str()), (name, uri), "{text}");
            assert_eq!(reference(uri).as_deref(), Some(name));
        };
        check("tutum/hello-world", "tutum/hello-world:latest", "/api/v1/image/tutum/hello-world/tag/latest/");
        check("hello:1.0", "hello:1.0", "/api/v1/image/hello/tag/1.0/");
        check("r.example:5000/a/b", "r.example:5000/a/b:latest", "/api/v1/image/r.example:5000/a/b/tag/latest/");
        check("localhost:5000/a:x", "localhost:5000/a:x", "/api/v1/image/localhost:5000/a/tag/x/");
        check("a/tag/b:1", "a/tag/b:1", "/api/v1/image/a/tag/b/tag/1/");
        assert_eq!(reference("hello").as_deref(), Some("hello"));
        assert_eq!(reference("/api/v1/image/hello/tag/1").as_deref(), Some("hello:1"));
        assert_eq!(reference("/api/v1/image/hello/"), None);
        assert_eq!(Image::of("a@sha256:00").name(), "a:latest");
    }
}
