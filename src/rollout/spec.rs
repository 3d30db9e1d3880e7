//! What an instance's container looks like.

use std::collections::BTreeMap;

use super::{RolloutSettings, Target};
use crate::engine::{ContainerSpec, Labels, Resources, label};
use crate::model::{App, AppId, BuildKind, Instance, ProcessType};

/// The port of images that declare none: Deis's choice for slugs (spec §8).
const DEFAULT_PORT: u16 = 5000;

/// Bytes of output that the engine itself keeps of a container; the app's stream keeps more.
const ENGINE_LOG_BYTES: u64 = 1 << 20;

/// The network that only this app's containers join. Named by the app's id: a new app of the same name gets another.
pub fn app_network(app: AppId) -> String {
    format!("slipway-{}", app.to_string().replace('-', "").get(..20).unwrap_or_default())
}

/// The volume that keeps what buildpacks cache between an app's builds.
pub fn cache_volume(app: AppId) -> String {
    format!("slipway-cache-{app}")
}

/// The port that routed instances of the target are expected on, `PORT` to all of them.
pub fn port(target: &Target) -> u16 {
    target.build.port.unwrap_or(DEFAULT_PORT)
}

/// Labels of everything that belongs to an app.
pub fn app_labels(server_id: &str, app: &App) -> Labels {
    crate::engine::labels([
        (label::SERVER, server_id),
        (label::APP, &app.id.to_string()),
        (label::APP_NAME, app.name.as_str()),
    ])
}

/// The container of one instance.
pub fn container(settings: &RolloutSettings, target: &Target, instance: &Instance) -> ContainerSpec {
    let mut labels = app_labels(&settings.server_id, &target.app);
    labels.insert(label::INSTANCE.to_owned(), instance.id.to_string());
    labels.insert(label::RELEASE.to_owned(), format!("v{}", target.release.version));
    labels.insert(label::PROCESS.to_owned(), instance.process.to_string());
    let (entrypoint, command) = command(target, &instance.process);
    let process = instance.process.as_str();
    let limits = &target.config.limits;
    let id = instance.id.to_string();
    ContainerSpec {
        name: format!("{}_v{}.{}-{}", target.app.name, target.release.version, instance.label(), &id[..8]),
        image: target.build.engine_image.clone(),
        entrypoint,
        command,
        env: environment(target),
        labels,
        network: Some(app_network(target.app.id)),
        aliases: vec![process.to_owned()],
        resources: Resources {
            memory_bytes: Some(limits.memory_bytes(process).unwrap_or(settings.instance_memory)),
            cpu_shares: limits.cpu_shares(process),
            pids: Some(settings.instance_pids),
        },
        log_bytes: ENGINE_LOG_BYTES,
        ..ContainerSpec::default()
    }
}

/// Entry point and command: a slug's entry point takes the Procfile command as one word; any other image runs it by its
/// shell; without a Procfile command the image's own command runs.
fn command(target: &Target, process: &ProcessType) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let Some(command) = target.build.procfile.command(process) else { return (None, None) };
    match target.build.kind {
        BuildKind::Slug => (None, Some(vec![command.to_owned()])),
        BuildKind::Dockerfile | BuildKind::Image => {
            (Some(Vec::new()), Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), command.to_owned()]))
        }
    }
}

/// In order of increasing strength: the commit, config values, what names the release, the port (Deis, spec §5).
fn environment(target: &Target) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    if let Some(commit) = &target.build.commit {
        env.insert("GIT_SHA".to_owned(), commit.clone());
    }
    env.extend(target.config.values.iter().map(|(name, value)| (name.clone(), value.to_string())));
    env.insert("DEIS_APP".to_owned(), target.app.name.to_string());
    env.insert("DEIS_RELEASE".to_owned(), format!("v{}", target.release.version));
    env.insert("PORT".to_owned(), port(target).to_string());
    env
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::{settings, target};
    use super::*;
    use crate::model::{ConfigValue, Formation, OperationId};
    use crate::rollout::plan::{Scope, plan};

    fn spec_of(target: &Target, process: &str) -> ContainerSpec {
        let wanted = Formation([(process.parse().unwrap(), 1)].into());
        let instance = plan(target, &wanted, &[], Scope::Replace, &OperationId::new()).start.remove(0);
        container(&settings(), target, &instance)
    }

    #[test]
    fn platform_variables_win_over_config() {
        let mut target = target();
        for (name, value) in [("PORT", "1"), ("DEIS_APP", "x"), ("GIT_SHA", "mine"), ("A", "b")] {
            target.config.values.insert(name.into(), ConfigValue::Text(value.into()));
        }
        let env = spec_of(&target, "web").env;
        assert_eq!(env["PORT"], "5000");
        assert_eq!(env["DEIS_APP"], target.app.name.as_str());
        assert_eq!(env["DEIS_RELEASE"], "v2");
        assert_eq!(env["GIT_SHA"], "mine");
        assert_eq!(env["A"], "b");
    }

    #[test]
    fn commands_per_kind_of_build() {
        let mut target = target();
        assert_eq!(spec_of(&target, "web").command.unwrap(), ["./server"]);
        assert_eq!(spec_of(&target, "web").entrypoint, None);
        target.build.kind = BuildKind::Dockerfile;
        let spec = spec_of(&target, "web");
        assert_eq!(
            (spec.entrypoint.unwrap().len(), spec.command.unwrap()),
            (0, vec!["/bin/sh".into(), "-c".into(), "./server".into()])
        );
        assert_eq!(spec_of(&target, "cmd").command, None);
    }
}
