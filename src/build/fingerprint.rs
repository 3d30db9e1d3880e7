//! What makes two builds the same build.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::builder::BuildRequest;
use super::dockerfile::build_args;
use super::plan::Recipe;
use super::stack::is_of_stack;
use super::{BuildError, Builder, Plan, buildpacks};
use crate::engine::EngineError;
use crate::model::App;

/// A secret of this installation. Config values are often guessable; under a key, their digest tells nothing.
#[derive(Clone)]
pub struct FingerprintKey(pub [u8; 32]);

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<key>")
    }
}

impl Builder {
    /// Digest of all that goes into the image, 64 hex digits: equal fingerprints, equal images.
    ///
    /// The commit is not among it, the tree is, unless a Dockerfile asks for the commit. Neither are limits, nor what a
    /// build downloads.
    ///
    /// # Errors
    /// [`BuildError::NoStack`] when a slug could not be built anyway.
    pub async fn fingerprint(&self, request: &BuildRequest, plan: &Plan) -> Result<String, BuildError> {
        let mut parts = Parts::new(&self.settings.fingerprint_key);
        parts.add("app", &request.app.id.to_string());
        // What somebody built who has lost access since is not taken over.
        if request.app.epoch > 0 {
            parts.add("epoch", &request.app.epoch.to_string());
        }
        parts.add("tree", plan.source.tree());
        match &plan.recipe {
            Recipe::Dockerfile(dockerfile) => {
                parts.add("kind", "dockerfile");
                parts.add("path", &dockerfile.path);
                parts.add("target", dockerfile.target.as_deref().unwrap_or_default());
                for name in &dockerfile.secrets {
                    parts.add("secret", name);
                    parts.add("value", &request.config.get(name).map(ToString::to_string).unwrap_or_default());
                }
                if let Some(bundle) = self.ca_bundle().await? {
                    parts.add("ca", &bundle.digest());
                }
                for (name, value) in build_args(dockerfile, &request.config, request.source.commit()) {
                    parts.add("arg", &name);
                    parts.add("value", &value);
                }
            }
            Recipe::Slug(chosen, foreign) => {
                parts.add("kind", "slug");
                for image in [self.settings.stack.build_image(), self.settings.stack.run_image()] {
                    parts.add("stack", &self.stack_image_id(image).await?);
                }
                parts.add("buildpacks", &buildpacks::digest());
                for runtime in &request.runtimes {
                    parts.add("runtime", &runtime.tool);
                    parts.add("version", runtime.version.as_deref().unwrap_or_default());
                }
                parts.add("chosen", &format!("{chosen:?}"));
                for buildpack in foreign {
                    parts.add("tree", buildpack.source.tree());
                }
                for (name, value) in &request.config {
                    parts.add("config", name);
                    parts.add("value", &value.to_string());
                }
            }
        }
        Ok(parts.finish())
    }

    /// Content id of a stack image.
    pub(super) async fn stack_image_id(&self, image: String) -> Result<String, BuildError> {
        match self.engine.image(&image).await {
            Ok(found) if is_of_stack(&found) => Ok(found.id),
            Ok(_) | Err(EngineError::NotFound { .. }) => Err(BuildError::NoStack { image }),
            Err(error) => Err(error.into()),
        }
    }
}

/// What the engine's cache of an app's Dockerfile builds is known by. Nobody can guess it, and it is another one once somebody
/// has lost access to the app.
pub(super) fn cache_name(key: &FingerprintKey, purpose: &str, app: &App) -> String {
    let mut parts = Parts::new(key);
    parts.add(purpose, &app.id.to_string());
    parts.add("epoch", &app.epoch.to_string());
    parts.finish()[..32].to_owned()
}

/// Digests names and values so that no two lists of them look alike.
struct Parts(Hmac<Sha256>);

impl Parts {
    fn new(key: &FingerprintKey) -> Self {
        Self(Hmac::new_from_slice(&key.0).expect("HMAC takes keys of any length"))
    }

    fn add(&mut self, name: &str, value: &str) {
        for text in [name, value] {
            self.0.update(&(text.len() as u64).to_be_bytes());
            self.0.update(text.as_bytes());
        }
    }

    fn finish(self) -> String {
        hex::encode(self.0.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lists_look_alike_and_the_key_counts() {
        let digest = |key: u8, parts: &[(&str, &str)]| {
            let mut digest = Parts::new(&FingerprintKey([key; 32]));
            parts.iter().for_each(|(name, value)| digest.add(name, value));
            digest.finish()
        };
        assert_eq!(digest(1, &[("a", "b")]), digest(1, &[("a", "b")]));
        assert_ne!(digest(1, &[("a", "b")]), digest(2, &[("a", "b")]));
        assert_ne!(digest(1, &[("ab", "c")]), digest(1, &[("a", "bc")]));
        assert_ne!(digest(1, &[("a", ""), ("b", "")]), digest(1, &[("a", "b"), ("", "")]));
        assert_eq!(format!("{:?}", FingerprintKey([7; 32])), "<key>");
    }
}
