//! What goes on for as long as a container, or the engine, lives: output and events.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::container::LogOutput as Frame;
use bollard::models::EventMessage;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, EventsOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder,
};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::act::Act;
use super::lines::Lines;
use super::{CALL_LIMIT, Docker, label_filter};
use crate::engine::{ContainerEvent, ContainerLog, EngineError, Labels, LogOutput};

/// The events worth waking up for; health checks alone would flood the stream with others.
const ACTIONS: [&str; 4] = ["start", "die", "oom", "destroy"];

/// The end of a container.
const DEATH: &str = "die";

/// How many deaths may wait at once until they are listed.
const DEATHS_AT_ONCE: usize = 64;

/// How long one may wait, and what comes after it: whoever is told too early looks again by and by.
const LISTED_WITHIN: Duration = Duration::from_secs(5);

/// What the engine puts among a container's labels when it tells of an event.
const EVENT_ATTRIBUTES: [&str; 4] = ["image", "name", "exitCode", "execDuration"];

impl Docker {
    pub(super) fn log_lines(
        &self,
        container: &str,
        since: i64,
        follow: bool,
    ) -> BoxStream<'static, Result<ContainerLog, EngineError>> {
        let act = Act::on("reading the output of", "container", container);
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(follow)
            .since(i32::try_from(since).unwrap_or(i32::MAX))
            .build();
        let frames = self.client.logs(container, Some(options)).boxed();
        let state = (Some(frames), LogLines::default(), VecDeque::new());
        stream::unfold(state, move |(mut frames, mut lines, mut ready)| {
            let act = act.clone();
            async move {
                loop {
                    if let Some(line) = ready.pop_front() {
                        return Some((line, (frames, lines, ready)));
                    }
                    match frames.as_mut()?.next().await {
                        Some(Ok(frame)) => lines.take(frame, |line| ready.push_back(Ok(line))),
                        Some(Err(error)) => {
                            lines.finish(|line| ready.push_back(Ok(line)));
                            ready.push_back(Err(act.failed(error)));
                            frames = None;
                        }
                        None => {
                            lines.finish(|line| ready.push_back(Ok(line)));
                            frames = None;
                        }
                    }
                    if frames.is_none() && ready.is_empty() {
                        return None;
                    }
                }
            }
        })
        .boxed()
    }

    pub(super) async fn raw_output(
        &self,
        container: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, EngineError>>, EngineError> {
        let act = Act::on("attaching to", "container", container);
        let options = AttachContainerOptionsBuilder::default().stream(true).stdout(true).stderr(true).build();
        let attached = act.within(CALL_LIMIT, self.client.attach_container(container, Some(options))).await?;
        let chunks = attached.output.map(move |frame| frame.map(Frame::into_bytes).map_err(|error| act.failed(error)));
        Ok(chunks.boxed())
    }

    pub(super) fn container_events(&self, labels: &Labels) -> BoxStream<'static, Result<ContainerEvent, EngineError>> {
        let act = Act::on("watching", "events of", "containers");
        let mut filters = label_filter(labels);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        filters.insert("event".to_owned(), ACTIONS.map(str::to_owned).to_vec());
        let mut options = EventsOptionsBuilder::default().filters(&filters);
        // The request goes out when the stream is first polled; the engine keeps recent events, so nothing that happens
        // between now and then is lost. Another machine's clock cannot be relied upon for that.
        if self.socket.is_some() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            options = options.since(&format!("{}.{:09}", now.as_secs(), now.subsec_nanos()));
        }
        let events = self.client.events(Some(options.build()));
        let events = events.filter_map(move |message| {
            let event = message.map_err(|error| act.failed(error)).map(event).transpose();
            async move { event }
        });
        let client = self.client.clone();
        let told = events.map(move |event| {
            let client = client.clone();
            async move {
                if let Ok(event) = &event
                    && event.action == DEATH
                {
                    until_listed(&client, &event.container).await;
                }
                event
            }
        });
        told.buffered(DEATHS_AT_ONCE).boxed()
    }
}

/// Waits until the engine's list says of a container that it ended. The engine (20.10 to 28) tells of the death first and takes
/// the container's networks and mounts apart before the list is right; a look at the container itself waits for all that.
async fn until_listed(client: &bollard::Docker, container: &str) {
    let look = client.inspect_container(container, None::<InspectContainerOptions>);
    // One that is gone is in no list, and an engine that is away tells so elsewhere.
    drop(tokio::time::timeout(LISTED_WITHIN, look).await);
}

fn event(message: EventMessage) -> Option<ContainerEvent> {
    let actor = message.actor?;
    let attributes = actor.attributes.unwrap_or_default();
    let labels = attributes.into_iter().filter(|(key, _)| !EVENT_ATTRIBUTES.contains(&key.as_str())).collect();
    Some(ContainerEvent { container: actor.id?, action: message.action?, labels })
}

/// Puts a container's lines together. A frame holds one record of the engine's log: a time stamp, then a line or, when
/// that is longer than 16 KiB, a piece of one.
#[derive(Default)]
struct LogLines {
    partial: HashMap<bool, (i64, Lines)>,
}

impl LogLines {
    fn take(&mut self, frame: Frame, mut emit: impl FnMut(ContainerLog)) {
        let (output, message) = match frame {
            Frame::StdErr { message } => (LogOutput::Stderr, message),
            Frame::StdOut { message } | Frame::StdIn { message } | Frame::Console { message } => {
                (LogOutput::Stdout, message)
            }
        };
        let (stamp, text) = stamped(&message);
        let (nanos, lines) = self.partial.entry(output == LogOutput::Stderr).or_default();
        if lines.is_empty() {
            *nanos = stamp.unwrap_or(*nanos);
        }
        let nanos = *nanos;
        lines.push(text, |text| emit(ContainerLog { nanos, output, text }));
    }

    fn finish(&mut self, mut emit: impl FnMut(ContainerLog)) {
        for (is_stderr, (nanos, mut lines)) in self.partial.drain() {
            let output = if is_stderr { LogOutput::Stderr } else { LogOutput::Stdout };
            if let Some(text) = lines.finish() {
                emit(ContainerLog { nanos, output, text });
            }
        }
    }
}

/// The time stamp in front of a record, in nanoseconds, and the rest.
fn stamped(message: &Bytes) -> (Option<i64>, &[u8]) {
    let stamp = message.iter().position(|byte| *byte == b' ').and_then(|end| {
        let stamp = OffsetDateTime::parse(std::str::from_utf8(&message[..end]).ok()?, &Rfc3339).ok()?;
        Some((i64::try_from(stamp.unix_timestamp_nanos()).ok()?, end))
    });
    match stamp {
        Some((nanos, end)) => (Some(nanos), &message[end + 1..]),
        None => (None, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frames: &[(bool, &[u8])], expect: &[(i64, LogOutput, &str)]) {
        let mut lines = LogLines::default();
        let mut seen = Vec::new();
        for (is_stderr, message) in frames {
            let message = Bytes::copy_from_slice(message);
            let frame = if *is_stderr { Frame::StdErr { message } } else { Frame::StdOut { message } };
            lines.take(frame, |line| seen.push(line));
        }
        lines.finish(|line| seen.push(line));
        let seen = seen.iter().map(|line| (line.nanos, line.output, line.text.as_str())).collect::<Vec<_>>();
        assert_eq!(seen, expect);
    }

    #[test]
    fn records_become_lines() {
        check(
            &[
                (false, b"1970-01-01T00:00:01.000000002Z one\n"),
                (true, b"1970-01-01T00:00:02.000000000Z \r\n"),
                (false, b"1970-01-01T00:00:03.000000000Z long "),
                (true, b"1970-01-01T00:00:04.000000000Z between\n"),
                (false, b"1970-01-01T00:00:05.000000000Z line\n"),
                (false, b"1970-01-01T00:00:06.000000000Z no end"),
            ],
            &[
                (1_000_000_002, LogOutput::Stdout, "one"),
                (2_000_000_000, LogOutput::Stderr, ""),
                (4_000_000_000, LogOutput::Stderr, "between"),
                (3_000_000_000, LogOutput::Stdout, "long line"),
                (6_000_000_000, LogOutput::Stdout, "no end"),
            ],
        );
    }
}
