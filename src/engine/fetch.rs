//! Images from elsewhere: from their registry, or from the engine itself where no registry has them.

use super::{Engine, EngineError, Image, LineSink, RegistryLogin, label};
use crate::model::{AppId, ConfigVars, REGISTRY_PASSWORD, REGISTRY_USERNAME};

/// The image of that reference for an app. It is pulled; where no registry answers, an image of that very name that the
/// engine already has will do.
///
/// # Errors
/// The engine's about the pull. An image that another app's pushes built is that app's: it does not exist for this one.
pub async fn fetch_image(
    engine: &dyn Engine,
    app: AppId,
    reference: &str,
    login: Option<&RegistryLogin>,
    on_line: LineSink<'_>,
) -> Result<Image, EngineError> {
    let image = match engine.pull_image(reference, login, on_line).await {
        Ok(image) => image,
        Err(pull) => match engine.image(reference).await {
            Ok(image) if image.is_named(reference) => image,
            _ => return Err(pull),
        },
    };
    image.of_app_or_nobody(app).ok_or_else(|| EngineError::NotFound { what: format!("image {reference}") })
}

/// The app's login at the registry of its images, from its config vars; those reach no container.
///
/// # Errors
/// A sentence, when one of the two is set without the other.
pub fn registry_login(config: &ConfigVars) -> Result<Option<RegistryLogin>, String> {
    let value = |name: &str| config.get(name).map(ToString::to_string);
    match (value(REGISTRY_USERNAME), value(REGISTRY_PASSWORD)) {
        (Some(username), Some(password)) => Ok(Some(RegistryLogin { username, password })),
        (None, None) => Ok(None),
        (Some(_), None) | (None, Some(_)) => Err(format!(
            "one of {REGISTRY_USERNAME} and {REGISTRY_PASSWORD} is set without the other: set both or neither"
        )),
    }
}

impl Image {
    /// Whether the image has that very name. An engine also finds one by the beginning of its id, which may be anybody's.
    fn is_named(&self, reference: &str) -> bool {
        let latest = is_untagged(reference).then(|| format!("{reference}:latest"));
        reference.contains('@') || self.tags.iter().any(|tag| tag == reference || Some(tag) == latest.as_ref())
    }

    /// The image, unless another app's pushes built it: then it is that app's, even for somebody who guesses its name.
    pub fn of_app_or_nobody(self, app: AppId) -> Option<Self> {
        let is_foreign = self.labels.get(label::APP).is_some_and(|owner| *owner != app.to_string());
        (!is_foreign).then_some(self)
    }
}

/// Whether a reference names neither a tag nor a digest; a port of the registry's host is neither.
pub fn is_untagged(reference: &str) -> bool {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    !name.contains([':', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_was_found_by_its_id_is_not_named_so() {
        let image = Image {
            id: "sha256:cafe01".to_owned(),
            tags: vec!["hello:latest".to_owned(), "registry.test:5000/a:1".to_owned()],
            size_bytes: 1,
            ..Image::default()
        };
        for (reference, expect) in [
            ("hello", true),
            ("hello:latest", true),
            ("registry.test:5000/a:1", true),
            ("registry.test:5000/a", false),
            ("cafe01", false),
            ("cafe", false),
            ("sha256:cafe01", false),
        ] {
            assert_eq!(image.is_named(reference), expect, "{reference}");
        }
    }

    #[test]
    fn a_registrys_port_is_no_tag() {
        for (reference, expect) in [
            ("hello", true),
            ("registry.test:5000/hello", true),
            ("hello:1", false),
            ("registry.test:5000/hello:1", false),
            ("hello@sha256:00", false),
        ] {
            assert_eq!(is_untagged(reference), expect, "{reference}");
        }
    }
}
