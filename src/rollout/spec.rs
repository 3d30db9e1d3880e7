//! What an instance's container looks like.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::{OneOff, RolloutSettings, Target};
use crate::engine::{ContainerSpec, Init, Labels, Resources, label};
use crate::model::{App, AppId, BuildKind, Instance, ProcessType, chosen_init, chosen_port, for_containers};

/// The port of images that declare none: Deis's choice for slugs (spec §8).
pub const DEFAULT_PORT: u16 = 5000;

/// Bytes of output that the engine itself keeps of a container; the app's stream keeps more.
const ENGINE_LOG_BYTES: u64 = 1 << 20;

/// The entry point of the stack's run image, which every slug's image has.
const SLUG_RUNNER: &str = "/usr/local/bin/slug-runner";

/// What the shell of a one-off runs first: with both outputs in one pipe, what is written is read in the same order.
const ONE_OUTPUT: &str = "exec 2>&1; exec \"$0\" \"$@\"";

/// Names that bash sets by itself (bash(1), "Shell Variables"), as the stack's entry point knows them: what passes through a
/// bash loses the config vars of these names.
const SET_BY_BASH: [&str; 19] = [
    "BASHOPTS",
    "BASHPID",
    "BASH_VERSINFO",
    "BASH_VERSION",
    "DIRSTACK",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "FUNCNAME",
    "GROUPS",
    "IFS",
    "LINENO",
    "OPTIND",
    "PIPESTATUS",
    "PPID",
    "PS4",
    "RANDOM",
    "SECONDS",
    "SHELLOPTS",
    "SRANDOM",
];

/// The network that only this app's containers join. Named by the app's id: a new app of the same name gets another.
pub fn app_network(app: AppId) -> String {
    format!("slipway-{}", app.to_string().replace('-', "").get(..20).unwrap_or_default())
}

/// The port that routed instances of the target are expected on, `PORT` to all of them. An image may be made for another
/// one than it declares: the app's config goes first.
pub fn port(target: &Target) -> u16 {
    let chosen = chosen_port(&target.config.values).filter(|_| target.build.kind != BuildKind::Slug);
    chosen.or(target.build.port).unwrap_or(DEFAULT_PORT)
}

/// Who is process 1 in an instance. A slug's commands were not made for that; an image's may have been.
pub(super) fn init(target: &Target) -> Init {
    match chosen_init(&target.config.values) {
        _ if target.build.kind == BuildKind::Slug => Init::Engines,
        Some(true) => Init::Engines,
        Some(false) => Init::Own,
        None => Init::ByImage,
    }
}

/// Where an instance takes requests; `None` for types that take none.
pub fn address(target: &Target, process: &ProcessType, ip: Option<IpAddr>) -> Option<SocketAddr> {
    ip.filter(|_| process.is_routed()).map(|ip| SocketAddr::new(ip, port(target)))
}

/// The memory limit of the instances of a process type, in bytes.
pub fn memory(settings: &RolloutSettings, target: &Target, process: &ProcessType) -> i64 {
    target.config.limits.memory_bytes(process.as_str()).unwrap_or(settings.instance_memory)
}

/// A command in a slug's container, with the environment that its entry point sets up.
pub fn in_slug(words: &[String]) -> Vec<String> {
    let quoted = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect::<Vec<_>>();
    vec![SLUG_RUNNER.to_owned(), quoted.join(" ")]
}

/// Labels of everything that belongs to an app.
pub fn app_labels(server_id: &str, app: &App) -> Labels {
    crate::engine::labels([
        (label::SERVER, server_id),
        (label::APP, &app.id.to_string()),
        (label::APP_NAME, app.name.as_str()),
    ])
}

/// Processes of a slug are all told to end, as on Heroku; what conducts the others does it first, and better. The author of an
/// image knows whom its first process tells.
fn told_to_end(target: &Target) -> Option<(String, String)> {
    (target.build.kind == BuildKind::Slug).then(|| (label::TERM.to_owned(), label::TERM_ALL.to_owned()))
}

/// The container of one instance.
pub fn container(settings: &RolloutSettings, target: &Target, instance: &Instance) -> ContainerSpec {
    let mut labels = app_labels(&settings.server_id, &target.app);
    labels.insert(label::INSTANCE.to_owned(), instance.id.to_string());
    labels.insert(label::RELEASE.to_owned(), format!("v{}", target.release.version));
    labels.insert(label::PROCESS.to_owned(), instance.process.to_string());
    labels.extend(told_to_end(target));
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
            memory_bytes: Some(memory(settings, target, &instance.process)),
            cpu_shares: limits.cpu_shares(process),
            pids: Some(settings.instance_pids),
        },
        init: init(target),
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

/// The container of a one-off. It has the release's image and environment, and the bounds of an instance whose type has no
/// limits of its own (spec §9).
///
/// `command` reaches a shell as one argument: of a slug by way of its entry point, which sets up the app's environment,
/// and in any other image `shell`.
pub fn one_off(
    settings: &RolloutSettings,
    target: &Target,
    one_off: &OneOff,
    shell: &str,
    command: &str,
) -> ContainerSpec {
    let id = one_off.id.to_string();
    let mut labels = app_labels(&settings.server_id, &target.app);
    labels.insert(label::ONE_OFF.to_owned(), id.clone());
    labels.insert(label::RELEASE.to_owned(), format!("v{}", target.release.version));
    labels.insert(label::PROCESS.to_owned(), one_off.process.to_string());
    labels.extend(told_to_end(target));
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<String>>();
    let text = shell_text(command);
    let env = release_environment(target);
    let held: Vec<String> =
        env.iter().filter(|(name, _)| SET_BY_BASH.contains(&name.as_str())).map(|(n, v)| format!("{n}={v}")).collect();
    ContainerSpec {
        name: format!(
            "{}_v{}.{}.{}-{}",
            target.app.name,
            target.release.version,
            one_off.process,
            one_off.number,
            &id[..8]
        ),
        image: target.build.engine_image.clone(),
        entrypoint: Some(words(&[shell, "-c", ONE_OUTPUT])),
        command: Some(match target.build.kind {
            BuildKind::Slug if held.is_empty() => words(&[SLUG_RUNNER, &text]),
            BuildKind::Slug => [words(&["/usr/bin/env"]), held, words(&[SLUG_RUNNER, &text])].concat(),
            BuildKind::Dockerfile | BuildKind::Image => words(&[shell, "-c", &text]),
        }),
        env,
        labels,
        network: Some(app_network(target.app.id)),
        resources: Resources {
            memory_bytes: Some(settings.instance_memory),
            cpu_shares: None,
            pids: Some(settings.instance_pids),
        },
        log_bytes: ENGINE_LOG_BYTES,
        ..ContainerSpec::default()
    }
}

/// The command as a shell's `-c` takes it: neither missing nor an option.
fn shell_text(command: &str) -> String {
    let is_text = command.starts_with(|first: char| first != '-' && first != '+');
    if is_text { command.to_owned() } else { format!(" {command}") }
}

/// What instances and one-offs share. In order of increasing strength: the commit, config values, what names the release
/// (Deis, spec §5).
fn release_environment(target: &Target) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    if let Some(commit) = &target.build.commit {
        env.insert("GIT_SHA".to_owned(), commit.clone());
    }
    env.extend(for_containers(&target.config.values));
    env.insert("DEIS_APP".to_owned(), target.app.name.to_string());
    env.insert("DEIS_RELEASE".to_owned(), format!("v{}", target.release.version));
    env
}

/// An instance's: the release's, and the port over everything else.
fn environment(target: &Target) -> BTreeMap<String, String> {
    let mut env = release_environment(target);
    env.insert("PORT".to_owned(), port(target).to_string());
    env
}

#[cfg(test)]
mod tests {
    use super::super::tests_support::{settings, target};
    use super::*;
    use crate::model::{ConfigValue, Formation, OperationId, REGISTRY_PASSWORD};
    use crate::rollout::plan::{Scope, plan};

    fn spec_of(target: &Target, process: &str) -> ContainerSpec {
        let wanted = Formation([(process.parse().unwrap(), 1)].into());
        let instance = plan(target, &wanted, &[], Scope::Replace, &OperationId::new()).start.remove(0);
        container(&settings(), target, &instance)
    }

    #[test]
    fn platform_variables_win_over_config() {
        let mut target = target();
        for (name, value) in
            [("PORT", "1"), (REGISTRY_PASSWORD, "x"), ("DEIS_APP", "x"), ("GIT_SHA", "mine"), ("A", "b")]
        {
            target.config.values.insert(name.into(), ConfigValue::Text(value.into()));
        }
        let env = spec_of(&target, "web").env;
        assert_eq!(env["PORT"], "5000");
        assert_eq!(env["DEIS_APP"], target.app.name.as_str());
        assert_eq!(env["DEIS_RELEASE"], "v2");
        assert_eq!(env["GIT_SHA"], "mine");
        assert_eq!(env["A"], "b");
        assert!(!env.contains_key(REGISTRY_PASSWORD), "it is for Slipway alone");
    }

    #[test]
    fn an_image_takes_its_port_and_its_init_from_the_config() {
        let mut target = target();
        let mut set = |name: &str, value: &str| {
            target.config.values.insert(name.into(), ConfigValue::Text(value.into()));
            let slug = spec_of(&target, "web");
            assert_eq!((slug.env["PORT"].as_str(), slug.init), ("5000", Init::Engines));
            target.build.kind = BuildKind::Dockerfile;
            let image = spec_of(&target, "cmd");
            target.build.kind = BuildKind::Slug;
            (image.env["PORT"].clone(), image.init)
        };
        assert_eq!(set("OTHER", "1"), ("5000".to_owned(), Init::ByImage));
        assert_eq!(set("PORT", "8080"), ("8080".to_owned(), Init::ByImage));
        assert_eq!(set("SLIPWAY_INIT", "no"), ("8080".to_owned(), Init::Own));
        assert_eq!(set("SLIPWAY_INIT", "yes"), ("8080".to_owned(), Init::Engines));
        assert_eq!(set("PORT", ""), ("5000".to_owned(), Init::Engines));
    }

    fn one_off_of(target: &Target, command: &str) -> ContainerSpec {
        let id = crate::model::InstanceId::new();
        let created_at = crate::model::Timestamp::now();
        let it = OneOff { id, process: ProcessType::run(), number: 3, version: 2, is_started: false, created_at };
        one_off(&settings(), target, &it, "/bin/bash", command)
    }

    #[test]
    fn a_one_off_has_the_release_but_neither_its_port_nor_its_types_limits() {
        let mut target = target();
        target.config.limits.memory.insert("run".into(), ConfigValue::Text("1G".into()));
        target.config.values.insert("A".into(), ConfigValue::Text("b".into()));
        let spec = one_off_of(&target, "env");
        let names: Vec<&str> = spec.env.keys().map(String::as_str).collect();
        assert_eq!(names, ["A", "DEIS_APP", "DEIS_RELEASE", "GIT_SHA"]);
        assert_eq!(spec.resources.memory_bytes, Some(settings().instance_memory));
        assert_eq!(spec.network, Some(app_network(target.app.id)));
        assert!(spec.name.starts_with("hello_v2.run.3-"), "{}", spec.name);
        assert!(!spec.labels.contains_key(label::INSTANCE), "the supervisor must not take it for an instance");
    }

    #[test]
    fn a_one_offs_command_is_one_argument() {
        let mut target = target();
        let text = "echo \"it's\"\nls; # 世界";
        let check = |target: &Target, command: &str, expect: &[&str]| {
            let spec = one_off_of(target, command);
            assert_eq!(spec.entrypoint.unwrap(), ["/bin/bash", "-c", ONE_OUTPUT]);
            assert_eq!(spec.command.unwrap(), expect);
        };
        check(&target, text, &[SLUG_RUNNER, text]);
        check(&target, "", &[SLUG_RUNNER, " "]);
        check(&target, "-x", &[SLUG_RUNNER, " -x"]);
        target.config.values.insert("PPID".to_owned(), ConfigValue::Text("7 8".to_owned()));
        check(&target, "env", &["/usr/bin/env", "PPID=7 8", SLUG_RUNNER, "env"]);
        target.build.kind = BuildKind::Dockerfile;
        check(&target, text, &["/bin/bash", "-c", text]);
        check(&target, "", &["/bin/bash", "-c", " "]);
        let run_image = include_str!("../build/stack/run.Dockerfile");
        assert!(run_image.contains(&format!("ENTRYPOINT [\"{SLUG_RUNNER}\"]")));
    }

    #[test]
    fn a_check_in_a_slug_is_one_argument_of_its_entry_point() {
        let words = ["/app/check", "it's", "$HOME"].map(str::to_owned);
        assert_eq!(in_slug(&words), [SLUG_RUNNER, r"'/app/check' 'it'\''s' '$HOME'"]);
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
