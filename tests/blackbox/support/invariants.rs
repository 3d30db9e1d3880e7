//! What has to hold at the end of every test, whatever it was about.

use std::time::Duration;

use super::Container;
use super::database::Database;
use super::docker::{Docker, SERVER};
use super::wait::look_until;

/// Waits until nothing is in progress any more; says what still is.
pub async fn is_settled(database: &Database, docker: &Docker, server: &str, limit: Duration) -> Result<(), String> {
    look_until(limit, async || {
        let live = database
            .texts(
                "SELECT kind || ' of ' || app_name || ' at step ' || step FROM operations WHERE lock_key IS NOT NULL",
            )
            .await?;
        none("operations are still live", &live)?;
        let pending = database.texts("SELECT 'v' || version FROM releases WHERE status = 'pending'").await?;
        none("releases are still pending", &pending)?;
        let moving = database
            .texts("SELECT process || '.' || number || ' ' || state FROM instances WHERE state <> 'live'")
            .await?;
        none("instances are neither wanted nor gone", &moving)?;
        let runs = database
            .texts("SELECT 'cron.' || number || ' ' || state FROM cron_runs WHERE state IN ('starting', 'running')")
            .await?;
        none("scheduled commands still run", &runs)?;
        let known = database.texts("SELECT id FROM instances UNION SELECT id FROM group_instances").await?;
        let containers = docker.containers(&[&format!("{SERVER}={server}")]).await;
        let orphans: Vec<&Container> =
            containers.iter().filter(|container| !known.contains(&container.instance)).collect();
        none("containers belong to no instance", &orphans)
    })
    .await
}

/// Lines of the server's log that tell of a fault of its own.
pub fn errors_in(log: &str) -> Vec<String> {
    let is_fault = |line: &&str| line.contains(" ERROR ") || line.contains("panicked at");
    log.lines().filter(is_fault).map(str::to_owned).collect()
}

fn none<T: std::fmt::Debug>(what: &str, found: &[T]) -> Result<(), String> {
    if found.is_empty() { Ok(()) } else { Err(format!("{what}: {found:?}")) }
}
