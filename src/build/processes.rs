//! What a slug can run: the Procfile's process types, or those that its buildpack gives by default.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::BuildError;
use super::output::{Phase, detail};
use super::plan::text_of_file;
use crate::engine::LineSink;
use crate::model::{ProcessType, Procfile};

/// What `bin/release` of a buildpack prints, as far as it matters to the server:
/// <https://devcenter.heroku.com/articles/buildpack-api#bin-release>
#[derive(Debug, Default, Deserialize)]
struct Release {
    #[serde(default)]
    default_process_types: Option<BTreeMap<String, String>>,
}

/// Decides and tells the process types: the pushed Procfile, else one that the build wrote, else the defaults.
///
/// # Errors
/// [`BuildError::Refused`] when nothing could ever be started.
pub(super) fn discover(
    pushed: Option<&Procfile>,
    written: Option<&[u8]>,
    release: Option<&[u8]>,
    app_type: &str,
    on_line: LineSink<'_>,
) -> Result<Procfile, BuildError> {
    Phase::begin(on_line, "Discovering process types");
    let procfile = match (pushed, written) {
        (Some(pushed), _) => Some(pushed.clone()),
        (None, Some(written)) => Some(Procfile::parse(text_of_file("Procfile", written)?.as_bytes())?),
        (None, None) => None,
    };
    if let Some(procfile) = procfile {
        detail(on_line, &format!("Procfile declares types -> {}", procfile.names()));
        return Ok(procfile);
    }
    let defaults = release.map(defaults).transpose()?.unwrap_or_default();
    if defaults.is_empty() {
        return Err(BuildError::Refused(
            "There is nothing to run, and the buildpack names nothing: add a Procfile with a line such as 'web: python app.py', then \
             commit and push again."
                .into(),
        ));
    }
    detail(on_line, &format!("Default types for {app_type} -> {}", defaults.names()));
    Ok(defaults)
}

fn defaults(release: &[u8]) -> Result<Procfile, BuildError> {
    let failed = |problem: String| BuildError::Failed {
        stage: "bin/release of the buildpack".into(),
        status: problem,
        hint: "Add a Procfile to do without the buildpack's process types.".into(),
    };
    // An empty document stands for an empty mapping.
    let release: Option<Release> = serde_yaml_ng::from_slice(release).map_err(|error| failed(error.to_string()))?;
    let types = release.unwrap_or_default().default_process_types.unwrap_or_default();
    let parsed = types.into_iter().map(|(name, command)| Ok((name.parse::<ProcessType>()?, command)));
    parsed.collect::<Result<Procfile, crate::model::InvalidProcessType>>().map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn check(pushed: Option<&str>, written: Option<&str>, release: Option<&str>) -> Result<(String, String), String> {
        let lines = Mutex::new(Vec::new());
        let on_line = |line: &str| lines.lock().unwrap().push(line.to_owned());
        let pushed = pushed.map(|text| Procfile::parse(text.as_bytes()).unwrap());
        let (written, release) = (written.map(str::as_bytes), release.map(str::as_bytes));
        let found =
            discover(pushed.as_ref(), written, release, "Python", &on_line).map_err(|error| error.to_string())?;
        Ok((found.to_string(), lines.into_inner().unwrap().pop().unwrap()))
    }

    #[test]
    fn the_pushed_procfile_wins_over_the_written_one_and_both_over_defaults() {
        let release = Some("---\ndefault_process_types:\n  web: default\n");
        let told = |names: &str| format!("       Procfile declares types -> {names}");
        assert_eq!(
            check(Some("web: a\nworker: b"), Some("web: c"), release),
            Ok(("web: a\nworker: b\n".into(), told("web, worker")))
        );
        assert_eq!(check(None, Some("web: c"), release), Ok(("web: c\n".into(), told("web"))));
        assert_eq!(
            check(None, None, release),
            Ok(("web: default\n".into(), "       Default types for Python -> web".into()))
        );
    }

    #[test]
    fn nothing_to_run_is_refused_with_the_line_to_add() {
        for release in
            [None, Some(""), Some("---\n"), Some("---\ndefault_process_types: {}\n"), Some("config_vars: {}")]
        {
            let error = check(None, None, release).unwrap_err();
            assert!(error.contains("web: python app.py"), "{error}");
        }
    }

    #[test]
    fn a_broken_release_file_is_the_buildpacks_failure() {
        for release in ["a: [", "default_process_types:\n  'we b': x", "default_process_types: 5"] {
            let error = check(None, None, Some(release)).unwrap_err();
            assert!(error.starts_with("bin/release of the buildpack failed: "), "{error}");
        }
        assert!(check(None, Some("nonsense"), None).unwrap_err().contains("line 1"));
    }
}
