//! What is asked of the engine and what it tells.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::model::{Check, GroupPort, PublishedPort, Timestamp};

/// Label names and values of engine objects.
pub type Labels = BTreeMap<String, String>;

/// The labels by which Slipway knows its own. Whatever lacks [`label::SERVER`] is not ours and is never touched.
pub mod label {
    /// Which Slipway installation made the object (a random id kept in its database).
    pub const SERVER: &str = "io.slipway.server";
    /// The app's stable id.
    pub const APP: &str = "io.slipway.app";
    /// The app's name, for people.
    pub const APP_NAME: &str = "io.slipway.app-name";
    /// The instance's stable id.
    pub const INSTANCE: &str = "io.slipway.instance";
    /// Version of the release, `v3`.
    pub const RELEASE: &str = "io.slipway.release";
    /// The process group of an instance whose life is the group's own.
    pub const GROUP: &str = "io.slipway.group";
    /// Process type.
    pub const PROCESS: &str = "io.slipway.process";
    /// The operation that made the object, for work that must not outlive it (builds).
    pub const OPERATION: &str = "io.slipway.operation";
    /// The id of a one-off command, on its container.
    pub const ONE_OFF: &str = "io.slipway.one-off";
    /// Who in a container gets SIGTERM beside its first process, and what that one leaves behind when it ends: [`TERM_ALL`].
    pub const TERM: &str = "io.slipway.term";
    /// Every process that is left after half the time.
    pub const TERM_ALL: &str = "all";
    /// Full id of the commit that an image was built from.
    pub const COMMIT: &str = "io.slipway.commit";
    /// The runtimes that an image of the stack has beside its own, `node-24.1.0 python-3.13.2`.
    pub const RUNTIMES: &str = "io.slipway.runtimes";
    /// The build that made an image.
    pub const BUILD: &str = "io.slipway.build";
}

/// How the names of networks of builds begin; the id of the build's operation follows. Their addresses are apart from those
/// of apps.
pub const BUILD_NETWORK: &str = "slipway-build-";

/// Bounds of a container or build. `None` means no bound.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources {
    /// Hard memory limit in bytes, swap included.
    pub memory_bytes: Option<i64>,
    /// Relative CPU weight; 1024 is the engine's default.
    pub cpu_shares: Option<i64>,
    /// Processes and threads.
    pub pids: Option<i64>,
}

/// A container to create.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpec {
    /// Unique name.
    pub name: String,
    /// Engine reference of the image.
    pub image: String,
    /// Replaces the image's entry point when given; `Some(vec![])` clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command when given.
    pub command: Option<Vec<String>>,
    /// Environment, laid over the image's own.
    pub env: BTreeMap<String, String>,
    /// How Slipway finds it again.
    pub labels: Labels,
    /// The network to join; the engine's default one when `None`.
    pub network: Option<String>,
    /// Names by which containers on the same network reach it.
    pub aliases: Vec<String>,
    /// Ports of the host that lead to ports of the container. None unless asked for.
    pub published: Vec<PublishedPort>,
    /// The address of the host that they are bound to; all IPv4 addresses when `None`.
    pub published_on: Option<std::net::IpAddr>,
    /// Host names that mean, inside the container, the machine that the engine runs on.
    pub host_names: Vec<String>,
    /// Runs as this user (`uid:gid`) instead of the image's.
    pub user: Option<String>,
    /// Who is process 1.
    pub init: Init,
    /// Working directory instead of the image's.
    pub workdir: Option<String>,
    /// Bounds.
    pub resources: Resources,
    /// Named volumes: (volume, path in the container).
    pub volumes: Vec<(String, String)>,
    /// Host files, read-only: (host path, path in the container).
    pub binds: Vec<(String, String)>,
    /// Size of the engine's own log of the container in bytes; the engine keeps two such files.
    pub log_bytes: u64,
}

/// Who is a container's process 1, to which the kernel leaves orphans and whose end ends all others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Init {
    /// The engine's own init, which passes signals on to the command and reaps orphans.
    #[default]
    Engines,
    /// The command itself.
    Own,
    /// The command itself where that is an entry point of the image's author, or an init: see [`ContainerSpec::brings_init`].
    ByImage,
}

/// Programs that are made to be process 1; some run as nothing else.
const INITS: [&str; 11] = [
    "catatonit",
    "docker-init",
    "dumb-init",
    "init",
    "my_init",
    "openrc-init",
    "runit-init",
    "s6-svscan",
    "systemd",
    "tini",
    "tini-static",
];

impl ContainerSpec {
    /// Whether what the container runs was made to be process 1: an entry point, since images are written for engines that
    /// give none an init unless asked, or a command that is an init by its name.
    pub fn brings_init(&self, image: &Image) -> bool {
        let entrypoint = self.entrypoint.as_ref().unwrap_or(&image.entrypoint);
        let command = self.command.as_ref().unwrap_or(&image.command);
        !entrypoint.is_empty() || program(command).is_some_and(|program| INITS.contains(&program))
    }
}

/// The name of the program that a command runs, through a shell that gives way to it, too.
fn program(command: &[String]) -> Option<&str> {
    let path = match command {
        [shell, option, line, ..] if shell.ends_with("sh") && option == "-c" => {
            line.split_whitespace().find(|word| *word != "exec")?
        }
        _ => command.first()?,
    };
    path.rsplit('/').next()
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Created, never started.
    Created,
    /// Running.
    Running,
    /// Not running any more.
    Exited(ExitStatus),
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitStatus {
    /// Exit status of its first process; 128 + signal when a signal ended it.
    pub code: i64,
    /// The kernel killed it for lack of memory.
    pub out_of_memory: bool,
}

/// A container as the engine has it.
#[derive(Debug, Clone)]
pub struct Container {
    /// Engine id.
    pub id: String,
    /// Name without the leading slash.
    pub name: String,
    /// What it is doing.
    pub state: ContainerState,
    /// Its labels.
    pub labels: Labels,
    /// Address on its network, while it runs.
    pub ip: Option<IpAddr>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Content id of its image.
    pub image_id: String,
}

/// What Slipway made a container for, with the id of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// To run an instance of a process type.
    Instance(&'a str),
    /// To run a one-off command.
    OneOff(&'a str),
    /// Work of an operation, such as a build.
    Operation(&'a str),
}

impl Container {
    /// What Slipway made it for; `None` when somebody else made it.
    ///
    /// Containers inherit the labels of their image, so that [`label::SERVER`] and [`label::APP`] do not tell: an operator
    /// may look into an image of ours with a container of their own.
    pub fn purpose(&self) -> Option<Purpose<'_>> {
        Purpose::of(&self.labels)
    }
}

impl<'a> Purpose<'a> {
    /// What a container with these labels was made for; `None` when somebody else made it.
    pub fn of(labels: &'a Labels) -> Option<Self> {
        let label = |name| labels.get(name).map(String::as_str).filter(|id| !id.is_empty());
        label(label::INSTANCE)
            .map(Purpose::Instance)
            .or_else(|| label(label::ONE_OFF).map(Purpose::OneOff))
            .or_else(|| label(label::OPERATION).map(Purpose::Operation))
    }
}

/// An image as the engine has it.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Content id (`sha256:...`).
    pub id: String,
    /// Names.
    pub tags: Vec<String>,
    /// What registries call it, `name@sha256:...`; empty for an image that was never pulled.
    pub digests: Vec<String>,
    /// Declared TCP ports in ascending order.
    pub ports: Vec<u16>,
    /// All declared ports in ascending order, TCP before UDP.
    pub exposed: Vec<GroupPort>,
    /// The command that its containers run; empty when it has none.
    pub command: Vec<String>,
    /// Its entry point; empty when it has none.
    pub entrypoint: Vec<String>,
    /// Instructions for whoever builds on it (`ONBUILD`).
    pub triggers: Vec<String>,
    /// Its labels.
    pub labels: Labels,
    /// Bytes on disk.
    pub size_bytes: i64,
    /// Digests of its layers, the lowest first.
    pub layers: Vec<String>,
    /// What its own `HEALTHCHECK` asks for; nothing without one. The engine itself never asks.
    pub health: Vec<Check>,
}

/// What came of a command in a running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executed {
    /// Its exit status.
    pub status: i64,
    /// The end of what it wrote to both outputs, at most [`Executed::OUTPUT_MAX`] bytes; what is no UTF-8 is replaced.
    pub output: String,
}

impl Executed {
    /// Most bytes of output that are kept.
    pub const OUTPUT_MAX: usize = 4096;
}

impl Image {
    /// Whether it was made from `base`: it has all of that one's layers below one more at least.
    pub fn is_built_on(&self, base: &Self) -> bool {
        !base.layers.is_empty() && self.layers.len() > base.layers.len() && self.layers.starts_with(&base.layers)
    }
}

/// A named volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
}

/// What a registry wants to know of who pulls.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    /// The user, or what stands for one beside a token.
    pub username: String,
    /// The password or token, which no message shows.
    pub password: String,
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryLogin").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Secrets by name, which no message shows.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(pub BTreeMap<String, String>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What one writer has on the engine's disk beside its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The writer's own place: the engine id of a container, a folder of the engine for a step of an image build.
    pub place: String,
    /// Who writes there.
    pub writer: Writer,
    /// Bytes there, and in the volumes of a container.
    pub bytes: u64,
}

/// Who writes to the engine's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    /// A container.
    Container {
        /// Its labels.
        labels: Labels,
        /// Whether it runs.
        is_running: bool,
    },
    /// A step of an image build that is under way.
    BuildStep {
        /// The [`ImageBuild::mark`] of its build.
        mark: String,
    },
}

/// An image to build from a Dockerfile.
#[derive(Debug, Clone, Default)]
pub struct ImageBuild {
    /// Names the result.
    pub tag: String,
    /// Path of the Dockerfile in the context.
    pub dockerfile: String,
    /// The stage that becomes the image; the last one when `None`.
    pub target: Option<String>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// What the build may read as secrets, and no layer keeps. Needs BuildKit.
    pub secrets: Secrets,
    /// Labels of the result.
    pub labels: Labels,
    /// Bounds where the engine's builder takes them per build (the classic builder).
    pub resources: Resources,
    /// Ignores the engine's build cache.
    pub no_cache: bool,
    /// A host name by which the engine tells whose step is at work; steps can look it up. Steps are cached by it: the same
    /// for all builds that share their steps.
    pub mark: Option<String>,
}

/// A TCP socket in state LISTEN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListeningPort(pub SocketAddr);

/// Which of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of a container's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerLog {
    /// Nanoseconds since the epoch, stamped by the engine.
    pub nanos: i64,
    /// Which stream.
    pub output: LogOutput,
    /// The line without its end; bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// Something that happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    /// Engine id.
    pub container: String,
    /// `start`, `die`, `oom`, `destroy`.
    pub action: String,
    /// The container's labels.
    pub labels: Labels,
}

/// What the engine is and can do.
#[derive(Debug, Clone)]
pub struct EngineInfo {
    /// Version of the engine, `20.10.24`.
    pub version: String,
    /// Version of its API, `1.41`.
    pub api_version: String,
    /// Whether images are built by BuildKit.
    pub has_buildkit: bool,
    /// Processors.
    pub cpus: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// Where it keeps images and containers.
    pub root_dir: String,
    /// Memory in bytes that new containers could have now; `None` when that cannot be known (an engine on another machine).
    pub memory_available_bytes: Option<i64>,
    /// Labels of the node that it runs on, as its operator set them.
    pub node_labels: Labels,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_points_and_inits_are_process_one() {
        let words = |line: &str| line.split('|').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let check = |own: (Option<&str>, Option<&str>), image: (&str, &str), expect: bool| {
            let (entrypoint, command) = (own.0.map(words), own.1.map(words));
            let spec = ContainerSpec { entrypoint, command, ..ContainerSpec::default() };
            let image = Image { entrypoint: words(image.0), command: words(image.1), ..Image::default() };
            assert_eq!(spec.brings_init(&image), expect, "{spec:?} {image:?}");
        };
        let own = (None, None);
        check(own, ("/init", ""), true);
        check(own, ("sh|/srv/init.sh", ""), true);
        check(own, ("docker-entrypoint.sh", "node|app.js"), true);
        check(own, ("", "/sbin/my_init"), true);
        check(own, ("", "/lib/systemd/systemd|--system"), true);
        check(own, ("", "/bin/sh|-c|exec /sbin/my_init --quiet"), true);
        check(own, ("", "tini|--|python3|app.py"), true);
        check(own, ("", "python3|app.py"), false);
        check(own, ("", "/bin/sh|-c|python3 init"), false);
        check(own, ("", ""), false);
        // A command of the Procfile takes the entry point's place.
        check((Some(""), Some("/bin/sh|-c|python3 app.py")), ("/init", "x"), false);
        check((Some(""), Some("/bin/sh|-c|/init")), ("", "x"), true);
        check((Some("start"), None), ("", ""), true);
        check((None, Some("serve")), ("/entry", ""), true);
    }
}
