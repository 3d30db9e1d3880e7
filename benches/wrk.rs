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

/// How many requests came to what.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    /// Answers, good and bad.
    pub answered: f64,
    /// Answers that are no success, and requests without an answer.
    pub failed: f64,
}

impl Wrk {
    /// Sends requests for so long. Every answer must be a success.
    pub async fn run(&self, time: Duration) -> Result<Measured> {
        let said = self.said(time).await?;
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

    /// Sends requests for so long, and counts what fails.
    pub async fn count(&self, time: Duration) -> Result<Counted> {
        let said = self.said(time).await?;
        let words = |line: &str| -> f64 { line.split([' ', ',']).filter_map(|word| word.parse::<f64>().ok()).sum() };
        let answered = said.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse::<f64>().ok());
        let Some(answered) = answered else { bail!("wrk says something else than expected:\n{said}") };
        // "Socket errors: connect 0, read 3, write 0, timeout 0" and "Non-2xx or 3xx responses: 5".
        let faults = said.lines().filter(|line| line.contains("Non-2xx") || line.contains("Socket errors"));
        let failed = faults.filter_map(|line| line.split_once(':')).map(|(_, numbers)| words(numbers)).sum();
        Ok(Counted { answered, failed })
    }

    async fn said(&self, time: Duration) -> Result<String> {
        let mut command = Command::new("taskset");
        command.args(["-c", &self.core.to_string(), "wrk", "--latency", "-t1"]);
        command.args([format!("-c{}", self.connections), format!("-d{}s", time.as_secs())]);
        for header in &self.headers {
            command.args(["-H", header]);
        }
        if let Some(script) = &self.script {
            command.arg("-s").arg(script);
        }
        run(command.arg(&self.url)).await
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
