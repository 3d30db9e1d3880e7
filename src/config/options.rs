//! Where values come from, which of them counts, and what is said about a bad one.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use super::settings::{DefaultValue, SETTINGS, Setting};
use super::{Acme, Config, DatabaseUrl, Registration, parse};

/// The file that is read when no other is named.
const DEFAULT_FILE: &str = "slipway.toml";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag, by name without the dashes.
    Flag(&'static str),
    /// An environment variable, by name.
    Environment(String),
    /// A key in a file.
    File(PathBuf, String),
    /// Nobody gave one; of the setting with that flag.
    Default(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag --{name}"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::File(path, key) => write!(f, "file {}, key {key}", path.display()),
            Self::Default(name) => write!(f, "the default of --{name}"),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that cannot be.
    #[error("{origin}: '{input}' {problem}; write it like {example}")]
    Invalid {
        /// Where it came from.
        origin: Origin,
        /// The value, without a password.
        input: String,
        /// What is wrong with it.
        problem: String,
        /// One that is right.
        example: &'static str,
    },
    /// The file has a key that means nothing.
    #[error("file {}: unknown key '{key}'; the keys are {}", path.display(), known_keys())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A setting of earlier versions, which another one replaces.
    #[error(
        "{0}: this setting is gone; set SLIPWAY_OUTBOUND_ALLOW=127.0.0.0/8 (outbound_allow in the file) for what apps may fetch \
         from this very machine, or better the one HOST:PORT that they need"
    )]
    Gone(Origin),
    /// The file is not TOML.
    #[error("file {} is not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What is wrong, and on which line.
        message: String,
    },
    /// The file cannot be read.
    #[error("file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn known_keys() -> String {
    SETTINGS.iter().map(Setting::key).collect::<Vec<_>>().join(", ")
}

/// The flags of a command line: one per setting, and `--config`.
///
/// Used with `#[command(flatten)]`. The environment is not read by clap, which could not say afterwards where a value
/// came from, but by [`Options::load`].
#[derive(Clone, Default)]
pub struct Options {
    file: Option<PathBuf>,
    flags: BTreeMap<&'static str, String>,
}

impl fmt::Debug for Options {
    /// Names what was given; a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("file", &self.file).field("flags", &self.flags.keys()).finish()
    }
}

impl clap::Args for Options {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("File with settings [default: {DEFAULT_FILE}, if there is one]"));
        let flags = SETTINGS.iter().map(|setting| {
            let (variable, default) = (setting.variable(), setting.default_text());
            let help = format!("{} [env: {variable}] [default: {default}]", setting.help);
            Arg::new(setting.flag).long(setting.flag).value_name("VALUE").help(help)
        });
        command.arg(file).args(flags)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Self::default();
        options.update_from_arg_matches(matches)?;
        Ok(options)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        if let Some(file) = matches.get_one::<PathBuf>("config") {
            self.file = Some(file.clone());
        }
        for setting in SETTINGS {
            if let Some(value) = matches.get_one::<String>(setting.flag) {
                self.flags.insert(setting.flag, value.clone());
            }
        }
        Ok(())
    }
}

impl Options {
    /// The configuration from these flags, the environment of this process, the file and the defaults, in this order.
    ///
    /// # Errors
    /// The first value that is wrong, with where it came from; any unknown key of the file; a file that was named but
    /// cannot be read.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut environment = BTreeMap::new();
        for setting in SETTINGS {
            let variable = setting.variable();
            if let Some(value) = std::env::var_os(&variable) {
                let value = value.into_string().map_err(|value| ConfigError::Invalid {
                    origin: Origin::Environment(variable.clone()),
                    input: shown(setting, &value.to_string_lossy()),
                    problem: "is not UTF-8 text".to_owned(),
                    example: setting.example,
                })?;
                environment.insert(variable, value);
            }
        }
        if let Some(value) = std::env::var_os(GONE_VARIABLE) {
            environment.insert(GONE_VARIABLE.to_owned(), value.to_string_lossy().into_owned());
        }
        self.load_from(&environment)
    }

    /// As [`Options::load`], with this environment.
    pub(super) fn load_from(&self, environment: &BTreeMap<String, String>) -> Result<Config, ConfigError> {
        let (path, must_exist) = match &self.file {
            Some(path) => (path.as_path(), true),
            None => (Path::new(DEFAULT_FILE), false),
        };
        if environment.get(GONE_VARIABLE).is_some_and(|value| !value.is_empty()) {
            return Err(ConfigError::Gone(Origin::Environment(GONE_VARIABLE.to_owned())));
        }
        let mut given = read_file(path, must_exist)?;
        for setting in SETTINGS {
            // An empty variable is the usual way to say "none" in a shell and in unit files.
            if let Some(value) = environment.get(&setting.variable()).filter(|value| !value.is_empty()) {
                given.insert(setting.flag, (Origin::Environment(setting.variable()), value.clone()));
            }
            if let Some(value) = self.flags.get(setting.flag) {
                given.insert(setting.flag, (Origin::Flag(setting.flag), value.clone()));
            }
        }
        Given(given).into_config()
    }
}

/// A setting of earlier versions. Nobody who relies on it is to find out by refused fetches.
const GONE_KEY: &str = "fetch_from_self";
const GONE_VARIABLE: &str = "SLIPWAY_FETCH_FROM_SELF";

type Values = BTreeMap<&'static str, (Origin, String)>;

/// The values of a file, by flag.
fn read_file(path: &Path, must_exist: bool) -> Result<Values, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => return Ok(Values::new()),
        text => text.map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?,
    };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line =
            error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.lines().count().max(1));
        // Not the error's own text, which quotes the line: it may hold a password.
        ConfigError::Syntax { path: path.to_owned(), message: format!("line {line}: {}", error.message()) }
    })?;
    let mut values = Values::new();
    for (key, value) in table {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.key() == key) else {
            let path = path.to_owned();
            return Err(match key.as_str() {
                GONE_KEY => ConfigError::Gone(Origin::File(path, key)),
                _ => ConfigError::UnknownKey { path, key },
            });
        };
        let origin = Origin::File(path.to_owned(), key);
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            other => {
                let problem = format!("is a TOML {}, where a text in quotes belongs", other.type_str());
                let input = shown(setting, &other.to_string());
                return Err(ConfigError::Invalid { origin, input, problem, example: setting.example });
            }
        };
        values.insert(setting.flag, (origin, text));
    }
    Ok(values)
}

/// A value as a message may show it.
fn shown(setting: &Setting, value: &str) -> String {
    match setting.flag {
        "database-url" => parse::without_password(value),
        "builder-key" => "***".to_owned(),
        _ => value.to_owned(),
    }
}

struct Given(Values);

impl Given {
    /// The value of a setting that has one in any case.
    fn get<T>(&self, flag: &'static str, parse: impl Fn(&str) -> Result<T, String>) -> Result<T, ConfigError> {
        Ok(self.maybe(flag, parse)?.expect("settings without a fixed default are read by `maybe`"))
    }

    /// The value of a setting that may have none.
    fn maybe<T>(
        &self,
        flag: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let setting = SETTINGS.iter().find(|setting| setting.flag == flag).expect("every setting is listed");
        let (origin, input) = match (self.0.get(flag), setting.default) {
            (Some((origin, text)), _) => (origin.clone(), text.as_str()),
            (None, DefaultValue::Text(text)) => (Origin::Default(flag), text),
            (None, DefaultValue::Computed(_)) => return Ok(None),
        };
        parse(input).map(Some).map_err(|problem| {
            let input = shown(setting, input);
            ConfigError::Invalid { origin, input, problem, example: setting.example }
        })
    }

    fn signed_size(&self, flag: &'static str, least: u64) -> Result<Option<i64>, ConfigError> {
        let size = self.maybe(flag, parse::size(least))?;
        Ok(size.map(|bytes| i64::try_from(bytes).expect("the parser keeps sizes within i64")))
    }

    /// Strangers reach a server that listens on anything but loopback.
    fn default_registration(&self) -> Result<Registration, ConfigError> {
        for flag in ["api-addr", "ssh-addr", "http-addr", "https-addr"] {
            if !self.get(flag, parse::address)?.ip().to_canonical().is_loopback() {
                return Ok(Registration::Closed);
            }
        }
        Ok(Registration::Open)
    }

    /// Whoever gives no address has agreed to nothing, so nobody is asked.
    fn acme(&self) -> Result<Option<Acme>, ConfigError> {
        let directory = self.get("acme-directory", parse::https_url)?;
        let challenge = self.get("acme-challenge", parse::challenge)?;
        let looks_up = self.get("acme-lookup", parse::yes_or_no)?;
        let email = self.maybe("acme-email", parse::email)?;
        Ok(email.map(|email| Acme { directory, email, challenge, looks_up }))
    }

    fn into_config(self) -> Result<Config, ConfigError> {
        let (second, no_time) = (Duration::from_secs(1), Duration::ZERO);
        let pids = || parse::number(16..=4_194_304);
        let data_dir = self.get("data-dir", parse::path)?;
        let database_url = match self.maybe("database-url", parse::database_url)? {
            Some(url) => url,
            None => self.get("data-dir", |text| Ok(DatabaseUrl::in_data_dir(&parse::path(text)?)?))?,
        };
        Ok(Config {
            data_dir,
            database_url,
            api_addr: self.get("api-addr", parse::address)?,
            ssh_addr: self.get("ssh-addr", parse::address)?,
            http_addr: self.get("http-addr", parse::address)?,
            https_addr: self.get("https-addr", parse::address)?,
            domain: self.get("domain", parse::domain)?,
            api_url: self.maybe("api-url", parse::base_url)?,
            docker_host: self.get("docker-host", parse::docker_host)?,
            registration: match self.maybe("registration", parse::registration)? {
                Some(registration) => registration,
                None => self.default_registration()?,
            },
            builder_key: self.maybe("builder-key", parse::builder_key)?,
            build_ca_bundle: self.maybe("build-ca-bundle", parse::existing_file)?,
            ready_file: self.maybe("ready-file", parse::path)?,
            max_push_bytes: self.get("max-push-size", parse::size(1 << 10))?,
            build_memory_bytes: self
                .signed_size("build-memory", 64 << 20)?
                .unwrap_or_else(|| default_build_memory(machine_memory())),
            // The kernel's bounds of cpu.shares.
            build_cpu_shares: self.get("build-cpu-shares", parse::number(2..=262_144))?,
            build_pids: self.get("build-pids", pids())?,
            build_timeout: self.get("build-timeout", parse::duration(second))?,
            build_concurrency: self.maybe("build-concurrency", parse::count)?.unwrap_or_else(default_concurrency),
            build_image_bytes: self.get("build-image-size", parse::size(1 << 20))?,
            build_frontends: self.maybe("build-frontends", parse::frontends)?.unwrap_or_default(),
            base_images: self.maybe("build-base-images", parse::base_images)?.unwrap_or_default(),
            min_free_disk_bytes: self.get("min-free-disk", parse::size(0))?,
            outbound_allow: self.maybe("outbound-allow", str::parse)?.unwrap_or_default(),
            runtime_mirrors: self.maybe("runtime-mirrors", str::parse)?.unwrap_or_default(),
            runtime_bytes: self.get("runtime-bytes", parse::size(0))?,
            boot_timeout: self.get("boot-timeout", parse::duration(second))?,
            drain_timeout: self.get("drain-timeout", parse::duration(no_time))?,
            websocket_grace: self.get("websocket-grace", parse::duration(no_time))?,
            stop_grace: self.get("stop-grace", parse::duration(no_time))?,
            // Below 6 MiB the engine refuses.
            instance_memory_bytes: self.signed_size("instance-memory", 6 << 20)?.expect("it has a fixed default"),
            sizes: self.get("sizes", parse::sizes)?,
            instance_pids: self.get("instance-pids", pids())?,
            port_range: self.get("port-range", parse::port_range)?,
            publish_addr: self.get("publish-addr", parse::ip)?,
            quotas: self.get("quotas", parse::quotas)?,
            run_timeout: self.get("run-timeout", parse::duration(second))?,
            log_bytes_per_app: self.get("log-size-per-app", parse::size(64 << 10))?,
            log_lines_per_second: self.get("log-rate-per-app", parse::number(0..=10_000_000))?.unsigned_abs(),
            keep_releases: self.get("keep-releases", parse::number(1..=1_000_000))?,
            build_cache_bytes: self.get("build-cache-bytes", parse::size(0))?,
            acme: self.acme()?,
            stack: self.get("stack", parse::repository)?,
        })
    }
}

/// 2 GiB, and at most half of the machine, so that the apps on it keep theirs.
pub(super) fn default_build_memory(machine_bytes: Option<i64>) -> i64 {
    machine_bytes.map_or(2 << 30, |bytes| (bytes / 2).min(2 << 30))
}

/// Half of the processors: the apps on the machine keep the others.
fn default_concurrency() -> NonZeroUsize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new(processors / 2).unwrap_or(NonZeroUsize::MIN)
}

/// Memory of this machine in bytes, where the kernel tells (proc(5), /proc/meminfo).
fn machine_memory() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<i64>().ok()?.checked_mul(1024)
}
