//! What a new build runs: which process types, how many of each, and on which port.

use super::super::operations::Progress;
use super::super::{Error, Platform};
use super::wishes;
use crate::build::AppJson;
use crate::engine::{EngineError, Image};
use crate::model::{App, Build, BuildKind, ConfigVars, Formation, ProcessType, chosen_port};
use crate::store::formations;

impl Platform {
    /// The counts that the new build runs with: process types that it does not have any more go, what answers for the app
    /// moves with its name, and an app that was never scaled gets what its `app.json` asks for, or one instance of its main
    /// process. `before` is what served until now; `has_command`, whether the app runs another command than the image's.
    ///
    /// # Errors
    /// [`Error::Refused`] when the image's own command is to run and there is none.
    pub(super) async fn formation_for(
        &self,
        app: &App,
        before: Option<&Build>,
        build: &Build,
        wishes: &AppJson,
        has_command: bool,
        out: &Progress,
    ) -> Result<Formation, Error> {
        let mut formation = formations::get(self.0.store.pool(), app.id).await?;
        let served = formation.running().any(|(process, _)| process.is_routed());
        let has_command = has_command || self.has_command(build).await?;
        if let Some(line) = moved(&mut formation, before, build, has_command) {
            out.line(&format!("       {line}"));
        }
        let mut ended = formation.clone();
        ended.0.retain(|process, count| !build.has_process(process) && *count > 0);
        formation.0.retain(|process, _| build.has_process(process));
        if formation.0.is_empty() {
            formation = wishes::first_formation(wishes, build);
        }
        for line in wishes::ended_types(&ended, &formation, &build.procfile) {
            out.line(&format!(" !     {line}"));
        }
        let cmd = ProcessType::cmd();
        let is_new = formation.0.is_empty();
        if is_new && let Some(process) = build.default_process() {
            formation.0.insert(process, 1);
        }
        if formation.count(&cmd) > 0 && build.procfile.command(&cmd).is_none() && !has_command {
            if build.procfile.is_empty() {
                return Err(Error::Refused(no_command(build)));
            }
            formation.0.remove(&cmd);
            if is_new && build.has_process(&ProcessType::web()) {
                formation.0.insert(ProcessType::web(), 1);
            }
        }
        let serves = formation.running().any(|(process, _)| process.is_routed());
        if !serves && (is_new || served) {
            let names = build.procfile.names();
            out.line(&format!("       No web process among {names}; start what you need by scaling it"));
        }
        Ok(formation)
    }

    /// Whether the image of a build has a command of its own. One that was lost and will be laid again is a slug's.
    async fn has_command(&self, build: &Build) -> Result<bool, Error> {
        if build.kind == BuildKind::Slug {
            return Ok(false);
        }
        match self.0.engine.image(&build.engine_image).await {
            Ok(image) => Ok(!(image.command.is_empty() && image.entrypoint.is_empty())),
            Err(EngineError::NotFound { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

/// What to do about an image without a command.
fn no_command(build: &Build) -> String {
    match build.kind {
        BuildKind::Image => format!(
            "image {} has no command: use one with CMD or ENTRYPOINT, or send a procfile with a command for web",
            build.image
        ),
        BuildKind::Dockerfile | BuildKind::Slug => {
            "the image has no command: add CMD or ENTRYPOINT to the Dockerfile, or a \
                                                    Procfile with a line such as 'web: ./server', commit and push again"
                .to_owned()
        }
    }
}

/// `web` of a Procfile and the image's own command (`cmd`) both answer for an app. When one comes in place of the other, it
/// comes with the other's count. Says so.
fn moved(formation: &mut Formation, before: Option<&Build>, build: &Build, has_command: bool) -> Option<String> {
    let (web, cmd) = (ProcessType::web(), ProcessType::cmd());
    let had_web = before.is_some_and(|before| before.has_process(&web));
    let (from, to) = match () {
        () if !had_web && build.default_process().as_ref() == Some(&web) => (cmd, web),
        () if !build.has_process(&web) && build.has_process(&cmd) && has_command => (web, cmd),
        () => return None,
    };
    if formation.0.contains_key(&to) {
        return None;
    }
    let count = formation.0.remove(&from)?;
    let line = match to.as_str() {
        "web" => format!("web serves from now on, in place of the image's own command (cmd): web={count}"),
        _ => format!("there is no web any more: the image's own command (cmd) serves in its place: cmd={count}"),
    };
    formation.0.insert(to, count);
    Some(line)
}

/// Says which port the instances of an image are expected on, why, and how to choose another one. A slug has no choice.
pub(in crate::platform) fn tell_port(
    kind: BuildKind,
    declared: Option<u16>,
    image: &Image,
    config: &ConfigVars,
    out: &Progress,
) {
    if kind != BuildKind::Slug {
        out.line(&format!("       {}", port_line(declared, &image.ports, chosen_port(config))));
    }
}

fn port_line(declared: Option<u16>, exposed: &[u16], chosen: Option<u16>) -> String {
    let listed = |ports: &mut dyn Iterator<Item = &u16>| ports.map(u16::to_string).collect::<Vec<_>>().join(", ");
    let why = match (chosen, declared) {
        (Some(port), _) => return format!("Port {port}, which the config var PORT names"),
        (None, Some(port)) if exposed == [port] => format!("Port {port}, which the image exposes"),
        (None, Some(port)) if exposed.first() == Some(&port) => {
            format!("Port {port}, the lowest that the image exposes ({})", listed(&mut exposed.iter()))
        }
        (None, Some(port)) => {
            let others = listed(&mut exposed.iter().filter(|other| **other != port));
            format!("Port {port}, the lowest that the Dockerfile exposes (the image has {others} as well)")
        }
        (None, None) => format!("Port {}, since the image exposes none", crate::rollout::DEFAULT_PORT),
    };
    format!("{why}; the config var PORT names another")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Procfile;
    use crate::rollout::tests_support;

    fn build(kind: BuildKind, procfile: &str) -> Build {
        let procfile =
            if procfile.is_empty() { Procfile::default() } else { Procfile::parse(procfile.as_bytes()).unwrap() };
        Build { kind, procfile, ..tests_support::target().build }
    }

    fn formation(text: &str) -> Formation {
        let count = |part: &str| {
            let (process, count) = part.split_once('=').unwrap();
            (process.parse().unwrap(), count.parse().unwrap())
        };
        Formation(text.split_whitespace().map(count).collect())
    }

    #[test]
    fn what_answers_for_an_app_moves_with_its_name() {
        use BuildKind::{Dockerfile, Slug};
        let check = |counts: &str, before: Option<(BuildKind, &str)>, now: (BuildKind, &str), expect: &str| {
            let mut found = formation(counts);
            let before = before.map(|(kind, procfile)| build(kind, procfile));
            let line = moved(&mut found, before.as_ref(), &build(now.0, now.1), true);
            assert_eq!(found.to_string(), expect, "{counts} {now:?}");
            assert_eq!(line.is_some(), counts != expect);
        };
        let (none, web, worker) = ((Dockerfile, ""), (Dockerfile, "web: a\nworker: b"), (Dockerfile, "worker: b"));
        // A Procfile comes, changes, goes.
        check("cmd=1", Some(none), web, "web=1");
        check("cmd=3", Some(none), web, "web=3");
        check("cmd=0", Some(none), web, "web=0");
        check("cmd=2 worker=1", Some(worker), web, "web=2 worker=1");
        check("cmd=1", Some(none), worker, "cmd=1");
        check("web=3 worker=1", Some(web), worker, "cmd=3 worker=1");
        check("web=2", Some(web), none, "cmd=2");
        // Who scaled both, or the image's own command beside web, meant it.
        check("cmd=1 web=2", Some(web), web, "cmd=1 web=2");
        check("cmd=1", Some(web), web, "cmd=1");
        check("cmd=1 web=2", Some(web), none, "cmd=1 web=2");
        // From and to a slug.
        check("cmd=2", Some(none), (Slug, "web: a"), "web=2");
        check("web=2", Some((Slug, "web: a")), none, "cmd=2");
        check("web=2", Some((Slug, "web: a")), (Slug, "worker: b"), "web=2");
        check("", None, web, "");
        // An image from elsewhere starts its own command, whatever came with it.
        let mut image = build(BuildKind::Image, "web: a");
        image.commit = None;
        assert_eq!(moved(&mut formation("cmd=1"), None, &image, true), None);
        // Nothing takes the place of web where the image has no command.
        assert_eq!(
            moved(&mut formation("web=1"), Some(&build(Dockerfile, "web: a")), &build(Dockerfile, ""), false),
            None
        );
    }

    #[test]
    fn the_port_is_told_with_its_reason() {
        let check = |declared, exposed: &[u16], chosen, expect: &str| {
            assert_eq!(port_line(declared, exposed, chosen), expect);
        };
        check(Some(8000), &[8000], None, "Port 8000, which the image exposes; the config var PORT names another");
        check(Some(8000), &[8000], Some(9000), "Port 9000, which the config var PORT names");
        check(
            Some(8080),
            &[8080, 8443],
            None,
            "Port 8080, the lowest that the image exposes (8080, 8443); the config var PORT names another",
        );
        check(
            Some(8000),
            &[5000, 8000],
            None,
            "Port 8000, the lowest that the Dockerfile exposes (the image has 5000 as well); the config var PORT names another",
        );
        check(None, &[], None, "Port 5000, since the image exposes none; the config var PORT names another");
    }
}
