//! Load from a second process: wrk, on a core of its own.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::process::Command;

use crate::process::run;

/// A load.
#[derive(Debug, Clone)]
pub struct Wrk {
    /// Where wrk runs.
    pub core: usize,
    /// Connections that are kept.
    pub connections: usize,
    /// `Name: value`, sent with each request.
    pub headers: Vec<String>,
    /// A Lua script that says what else is sent.
    pub script: Option<PathBuf>,
    /// What is asked for.
    pub url: String,
}

/// What came of one run.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Answers per second.
    pub requests_per_second: f64,
    /// The time within which 99 of 100 answers came.
    pub p99_milliseconds: f64,
}

impl Wrk {
    /// Sends requests for so long. Every answer must be a success.
    pub async fn run(&self, time: Duration) -> Result<Measured> {
        let mut command = Command::new("taskset");
        command.args(["-c", &self.core.to_string(), "wrk", "--latency", "-t1"]);
        command.args([format!("-c{}", self.connections), format!("-d{}s", time.as_secs())]);
        for header in &self.headers {
            command.args(["-H", header]);
        }
        if let Some(script) = &self.script {
            command.arg("-s").arg(script);
        }
        let said = run(command.arg(&self.url)).await?;
        if let Some(line) = said.lines().find(|line| line.contains("Non-2xx") || line.contains("Socket errors")) {
            bail!("requests to {} failed: {}", self.url, line.trim());
        }
        let value = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        let rate = value("Requests/sec:").and_then(|text| text.parse::<f64>().ok());
        let (Some(requests_per_second), Some(p99_milliseconds)) = (rate, value("99%").and_then(milliseconds)) else {
            bail!("wrk says something else than expected:\n{said}");
        };
        Ok(Measured { requests_per_second, p99_milliseconds })
    }
}

/// `1.40ms`, `812.00us` or `1.02s`.
fn milliseconds(text: &str) -> Option<f64> {
    let (number, factor) = match text {
        _ if text.ends_with("us") => (text.strip_suffix("us")?, 1e-3),
        _ if text.ends_with("ms") => (text.strip_suffix("ms")?, 1.0),
        _ => (text.strip_suffix('s')?, 1e3),
    };
    Some(number.parse::<f64>().ok()? * factor)
}
