//! The objects of the Deis API. Nothing else knows their names.

mod build_record;
mod certificate;
mod cron;
mod domain;
mod log_drain;
mod push;
mod quotas;
mod routing;
mod run;

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::words::{Commands, Counts, Moment, PerType, Uuid, Values};
use crate::model::{self, BuildKind, ConfigValue, ConfigVars, Procfile};
use crate::platform::formation::Condition;
use crate::platform::{AppView, InstanceView};

pub(super) use build_record::BuildRecord;
pub(super) use certificate::{AutomaticCertificate, Certificate};
pub(super) use cron::{CronRun, CronTask};
pub(super) use domain::Domain;
pub(super) use log_drain::LogDrain;
pub(super) use push::{Built, Push};
pub(super) use quotas::Quotas;
pub(super) use routing::Routing;

/// What register answers: the shape of Deis 1.2 with the numeric `id` of 1.0.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "id": 1, "username": "bob", "email": "bob@example.com", "first_name": "", "last_name": "", "is_superuser": true,
    "is_staff": true, "is_active": true, "last_login": "2014-01-01T00:00:00.000Z",
    "date_joined": "2014-01-01T00:00:00.000Z", "groups": [], "user_permissions": [],
})))]
pub(super) struct User {
    id: i64,
    username: String,
    email: String,
    first_name: String,
    last_name: String,
    is_superuser: bool,
    is_staff: bool,
    is_active: bool,
    #[schema(format = "date-time")]
    last_login: String,
    #[schema(format = "date-time")]
    date_joined: String,
    /// Always empty.
    groups: [String; 0],
    /// Always empty.
    user_permissions: [String; 0],
}

impl From<model::User> for User {
    fn from(user: model::User) -> Self {
        Self {
            id: user.number,
            username: user.username.to_string(),
            email: user.email,
            first_name: user.first_name,
            last_name: user.last_name,
            is_superuser: user.is_superuser,
            is_staff: user.is_superuser,
            is_active: user.is_active,
            last_login: user.last_login_at.to_string(),
            date_joined: user.created_at.to_string(),
            groups: [],
            user_permissions: [],
        }
    }
}

/// What proves who is calling.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"token": "0123456789abcdef0123456789abcdef01234567"})))]
pub(super) struct Token {
    pub token: String,
}

/// What passwd answers.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"status": "password set"})))]
pub(super) struct PasswordSet {
    status: &'static str,
}

impl Default for PasswordSet {
    fn default() -> Self {
        Self { status: "password set" }
    }
}

/// Names of an app's collaborators.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"users": ["carol"]})))]
pub(super) struct Collaborators {
    pub users: Vec<String>,
}

/// An account that may do everything.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"username": "bob", "is_superuser": true})))]
pub(super) struct Administrator {
    username: String,
    is_superuser: bool,
}

impl From<model::User> for Administrator {
    fn from(user: model::User) -> Self {
        Self { username: user.username.to_string(), is_superuser: user.is_superuser }
    }
}

/// A public SSH key; whoever holds its other half pushes as its owner.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "id": "bob@laptop", "owner": "bob", "public": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJvYg bob@laptop",
    "created": "2014-01-01T00:00:00UTC", "updated": "2014-01-01T00:00:00UTC", "uuid": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75",
})))]
pub(super) struct Key {
    id: String,
    owner: String,
    public: String,
    #[schema(value_type = Moment)]
    created: String,
    #[schema(value_type = Moment)]
    updated: String,
    #[schema(value_type = Uuid)]
    uuid: String,
}

impl From<model::SshKey> for Key {
    fn from(key: model::SshKey) -> Self {
        Self {
            id: key.name,
            owner: key.owner.to_string(),
            public: key.public,
            created: key.created_at.deis(),
            updated: key.created_at.deis(),
            uuid: key.id.to_string(),
        }
    }
}

/// An app: what is pushed to, released and reached under a host name.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "id": "hello", "owner": "bob", "url": "hello.example.com", "structure": {"web": 2},
    "created": "2014-01-01T00:00:00UTC", "updated": "2014-01-01T00:00:00UTC", "uuid": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75",
})))]
pub(super) struct App {
    id: String,
    owner: String,
    /// The app's host name, without a scheme.
    url: String,
    /// Counts above zero, as Deis 1.2 has it.
    #[schema(value_type = Counts)]
    structure: BTreeMap<String, u32>,
    #[schema(value_type = Moment)]
    created: String,
    #[schema(value_type = Moment)]
    updated: String,
    #[schema(value_type = Uuid)]
    uuid: String,
}

impl From<AppView> for App {
    fn from(view: AppView) -> Self {
        Self {
            id: view.app.name.to_string(),
            owner: view.app.owner.to_string(),
            url: view.host,
            structure: view.formation.running().map(|(process, count)| (process.to_string(), count)).collect(),
            created: view.app.created_at.deis(),
            updated: view.app.updated_at.deis(),
            uuid: view.app.id.to_string(),
        }
    }
}

/// The config of a release. It never changes; a new one is made instead.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "owner": "bob", "app": "hello", "values": {"GREETING": "Hello", "WORKERS": 4}, "memory": {"web": "512M"}, "cpu": {"web": 512},
    "tags": {}, "created": "2014-01-01T00:00:00UTC", "updated": "2014-01-01T00:00:00UTC",
    "uuid": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75",
})))]
pub(super) struct Config {
    owner: String,
    app: String,
    #[schema(value_type = Values)]
    values: ConfigVars,
    #[schema(value_type = PerType)]
    memory: BTreeMap<String, ConfigValue>,
    #[schema(value_type = PerType)]
    cpu: BTreeMap<String, ConfigValue>,
    #[schema(value_type = PerType)]
    tags: BTreeMap<String, ConfigValue>,
    #[schema(value_type = Moment)]
    created: String,
    #[schema(value_type = Moment)]
    updated: String,
    #[schema(value_type = Uuid)]
    uuid: String,
}

impl Config {
    pub(super) fn new(app: &model::App, config: model::Config) -> Self {
        Self {
            owner: config.owner.to_string(),
            app: app.name.to_string(),
            values: config.values,
            memory: config.limits.memory,
            cpu: config.limits.cpu,
            tags: config.limits.tags,
            created: config.created_at.deis(),
            updated: config.created_at.deis(),
            uuid: config.id.to_string(),
        }
    }
}

/// What a release runs.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "owner": "bob", "app": "hello", "image": "hello:git-060da68f", "sha": "060da68f654e75fac06dbedd1995d5f8ad9084db",
    "procfile": {"web": "node server.js"}, "dockerfile": "", "created": "2014-01-01T00:00:00UTC",
    "updated": "2014-01-01T00:00:00UTC", "uuid": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75",
})))]
pub(super) struct Build {
    owner: String,
    app: String,
    image: String,
    sha: String,
    #[schema(value_type = Commands)]
    procfile: Procfile,
    /// Of a push only whether there was one, as the Deis builder reported it; else what was posted.
    dockerfile: String,
    #[schema(value_type = Moment)]
    created: String,
    #[schema(value_type = Moment)]
    updated: String,
    #[schema(value_type = Uuid)]
    uuid: String,
}

impl Build {
    pub(super) fn new(app: &model::App, build: model::Build) -> Self {
        Self {
            owner: build.owner.to_string(),
            app: app.name.to_string(),
            image: build.image,
            sha: build.commit.unwrap_or_default(),
            procfile: build.procfile,
            dockerfile: if build.kind == BuildKind::Dockerfile { "true".to_owned() } else { build.dockerfile },
            created: build.created_at.deis(),
            updated: build.updated_at.deis(),
            uuid: build.id.to_string(),
        }
    }
}

/// A build with a config, numbered.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "app": "hello", "build": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75", "config": "95bd6dea-1685-4f78-a03d-fd7270b058d1",
    "created": "2014-01-01T00:00:00UTC", "owner": "bob", "summary": "bob deployed 060da68",
    "updated": "2014-01-01T00:00:00UTC", "uuid": "8e5a9f1c-6a52-4c1d-b07e-1f0e2d3c4b5a", "version": 2,
})))]
pub(super) struct Release {
    app: String,
    /// Null before the first build.
    #[schema(value_type = Option<Uuid>, required = true)]
    build: Option<String>,
    #[schema(value_type = Uuid)]
    config: String,
    #[schema(value_type = Moment)]
    created: String,
    owner: String,
    summary: String,
    #[schema(value_type = Moment)]
    updated: String,
    #[schema(value_type = Uuid)]
    uuid: String,
    version: i64,
}

impl Release {
    pub(super) fn new(app: &model::App, release: model::Release) -> Self {
        Self {
            app: app.name.to_string(),
            build: release.build_id.map(|id| id.to_string()),
            config: release.config_id.to_string(),
            created: release.created_at.deis(),
            owner: release.owner.to_string(),
            summary: release.summary,
            updated: release.updated_at.deis(),
            uuid: release.id.to_string(),
            version: release.version,
        }
    }
}

/// What rollback answers: the number of the new release.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"version": 4})))]
pub(super) struct Version {
    pub version: i64,
}

/// How a container is at this moment.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ContainerState {
    /// Runs.
    Up,
    /// Runs, and has yet to show that it is healthy; or makes way for a deploy.
    Down,
    /// Made and not started yet.
    Created,
    /// Recorded; nothing of it was made yet.
    Initialized,
    /// Could not be started.
    Error,
    /// Ended by itself or was killed; it is started again.
    Crashed,
    /// Gone; another one is made.
    Destroyed,
}

/// A running instance, or one that should run.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({
    "owner": "bob", "app": "hello", "release": "v2", "type": "web", "num": 1, "state": "up",
    "created": "2014-01-01T00:00:00UTC", "updated": "2014-01-01T00:00:00UTC", "uuid": "de1bf5b5-4a72-4f94-a10c-d2a3741cdf75",
})))]
pub(super) struct Container {
    owner: String,
    app: String,
    /// Which release it runs, as `v2`.
    release: String,
    #[serde(rename = "type")]
    process: String,
    num: u32,
    state: ContainerState,
    #[schema(value_type = Moment)]
    created: String,
    #[schema(value_type = Moment)]
    updated: String,
    #[schema(value_type = Uuid)]
    uuid: String,
}

impl Container {
    pub(super) fn new(app: &model::App, view: InstanceView) -> Self {
        let instance = view.instance;
        Self {
            owner: app.owner.to_string(),
            app: app.name.to_string(),
            release: format!("v{}", instance.version),
            process: instance.process.to_string(),
            num: instance.number,
            state: match view.condition {
                Condition::Up => ContainerState::Up,
                Condition::Starting | Condition::Parked | Condition::Down => ContainerState::Down,
                Condition::Initialized => ContainerState::Initialized,
                Condition::Error => ContainerState::Error,
                Condition::Created => ContainerState::Created,
                Condition::Crashed => ContainerState::Crashed,
                Condition::Missing => ContainerState::Destroyed,
            },
            created: instance.created_at.deis(),
            updated: instance.updated_at.deis(),
            uuid: instance.id.to_string(),
        }
    }
}
