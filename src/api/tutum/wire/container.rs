//! The container resource (spec §8).

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{ContainerPort, ContainerVariable};
use crate::api::tutum::dates::date;
use crate::api::tutum::image::Image;
use crate::api::tutum::members::policy_word;
use crate::api::tutum::openapi::words::{AutoPolicy, Moment, Uuid};
use crate::api::tutum::{paths, roles, sizes, states};
use crate::model::{GroupInstance, ProcessGroup};
use crate::platform::{GroupInstanceDetail, GroupInstanceView, PlatformSettings};

/// A container, as lists show it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api::tutum) struct ContainerRow {
    /// URI of its application.
    application: String,
    /// What becomes of it when it ends: whether it is destroyed.
    #[schema(value_type = AutoPolicy)]
    autodestroy: &'static str,
    /// Whether it is replaced by another one.
    #[schema(value_type = AutoPolicy)]
    autoreplace: &'static str,
    /// Whether it is started again.
    #[schema(value_type = AutoPolicy)]
    autorestart: &'static str,
    /// Ports that it publishes.
    container_ports: Vec<ContainerPort>,
    /// The name of a size.
    container_size: String,
    /// When it was first deployed.
    #[schema(required = true, value_type = Option<Moment>)]
    deployed_datetime: Option<String>,
    /// When it was terminated.
    #[schema(required = true, value_type = Option<Moment>)]
    destroyed_datetime: Option<String>,
    /// What is put before the command.
    entrypoint: String,
    /// Exit code of its last run; 128 and the number of the signal that ended it.
    #[schema(required = true)]
    exit_code: Option<i64>,
    /// What that means, or why it never started.
    #[schema(required = true)]
    exit_code_msg: Option<String>,
    /// `repository:tag`
    image_name: String,
    /// The image as a URI.
    image_tag: String,
    /// That of its application.
    name: String,
    /// Host name under which its outer ports are reached.
    public_dns: String,
    resource_uri: String,
    /// URIs of the roles that it has a credential for.
    roles: Vec<String>,
    /// What it is started with.
    run_command: String,
    /// When it was last started.
    #[schema(required = true, value_type = Option<Moment>)]
    started_datetime: Option<String>,
    /// Where it stands.
    state: &'static str,
    /// When it last stopped.
    #[schema(required = true, value_type = Option<Moment>)]
    stopped_datetime: Option<String>,
    /// The application's unique name and a number.
    unique_name: String,
    #[schema(value_type = Uuid)]
    uuid: String,
}

/// A container.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({
    "application": "/api/v1/application/6fe5029e-c125-4088-9b9a-4e74da20ac58/", "autodestroy": "OFF",
    "autoreplace": "OFF", "autorestart": "OFF", "container_envvars": [],
    "container_ports": [{
        "container": "/api/v1/container/7d6696b7-fbaf-471d-8e6b-ce7052586c24/", "inner_port": 80, "outer_port": 49282,
        "protocol": "tcp",
    }],
    "container_size": "XS", "deployed_datetime": "Mon, 24 Mar 2014 23:58:08 +0000", "destroyed_datetime": null,
    "entrypoint": "", "exit_code": null, "exit_code_msg": null, "image_name": "tutum/hello-world:latest",
    "image_tag": "/api/v1/image/tutum/hello-world/tag/latest/",
    "link_variables": {
        "MY_WEB_APP_2_PORT": "tcp://my-web-app-2-admin.example.com:49282",
        "MY_WEB_APP_2_PORT_80_TCP": "tcp://my-web-app-2-admin.example.com:49282",
        "MY_WEB_APP_2_PORT_80_TCP_ADDR": "my-web-app-2-admin.example.com", "MY_WEB_APP_2_PORT_80_TCP_PORT": "49282",
        "MY_WEB_APP_2_PORT_80_TCP_PROTO": "tcp",
    },
    "linked_from_application": [], "linked_to_application": [], "name": "my-web-app",
    "public_dns": "my-web-app-2-admin.example.com",
    "resource_uri": "/api/v1/container/7d6696b7-fbaf-471d-8e6b-ce7052586c24/", "roles": [], "run_command": "/run.sh",
    "started_datetime": "Mon, 24 Mar 2014 23:58:08 +0000", "state": "Running", "stopped_datetime": null,
    "unique_name": "my-web-app-2", "uuid": "7d6696b7-fbaf-471d-8e6b-ce7052586c24",
})))]
pub(in crate::api::tutum) struct Container {
    #[serde(flatten)]
    row: ContainerRow,
    /// What was put into its environment, without what its image brings and without credentials.
    container_envvars: Vec<ContainerVariable>,
    /// Its own part of what applications that link to its application are told; empty unless it runs.
    link_variables: BTreeMap<String, String>,
    /// Always empty: links are the application's.
    linked_from_application: [String; 0],
    /// Always empty: links are the application's.
    linked_to_application: [String; 0],
}

impl ContainerRow {
    /// The row of an instance.
    pub(in crate::api::tutum) fn new(view: GroupInstanceView, settings: &PlatformSettings) -> Self {
        let GroupInstanceView { instance, group, unique_name, address } = view;
        let uri = paths::container(instance.id);
        let image = Image::of(&instance.image);
        Self {
            application: paths::application(group.id),
            autodestroy: policy_word(group.policies.destroy),
            autoreplace: policy_word(group.policies.replace),
            autorestart: policy_word(group.policies.restart),
            container_ports: ports(&uri, &instance, &group),
            container_size: sizes::name_of(&settings.sizes, &group.size).to_owned(),
            deployed_datetime: instance.deployed_at.map(date),
            destroyed_datetime: instance.destroyed_at.map(date),
            entrypoint: group.entrypoint_text(),
            exit_code: instance.exit_code,
            exit_code_msg: instance.exit_message,
            image_name: image.name(),
            image_tag: image.uri(),
            public_dns: address,
            resource_uri: uri,
            roles: group.grants.iter().map(|scope| roles::uri(scope)).collect(),
            run_command: group.command_text(),
            started_datetime: instance.started_at.map(date),
            state: states::of_container(instance.state),
            stopped_datetime: instance.stopped_at.map(date),
            unique_name,
            uuid: instance.id.to_string(),
            name: group.name,
        }
    }
}

impl Container {
    /// All of an instance.
    pub(in crate::api::tutum) fn new(detail: GroupInstanceDetail, settings: &PlatformSettings) -> Self {
        let GroupInstanceDetail { view, environment, link_variables } = detail;
        let uri = paths::container(view.instance.id);
        let variable = |(key, value)| ContainerVariable { container: uri.clone(), key, value };
        Self {
            container_envvars: environment.into_iter().map(variable).collect(),
            link_variables,
            linked_from_application: [],
            linked_to_application: [],
            row: ContainerRow::new(view, settings),
        }
    }
}

/// What the host publishes, once it does; until then what it will.
fn ports(uri: &str, instance: &GroupInstance, group: &ProcessGroup) -> Vec<ContainerPort> {
    let port = |inner_port, protocol: crate::model::Protocol, outer_port| ContainerPort {
        container: uri.to_owned(),
        inner_port,
        outer_port,
        protocol: protocol.as_str(),
    };
    if instance.ports.is_empty() && instance.deployed_at.is_none() {
        return group.ports.iter().map(|planned| port(planned.inner, planned.protocol, planned.outer)).collect();
    }
    instance.ports.iter().map(|published| port(published.inner, published.protocol, Some(published.outer))).collect()
}
