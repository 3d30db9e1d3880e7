//! Flags, environment and file become one validated configuration, before any port is bound.
//!
//! Each setting may be given as a flag, as an environment variable, in `slipway.toml`, or not at all; the first of these
//! that is there counts. [`SETTINGS`] is the one list of them.

mod options;
mod parse;
mod settings;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{
    BaseImages, BuilderKey, ChallengeChoice, Frontend, OutboundAllow, Registration, RuntimeMirrors, Size,
};

pub use options::{ConfigError, Options, Origin};
pub use settings::{DefaultValue, SETTINGS, Setting};

/// Where the database is. May hold a password, so neither `Debug` nor `Display` print it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The database of a single machine: `slipway.db` in the data directory, made when it is not there.
    fn in_data_dir(data_dir: &Path) -> Result<Self, &'static str> {
        let path = data_dir.join("slipway.db");
        let path = path.to_str().ok_or("is not UTF-8 text, which the path of a database has to be")?;
        Ok(Self(format!("sqlite://{}?mode=rwc", parse::percent_encoded_path(path))))
    }

    /// The URL with the password in it, for [`crate::store::Store::open`].
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DatabaseUrl {
    /// The URL with `***` for the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&parse::without_password(&self.0))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Of whom certificates are asked, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// URL of the authority's directory.
    pub directory: String,
    /// The operator's address there.
    pub email: String,
    /// How it is shown that names lead here.
    pub challenge: ChallengeChoice,
    /// Whether new names are looked up before they are asked for.
    pub looks_up: bool,
}

/// Everything that can be set, valid and complete. Paths are absolute.
#[derive(Debug, Clone)]
pub struct Config {
    /// Database, repositories, slugs, logs, host key, secrets key. Need not exist yet.
    pub data_dir: PathBuf,
    /// SQLite in the data directory, or PostgreSQL.
    pub database_url: DatabaseUrl,
    /// All REST doors and `/healthz`. Port 0 takes a free one, here and below.
    pub api_addr: SocketAddr,
    /// Git over SSH.
    pub ssh_addr: SocketAddr,
    /// The router, plain.
    pub http_addr: SocketAddr,
    /// The router, TLS.
    pub https_addr: SocketAddr,
    /// A valid host name in lower case; an app answers at `APP.DOMAIN`.
    pub domain: String,
    /// Base of the APIs' URLs as others reach them, without a slash at its end; `None` to go by the domain.
    pub api_url: Option<String>,
    /// `unix:///path` or `tcp://host:port` of the container engine.
    pub docker_host: String,
    /// Who may register.
    pub registration: Registration,
    /// The secret of an operator's own builder, if there is one.
    pub builder_key: Option<BuilderKey>,
    /// PEM file of certificates that builds trust too; it was there when the configuration was loaded.
    pub build_ca_bundle: Option<PathBuf>,
    /// Where to write the addresses once serving.
    pub ready_file: Option<PathBuf>,
    /// Most bytes of one push.
    pub max_push_bytes: u64,
    /// Memory of all image builds together and of one slug build, in bytes.
    pub build_memory_bytes: i64,
    /// CPU weight of builds; an instance has 1024.
    pub build_cpu_shares: i64,
    /// Processes and threads of a build.
    pub build_pids: i64,
    /// How long a build may take.
    pub build_timeout: Duration,
    /// How many builds go on at once.
    pub build_concurrency: NonZeroUsize,
    /// Largest image that a Dockerfile may build, in bytes.
    pub build_image_bytes: u64,
    /// Programs that may read Dockerfiles, beside the engine's own.
    pub build_frontends: Vec<Frontend>,
    /// Images of this machine that Dockerfiles may build on.
    pub base_images: BaseImages,
    /// Free disk space in bytes below which no build begins. May be zero.
    pub min_free_disk_bytes: u64,
    /// What tenants may have the server ask beside public addresses.
    pub outbound_allow: OutboundAllow,
    /// How long a new instance may take until it is healthy.
    pub boot_timeout: Duration,
    /// How long requests may go on at an instance that is being replaced. May be zero.
    pub drain_timeout: Duration,
    /// How long websockets and other upgraded connections may go on there. May be zero.
    pub websocket_grace: Duration,
    /// Time between SIGTERM and SIGKILL. May be zero.
    pub stop_grace: Duration,
    /// Memory of an instance in bytes, unless the app's own limits say otherwise.
    pub instance_memory_bytes: i64,
    /// Named sizes of containers, in ascending order; at least one.
    pub sizes: Vec<Size>,
    /// Processes and threads of an instance.
    pub instance_pids: i64,
    /// Ports of this machine that containers of process groups are published on.
    pub port_range: std::ops::RangeInclusive<u16>,
    /// Address that those ports are bound to.
    pub publish_addr: std::net::IpAddr,
    /// What one account may have, unless an administrator says otherwise.
    pub quotas: crate::model::Quotas,
    /// How long a one-off command may run.
    pub run_timeout: Duration,
    /// Most bytes of one app's log stream on disk.
    pub log_bytes_per_app: u64,
    /// Most lines per second of one app's log stream; 0 sets no limit.
    pub log_lines_per_second: u64,
    /// How many releases of each app clean-up keeps restorable.
    pub keep_releases: i64,
    /// Where runtimes are fetched from instead of where their publishers have them.
    pub runtime_mirrors: RuntimeMirrors,
    /// Most bytes of the runtimes that are kept.
    pub runtime_bytes: u64,
    /// Most bytes of all build caches of apps together.
    pub build_cache_bytes: u64,
    /// Of whom certificates are asked; `None` for nobody.
    pub acme: Option<Acme>,
    /// Repository whose tags are the stack images.
    pub stack: String,
}
