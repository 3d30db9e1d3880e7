//! The objects of this API. Nothing else knows their names.

mod application;
mod container;

use serde::Serialize;
use utoipa::ToSchema;

pub(super) use application::{Application, ApplicationRow};
pub(super) use container::{Container, ContainerRow};

/// A variable in the environment of containers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApplicationVariable {
    /// URI of the application.
    application: String,
    key: String,
    value: String,
}

/// A variable in the environment of a container.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContainerVariable {
    /// URI of the container.
    container: String,
    key: String,
    value: String,
}

/// A port of an application's containers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApplicationPort {
    /// URI of the application.
    application: String,
    /// The port inside of containers.
    #[schema(minimum = 1)]
    inner_port: u16,
    /// The port on the host, if it was asked for; the containers say which ones they got.
    #[schema(required = true, minimum = 1)]
    outer_port: Option<u16>,
    /// `tcp` or `udp`.
    protocol: &'static str,
}

/// A port of a container.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContainerPort {
    /// URI of the container.
    container: String,
    /// The port inside.
    #[schema(minimum = 1)]
    inner_port: u16,
    /// The port on the host, once the container is deployed.
    #[schema(required = true, minimum = 1)]
    outer_port: Option<u16>,
    /// `tcp` or `udp`.
    protocol: &'static str,
}

/// What containers have said.
#[derive(Debug, Serialize, ToSchema)]
#[schema(examples(json!({"logs": "listening on 80\n"})))]
pub(super) struct Logs {
    /// Both outputs, at most the last MiB.
    pub logs: String,
}
