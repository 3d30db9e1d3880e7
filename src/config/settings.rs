//! The list of all settings: names, defaults, what they are for.

use crate::model::Quotas;

/// One thing that can be set. The flag's name yields the other two.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// `api-addr` for `--api-addr`.
    pub flag: &'static str,
    /// What holds when it is not given.
    pub default: DefaultValue,
    /// A valid value, for messages.
    pub example: &'static str,
    /// What it is for, in a sentence without a full stop.
    pub help: &'static str,
}

/// What holds when a setting is not given.
#[derive(Debug, Clone, Copy)]
pub enum DefaultValue {
    /// As if this text had been given.
    Text(&'static str),
    /// It depends; this is how.
    Computed(&'static str),
}

impl Setting {
    /// The key in the file: `api_addr`.
    pub fn key(&self) -> String {
        self.flag.replace('-', "_")
    }

    /// The environment variable: `SLIPWAY_API_ADDR`.
    pub fn variable(&self) -> String {
        format!("SLIPWAY_{}", self.key().to_ascii_uppercase())
    }

    /// The default in words.
    pub fn default_text(&self) -> &'static str {
        match self.default {
            DefaultValue::Text(text) | DefaultValue::Computed(text) => text,
        }
    }
}

const fn fixed(flag: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { flag, default: DefaultValue::Text(default), example: default, help }
}

const fn computed(flag: &'static str, default: &'static str, example: &'static str, help: &'static str) -> Setting {
    Setting { flag, default: DefaultValue::Computed(default), example, help }
}

/// Every setting there is, in the order of the README's table.
///
/// Sizes are bytes, or a number with K, M, G or T (also KiB, MB, ...), always powers of 1024. Durations are like `90s`,
/// `15m`, `1h 30m`.
pub const SETTINGS: &[Setting] = &[
    fixed(
        "data-dir",
        "./slipway-data",
        "Directory of the database, repositories, slugs, logs, host key and secrets key",
    ),
    computed(
        "database-url",
        "SQLite in the data directory",
        "postgres://slipway:PASSWORD@127.0.0.1/slipway",
        "The database: sqlite: or postgres:// URL",
    ),
    fixed("api-addr", "127.0.0.1:8000", "Address of the REST APIs, /healthz and /metrics"),
    fixed("ssh-addr", "0.0.0.0:2222", "Address of git over SSH"),
    fixed("http-addr", "0.0.0.0:8080", "Address of the router"),
    fixed("https-addr", "0.0.0.0:8443", "Address of the router for HTTPS"),
    fixed("domain", "localhost", "Host name under which apps answer, as APP.DOMAIN"),
    computed(
        "api-url",
        "http://slipway.DOMAIN:PORT of the router",
        "https://slipway.example.com",
        "Where containers and clients reach the APIs, without a path; links between applications tell it",
    ),
    fixed("docker-host", "unix:///var/run/docker.sock", "The container engine: unix:///PATH or tcp://HOST:PORT"),
    computed(
        "registration",
        "open while every address is on loopback, else closed",
        "open",
        "Who may register: open, admin-only or closed; the first account is the administrator",
    ),
    computed("builder-key", "none", "a-long-random-text", "Secret of a builder of your own that calls /v1/hooks"),
    computed("build-ca-bundle", "none", "/etc/ssl/certs/ca-certificates.crt", "CA file (PEM) that builds trust too"),
    computed("ready-file", "none", "/run/slipway/ready.json", "File that gets the addresses as JSON once serving"),
    fixed("max-push-size", "1GiB", "Most bytes of one push"),
    computed("build-memory", "2GiB, at most half of the machine", "2GiB", "Memory of builds"),
    fixed("build-cpu-shares", "512", "CPU weight of builds, 2 to 262144; an instance has 1024"),
    fixed("build-pids", "4096", "Most processes and threads of a build"),
    fixed("build-timeout", "15m", "How long a build may take"),
    computed("build-concurrency", "half of the processors, at least 1", "2", "How many builds go on at once"),
    fixed("build-image-size", "10GiB", "Largest image that a Dockerfile may build"),
    computed(
        "build-frontends",
        "none: the engine's own",
        "docker/dockerfile@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "Programs that may read Dockerfiles, by their # syntax= line: images with a digest, commas between them",
    ),
    computed(
        "build-base-images",
        "local images that no app made",
        "python:3.*,debian:bookworm",
        "Images of this machine that Dockerfiles may build on: references with *, commas between them",
    ),
    fixed("min-free-disk", "1GiB", "Free disk space below which no build begins; 0 asks for none"),
    computed(
        "outbound-allow",
        "nothing",
        "git.lan,10.0.0.5:5000,192.168.7.0/24",
        "What apps may have the server fetch from beside public addresses: hosts, HOST:PORT and networks, commas between them",
    ),
    computed(
        "runtime-mirrors",
        "none: each publisher's own hosts",
        "node=https://mirror.example/node,python=https://mirror.example",
        "Where runtimes are fetched from instead, as NAME=URL, commas between them",
    ),
    fixed("runtime-bytes", "10GiB", "Most bytes of the runtimes that are kept; clean-up removes the least used"),
    fixed("boot-timeout", "60s", "How long a new instance may take until it is healthy"),
    fixed("drain-timeout", "30s", "How long requests may go on at an instance that is being replaced"),
    fixed("websocket-grace", "10s", "How long websockets may stay open to an instance that is being replaced"),
    fixed("stop-grace", "10s", "Time between SIGTERM and SIGKILL when an instance is stopped"),
    fixed("instance-memory", "512MiB", "Memory of an instance, unless the app's own limits say otherwise"),
    fixed(
        "sizes",
        "XS=256MiB:256 S=512MiB:512 M=1GiB:1024 L=2GiB:2048 XL=4GiB:4096",
        "Sizes of containers, ascending, as NAME=MEMORY:CPU-WEIGHT with blanks between them",
    ),
    fixed("instance-pids", "1024", "Most processes and threads of an instance"),
    fixed("port-range", "49153-65535", "Ports of this machine that containers of process groups are published on"),
    fixed("publish-addr", "0.0.0.0", "Address of this machine that those ports are bound to"),
    fixed(
        "quotas",
        Quotas::DEFAULT,
        "What one account may have, as KIND=VALUE with blanks between them; kinds that are not named keep their default",
    ),
    fixed("run-timeout", "20m", "How long a one-off command may run"),
    fixed("log-size-per-app", "8MiB", "Most bytes of one app's log stream on disk"),
    fixed("log-rate-per-app", "10000", "Most lines per second of one app, of 420 bytes each; 0 sets no limit"),
    fixed("keep-releases", "10", "How many releases of each app stay restorable when clean-up removes old images"),
    fixed("build-cache-bytes", "10GiB", "Most bytes of the build caches of all apps; clean-up removes the least used"),
    computed(
        "acme-email",
        "none: certificates are uploaded",
        "admin@example.com",
        "Your address at the authority that certificates are asked of; giving it agrees to the authority's terms",
    ),
    fixed(
        "acme-directory",
        "https://acme-v02.api.letsencrypt.org/directory",
        "Where that authority describes itself (ACME, RFC 8555)",
    ),
    fixed("acme-challenge", "any", "How it is shown that names lead here: any, http-01 or tls-alpn-01"),
    fixed(
        "acme-lookup",
        "yes",
        "Whether new names are looked up first, and not asked for while they lead nowhere; no where this machine's name \
         servers do not know what the world knows",
    ),
    fixed("stack", "slipway/stack", "Repository of the images that slugs are built and run on"),
];
