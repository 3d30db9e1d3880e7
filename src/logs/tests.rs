//! The store with real files, the collector with an engine that forgets, repeats and goes away.

mod collector;
mod engine;
mod follow;
mod limits;
mod store;

use std::time::{Duration, Instant};

use crate::model::{AppId, InstanceId, LogLine, LogSource};

use super::{LogLimits, LogStore};

fn open(folder: &tempfile::TempDir, bytes_per_app: u64) -> LogStore {
    let limits = LogLimits { bytes_per_app, lines_per_second: 0, min_free_bytes: 0, ..LogLimits::default() };
    LogStore::new(folder.path().join("logs"), limits)
}

fn web(instance: InstanceId) -> LogSource {
    LogSource::App { process: "web".parse().unwrap(), number: 1, instance }
}

fn line(instance: InstanceId, nanos: i64, text: &str) -> LogLine {
    LogLine { nanos, source: web(instance), text: text.to_owned() }
}

async fn texts(store: &LogStore, app: AppId) -> Vec<String> {
    store.tail(app, usize::MAX).await.unwrap().into_iter().map(|line| line.text).collect()
}

/// Polls until `is_true`, and fails after ten seconds.
async fn wait_until(what: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_true().await {
        assert!(Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
