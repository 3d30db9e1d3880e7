//! Commands in running containers.

use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecResults};
use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};

use super::act::Act;
use super::{CALL_LIMIT, Docker};
use crate::engine::{EngineError, Executed};

impl Docker {
    pub(super) async fn execute(
        &self,
        container: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<Executed, EngineError> {
        let act = Act::on("running a command in", "container", container);
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            ..CreateExecOptions::default()
        };
        let exec = act.within(CALL_LIMIT, self.client.create_exec(container, options)).await?.id;
        match tokio::time::timeout(limit, self.run_exec(&act, &exec)).await {
            Ok(done) => done,
            Err(_) => {
                self.kill_exec(&act, &exec).await;
                // The command's fault, not the engine's.
                Err(EngineError::TimedOut { action: act.action(), limit })
            }
        }
    }

    async fn run_exec(&self, act: &Act, exec: &str) -> Result<Executed, EngineError> {
        let started = act.within(CALL_LIMIT, self.client.start_exec(exec, None)).await?;
        let mut tail = Vec::new();
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(frame) = output.next().await {
                tail.extend_from_slice(&frame.map_err(|error| act.failed(error))?.into_bytes());
                let over = tail.len().saturating_sub(Executed::OUTPUT_MAX);
                tail.drain(..over);
            }
        }
        let ended = act.within(CALL_LIMIT, self.client.inspect_exec(exec)).await?;
        // Without a status it still runs, having closed its outputs: it has not said yes.
        let status = ended.exit_code.ok_or_else(|| act.refused("it closed its outputs and did not end"))?;
        Ok(Executed { status, output: String::from_utf8_lossy(&tail).into_owned() })
    }

    /// Ends a command that took too long: the engine has no call for that, and leaves it running for ever.
    async fn kill_exec(&self, act: &Act, exec: &str) {
        let Ok(found) = act.within(CALL_LIMIT, self.client.inspect_exec(exec)).await else { return };
        let (pid, container) = (found.pid.unwrap_or_default(), found.container_id.unwrap_or_default());
        if self.socket.is_none() || found.running != Some(true) || container.is_empty() {
            return;
        }
        // The number is only good where the engine shares our process table.
        let groups = tokio::fs::read_to_string(format!("/proc/{pid}/cgroup")).await.unwrap_or_default();
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).filter(|_| groups.contains(&container));
        if let Some(Err(error)) = pid.map(|pid| kill_process(pid, Signal::KILL)) {
            tracing::warn!(container, %error, "cannot end a health check that took too long");
        }
    }
}
