//! Containers: create, start, stop, remove, wait, look up.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerState as EngineState, ContainerStateStatusEnum,
    ContainerSummary, ContainerSummaryStateEnum, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig,
    Mount, MountType, NetworkingConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use super::act::Act;
use super::farewell::Left;
use super::{CALL_LIMIT, Docker, label_filter, unless_gone};
use crate::engine::{Container, ContainerSpec, ContainerState, EngineError, ExitStatus, Init, Labels, label};
use crate::model::{PublishedPort, Timestamp};

/// What ordinary images need to start as root, own files, drop privileges and listen below port 1024. The engine's
/// default set without raw sockets, device nodes and the audit log.
const CAPABILITIES: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// What the engine needs beyond the grace it was given, to kill and to tidy up.
const STOP_MARGIN: Duration = Duration::from_secs(30);

/// How often a removal in progress is looked at.
const REMOVAL_POLL: Duration = Duration::from_millis(100);

/// How many containers are looked at at once.
const LOOKUPS: usize = 8;

impl Docker {
    pub(super) async fn create(&self, spec: &ContainerSpec) -> Result<String, EngineError> {
        let act = Act::on("creating", "container", &spec.name);
        let options = CreateContainerOptionsBuilder::default().name(&spec.name).build();
        let body = create_body(spec, self.has_init && self.wants_init(spec).await?);
        let created = act.raw_within(CALL_LIMIT, self.client.create_container(Some(options), body)).await?;
        match created {
            Ok(container) => Ok(container.id),
            Err(Error::DockerResponseServerError { status_code: 409, message }) => {
                self.same_instance(spec).await?.ok_or_else(|| act.refused(message))
            }
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {
                Err(EngineError::NotFound { what: format!("image {}", spec.image) })
            }
            Err(Error::DockerResponseServerError { status_code: 400, message }) if says_no_command(&message) => {
                Err(EngineError::NoCommand { image: spec.image.clone() })
            }
            Err(error) => Err(act.failed(error)),
        }
    }

    async fn wants_init(&self, spec: &ContainerSpec) -> Result<bool, EngineError> {
        Ok(match spec.init {
            Init::Engines => true,
            Init::Own => false,
            Init::ByImage => !spec.brings_init(&self.inspect_image(&spec.image).await?),
        })
    }

    /// The container that has `spec`'s name already, if it is the same instance.
    async fn same_instance(&self, spec: &ContainerSpec) -> Result<Option<String>, EngineError> {
        let existing = match self.inspect(&spec.name).await {
            Ok(existing) => existing,
            Err(EngineError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let instance = |labels: &Labels| labels.get(label::INSTANCE).filter(|id| !id.is_empty()).cloned();
        let wanted = instance(&spec.labels);
        Ok((wanted.is_some() && instance(&existing.labels) == wanted).then_some(existing.id))
    }

    pub(super) async fn start(&self, container: &str) -> Result<(), EngineError> {
        let act = Act::on("starting", "container", container);
        let started = self.client.start_container(container, None::<StartContainerOptions>);
        act.raw_within(CALL_LIMIT, started).await?.map_err(|error| match error {
            Error::DockerResponseServerError { message, .. } if says_port_taken(&message) => {
                EngineError::PortTaken { action: act.action(), message: message.trim().to_owned() }
            }
            other => act.failed(other),
        })
    }

    pub(super) async fn stop(&self, container: &str, grace: Duration) -> Result<(), EngineError> {
        let act = Act::on("stopping", "container", container);
        let deadline = Instant::now() + grace;
        // One that is gone, and an engine that is away, are told of below.
        let left = match self.raw_inspect(container).await {
            Ok(found) => self.farewell(found, deadline).await,
            Err(_) => Left::TheEngines,
        };
        let grace = match left {
            Left::TheEngines => deadline.saturating_duration_since(Instant::now()),
            Left::AKill => Duration::ZERO,
        };
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        unless_gone(act.within(grace + STOP_MARGIN, self.client.stop_container(container, Some(options))).await)
    }

    pub(super) async fn remove(&self, container: &str) -> Result<(), EngineError> {
        let act = Act::on("removing", "container", container);
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removed = act.raw_within(CALL_LIMIT, self.client.remove_container(container, Some(options))).await?;
        match removed {
            Err(Error::DockerResponseServerError { status_code: 409, message }) if message.contains("in progress") => {
                let gone = tokio::time::timeout(CALL_LIMIT, self.gone(container)).await;
                gone.unwrap_or_else(|_| Err(act.timed_out(CALL_LIMIT)))
            }
            other => unless_gone(other.map_err(|error| act.failed(error))),
        }
    }

    /// Waits for the end of a removal that somebody else began.
    async fn gone(&self, container: &str) -> Result<(), EngineError> {
        loop {
            match self.inspect(container).await {
                Ok(_) => tokio::time::sleep(REMOVAL_POLL).await,
                other => return unless_gone(other.map(drop)),
            }
        }
    }

    /// Waits without a limit: how long a container may run is the caller's business.
    pub(super) async fn wait(&self, container: &str) -> Result<ExitStatus, EngineError> {
        let act = Act::on("waiting for", "container", container);
        let options = WaitContainerOptionsBuilder::default().condition("not-running").build();
        let mut answers = Box::pin(self.client.wait_container(container, Some(options)));
        let code = match answers.next().await {
            Some(Ok(answer)) => answer.status_code,
            // The client library's form of an exit status other than 0.
            Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
            Some(Err(error)) => return Err(act.failed(error)),
            None => return Err(EngineError::Unreachable(format!("it hung up while {}", act.action()))),
        };
        match self.inspect(container).await.map(|container| container.state) {
            Ok(ContainerState::Exited(status)) => Ok(ExitStatus { code, ..status }),
            // Started again or removed by now: what was waited for is known all the same.
            Ok(_) | Err(EngineError::NotFound { .. }) => Ok(ExitStatus { code, out_of_memory: false }),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn inspect(&self, container: &str) -> Result<Container, EngineError> {
        let mut found = inspected(self.raw_inspect(container).await?);
        if let ContainerState::Exited(status) = &mut found.state
            && status.code != 0
            && self.socket.is_some()
        {
            status.out_of_memory |= self.kernel_log.tells_of_a_kill_in(&found.id);
        }
        Ok(found)
    }

    pub(super) async fn raw_inspect(&self, container: &str) -> Result<ContainerInspectResponse, EngineError> {
        let act = Act::on("looking up", "container", container);
        act.within(CALL_LIMIT, self.client.inspect_container(container, None::<InspectContainerOptions>)).await
    }

    pub(super) async fn list(&self, labels: &Labels) -> Result<Vec<Container>, EngineError> {
        let act = Act::on("listing", "containers", "by label");
        let options = ListContainersOptionsBuilder::default().all(true).filters(&label_filter(labels)).build();
        let found = act.within(CALL_LIMIT, self.client.list_containers(Some(options))).await?;
        let containers = stream::iter(found).map(|summary| self.summarized(summary));
        containers.buffered(LOOKUPS).try_filter_map(|container| async { Ok(container) }).try_collect().await
    }

    /// A listed container; the list does not say how one ended. `None` when it has gone in the meantime.
    async fn summarized(&self, summary: ContainerSummary) -> Result<Option<Container>, EngineError> {
        use ContainerSummaryStateEnum as State;
        let id = summary.id.unwrap_or_default();
        let state = match summary.state {
            Some(State::CREATED) => ContainerState::Created,
            Some(State::RUNNING | State::PAUSED | State::RESTARTING | State::STOPPING) => ContainerState::Running,
            _ => match self.inspect(&id).await {
                Ok(container) => return Ok(Some(container)),
                Err(EngineError::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let name = summary.names.iter().flatten().map(|name| name.trim_start_matches('/')).find(|n| !n.contains('/'));
        Ok(Some(Container {
            name: name.unwrap_or_default().to_owned(),
            state,
            labels: summary.labels.unwrap_or_default().into_iter().collect(),
            ip: first_ip(summary.network_settings.and_then(|settings| settings.networks)),
            created_at: Timestamp::from_millis(summary.created.unwrap_or_default().saturating_mul(1000)),
            image_id: summary.image_id.unwrap_or_default(),
            id,
        }))
    }
}

fn says_no_command(message: &str) -> bool {
    message.to_ascii_lowercase().contains("no command specified")
}

/// Another container has the port, or another process of the host.
fn says_port_taken(message: &str) -> bool {
    message.contains("port is already allocated") || message.contains("address already in use")
}

fn inspected(found: ContainerInspectResponse) -> Container {
    Container {
        id: found.id.unwrap_or_default(),
        name: found.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        state: state(found.state.unwrap_or_default()),
        labels: found.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect(),
        ip: first_ip(found.network_settings.and_then(|settings| settings.networks)),
        created_at: Timestamp::from_millis(found.created.map_or(0, |at| at.unix_timestamp().saturating_mul(1000))),
        image_id: found.image.unwrap_or_default(),
    }
}

fn state(found: EngineState) -> ContainerState {
    use ContainerStateStatusEnum as Status;
    match found.status {
        Some(Status::CREATED) => ContainerState::Created,
        Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING | Status::STOPPING) => ContainerState::Running,
        _ => ContainerState::Exited(ExitStatus {
            code: found.exit_code.unwrap_or_default(),
            out_of_memory: found.oom_killed.unwrap_or_default(),
        }),
    }
}

/// The address on the first network, by name, that has one.
fn first_ip(networks: Option<HashMap<String, EndpointSettings>>) -> Option<IpAddr> {
    let mut networks = networks.unwrap_or_default().into_iter().collect::<Vec<_>>();
    networks.sort_by(|one, other| one.0.cmp(&other.0));
    networks.into_iter().find_map(|(_, endpoint)| endpoint.ip_address?.parse().ok())
}

fn create_body(spec: &ContainerSpec, has_init: bool) -> ContainerCreateBody {
    let networking = spec.network.as_ref().map(|network| {
        let endpoint = EndpointSettings { aliases: Some(spec.aliases.clone()), ..EndpointSettings::default() };
        NetworkingConfig { endpoints_config: Some(HashMap::from([(network.clone(), endpoint)])) }
    });
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entrypoint.clone(),
        cmd: spec.command.clone(),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        labels: Some(spec.labels.clone().into_iter().collect()),
        user: spec.user.clone(),
        working_dir: spec.workdir.clone(),
        exposed_ports: (!spec.published.is_empty()).then(|| spec.published.iter().map(inner_port).collect()),
        // Slipway asks itself, faster than the engine would.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..HealthConfig::default() }),
        host_config: Some(host_config(spec, has_init)),
        networking_config: networking,
        ..ContainerCreateBody::default()
    }
}

/// `80/tcp`
fn inner_port(port: &PublishedPort) -> String {
    format!("{}/{}", port.inner, port.protocol)
}

/// Ports by what they lead to. Each is bound to the very number that was given: one that the engine chooses changes
/// whenever the container starts.
fn port_bindings(spec: &ContainerSpec) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for port in &spec.published {
        let address = spec.published_on.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let binding = PortBinding { host_ip: Some(address.to_string()), host_port: Some(port.outer.to_string()) };
        bindings.entry(inner_port(port)).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

fn host_config(spec: &ContainerSpec, has_init: bool) -> HostConfig {
    let mount = |typ, source: &String, target: &String, read_only| Mount {
        typ: Some(typ),
        source: Some(source.clone()),
        target: Some(target.clone()),
        read_only: Some(read_only),
        ..Mount::default()
    };
    let volumes = spec.volumes.iter().map(|(volume, path)| mount(MountType::VOLUME, volume, path, false));
    let binds = spec.binds.iter().map(|(host, path)| mount(MountType::BIND, host, path, true));
    HostConfig {
        memory: spec.resources.memory_bytes,
        memory_swap: spec.resources.memory_bytes,
        cpu_shares: spec.resources.cpu_shares,
        pids_limit: spec.resources.pids,
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(CAPABILITIES.iter().map(|&name| name.to_owned()).collect()),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        init: has_init.then_some(true),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        log_config: (spec.log_bytes > 0).then(|| HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), spec.log_bytes.to_string()),
                ("max-file".to_owned(), "2".to_owned()),
            ])),
        }),
        port_bindings: (!spec.published.is_empty()).then(|| port_bindings(spec)),
        extra_hosts: (!spec.host_names.is_empty())
            .then(|| spec.host_names.iter().map(|name| format!("{name}:host-gateway")).collect()),
        network_mode: spec.network.clone(),
        mounts: Some(volumes.chain(binds).collect()),
        ..HostConfig::default()
    }
}
