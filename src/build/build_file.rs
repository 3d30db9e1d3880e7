//! How a repository wants to be built: `slipway-build.toml` at its root, and the app's config vars that go before it.

use serde::Deserialize;

use super::BuildError;
use super::text::text_of;
use crate::model::ConfigVars;

/// The file's name; not the server's own `slipway.toml`.
pub(super) const BUILD_FILE: &str = "slipway-build.toml";

/// Config vars that go before the file, so that several apps can be built from one repository.
const DIRECTORY_VAR: &str = "SLIPWAY_BUILD_DIRECTORY";
const DOCKERFILE_VAR: &str = "SLIPWAY_BUILD_DOCKERFILE";
const TARGET_VAR: &str = "SLIPWAY_BUILD_TARGET";
const SECRETS_VAR: &str = "SLIPWAY_BUILD_SECRETS";
const BUILDER_VAR: &str = "SLIPWAY_BUILD_BUILDER";

/// Which way a tree goes that could go both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Way {
    Dockerfile,
    Buildpacks,
}

/// What the file says. Every path is relative, without `..`, and names nothing outside of the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildFile {
    /// The part of the repository that is built, as if it were all of it.
    pub directory: Option<String>,
    /// The Dockerfile, below that directory.
    pub dockerfile: Option<String>,
    /// The stage of the Dockerfile that becomes the image; its last one when `None`.
    pub target: Option<String>,
    /// Config vars that the Dockerfile reads with `RUN --mount=type=secret,id=NAME`.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Which way to go where a Dockerfile and buildpacks would both do.
    pub builder: Option<Way>,
}

impl BuildFile {
    /// Reads the file, where there is one, and lays the config vars over it.
    ///
    /// # Errors
    /// [`BuildError::Refused`] names the file or the config var, what is wrong and what may stand there.
    pub fn read(file: Option<&[u8]>, config: &ConfigVars) -> Result<Self, BuildError> {
        let mut read = match file {
            Some(bytes) => Self::parse(bytes)?,
            None => Self::default(),
        };
        let value = |name: &str| config.get(name).map(ToString::to_string).filter(|value| !value.is_empty());
        for (setting, name) in [
            (&mut read.directory, DIRECTORY_VAR),
            (&mut read.dockerfile, DOCKERFILE_VAR),
            (&mut read.target, TARGET_VAR),
        ] {
            if let Some(value) = value(name) {
                *setting = Some(value);
            }
        }
        if let Some(names) = value(SECRETS_VAR) {
            read.secrets = names.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        }
        read.builder = match value(BUILDER_VAR).as_deref() {
            None => read.builder,
            Some("dockerfile") => Some(Way::Dockerfile),
            Some("buildpacks") => Some(Way::Buildpacks),
            Some(other) => {
                return Err(BuildError::Refused(format!(
                    "{BUILDER_VAR} is '{other}': set it to dockerfile or buildpacks, or unset it, then push again."
                )));
            }
        };
        read.checked()
    }

    fn parse(bytes: &[u8]) -> Result<Self, BuildError> {
        let refused = |problem: &str| {
            BuildError::Refused(format!(
                "{BUILD_FILE}: {problem}. It may hold directory, dockerfile, target, secrets and builder; correct it, commit \
                 and push again."
            ))
        };
        let text = text_of(bytes).map_err(|error| refused(&format!("it {error}")))?;
        toml::from_str(&text)
            .map_err(|error| refused(error.to_string().trim().replace('\n', " ").trim_end_matches('.')))
    }

    fn checked(mut self) -> Result<Self, BuildError> {
        for (path, name, variable) in
            [(&mut self.directory, "directory", DIRECTORY_VAR), (&mut self.dockerfile, "dockerfile", DOCKERFILE_VAR)]
        {
            if let Some(given) = path {
                let clean = inside(given).ok_or_else(|| {
                    BuildError::Refused(format!(
                        "{name} = '{given}' leads out of the repository: write a path below its root in {BUILD_FILE} or \
                         {variable}, then push again."
                    ))
                })?;
                *path = Some(clean).filter(|clean| !clean.is_empty());
            }
        }
        Ok(self)
    }
}

/// The path without `.` and doubled slashes; `None` for one that leads out of the tree.
fn inside(path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.contains(&"..")).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ConfigValue;

    fn config(values: &[(&str, &str)]) -> ConfigVars {
        values.iter().map(|(name, value)| ((*name).to_owned(), ConfigValue::Text((*value).to_owned()))).collect()
    }

    #[test]
    fn config_vars_go_before_the_file() {
        let file = b"directory = './services//api/'\ntarget = \"runtime\"\nsecrets = ['NPM_TOKEN']\n";
        let read = BuildFile::read(Some(file), &config(&[])).unwrap();
        assert_eq!(read.directory.as_deref(), Some("services/api"));
        assert_eq!((read.dockerfile, read.target.as_deref()), (None, Some("runtime")));
        assert_eq!((read.secrets, read.builder), (vec!["NPM_TOKEN".to_owned()], None));
        let vars = config(&[
            (DIRECTORY_VAR, "services/web"),
            (DOCKERFILE_VAR, "deploy/Dockerfile"),
            (TARGET_VAR, ""),
            (SECRETS_VAR, "A, B"),
            (BUILDER_VAR, "buildpacks"),
        ]);
        let read = BuildFile::read(Some(file), &vars).unwrap();
        assert_eq!(read.directory.as_deref(), Some("services/web"));
        assert_eq!(read.dockerfile.as_deref(), Some("deploy/Dockerfile"));
        assert_eq!(read.target.as_deref(), Some("runtime"), "an empty value is none");
        assert_eq!((read.secrets, read.builder), (vec!["A".to_owned(), "B".to_owned()], Some(Way::Buildpacks)));
        assert_eq!(BuildFile::read(None, &config(&[(DIRECTORY_VAR, ".")])).unwrap(), BuildFile::default());
    }

    #[test]
    fn a_file_saved_on_windows_is_read() {
        let file = b"\xef\xbb\xbfdirectory = 'api'\r\nbuilder = 'buildpacks'\r\n";
        let read = BuildFile::read(Some(file), &config(&[])).unwrap();
        assert_eq!((read.directory.as_deref(), read.builder), (Some("api"), Some(Way::Buildpacks)));
    }

    #[test]
    fn what_is_wrong_is_said_with_where_it_stands() {
        let check = |file: &[u8], vars: &[(&str, &str)], expect: &[&str]| {
            let error = BuildFile::read(Some(file), &config(vars)).unwrap_err().to_string();
            assert!(expect.iter().all(|part| error.contains(part)), "{error}");
        };
        check(b"\xff", &[], &[BUILD_FILE, "not UTF-8"]);
        check(b"dockerfil = 'x'", &[], &[BUILD_FILE, "dockerfil", "line 1"]);
        check(b"directory = '../other'", &[], &["'../other'", "out of the repository"]);
        check(b"dockerfile = '/etc/passwd'", &[], &["'/etc/passwd'"]);
        check(b"", &[(DIRECTORY_VAR, "a/../../b")], &[DIRECTORY_VAR]);
        check(b"", &[(BUILDER_VAR, "nix")], &[BUILDER_VAR, "'nix'"]);
        check(b"builder = 'nix'", &[], &[BUILD_FILE, "nix"]);
    }
}
