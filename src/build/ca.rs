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
use super::instructions::{Instruction, instructions};
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
    /// Reads the file anew, so that a renewed bundle counts from the next build on.
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
    /// valid as long as the bundle does.
    pub async fn ensure_image(&self, engine: &dyn Engine) -> Result<String, BuildError> {
        let reference = format!("slipway/build-ca:{}", self.digest());
        match engine.image(&reference).await {
            Ok(_) => Ok(reference),
            Err(EngineError::NotFound { .. }) => {
                let archive = small_archive([(Path::new("ca.crt"), 0o644, self.contents.as_slice())], 0)
                    .map_err(|source| BuildError::Io { action: "packing the CA bundle".into(), source })?;
                engine.import_image(&reference, byte_stream(archive), &[]).await?;
                Ok(reference)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The Dockerfile with the bundle of image `ca_image` given to every stage that runs something.
///
/// `ARG` values are in the environment of `RUN`, and not in that of the finished image. Nothing here changes from build
/// to build, so the engine's cache stays valid. A stage that only copies files is left alone: it downloads nothing, and
/// an image `FROM scratch` stays what its author made of it.
pub(super) fn with_ca(dockerfile: &str, ca_image: &str) -> String {
    let instructions = instructions(dockerfile);
    let mut insertions = BTreeMap::new();
    let mut stages: Vec<Stage> = Vec::new();
    for (index, from) in instructions.iter().enumerate().filter(|(_, i)| i.keyword == "from") {
        let (parent, name) = from_and_name(from);
        let body = instructions[index + 1..].iter().take_while(|i| i.keyword != "from");
        let runs = body.into_iter().any(|i| i.keyword == "run");
        let inherits =
            stages.iter().rev().find(|stage| stage.name.as_deref() == Some(&*parent)).is_some_and(|s| s.has_file);
        if runs {
            insertions.insert(from.lines.end, block(ca_image, inherits));
        }
        stages.push(Stage { name, has_file: runs || inherits });
    }
    let mut text = String::with_capacity(dockerfile.len() + insertions.len() * 700);
    for (number, line) in (1..).zip(dockerfile.split_inclusive('\n')) {
        text.push_str(line);
        if let Some(block) = insertions.get(&number) {
            if !line.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(block);
        }
    }
    text
}

struct Stage {
    name: Option<String>,
    has_file: bool,
}

/// What a `FROM` line takes from, and how it names its stage. Stage names do not mind case.
fn from_and_name(from: &Instruction) -> (String, Option<String>) {
    let mut words = from.rest.split_whitespace().filter(|word| !word.starts_with("--"));
    let parent = words.next().unwrap_or_default().to_ascii_lowercase();
    let name = match (words.next(), words.next()) {
        (Some(keyword), Some(name)) if keyword.eq_ignore_ascii_case("as") => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    (parent, name)
}

fn block(ca_image: &str, inherits_file: bool) -> String {
    let mut block = String::new();
    if !inherits_file {
        _ = writeln!(block, "COPY --from={ca_image} /ca.crt {CA_PATH}");
    }
    for name in VARIABLES {
        _ = writeln!(block, "ARG {name}={CA_PATH}");
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    const COPY: &str = "COPY --from=ca:1 /ca.crt /etc/slipway/ca.crt\n";

    /// The rewritten text with the block's `ARG` lines, always the same ten, folded into one word.
    fn rewritten(dockerfile: &str) -> String {
        let args: String = VARIABLES.iter().map(|name| format!("ARG {name}={CA_PATH}\n")).collect();
        with_ca(dockerfile, "ca:1").replace(&args, "ARGS\n")
    }

    #[test]
    fn every_stage_that_runs_something_gets_the_bundle() {
        let check = |dockerfile: &str, expect: &str| {
            assert_eq!(rewritten(dockerfile), expect.replace("{COPY}", COPY), "{dockerfile:?}");
        };
        check("FROM a\nRUN x\n", "FROM a\n{COPY}ARGS\nRUN x\n");
        check("ARG V\nFROM a:${V} AS b\nRUN x\n", "ARG V\nFROM a:${V} AS b\n{COPY}ARGS\nRUN x\n");
        check("FROM a\nRUN x\nFROM c\nRUN y", "FROM a\n{COPY}ARGS\nRUN x\nFROM c\n{COPY}ARGS\nRUN y");
        check("FROM a \\\n  AS b\nRUN x\n", "FROM a \\\n  AS b\n{COPY}ARGS\nRUN x\n");
        check("FROM scratch\nADD root.tar /\nRUN x\n", "FROM scratch\n{COPY}ARGS\nADD root.tar /\nRUN x\n");
    }

    #[test]
    fn stages_that_only_copy_are_left_alone() {
        let same = |dockerfile: &str| assert_eq!(rewritten(dockerfile), dockerfile);
        same("FROM scratch\nCOPY app /app\nCMD [\"/app\"]\n");
        same("FROM a\nCOPY . .\n");
        same("# only a comment\n");
        same("FROM a\nCOPY <<EOF /Dockerfile\nFROM b\nRUN x\nEOF\n");
        same("FROM a\nENV X=\\\nRUN\n");
    }

    #[test]
    fn a_stage_built_on_another_has_the_file_but_not_the_variables() {
        let check = |dockerfile: &str, expect: &str| {
            assert_eq!(rewritten(dockerfile), expect.replace("{COPY}", COPY), "{dockerfile:?}");
        };
        check(
            "FROM a AS Base\nRUN x\nFROM base\nRUN y\n",
            "FROM a AS Base\n{COPY}ARGS\nRUN x\nFROM base\nARGS\nRUN y\n",
        );
        check("FROM a AS b\nFROM b\nRUN y\n", "FROM a AS b\nFROM b\n{COPY}ARGS\nRUN y\n");
        check(
            "FROM a AS b\nRUN x\nFROM b AS c\nFROM --platform=$P c\nRUN y\n",
            "FROM a AS b\n{COPY}ARGS\nRUN x\nFROM b AS c\nFROM --platform=$P c\nARGS\nRUN y\n",
        );
    }

    #[test]
    fn the_same_bundle_gives_the_same_text() {
        let dockerfile = "FROM a\nRUN x\n";
        assert_eq!(with_ca(dockerfile, "ca:1"), with_ca(dockerfile, "ca:1"));
        assert_ne!(with_ca(dockerfile, "ca:1"), with_ca(dockerfile, "ca:2"));
    }
}
