//! What the container of a managed instance looks like.

use std::collections::BTreeSet;

use super::super::spec::{app_labels, app_network, init};
use super::super::{RolloutSettings, Target};
use super::launch::LOG_BYTES;
use crate::engine::{ContainerSpec, Resources, label};
use crate::model::{Environment, GroupInstance, ProcessGroup, PublishedPort};

/// The process type of managed groups, as text.
pub(super) const PROCESS: &str = "cmd";

/// The container of one instance.
pub(super) fn container(
    settings: &RolloutSettings,
    target: &Target,
    group: &ProcessGroup,
    instance: &GroupInstance,
    ports: &[PublishedPort],
    environment: Environment,
    host_names: BTreeSet<String>,
) -> ContainerSpec {
    let mut labels = app_labels(&settings.server_id, &target.app);
    let id = instance.id.to_string();
    labels.insert(label::GROUP.to_owned(), group.id.to_string());
    labels.insert(label::INSTANCE.to_owned(), id.clone());
    labels.insert(label::RELEASE.to_owned(), format!("v{}", target.release.version));
    labels.insert(label::PROCESS.to_owned(), PROCESS.to_owned());
    let (entrypoint, command) = words(group);
    ContainerSpec {
        name: format!("{}_{PROCESS}.{}-{}", target.app.name, instance.number, &id[..8]),
        image: target.build.engine_image.clone(),
        entrypoint,
        command,
        env: environment,
        labels,
        network: Some(app_network(target.app.id)),
        aliases: vec![PROCESS.to_owned()],
        published: ports.to_vec(),
        published_on: Some(settings.publish_addr),
        host_names: host_names.into_iter().collect(),
        resources: Resources {
            memory_bytes: group.size.memory_bytes.or(Some(settings.instance_memory)),
            cpu_shares: group.size.cpu_shares,
            pids: Some(settings.instance_pids),
        },
        init: init(target),
        log_bytes: LOG_BYTES,
        ..ContainerSpec::default()
    }
}

/// Entry point and command; `None` for the image's own. An engine that is given an entry point forgets the image's command,
/// so that this is said again then.
fn words(group: &ProcessGroup) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let given = |line: &Option<crate::model::CommandLine>| line.as_ref().map(|line| line.words().to_vec());
    let (entrypoint, command) = (given(&group.entrypoint), given(&group.command));
    let own = entrypoint.as_ref().map(|_| group.image_command.clone());
    (entrypoint, command.or(own))
}
