//! The application resource (spec §5).

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{ApplicationPort, ApplicationVariable};
use crate::api::tutum::dates::date;
use crate::api::tutum::image::Image;
use crate::api::tutum::members::{link_url, policy_word};
use crate::api::tutum::openapi::words::{AutoPolicy, Moment, Uuid};
use crate::api::tutum::{paths, roles, sizes, states};
use crate::model::{GroupId, GroupLink, GroupPort, url_variable, variable_prefix};
use crate::platform::{GroupDetail, GroupView, PlatformSettings};

/// An application, as lists show it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::tutum) struct ApplicationRow {
    /// What becomes of a container that ended: whether it is destroyed.
    #[schema(value_type = AutoPolicy)]
    autodestroy: &'static str,
    /// Whether it is replaced by another one.
    #[schema(value_type = AutoPolicy)]
    autoreplace: &'static str,
    /// Whether it is started again.
    #[schema(value_type = AutoPolicy)]
    autorestart: &'static str,
    /// Ports that each container publishes.
    container_ports: Vec<ApplicationPort>,
    /// The name of a size.
    container_size: String,
    /// Containers that are there, running or not.
    #[schema(minimum = 0)]
    current_num_containers: u32,
    /// When its containers were last deployed.
    #[schema(required = true, value_type = Option<Moment>)]
    deployed_datetime: Option<String>,
    /// When it was terminated.
    #[schema(required = true, value_type = Option<Moment>)]
    destroyed_datetime: Option<String>,
    /// What is put before the command.
    entrypoint: String,
    /// `repository:tag`
    image_name: String,
    /// The image as a URI.
    image_tag: String,
    /// As it was given; several may have it.
    name: String,
    /// Host name at which the application answers by HTTP.
    #[schema(required = true)]
    public_dns: Option<String>,
    resource_uri: String,
    /// What containers are started with.
    run_command: String,
    /// Containers that run.
    #[schema(minimum = 0)]
    running_num_containers: u32,
    /// When it last was started.
    #[schema(required = true, value_type = Option<Moment>)]
    started_datetime: Option<String>,
    /// Where it stands.
    state: &'static str,
    /// When it last was stopped.
    #[schema(required = true, value_type = Option<Moment>)]
    stopped_datetime: Option<String>,
    /// Containers that are stopped.
    #[schema(minimum = 0)]
    stopped_num_containers: u32,
    /// Containers that there should be.
    #[schema(minimum = 0)]
    target_num_containers: u32,
    /// One application's only.
    unique_name: String,
    #[schema(value_type = Uuid)]
    uuid: String,
    /// The same as `public_dns`.
    #[schema(required = true)]
    web_public_dns: Option<String>,
}

/// An application.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({
    "autodestroy": "OFF", "autoreplace": "OFF", "autorestart": "OFF",
    "container_envvars": [{
        "application": "/api/v1/application/80ff1635-2d56-478d-a97f-9b59c720e513/", "key": "GREETING", "value": "hello",
    }],
    "container_ports": [{
        "application": "/api/v1/application/80ff1635-2d56-478d-a97f-9b59c720e513/", "inner_port": 80, "outer_port": null,
        "protocol": "tcp",
    }],
    "container_size": "XS", "containers": ["/api/v1/container/7dfee1e7-77ea-4ce1-9a88-b23015a74ca3/"],
    "current_num_containers": 1, "deployed_datetime": null, "destroyed_datetime": null, "entrypoint": "",
    "image_name": "tutum/hello-world:latest", "image_tag": "/api/v1/image/tutum/hello-world/tag/latest/",
    "link_variables": {
        "MY_NEW_APP_TUTUM_API_URL":
            "http://slipway.example.com/api/v1/application/80ff1635-2d56-478d-a97f-9b59c720e513/",
    },
    "linked_from_application": [], "linked_to_application": [], "name": "my-new-app",
    "public_dns": "my-new-app.example.com",
    "resource_uri": "/api/v1/application/80ff1635-2d56-478d-a97f-9b59c720e513/", "roles": [], "run_command": "/run.sh",
    "running_num_containers": 0, "sequential_deployment": false, "started_datetime": null, "state": "Starting",
    "stopped_datetime": null, "stopped_num_containers": 0, "target_num_containers": 1, "unique_name": "my-new-app",
    "uuid": "80ff1635-2d56-478d-a97f-9b59c720e513", "web_public_dns": "my-new-app.example.com",
})))]
pub(in crate::api::tutum) struct Application {
    #[serde(flatten)]
    row: ApplicationRow,
    /// What was set of the containers' environment.
    container_envvars: Vec<ApplicationVariable>,
    /// URIs of its containers, by their number.
    containers: Vec<String>,
    /// What an application that links to this one would find in its environment now: addresses of its running containers, and
    /// what was set of theirs.
    link_variables: BTreeMap<String, String>,
    /// Applications that are told about this one.
    linked_from_application: Vec<LinkFrom>,
    /// Applications that this one is told about.
    linked_to_application: Vec<LinkTo>,
    /// URIs of the roles that its containers have a credential for.
    roles: Vec<String>,
    /// Whether containers are deployed one after another, each linked to those before it.
    sequential_deployment: bool,
}

/// A link as it was given: the URI of an application, or an object with a name.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::api::tutum) enum LinkTo {
    /// The URI.
    Plain(String),
    /// With the name of the link.
    Named {
        /// Its URI.
        to_application: String,
        /// What the names of its variables begin with.
        name: String,
    },
}

/// The same from the other side.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::api::tutum) enum LinkFrom {
    /// The URI.
    Plain(String),
    /// With the name of the link.
    Named {
        /// Its URI.
        from_application: String,
        /// What the names of its variables begin with.
        name: String,
    },
}

impl ApplicationRow {
    /// The row of a group.
    pub(in crate::api::tutum) fn new(view: GroupView, settings: &PlatformSettings) -> Self {
        let GroupView { group, state, counts, web_host, .. } = view;
        let uri = paths::application(group.id);
        let image = Image::of(&group.image);
        Self {
            autodestroy: policy_word(group.policies.destroy),
            autoreplace: policy_word(group.policies.replace),
            autorestart: policy_word(group.policies.restart),
            container_ports: group.ports.iter().map(|port| application_port(&uri, *port)).collect(),
            container_size: sizes::name_of(&settings.sizes, &group.size).to_owned(),
            current_num_containers: counts.current,
            deployed_datetime: group.deployed_at.map(date),
            destroyed_datetime: group.destroyed_at.map(date),
            entrypoint: group.entrypoint_text(),
            image_name: image.name(),
            image_tag: image.uri(),
            public_dns: web_host.clone(),
            resource_uri: uri,
            run_command: group.command_text(),
            running_num_containers: counts.running,
            started_datetime: group.started_at.map(date),
            state: states::of_application(state),
            stopped_datetime: group.stopped_at.map(date),
            stopped_num_containers: counts.stopped,
            target_num_containers: group.wanted,
            uuid: group.id.to_string(),
            name: group.name,
            unique_name: group.unique_name,
            web_public_dns: web_host,
        }
    }
}

impl Application {
    /// All of a group.
    pub(in crate::api::tutum) fn new(detail: GroupDetail, settings: &PlatformSettings) -> Self {
        let GroupDetail { view, environment, mut link_variables, links, linked_from } = detail;
        let group = &view.group;
        if group.terms.link_url.is_none() && !group.is_terminated() {
            // It was not made at this door, and is described here all the same.
            let prefix = variable_prefix(&group.unique_name);
            link_variables.extend([url_variable(&prefix, &link_url(&settings.api_url), group.id)]);
        }
        let uri = paths::application(group.id);
        let variable = |(key, value)| ApplicationVariable { application: uri.clone(), key, value };
        Self {
            container_envvars: environment.into_iter().map(variable).collect(),
            containers: view.instances.iter().map(paths::container).collect(),
            link_variables,
            linked_from_application: linked_from.into_iter().map(link_from).collect(),
            linked_to_application: links.into_iter().map(link_to).collect(),
            roles: group.grants.iter().map(|scope| roles::uri(scope)).collect(),
            sequential_deployment: group.is_sequential,
            row: ApplicationRow::new(view, settings),
        }
    }
}

fn application_port(uri: &str, port: GroupPort) -> ApplicationPort {
    ApplicationPort {
        application: uri.to_owned(),
        inner_port: port.inner,
        outer_port: port.outer,
        protocol: port.protocol.as_str(),
    }
}

fn uri_of(id: GroupId) -> String {
    paths::application(id)
}

fn link_to(link: GroupLink) -> LinkTo {
    match link.name {
        None => LinkTo::Plain(uri_of(link.to)),
        Some(name) => LinkTo::Named { to_application: uri_of(link.to), name },
    }
}

fn link_from(link: GroupLink) -> LinkFrom {
    match link.name {
        None => LinkFrom::Plain(uri_of(link.from)),
        Some(name) => LinkFrom::Named { from_application: uri_of(link.from), name },
    }
}
