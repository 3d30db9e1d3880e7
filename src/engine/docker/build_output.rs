//! What a build says, as lines for the person who waits for it.

use std::collections::{HashMap, HashSet};

use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};
use bollard::models::{BuildInfo, BuildInfoAux};

use super::lines::Lines;
use crate::engine::LineSink;

/// Turns the messages of either builder into lines.
#[derive(Debug, Default)]
pub(super) struct BuildOutput {
    classic: Lines,
    announced: HashSet<String>,
    /// Output of running steps, by digest of the step and stream.
    steps: HashMap<(String, i64), Lines>,
    image: Option<String>,
}

impl BuildOutput {
    /// Id of the image that came out, once the engine has told it. The classic builder tells one for each stage; the last
    /// counts.
    pub(super) fn image(&self) -> Option<&str> {
        self.image.as_deref()
    }

    pub(super) fn take(&mut self, message: BuildInfo, on_line: LineSink<'_>) {
        match message.aux {
            Some(BuildInfoAux::BuildKit(status)) => self.take_status(status, on_line),
            Some(BuildInfoAux::Default(image)) => self.image = image.id.or(self.image.take()),
            None => {}
        }
        if let Some(text) = message.stream {
            self.classic.push(text.as_bytes(), |line| on_line(&without_escapes(&line)));
        }
    }

    fn take_status(&mut self, status: StatusResponse, on_line: LineSink<'_>) {
        for vertex in &status.vertexes {
            self.announce(vertex, on_line);
        }
        for log in &status.logs {
            self.take_log(log, on_line);
        }
        for vertex in status.vertexes.iter().filter(|vertex| vertex.completed.is_some()) {
            self.finish_step(&vertex.digest, on_line);
        }
    }

    /// Says once that a step of the Dockerfile begins. The builder's own preparations have no number or are `[internal]`.
    fn announce(&mut self, vertex: &Vertex, on_line: LineSink<'_>) {
        let is_step = vertex.name.starts_with('[') && !vertex.name.starts_with("[internal]");
        let has_begun = vertex.started.is_some() || vertex.cached;
        if is_step && has_begun && self.announced.insert(vertex.digest.clone()) {
            let cached = if vertex.cached { " (cached)" } else { "" };
            on_line(&format!("Step {}{cached}", vertex.name));
        }
    }

    fn take_log(&mut self, log: &VertexLog, on_line: LineSink<'_>) {
        let lines = self.steps.entry((log.vertex.clone(), log.stream)).or_default();
        lines.push(&log.msg, |line| on_line(last_state(&line)));
    }

    fn finish_step(&mut self, digest: &str, on_line: LineSink<'_>) {
        for (_, mut lines) in self.steps.extract_if(|(vertex, _), _| vertex == digest) {
            if let Some(line) = lines.finish() {
                on_line(last_state(&line));
            }
        }
    }

    /// Says what was left without a line end.
    pub(super) fn finish(&mut self, on_line: LineSink<'_>) {
        if let Some(line) = self.classic.finish() {
            on_line(&without_escapes(&line));
        }
        for (_, mut lines) in self.steps.drain() {
            if let Some(line) = lines.finish() {
                on_line(last_state(&line));
            }
        }
    }
}

/// What a line shows in the end when a progress bar has redrawn it.
fn last_state(line: &str) -> &str {
    line.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default()
}

/// The line without terminal escapes: the classic builder paints everything on standard error red.
fn without_escapes(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = last_state(line);
    while let Some(start) = rest.find("\u{1b}[") {
        text.push_str(&rest[..start]);
        let tail = &rest[start + 2..];
        let end = tail.find(|c: char| ('@'..='~').contains(&c));
        rest = end.map_or("", |end| &tail[end + 1..]);
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn check(messages: Vec<BuildInfo>, expect: &[&str]) {
        let seen = Mutex::new(Vec::new());
        let sink = |line: &str| seen.lock().unwrap().push(line.to_owned());
        let mut output = BuildOutput::default();
        for message in messages {
            output.take(message, &sink);
        }
        output.finish(&sink);
        assert_eq!(*seen.lock().unwrap(), expect);
    }

    fn status(vertexes: Vec<Vertex>, logs: &[(&str, &str)]) -> BuildInfo {
        let log = |&(vertex, msg): &(&str, &str)| VertexLog {
            vertex: vertex.to_owned(),
            stream: 1,
            msg: msg.as_bytes().to_vec(),
            ..VertexLog::default()
        };
        let logs = logs.iter().map(log).collect();
        let status = StatusResponse { vertexes, logs, ..StatusResponse::default() };
        BuildInfo { aux: Some(BuildInfoAux::BuildKit(status)), ..BuildInfo::default() }
    }

    fn vertex(digest: &str, name: &str, started: bool, cached: bool, completed: bool) -> Vertex {
        Vertex {
            digest: digest.to_owned(),
            name: name.to_owned(),
            started: started.then(Default::default),
            completed: completed.then(Default::default),
            cached,
            ..Vertex::default()
        }
    }

    #[test]
    fn steps_are_announced_once_and_their_output_is_cut_into_lines() {
        check(
            vec![
                status(vec![vertex("i", "[internal] load metadata", true, false, true)], &[]),
                status(vec![vertex("c", "copy /context /", true, false, false)], &[]),
                status(
                    vec![
                        vertex("a", "[1/3] FROM base", true, true, true),
                        vertex("b", "[2/3] RUN x", false, false, false),
                    ],
                    &[],
                ),
                status(vec![vertex("b", "[2/3] RUN x", true, false, false)], &[("b", "one\ntw")]),
                status(
                    vec![vertex("d", "[3/3] RUN y", true, false, false)],
                    &[("d", "other\n"), ("b", "o\n 10%\r100%\nend")],
                ),
                status(vec![vertex("b", "[2/3] RUN x", true, false, true)], &[]),
            ],
            &[
                "Step [1/3] FROM base (cached)",
                "Step [2/3] RUN x",
                "one",
                "Step [3/3] RUN y",
                "other",
                "two",
                "100%",
                "end",
            ],
        );
    }

    #[test]
    fn the_classic_builders_colours_go() {
        let say = |text: &str| BuildInfo { stream: Some(text.to_owned()), ..BuildInfo::default() };
        check(
            vec![say("Step 1/2 : FROM base\n"), say("\u{1b}[91mwarn"), say("ing\n\u{1b}[0m"), say("done\n\u{1b}[")],
            &["Step 1/2 : FROM base", "warning", "done", ""],
        );
    }
}
