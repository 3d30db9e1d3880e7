//! `slipway doctor`: what is missing or wrong on this machine, and the command that fixes it.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;

use crate::build::{Stack, StackStatus};
use crate::config::Config;
use crate::engine::{Engine, EngineInfo, Resources, docker::Docker};
use crate::server;

/// Oldest engine that is supported.
const ENGINE_MIN: (u32, u32) = (20, 10);
/// First engine whose BuildKit (0.12.5) checks what a frontend may do and where the mounts of a build step lead.
const BUILDKIT_MIN: (u32, u32, u32) = (25, 0, 2);
/// Oldest git whose receive-pack has quarantine and push options as Slipway uses them.
const GIT_MIN: (u32, u32) = (2, 30);
/// Below this much free disk, builds are likely to fail.
const DISK_MIN_BYTES: u64 = 2 << 30;

/// The rules that part builds and apps: adds them, and with the argument `check` says which are missing.
const FIREWALL: &str = include_str!("../../scripts/firewall");

/// What takes NET_RAW from steps of Dockerfiles, and where the engine finds it before the real one.
const RUNC: &str = include_str!("../../scripts/runc");
const RUNC_PATH: &str = "/usr/local/sbin/runc";

/// What one check found.
enum Finding {
    /// As it should be.
    Fine(String),
    /// Works, but worth knowing.
    Note(String),
    /// Must be fixed: what is wrong, and what to type.
    Wrong(String, String),
}

/// Runs every check, prints a line for each; fails when anything is wrong.
pub async fn run(config: &Config) -> Result<ExitCode> {
    let mut findings = vec![git(), data_dir(&config.data_dir), disk(&config.data_dir), database(config).await];
    let running = server::is_running(config);
    for (address, setting) in [
        (config.api_addr, "api-addr"),
        (config.ssh_addr, "ssh-addr"),
        (config.http_addr, "http-addr"),
        (config.https_addr, "https-addr"),
    ] {
        findings.push(port(address, setting, running));
    }
    engine(config, &mut findings).await;
    let mut is_fine = true;
    for finding in findings {
        match finding {
            Finding::Fine(text) => println!("ok     {text}"),
            Finding::Note(text) => println!("note   {text}"),
            Finding::Wrong(text, fix) => {
                is_fine = false;
                println!("WRONG  {text}\n       type: {fix}");
            }
        }
    }
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The first two numbers of a version somewhere in `text`.
fn version(text: &str) -> Option<(u32, u32)> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let mut numbers = text[start..].split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn git() -> Finding {
    match Command::new("git").arg("--version").output() {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if version(&text).is_some_and(|found| found >= GIT_MIN) {
                Finding::Fine(text)
            } else {
                let wrong = format!("{text} is too old; {}.{} is the oldest that works", GIT_MIN.0, GIT_MIN.1);
                Finding::Wrong(wrong, "apt-get install git".into())
            }
        }
        Err(error) => Finding::Wrong(format!("git cannot be run: {error}"), "apt-get install git".into()),
    }
}

/// The data directory, or the nearest one above it that exists.
fn existing(path: &Path) -> &Path {
    path.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"))
}

fn data_dir(path: &Path) -> Finding {
    let folder = existing(path);
    match tempfile::NamedTempFile::new_in(folder) {
        Ok(_) => Finding::Fine(format!("data directory {} can be written", path.display())),
        Err(error) => Finding::Wrong(
            format!("data directory {} cannot be written: {error}", path.display()),
            format!("mkdir -p {0} && chown $(id -u) {0}", path.display()),
        ),
    }
}

fn disk(path: &Path) -> Finding {
    match rustix::fs::statvfs(existing(path)) {
        Ok(found) => {
            let free = found.f_bavail * found.f_frsize;
            let text = format!("{:.1} GiB free below {}", free as f64 / (1_u64 << 30) as f64, path.display());
            if free >= DISK_MIN_BYTES {
                Finding::Fine(text)
            } else {
                Finding::Wrong(
                    format!("only {text}; builds need 2 GiB"),
                    "slipway gc   (docker builder prune empties the engine's own build cache, which others may share)"
                        .into(),
                )
            }
        }
        Err(error) => Finding::Note(format!("free disk below {} is not known: {error}", path.display())),
    }
}

async fn database(config: &Config) -> Finding {
    if !config.data_dir.exists() {
        return Finding::Fine("the database will be made at the first start".into());
    }
    match server::open_store(config).await {
        Ok(store) => {
            store.close().await;
            Finding::Fine(format!("database {} answers, its schema is current", config.database_url))
        }
        Err(error) => Finding::Wrong(format!("{error:#}"), "slipway serve --help   (see --database-url)".into()),
    }
}

fn port(address: SocketAddr, setting: &str, is_running: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::Fine(format!("{address} is free ({setting})")),
        Err(_) if is_running => Finding::Fine(format!("{address} is taken, and a Slipway is serving ({setting})")),
        Err(error) => Finding::Wrong(
            format!("cannot listen on {address} ({setting}): {error}"),
            format!("ss -ltnp 'sport = :{}'   (then stop it, or choose another --{setting})", address.port()),
        ),
    }
}

async fn engine(config: &Config, findings: &mut Vec<Finding>) {
    let found = match Docker::connect(&config.docker_host).await {
        Ok(engine) => engine.info().await.map(|info| (engine, info)),
        Err(error) => Err(error),
    };
    let (engine, info) = match found {
        Ok(found) => found,
        Err(error) => {
            let fix = "apt-get install docker.io && systemctl start docker   (or run dockerd)".into();
            return findings.push(Finding::Wrong(error.to_string(), fix));
        }
    };
    findings.push(engine_version(&info));
    findings.push(firewall(config));
    findings.push(raw_packets(config));
    if info.has_buildkit {
        findings.extend(buildkit(&info.version));
    }
    findings.push(build_limits(config, &engine).await);
    findings.push(stack(config, &engine).await);
}

fn engine_version(info: &EngineInfo) -> Finding {
    let builder = if info.has_buildkit { "with BuildKit" } else { "without BuildKit" };
    let text = format!("container engine {} (API {}, {builder})", info.version, info.api_version);
    if version(&info.version).is_some_and(|found| found >= ENGINE_MIN) {
        Finding::Fine(text)
    } else {
        Finding::Wrong(
            format!("{text} is older than {}.{}", ENGINE_MIN.0, ENGINE_MIN.1),
            "apt-get install docker.io".into(),
        )
    }
}

/// Whether the rules of [`FIREWALL`] are there.
fn firewall(config: &Config) -> Finding {
    if !config.docker_host.starts_with("unix:") {
        return Finding::Note("the engine is on another machine: scripts/firewall is to be run there".into());
    }
    let checked = Command::new("bash").args(["-c", FIREWALL, "firewall", "check"]).stdin(Stdio::null()).output();
    let (code, said) = match &checked {
        Ok(output) if output.status.code() == Some(1) => (Some(1), &output.stdout),
        Ok(output) => (output.status.code(), &output.stderr),
        Err(error) => return Finding::Note(format!("rules of the firewall are not known: {error}")),
    };
    let said = String::from_utf8_lossy(said);
    match code {
        Some(0) => Finding::Fine("builds, apps and metadata services are kept apart by the firewall".into()),
        Some(1) => Finding::Wrong(
            format!(
                "builds, apps and metadata services are not kept apart; missing: {}",
                said.trim().replace('\n', "; ")
            ),
            "scripts/firewall   (as root, and whenever the machine has started)".into(),
        ),
        _ => Finding::Note(format!("rules of the firewall are not known: {}", said.trim())),
    }
}

/// Whether steps of Dockerfiles run without the capability NET_RAW, by way of [`RUNC`].
fn raw_packets(config: &Config) -> Finding {
    let is_local = config.docker_host.starts_with("unix:");
    let installed = std::fs::read_to_string(RUNC_PATH).unwrap_or_default();
    let real = |line: &str| line.starts_with("real=");
    if is_local && installed.lines().filter(|line| !real(line)).eq(RUNC.lines().filter(|line| !real(line))) {
        return Finding::Fine(format!("{RUNC_PATH} takes the capability NET_RAW from steps of Dockerfiles"));
    }
    Finding::Note(
        "steps of Dockerfiles keep the capability NET_RAW, which the engine's own builder gives them: a step may answer ARP \
         in place of another. scripts/setup puts scripts/runc before the engine's runc, which takes it away"
            .into(),
    )
}

/// What the BuildKit of an engine of this version leaves open to a Dockerfile; `None` for what is no version.
fn buildkit(engine: &str) -> Option<Finding> {
    let (major, minor) = version(engine)?;
    let patch = engine.split(|c: char| !c.is_ascii_digit()).nth(2)?.parse().ok()?;
    let (a, b, c) = BUILDKIT_MIN;
    Some(if (major, minor, patch) >= BUILDKIT_MIN {
        Finding::Fine("BuildKit checks what frontends and mounts of build steps reach".into())
    } else {
        Finding::Note(format!(
            "BuildKit of engines before {a}.{b}.{c} lets frontends use the host's network (CVE-2024-23653), which is why \
             Slipway refuses frontends of tenants; it also lets any Dockerfile race its cache mounts to files of the host \
             (CVE-2024-23651) and remove empty folders and files there (CVE-2024-23652), which Slipway cannot prevent: use \
             a newer engine, or one whose packager has fixed these, before strangers may push"
        ))
    })
}

async fn build_limits(config: &Config, engine: &Docker) -> Finding {
    let resources = Resources {
        memory_bytes: Some(config.build_memory_bytes),
        cpu_shares: Some(config.build_cpu_shares),
        pids: Some(config.build_pids),
    };
    match engine.limit_image_builds(&resources).await {
        Ok(Some(group)) => Finding::Fine(format!("image builds are bounded by {}", group.display())),
        Ok(None) => Finding::Note(
            "memory and CPU of Dockerfile builds are not bounded: run Slipway as root on the engine's own machine"
                .into(),
        ),
        Err(error) => Finding::Note(format!("memory and CPU of Dockerfile builds are not bounded: {error}")),
    }
}

async fn stack(config: &Config, engine: &Docker) -> Finding {
    match Stack::new(&config.stack).status(engine).await {
        Ok(StackStatus::Current) => Finding::Fine("stack images are there and current".into()),
        Ok(StackStatus::Outdated) => Finding::Wrong("stack images are outdated".into(), "slipway stack build".into()),
        Ok(StackStatus::Missing) => Finding::Wrong("stack images are missing".into(), "slipway stack build".into()),
        Err(error) => Finding::Wrong(format!("stack images: {error}"), "slipway stack build".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_builders_are_told_of() {
        let told = |version: &str| match buildkit(version) {
            Some(Finding::Fine(_)) => "fine",
            Some(Finding::Note(text)) if text.contains("CVE-2024-23653") => "open",
            Some(_) => "other",
            None => "nothing",
        };
        assert_eq!(told("20.10.24+dfsg1"), "open");
        assert_eq!(told("25.0.1"), "open");
        assert_eq!(told("25.0.2"), "fine");
        assert_eq!(told("28.2.2"), "fine");
        assert_eq!(told("dev"), "nothing");
    }

    #[test]
    fn versions_are_found_in_text() {
        assert_eq!(version("git version 2.47.3"), Some((2, 47)));
        assert_eq!(version("20.10.24+dfsg1"), Some((20, 10)));
        assert_eq!(version("none"), None);
    }
}
