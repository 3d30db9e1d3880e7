//! The objects of the Deis API. Nothing else knows their names.

mod domain;
mod push;
mod run;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{self, BuildKind, ConfigValue, ConfigVars, Procfile};
use crate::platform::formation::Condition;
use crate::platform::{AppView, InstanceView};

pub(super) use domain::Domain;
pub(super) use push::{Built, Push};

/// What register answers: the shape of Deis 1.2 with the numeric `id` of 1.0.
#[derive(Serialize)]
pub(super) struct User {
    id: i64,
    username: String,
    email: String,
    first_name: String,
    last_name: String,
    is_superuser: bool,
    is_staff: bool,
    is_active: bool,
    last_login: String,
    date_joined: String,
    groups: [String; 0],
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

#[derive(Serialize)]
pub(super) struct Token {
    pub token: String,
}

/// What passwd answers.
#[derive(Serialize)]
pub(super) struct PasswordSet {
    status: &'static str,
}

impl Default for PasswordSet {
    fn default() -> Self {
        Self { status: "password set" }
    }
}

/// Names of an app's collaborators.
#[derive(Serialize)]
pub(super) struct Collaborators {
    pub users: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Administrator {
    username: String,
    is_superuser: bool,
}

impl From<model::User> for Administrator {
    fn from(user: model::User) -> Self {
        Self { username: user.username.to_string(), is_superuser: user.is_superuser }
    }
}

#[derive(Serialize)]
pub(super) struct Key {
    id: String,
    owner: String,
    public: String,
    created: String,
    updated: String,
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

#[derive(Serialize)]
pub(super) struct App {
    id: String,
    owner: String,
    url: String,
    /// Counts above zero, as Deis 1.2 has it.
    structure: BTreeMap<String, u32>,
    created: String,
    updated: String,
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

#[derive(Serialize)]
pub(super) struct Config {
    owner: String,
    app: String,
    values: ConfigVars,
    memory: BTreeMap<String, ConfigValue>,
    cpu: BTreeMap<String, ConfigValue>,
    tags: BTreeMap<String, ConfigValue>,
    created: String,
    updated: String,
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

#[derive(Serialize)]
pub(super) struct Build {
    owner: String,
    app: String,
    image: String,
    sha: String,
    procfile: Procfile,
    /// Of a push only whether there was one, as the Deis builder reported it; else what was posted.
    dockerfile: String,
    created: String,
    updated: String,
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

#[derive(Serialize)]
pub(super) struct Release {
    app: String,
    build: Option<String>,
    config: String,
    created: String,
    owner: String,
    summary: String,
    updated: String,
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
#[derive(Serialize)]
pub(super) struct Version {
    pub version: i64,
}

#[derive(Serialize)]
pub(super) struct Container {
    owner: String,
    app: String,
    release: String,
    #[serde(rename = "type")]
    process: String,
    num: u32,
    state: &'static str,
    created: String,
    updated: String,
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
                Condition::Up => "up",
                Condition::Created => "created",
                Condition::Crashed => "crashed",
                Condition::Missing => "destroyed",
            },
            created: instance.created_at.deis(),
            updated: instance.updated_at.deis(),
            uuid: instance.id.to_string(),
        }
    }
}
