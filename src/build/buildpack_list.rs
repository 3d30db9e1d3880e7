//! Which buildpacks a tree is built by: the built-in ones by detection, or those that the app or the repository names.

use super::buildpacks::ORDER;
use super::plan::{SMALL_FILE_BYTES, text_of_file};
use super::{AppJson, BuildError};
use crate::git::Source;
use crate::model::ConfigVars;

/// Where buildpacks are named, for messages.
pub(super) const PLACES: &str = ".buildpacks, BUILDPACK_URL or app.json";

/// Config var that names one buildpack, before anything that the repository says (Heroku, Dokku).
const BUILDPACK_URL: &str = "BUILDPACK_URL";

/// File that names buildpacks, one on each line (heroku-buildpack-multi, Dokku).
const LIST_FILE: &str = ".buildpacks";

/// Most buildpacks of one build.
const MOST: usize = 20;

/// The buildpacks of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Buildpacks {
    /// The first built-in one that accepts the tree.
    Detected,
    /// All of these, in this order.
    Listed(Vec<Buildpack>),
}

/// One that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Buildpack {
    /// One of ours.
    BuiltIn(&'static str),
    /// A git repository, at a branch, tag or commit, or as its default branch stands.
    Git {
        /// Without the fragment.
        url: String,
        /// What follows `#`.
        reference: Option<String>,
    },
    /// A `.tar`, `.tar.gz` or `.tgz` file.
    Archive(String),
}

impl Buildpacks {
    /// Reads `BUILDPACK_URL` of the config, else `.buildpacks`, else `buildpacks` of `app.json`.
    ///
    /// # Errors
    /// [`BuildError::Refused`] names the place and the entry that cannot be a buildpack, and what may stand there.
    pub fn of(source: &Source, app_json: &AppJson, config: &ConfigVars) -> Result<Self, BuildError> {
        if let Some(url) = config.get(BUILDPACK_URL).map(ToString::to_string).filter(|url| !url.trim().is_empty()) {
            return Self::listed(BUILDPACK_URL, [url.trim()]);
        }
        if let Some(file) = source.file(LIST_FILE, SMALL_FILE_BYTES)? {
            let text = text_of_file(LIST_FILE, &file)?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            return Self::listed(LIST_FILE, lines);
        }
        Self::listed("app.json", app_json.buildpacks.iter().map(|entry| entry.trim()))
    }

    /// What the builder is told: to detect one, or to take them all, by the names of their folders.
    pub fn arguments(&self) -> Vec<String> {
        match self {
            Self::Detected => std::iter::once("detect").chain(ORDER).map(str::to_owned).collect(),
            Self::Listed(listed) => {
                let folders = listed.iter().enumerate().map(|(number, buildpack)| buildpack.folder(number));
                std::iter::once("compose".to_owned()).chain(folders).collect()
            }
        }
    }

    fn listed<'a>(place: &str, entries: impl IntoIterator<Item = &'a str>) -> Result<Self, BuildError> {
        let refused = |problem: String| BuildError::Refused(format!("{place} {problem}, then push again."));
        let mut listed = Vec::new();
        for entry in entries {
            let buildpack = Buildpack::parse(entry).ok_or_else(|| {
                refused(format!(
                    "names the buildpack '{entry}', which is neither one of {} nor the URL of a git repository or a .tgz \
                     file: correct it",
                    ORDER.join(", ")
                ))
            })?;
            listed.push(buildpack);
        }
        if listed.len() > MOST {
            return Err(refused(format!(
                "names {} buildpacks; a build takes at most {MOST}: shorten it",
                listed.len()
            )));
        }
        Ok(if listed.is_empty() { Self::Detected } else { Self::Listed(listed) })
    }
}

impl Buildpack {
    /// `python`, `heroku/python`, `https://host/repo[.git][#ref]`, `https://host/pack.tgz`, `git@host:repo`.
    fn parse(entry: &str) -> Option<Self> {
        if entry.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return None;
        }
        let name = entry.strip_prefix("heroku/").or_else(|| entry.strip_prefix("slipway/")).unwrap_or(entry);
        if let Some(built_in) = ORDER.iter().find(|built_in| **built_in == name) {
            return Some(Self::BuiltIn(built_in));
        }
        let (url, reference) = match entry.split_once('#') {
            Some((url, reference)) => (url, Some(reference).filter(|reference| !reference.is_empty())),
            None => (entry, None),
        };
        // A reference that starts with a dash would be an option to git.
        if reference.is_some_and(|reference| reference.starts_with('-')) {
            return None;
        }
        let is_web = url.starts_with("https://") || url.starts_with("http://");
        let path = url.split('?').next().unwrap_or(url);
        if is_web && [".tgz", ".tar.gz", ".tar"].iter().any(|ending| path.ends_with(ending)) {
            return Some(Self::Archive(url.to_owned()));
        }
        let is_git = is_web || url.starts_with("git://") || url.starts_with("ssh://");
        is_git.then(|| Self::Git { url: url.to_owned(), reference: reference.map(str::to_owned) })
    }

    /// Its folder below `/buildpacks`. The name of a foreign one says nothing that could be trusted, so its number leads.
    pub fn folder(&self, number: usize) -> String {
        match self {
            Self::BuiltIn(name) => (*name).to_owned(),
            Self::Git { .. } | Self::Archive(_) => {
                let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
                let name: String = self.name().chars().filter(|c| safe(*c)).take(60).collect();
                format!("{}-{name}", number + 1)
            }
        }
    }

    /// What people and the builder call it: a built-in one's name, or the last part of the URL.
    pub fn name(&self) -> &str {
        match self {
            Self::BuiltIn(name) => name,
            Self::Git { url, .. } | Self::Archive(url) => {
                let path = url.split('?').next().unwrap_or(url).trim_end_matches('/');
                let last = path.rsplit('/').next().unwrap_or(path);
                let endings = [".git", ".tgz", ".tar.gz", ".tar"];
                endings.iter().find_map(|ending| last.strip_suffix(ending)).unwrap_or(last)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_urls_are_told_apart() {
        let git = |url: &str, reference: Option<&str>| {
            Some(Buildpack::Git { url: url.to_owned(), reference: reference.map(str::to_owned) })
        };
        let check = |entry: &str, expect: Option<Buildpack>| assert_eq!(Buildpack::parse(entry), expect, "{entry}");
        check("python", Some(Buildpack::BuiltIn("python")));
        check("heroku/python", Some(Buildpack::BuiltIn("python")));
        check("slipway/static", Some(Buildpack::BuiltIn("static")));
        check("https://git.example.com/pack.git#v2", git("https://git.example.com/pack.git", Some("v2")));
        check("http://git.example.com/pack#", git("http://git.example.com/pack", None));
        check("ssh://git@git.example.com/pack", git("ssh://git@git.example.com/pack", None));
        let archive = "https://example.com/pack.tgz?token=1";
        check(archive, Some(Buildpack::Archive(archive.to_owned())));
        for wrong in ["cobol", "file:///etc", "/etc", "--upload-pack=x", "https://x/y#--z", "https://x/a b", "ext::sh"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn names_are_the_last_part() {
        let name = |entry: &str| Buildpack::parse(entry).unwrap().name().to_owned();
        assert_eq!(name("https://example.com/heroku-buildpack-apt.git#main"), "heroku-buildpack-apt");
        assert_eq!(name("https://example.com/pack.tar.gz?x=/y"), "pack");
        assert_eq!(name("heroku/python"), "python");
    }

    #[test]
    fn an_entry_that_cannot_be_is_refused_with_its_place() {
        let error = Buildpacks::listed(".buildpacks", ["python", "cobol"]).unwrap_err().to_string();
        assert!(error.starts_with(".buildpacks names the buildpack 'cobol'") && error.contains("python, "), "{error}");
        assert!(Buildpacks::listed("app.json", vec!["python"; MOST + 1]).is_err());
        assert_eq!(Buildpacks::listed("app.json", []).unwrap(), Buildpacks::Detected);
    }
}
