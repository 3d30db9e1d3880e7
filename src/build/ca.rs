//! The private CA that builds trust: how it gets into builder containers and Dockerfile builds.
//!
//! The bundle always lies at a path of its own: mounted over the distribution's bundle it would make an installation of
//! `ca-certificates` fail. Programs are told by variables.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256};
use tar::EntryType;

use super::BuildError;
use crate::engine::{Engine, EngineError, byte_stream, small_archive};

/// Where builds find the bundle.
pub(super) const CA_PATH: &str = "/etc/slipway/ca.crt";

/// What makes common tools read a bundle at a path of one's own: curl, Python, Ruby, PHP, uv (`SSL_CERT_FILE`), pip
/// (`PIP_CERT`), requests, upstream Node, git, Composer, Cargo, Bundler, the AWS tools.
const VARIABLES: [&str; 10] = [
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "COMPOSER_CAFILE",
    "CARGO_HTTP_CAINFO",
    "BUNDLE_SSL_CA_CERT",
    "AWS_CA_BUNDLE",
];

/// The environment of a builder container that has the bundle.
pub(super) fn environment() -> BTreeMap<String, String> {
    VARIABLES.iter().map(|name| ((*name).to_owned(), CA_PATH.to_owned())).collect()
}

/// The bundle as the settings name it.
#[derive(Debug, Clone)]
pub(super) struct CaBundle {
    contents: Vec<u8>,
}

impl CaBundle {
    /// Reads the file each time, so that a renewed bundle counts from the next build on.
    pub async fn read(path: &Path) -> Result<Self, BuildError> {
        let action = format!("reading the CA bundle {}", path.display());
        Ok(Self { contents: tokio::fs::read(path).await.map_err(BuildError::io(action))? })
    }

    /// Digest of the contents, short enough for an image tag.
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(&self.contents)[..8])
    }

    /// The bundle below `/`, readable by everybody, as a tar archive.
    pub fn archive(&self) -> std::io::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut append = |path: &str, kind: EntryType, mode: u32, contents: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(contents.len() as u64);
            archive.append_data(&mut header, path, contents)
        };
        let path = CA_PATH.trim_start_matches('/');
        append("etc/slipway", EntryType::Directory, 0o755, b"")?;
        append(path, EntryType::Regular, 0o644, &self.contents)?;
        archive.into_inner()
    }

    /// The one-file image that Dockerfile builds copy the bundle from. Named by content, so that the build cache stays
    /// valid as long as the bundle does; an image of that name with other contents is replaced.
    pub async fn ensure_image(&self, engine: &dyn Engine) -> Result<String, BuildError> {
        let reference = format!("slipway/build-ca:{}", self.digest());
        let archive = small_archive([(Path::new("ca.crt"), 0o644, self.contents.as_slice())], 0)
            .map_err(|source| BuildError::Io { action: "packing the CA bundle".into(), source })?;
        // An engine calls a layer by the digest of its archive.
        let layer = format!("sha256:{}", hex::encode(Sha256::digest(&archive)));
        match engine.image(&reference).await {
            Ok(image) if image.layers == [layer] => Ok(reference),
            Ok(_) | Err(EngineError::NotFound { .. }) => {
                engine.import_image(&reference, byte_stream(archive), &[]).await?;
                Ok(reference)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The instructions that give a stage the bundle of image `ca_image`.
///
/// `ARG` values are in the environment of `RUN`, and not in that of the finished image. Nothing here changes from build
/// to build, so the engine's cache stays valid. A stage that only copies files needs none of this: it downloads nothing, and
/// an image `FROM scratch` stays what its author made of it.
pub(super) fn block(ca_image: &str, inherits_file: bool) -> String {
    let mut block = String::new();
    if !inherits_file {
        _ = writeln!(block, "COPY --from={ca_image} /ca.crt {CA_PATH}");
    }
    for name in VARIABLES {
        _ = writeln!(block, "ARG {name}={CA_PATH}");
    }
    block
}
