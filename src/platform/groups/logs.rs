//! What containers of groups said: raw text, as the engine keeps it over all runs of a container (spec §13).

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::timeout;

use crate::engine::label;
use crate::model::{GroupId, InstanceId, User};
use crate::platform::{Error, Platform};

/// Most bytes of an answer: its last ones.
const LOG_MAX: usize = 1 << 20;
/// How long the engine may take to hand a log out; what came until then is shown.
const READ_LIMIT: Duration = Duration::from_secs(30);

impl Platform {
    /// What an instance said since its deployment, at most the last 1 MiB; nothing when it has no container.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`] when the engine is away.
    pub async fn group_instance_logs(&self, owner: &User, id: InstanceId) -> Result<String, Error> {
        self.group_instance(owner, id).await?;
        self.said_by(id, "").await.map(VecDeque::from).map(joined)
    }

    /// What the live instances of a group said, by number, each line with the instance's unique name before it.
    pub async fn group_logs(&self, owner: &User, id: GroupId) -> Result<String, Error> {
        let view = self.group(owner, id).await?.view;
        if view.group.is_terminated() {
            return Ok(String::new());
        }
        let mut all = VecDeque::new();
        for instance in view.instances {
            let Ok(one) = self.group_instance(owner, instance).await else { continue };
            all.extend(self.said_by(instance, &format!("{} | ", one.view.unique_name)).await?);
        }
        Ok(joined(all))
    }

    /// The lines of an instance's container with their ends, the last 1 MiB of them.
    async fn said_by(&self, id: InstanceId, before: &str) -> Result<Vec<String>, Error> {
        let labels = crate::engine::labels([
            (label::SERVER, self.0.settings.server_id.as_str()),
            (label::INSTANCE, &id.to_string()),
        ]);
        let Some(container) = self.0.engine.containers(&labels).await?.into_iter().next() else {
            return Ok(Vec::new());
        };
        let (mut lines, mut bytes) = (VecDeque::new(), 0);
        let read = async {
            let mut log = self.0.engine.logs(&container.id, 0, false);
            while let Some(Ok(line)) = log.next().await {
                let line = format!("{before}{}\n", line.text);
                bytes += line.len();
                lines.push_back(line);
                while bytes > LOG_MAX
                    && let Some(first) = lines.pop_front()
                {
                    bytes -= first.len();
                }
            }
        };
        if timeout(READ_LIMIT, read).await.is_err() {
            tracing::warn!(instance.id = %id, "the engine takes too long to hand out a log");
        }
        Ok(lines.into())
    }
}

fn joined(mut lines: VecDeque<String>) -> String {
    let mut bytes: usize = lines.iter().map(String::len).sum();
    while bytes > LOG_MAX
        && let Some(first) = lines.pop_front()
    {
        bytes -= first.len();
    }
    Vec::from(lines).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_is_too_long_is_kept() {
        let line = |n: usize| format!("{n}{}\n", "x".repeat(LOG_MAX / 4));
        let text = joined((0..6).map(line).collect());
        assert!(text.len() <= LOG_MAX && text.starts_with('3') && text.ends_with('\n'));
    }
}
