//! The versions that the stack itself has, read from its package database: nothing is started for that.

use std::collections::BTreeMap;
use std::io::Read;

use futures_util::StreamExt;

use super::installer::Errand;
use super::version::Version;
use super::{Tool, Versions};
use crate::build::builder::container_name;
use crate::build::scratch::Scratch;
use crate::build::{BuildError, Builder};
use crate::engine::ContainerSpec;

/// Debian's list of installed packages.
const STATUS: &str = "/var/lib/dpkg/status";

/// Largest such list that is read.
const STATUS_BYTES: usize = 64 << 20;

impl Builder {
    /// The version of each language that the stack's build image has.
    pub(super) async fn versions_of_stack(&self, errand: Errand<'_>) -> Result<Versions, BuildError> {
        let image = self.stack_image_id(self.settings.stack.build_image()).await?;
        let known = self.runtimes.of_stack.lock().expect("nothing panics while it is held").clone();
        if let Some((_, versions)) = known.filter(|(of, _)| *of == image) {
            return Ok(versions);
        }
        let spec = ContainerSpec {
            name: container_name(errand.build, "look"),
            image: image.clone(),
            labels: self.container_labels(errand.app, errand.operation),
            ..ContainerSpec::default()
        };
        let container = Scratch::create(&self.engine, &self.tasks, spec).await?;
        let mut chunks = self.engine.download(container.id(), STATUS).await?;
        let mut archive = Vec::new();
        while let Some(chunk) = chunks.next().await {
            archive.extend_from_slice(&chunk.map_err(BuildError::io("reading the stack's packages"))?);
            if archive.len() > STATUS_BYTES {
                break;
            }
        }
        let versions = versions(&text_of(&archive).map_err(BuildError::io("reading the stack's packages"))?);
        *self.runtimes.of_stack.lock().expect("nothing panics while it is held") = Some((image, versions.clone()));
        Ok(versions)
    }
}

/// The one file of an archive.
fn text_of(archive: &[u8]) -> std::io::Result<String> {
    let mut archive = tar::Archive::new(archive);
    let mut bytes = Vec::new();
    if let Some(entry) = archive.entries()?.next() {
        entry?.read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads the list; of several versions of a language the newest counts.
fn versions(status: &str) -> Versions {
    let mut found = BTreeMap::new();
    for package in status.split("\n\n") {
        let field = |name: &str| package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else { continue };
        let Some(tool) = tool_of(name) else { continue };
        // `2:1.22.3~dfsg-1+deb12u1`: an epoch, what the publisher calls it, and Debian's own additions.
        let version = version.split_once(':').map_or(version, |(_, rest)| rest);
        let Some(version) = Version::parse(version.split(['-', '+', '~']).next().unwrap_or_default()) else { continue };
        if found.get(&tool).is_none_or(|other| *other < version) {
            found.insert(tool, version);
        }
    }
    found
}

/// The language that a package is the interpreter or compiler of.
fn tool_of(package: &str) -> Option<Tool> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let between = |start: &str, end: &str| {
        package.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)).is_some_and(is_number)
    };
    match package {
        "nodejs" => Some(Tool::Node),
        "rustc-web" | "rustc" => Some(Tool::Rust),
        _ if between("python", "") => package.contains('.').then_some(Tool::Python),
        _ if between("ruby", "") => Some(Tool::Ruby),
        _ if between("php", "-cli") => Some(Tool::Php),
        _ if between("openjdk-", "-jre-headless") => Some(Tool::Java),
        _ if between("golang-", "-go") => Some(Tool::Go),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_tell_the_versions() {
        let list = [
            ("nodejs", "20.20.2-1nodesource1"),
            ("python3.11", "3.11.2-6+deb12u6"),
            ("python3", "3.11.2-1+b1"),
            ("ruby3.1", "3.1.2-7+deb12u1"),
            ("ruby", "1:3.1"),
            ("php8.2-cli", "8.2.29-1~deb12u1"),
            ("openjdk-17-jre-headless", "17.0.17+10-1~deb12u1"),
            ("golang-1.19-go", "1.19.8-2"),
            ("golang-1.23-go", "1.23.4-1~bpo12+1"),
            ("rustc-web", "1.85.0+dfsg3-1~deb12u2"),
            ("libc6", "2.36-9"),
        ];
        let entry =
            |(name, version): (&str, &str)| format!("Package: {name}\nStatus: install ok\nVersion: {version}\n");
        let found = versions(&list.map(entry).join("\n"));
        let shown: Vec<String> = found.iter().map(|(tool, version)| format!("{tool} {version}")).collect();
        let expected = [
            "Go 1.23.4",
            "Java 17.0.17",
            "Node.js 20.20.2",
            "PHP 8.2.29",
            "Python 3.11.2",
            "Ruby 3.1.2",
            "Rust 1.85.0",
        ];
        assert_eq!(shown, expected);
        assert!(versions("").is_empty() && versions("Package: nodejs\n").is_empty());
    }
}
