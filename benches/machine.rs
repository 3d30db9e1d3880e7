//! What is measured on: the tools that must be there, and what the report says of the machine.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::docker::Docker;
use crate::process::outcome;

/// Programs, and the Debian packages they are in.
const TOOLS: [(&str, &str); 10] = [
    ("docker", "docker.io"),
    ("git", "git"),
    ("haproxy", "haproxy"),
    ("nginx", "nginx-light"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("sshd", "openssh-server"),
    ("taskset", "util-linux"),
    ("tar", "tar"),
    ("wrk", "wrk"),
];

/// A line of the report: name and value.
pub type Fact = (&'static str, String);

/// Fails with one line that says what to install.
pub fn check_tools() -> Result<()> {
    let missing: Vec<&str> =
        TOOLS.iter().filter(|(tool, _)| find(tool).is_none()).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        bail!("missing here; type: apt-get install {}", missing.join(" "));
    }
    Ok(())
}

/// Where a program is; those of administrators are looked for, too.
pub fn find(tool: &str) -> Option<PathBuf> {
    all(tool).into_iter().next()
}

/// Everywhere a program is, in the order of `PATH`.
pub fn all(tool: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    folders.map(|folder| folder.join(tool)).filter(|file| file.is_file()).collect()
}

/// Two cores that this process may use: one for what is measured, one for everything around it.
pub fn two_cores() -> Result<(usize, usize)> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let list = field(&status, "Cpus_allowed_list").context("/proc/self/status names no cores")?;
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        cores.extend(first.trim().parse::<usize>()?..=last.trim().parse::<usize>()?);
    }
    match cores[..] {
        [first, second, ..] => Ok((first, second)),
        _ => bail!("the router is measured on two cores; this process may use one only"),
    }
}

/// Most of the processors' time that others on the machine's host may take during a measurement.
const STOLEN_MAX: f64 = 0.02;
/// How often a measurement is tried.
const TRIES: usize = 6;

/// Measures while the host leaves the machine its processors. A measurement that lost more of them is taken again; if all do,
/// the one that lost least counts.
pub async fn undisturbed<T>(measure: impl AsyncFn() -> Result<T>) -> Result<T> {
    let mut best: Option<(f64, T)> = None;
    for _ in 0..TRIES {
        let before = processor_time()?;
        let measured = measure().await?;
        let after = processor_time()?;
        let stolen = (after.0 - before.0) / (after.1 - before.1).max(1.0);
        if best.as_ref().is_none_or(|(least, _)| stolen < *least) {
            best = Some((stolen, measured));
        }
        if stolen <= STOLEN_MAX {
            break;
        }
    }
    best.map(|(_, measured)| measured).context("a measurement is tried at least once")
}

/// Stolen and all time of all processors since the machine was started, in ticks (proc_stat(5)).
fn processor_time() -> Result<(f64, f64)> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("/proc/stat has no line cpu")?;
    let ticks: Vec<f64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    // What follows are the times of guests, which are in those of users, too.
    Ok((ticks.get(7).copied().unwrap_or_default(), ticks.iter().take(8).sum()))
}

/// The value of a `Name: value` line.
pub fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name))
        .map(|(_, value)| value.trim())
}

/// What the figures depend on, besides Slipway.
pub async fn describe(docker: &Docker) -> Result<Vec<Fact>> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let memory: u64 = field(&memory, "MemTotal").and_then(|text| text.split(' ').next()).unwrap_or("0").parse()?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    if load.parse::<f64>().is_ok_and(|load| load > 1.0) {
        eprintln!("bench: the machine is busy (load {load}); the figures will be noisy");
    }
    Ok(vec![
        ("processor", format!("{}, {} cores", field(&cpu, "model name").unwrap_or("?"), cores()?)),
        ("memory", format!("{} GiB", (memory + (1 << 19)) >> 20)),
        ("kernel", format!("Linux {}", std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim())),
        ("load before the run", load.to_owned()),
        ("container engine", docker.describe().await?),
        ("by-hand builds", docker.builder.to_owned()),
        ("git", version("git", &["--version"]).await?.replace("git version ", "")),
        ("OpenSSH", version("ssh", &["-V"]).await?),
        ("nginx", version("nginx", &["-v"]).await?.replace("nginx version: ", "")),
        ("wrk", version("wrk", &["-v"]).await?),
    ])
}

fn cores() -> Result<usize> {
    Ok(std::thread::available_parallelism()?.get())
}

/// The first line that a program says of itself, on whichever output, without what follows the version.
async fn version(tool: &str, arguments: &[&str]) -> Result<String> {
    let program = find(tool).with_context(|| format!("no {tool}"))?;
    // wrk takes being asked for its version as a mistake.
    let (_, out, err) = outcome(Command::new(program).args(arguments)).await?;
    let line = out.lines().chain(err.lines()).next().unwrap_or("?");
    Ok(line.split([',', '[']).next().unwrap_or(line).trim().to_owned())
}
