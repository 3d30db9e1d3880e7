//! What containers and steps of builds have written.
//!
//! The engine measures containers. Their volumes it measures together with all that it has, which takes long, and of the
//! steps of BuildKit's builds it tells nothing. Where the engine runs on this machine and Slipway may look, volumes are
//! read, and steps are found by their control group and what they write by their mounts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};

use super::act::Act;
use super::limits::GROUPS;
use super::tree_size::tree_size;
use super::{CALL_LIMIT, Docker, label_filter};
use crate::engine::{EngineError, Labels, Writer, Written};

/// How long the engine may measure containers.
const MEASURE_LIMIT: Duration = Duration::from_secs(120);

/// How long one folder may be measured: some hundred thousand files. Of more it counts those.
const FOLDER_LIMIT: Duration = Duration::from_secs(2);

/// From this length on a container is measured by its blocks.
const LARGE: u64 = 16 << 20;

/// Where BuildKit keeps the hosts files of steps that have names of their own, and how those begin.
const HOSTS: &str = "/buildkit/executor/hosts.";

/// Where the engine keeps what steps write.
const LAYERS: &str = "/overlay2/";

impl Docker {
    pub(super) async fn measure_written(&self, labels: &Labels) -> Result<Vec<Written>, EngineError> {
        let act = Act::on("measuring", "containers", "by label");
        let options = ListContainersOptionsBuilder::default().all(true).size(true).filters(&label_filter(labels));
        let found = act.within(MEASURE_LIMIT, self.client.list_containers(Some(options.build()))).await?;
        // A name of a folder on this machine says nothing about an engine on another one.
        let root = match &self.socket {
            Some(_) => act.within(CALL_LIMIT, self.client.info()).await?.docker_root_dir.map(PathBuf::from),
            None => None,
        };
        let group = self.build_group().await?;
        let mut containers = Vec::with_capacity(found.len());
        for summary in found {
            let is_large = root.is_some() && summary.size_rw.unwrap_or_default().unsigned_abs() > LARGE;
            let layer = if is_large { self.layer_of(summary.id.as_deref().unwrap_or_default()).await? } else { None };
            containers.push((summary, layer));
        }
        let measured = tokio::task::spawn_blocking(move || {
            let containers = containers.into_iter();
            let mut all: Vec<Written> =
                containers.map(|(it, layer)| of_container(it, layer, root.as_deref())).collect();
            if let (Some(group), Some(root)) = (group, root) {
                all.extend(of_steps(&group, &root));
            }
            all
        });
        measured.await.map_err(|error| act.refused(error.to_string()))
    }

    /// The folder that holds what a container has written.
    async fn layer_of(&self, container: &str) -> Result<Option<PathBuf>, EngineError> {
        let act = Act::on("inspecting", "container", container);
        match act.within(CALL_LIMIT, self.client.inspect_container(container, None::<InspectContainerOptions>)).await {
            Ok(found) => {
                let driver = found.graph_driver.map(|driver| driver.data);
                Ok(driver.and_then(|mut data| data.remove("UpperDir")).map(PathBuf::from))
            }
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The engine adds up the lengths of files. A file with holes is longer than what it takes, so that a container that looks
/// large is measured by its blocks where that can be done.
fn of_container(summary: ContainerSummary, layer: Option<PathBuf>, root: Option<&Path>) -> Written {
    use ContainerSummaryStateEnum as State;
    let is_running = matches!(summary.state, Some(State::RUNNING | State::PAUSED | State::RESTARTING));
    let volumes = summary.mounts.unwrap_or_default().into_iter().filter_map(|mount| mount.name);
    let in_layer = match layer {
        Some(layer) => tree_size(&layer, FOLDER_LIMIT),
        None => summary.size_rw.unwrap_or_default().unsigned_abs(),
    };
    let in_volumes: u64 = match root {
        Some(root) => volumes.map(|name| tree_size(&root.join("volumes").join(name), FOLDER_LIMIT)).sum(),
        None => 0,
    };
    Written {
        place: summary.id.unwrap_or_default(),
        writer: Writer::Container { labels: summary.labels.unwrap_or_default().into_iter().collect(), is_running },
        bytes: in_layer + in_volumes,
    }
}

fn of_steps(group: &str, root: &Path) -> Vec<Written> {
    let mut steps: Vec<Step> = processes(group).into_iter().filter_map(|pid| Step::of(pid, root)).collect();
    // A step has many processes, and all of them the same mounts.
    steps.sort();
    steps.dedup();
    steps.into_iter().flat_map(Step::written).collect()
}

/// Processes in all groups below a control group, whichever version of control groups that is.
fn processes(group: &str) -> Vec<u32> {
    let unified = Path::new(GROUPS).join(group);
    let root = if unified.is_dir() { unified } else { Path::new(GROUPS).join("memory").join(group) };
    let mut pids = Vec::new();
    let mut groups = vec![root];
    while let Some(group) = groups.pop() {
        let listed = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        pids.extend(listed.lines().filter_map(|pid| pid.parse::<u32>().ok()));
        let entries = std::fs::read_dir(&group).into_iter().flatten().filter_map(Result::ok);
        groups.extend(entries.filter(|it| it.file_type().is_ok_and(|kind| kind.is_dir())).map(|it| it.path()));
    }
    pids
}

/// A step of a build, as the mounts of one of its processes tell. The engine made those: a step cannot mount.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    mark: String,
    /// Where it writes: its own layer, and the cache mounts that it has.
    places: BTreeSet<PathBuf>,
}

impl Step {
    fn of(pid: u32, root: &Path) -> Option<Self> {
        let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).ok()?;
        let (hosts, places) = read_mounts(&mounts, root)?;
        let hosts = std::fs::read_to_string(hosts).ok()?;
        Some(Self { mark: mark(&hosts)?, places })
    }

    fn written(self) -> Vec<Written> {
        let measured = |place: PathBuf| Written {
            bytes: tree_size(&place, FOLDER_LIMIT),
            place: place.display().to_string(),
            writer: Writer::BuildStep { mark: self.mark.clone() },
        };
        self.places.into_iter().map(measured).collect()
    }
}

/// The hosts file of a step, and where it writes (proc_pid_mountinfo(5)).
fn read_mounts(mounts: &str, root: &Path) -> Option<(PathBuf, BTreeSet<PathBuf>)> {
    // A mount's root is a path in its file system, which need not be this machine's.
    let below = |path: &str, part: &str| path.find(part).map(|at| root.join(path[at..].trim_start_matches('/')));
    let mut hosts = None;
    let mut places = BTreeSet::new();
    for line in mounts.lines() {
        let (mount, file_system) = line.split_once(" - ")?;
        let fields: Vec<&str> = mount.split(' ').collect();
        let [_, _, _, inner, at, options, ..] = fields.as_slice() else { continue };
        if *at == "/etc/hosts" {
            hosts = below(inner, HOSTS);
        } else if *at == "/" {
            let options = file_system.split(' ').nth(2).unwrap_or_default().split(',');
            places.extend(options.filter_map(|option| option.strip_prefix("upperdir=")).map(PathBuf::from));
        } else if options.split(',').any(|option| option == "rw") {
            places.extend(below(inner, LAYERS));
        }
    }
    Some((hosts?, places))
}

/// The name that is not everybody's.
fn mark(hosts: &str) -> Option<String> {
    let names = hosts.lines().flat_map(|line| line.split_ascii_whitespace().skip(1));
    names.filter(|name| name.starts_with("slipway-")).map(str::to_owned).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mounts_of_a_step_tell_whose_it_is_and_where_it_writes() {
        let mounts = "120 71 0:50 / / rw,relatime master:3 - overlay overlay rw,lowerdir=/e/overlay2/l/A,upperdir=/e/overlay2/own/diff,workdir=/e/w\n\
            128 120 254:0 /part/buildkit/executor/hosts.3i7 /etc/hosts ro,nosuid master:1 - ext4 /dev/vda rw\n\
            129 120 254:0 /part/overlay2/cache/diff /root/.cache rw,relatime master:1 - ext4 /dev/vda rw\n\
            130 120 254:0 /part/overlay2/base/diff /base ro,relatime master:1 - ext4 /dev/vda rw\n\
            131 120 0:51 / /proc rw - proc proc rw\n";
        let (hosts, places) = read_mounts(mounts, Path::new("/e")).unwrap();
        assert_eq!(hosts, Path::new("/e/buildkit/executor/hosts.3i7"));
        assert_eq!(places, ["/e/overlay2/own/diff", "/e/overlay2/cache/diff"].map(PathBuf::from).into());
        assert_eq!(read_mounts("120 71 0:50 / / rw - overlay overlay rw\n", Path::new("/e")), None);
        assert_eq!(mark("127.0.0.1\tlocalhost\n127.0.0.1\tslipway-ab12\n").as_deref(), Some("slipway-ab12"));
        assert_eq!(mark("127.0.0.1\tlocalhost\n"), None);
    }
}
