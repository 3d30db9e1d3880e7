//! The buildpacks that come with Slipway.

use std::path::Path;

use include_dir::{Dir, DirEntry, include_dir};
use sha2::{Digest, Sha256};

use crate::engine::small_archive;

static BUILDPACKS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/buildpacks");

/// Their names in the order of detection, for which `buildpacks/README.md` gives the reasons: what a static site also has
/// (an `index.html`) decides nothing where a language was found before, and a `Procfile` is in most trees.
pub(super) const ORDER: [&str; 9] = ["python", "ruby", "php", "java", "go", "rust", "nodejs", "static", "procfile"];

/// What they share, beside them.
#[cfg(test)]
const SHARED: &str = "lib";

/// All of them as a tar archive, entries named `NAME/bin/detect` and so on, with what they share in `lib`.
pub(super) fn archive() -> std::io::Result<Vec<u8>> {
    // Owned by root: the build may read its buildpack, not change it.
    small_archive(files().into_iter().map(|(path, contents)| (path, mode(path, contents), contents)), 0)
}

/// Digest of all that they are.
pub(super) fn digest() -> String {
    let mut digest = Sha256::new();
    for name in ORDER {
        digest.update(name);
        digest.update([0]);
    }
    for (path, contents) in files() {
        digest.update(path.as_os_str().as_encoded_bytes());
        digest.update([0]);
        digest.update(contents.len().to_be_bytes());
        digest.update(contents);
    }
    hex::encode(digest.finalize())
}

/// What lies below a buildpack, in order of path.
fn files() -> Vec<(&'static Path, &'static [u8])> {
    fn collect(dir: &'static Dir<'static>, found: &mut Vec<(&'static Path, &'static [u8])>) {
        for entry in dir.entries() {
            match entry {
                DirEntry::Dir(dir) => collect(dir, found),
                DirEntry::File(file) => found.push((file.path(), file.contents())),
            }
        }
    }
    let mut found = Vec::new();
    BUILDPACKS.dirs().for_each(|dir| collect(dir, &mut found));
    found.sort_unstable();
    found
}

/// Modes do not survive embedding: what lies in `bin` or names its interpreter is a program.
fn mode(path: &Path, contents: &[u8]) -> u32 {
    let is_in_bin = path.parent().is_some_and(|parent| parent.ends_with("bin"));
    if is_in_bin || contents.starts_with(b"#!") { 0o755 } else { 0o644 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_buildpack_has_its_programs() {
        let archive = archive().unwrap();
        let mut archive = tar::Archive::new(archive.as_slice());
        let programs: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| entry.header().mode().unwrap() == 0o755)
            .map(|entry| entry.path().unwrap().to_string_lossy().into_owned())
            .collect();
        for name in ORDER {
            for program in ["detect", "compile", "release"] {
                let path = format!("{name}/bin/{program}");
                assert!(programs.contains(&path), "{path} is not among {programs:?}");
            }
        }
    }

    #[test]
    fn every_embedded_buildpack_is_in_the_order_of_detection() {
        let mut names: Vec<&str> = BUILDPACKS.dirs().filter_map(|dir| dir.path().to_str()).collect();
        names.sort_unstable();
        let mut expected = vec![SHARED];
        expected.extend(ORDER);
        expected.sort_unstable();
        assert_eq!(names, expected);
    }
}
