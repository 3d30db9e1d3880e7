//! What is kept of requests: each is counted, and leaves a line in its app's stream, said by `router`.
//!
//! Traffic never waits for a disk: a request leaves its line in a bounded queue, and one task writes what has gathered there
//! some ten times a second. What finds the queue full is counted, and the stream says how many are missing.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::Method;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::logs::LogStore;
use crate::model::{AppId, LogLine, LogSource};
use crate::route::{Answered, Line, Observer, RoutedApp};
use crate::telemetry::metrics::{RequestCount, metrics};

/// Lines that wait to be written; some megabytes if all of them are long.
const QUEUE: usize = 16_384;
/// Between two writes while requests come: long enough for a batch, and for nobody to have to wake the writer.
const PERIOD: Duration = Duration::from_millis(100);
/// Between two lines of an app about what is missing.
const REPORT: Duration = Duration::from_secs(1);
/// Most bytes of a path and query, and of a method, in a line.
const PATH_MAX: usize = 2048;
const METHOD_MAX: usize = 32;

/// Puts requests into the queue.
pub struct AccessLog {
    queue: Sender<Entry>,
}

/// One request, not yet printed: printing is the writer's work.
struct Entry {
    app: Arc<RoutedApp>,
    nanos: i64,
    line: Line,
    instance: Option<Arc<str>>,
    method: Method,
    status: u16,
    error: Option<&'static str>,
    connect: Duration,
    service: Duration,
    bytes: u64,
    is_tls: bool,
}

impl AccessLog {
    /// An observer for the router, and the task that writes. It ends when the observer is gone and all is written.
    pub fn new(logs: LogStore) -> (Arc<Self>, impl Future<Output = ()> + Send + 'static) {
        let (queue, entries) = mpsc::channel(QUEUE);
        (Arc::new(Self { queue }), write(entries, logs))
    }
}

impl Observer for AccessLog {
    fn answered(&self, request: &Answered<'_>) {
        metrics().request(&RequestCount {
            app: request.app.map_or("", |app| app.name().as_str()),
            status: request.status,
            error: request.error,
            took: request.service,
            received: request.bytes_in,
            sent: request.bytes_out,
        });
        let (Some(app), Some(line)) = (request.app, request.line) else { return };
        let entry = Entry {
            app: Arc::clone(app),
            nanos: now(),
            line: line.clone(),
            instance: request.instance.map(|(_, label)| Arc::clone(label)),
            method: request.method.clone(),
            status: request.status,
            error: request.error,
            connect: request.connect,
            service: request.service,
            bytes: request.bytes_out,
            is_tls: request.is_tls,
        };
        if self.queue.try_send(entry).is_err() {
            app.leave_out();
        }
    }
}

/// Apps that were asked for lately, and when the stream of each was last told what is missing in it.
type Recent = HashMap<AppId, (Arc<RoutedApp>, Instant, Instant)>;

async fn write(mut entries: Receiver<Entry>, logs: LogStore) {
    let (mut recent, mut is_over) = (Recent::new(), false);
    while !is_over {
        let mut batch = Vec::new();
        if recent.is_empty() {
            // Nothing has come for a while, so the next one may well wake this task.
            match entries.recv().await {
                Some(entry) => batch.push(entry),
                None => return,
            }
        }
        // The queue is looked at by the clock: a waiting receiver would be woken for each request.
        tokio::time::sleep(PERIOD).await;
        is_over = gather(&mut entries, &mut batch);
        let lines = print(batch, &mut recent, is_over);
        let logs = logs.clone();
        let written = tokio::task::spawn_blocking(move || {
            lines.into_iter().for_each(|(app, lines)| logs.append_all(app, &lines));
        });
        if let Err(error) = written.await {
            tracing::warn!(%error, "cannot write access lines");
        }
    }
}

/// Takes what is in the queue; says whether nothing will ever come any more.
fn gather(entries: &mut Receiver<Entry>, batch: &mut Vec<Entry>) -> bool {
    while batch.len() < QUEUE {
        match entries.try_recv() {
            Ok(entry) => batch.push(entry),
            Err(error) => return error == TryRecvError::Disconnected,
        }
    }
    false
}

/// The lines of each app, and one where some are missing.
fn print(batch: Vec<Entry>, recent: &mut Recent, is_over: bool) -> HashMap<AppId, Vec<LogLine>> {
    let (mut lines, present): (HashMap<AppId, Vec<LogLine>>, _) = (HashMap::new(), Instant::now());
    for entry in batch {
        let Some(id) = entry.app.id() else { continue };
        lines.entry(id).or_default().push(said(entry.nanos, entry.print()));
        let (_, seen, _) = recent.entry(id).or_insert_with(|| (Arc::clone(&entry.app), present, present));
        *seen = present;
    }
    recent.retain(|id, (app, seen, told)| {
        if is_over || present.duration_since(*told) >= REPORT {
            *told = present;
            if let missing @ 1.. = app.left_out() {
                metrics().access_lines_dropped(missing as u64);
                let text = format!("at=warn code=lines-left-out missing={missing}");
                lines.entry(*id).or_default().push(said(now(), text));
            }
        }
        present.duration_since(*seen) < REPORT * 2
    });
    lines
}

fn said(nanos: i64, text: String) -> LogLine {
    LogLine { nanos, source: LogSource::Router, text }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

impl Entry {
    /// In Heroku's form: <https://devcenter.heroku.com/articles/http-routing#heroku-router-log-format>.
    fn print(&self) -> String {
        let mut text = String::with_capacity(256);
        text.push_str(if self.error.is_some() { "at=error" } else { "at=info" });
        if let Some(code) = self.error {
            put(&mut text, format_args!(" code={code}"));
        }
        let method = self.method.as_str();
        put(&mut text, format_args!(" method={} path=\"", &method[..method.len().min(METHOD_MAX)]));
        quote(self.line.path.as_str(), &mut text);
        put(&mut text, format_args!("\" host={}", self.line.host.to_str().unwrap_or("-")));
        put(&mut text, format_args!(" request_id={}", self.line.request_id.to_str().unwrap_or("-")));
        put(&mut text, format_args!(" fwd=\"{}\"", self.line.client));
        put(&mut text, format_args!(" instance={}", self.instance.as_deref().unwrap_or("-")));
        put(&mut text, format_args!(" connect={}ms service={}ms", self.connect.as_millis(), self.service.as_millis()));
        let protocol = if self.is_tls { "https" } else { "http" };
        put(&mut text, format_args!(" status={} bytes={} protocol={protocol}", self.status, self.bytes));
        text
    }
}

fn put(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("a String takes text");
}

/// Text that neither ends the quotes nor the line, nor speaks to a terminal.
fn quote(path: &str, into: &mut String) {
    let shown = &path[..path.floor_char_boundary(PATH_MAX)];
    for letter in shown.chars() {
        match letter {
            '"' | '\\' => into.extend(['\\', letter]),
            ' '..='~' => into.push(letter),
            other => into.extend(other.escape_default()),
        }
    }
    if shown.len() < path.len() {
        put(into, format_args!("...({} bytes cut)", path.len() - shown.len()));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn paths_are_bounded_and_cannot_break_out_of_their_quotes() {
        let check = |path: &str, expect: &str| {
            let mut text = String::new();
            quote(path, &mut text);
            assert_eq!(text, expect);
        };
        check("/p?q=%20&token=x", "/p?q=%20&token=x");
        check("/a\" at=info \\", "/a\\\" at=info \\\\");
        check("/\u{1b}[31m\r\n", "/\\u{1b}[31m\\r\\n");
        check("/é", "/\\u{e9}");
        check(&"é".repeat(1500), &format!("{}...(952 bytes cut)", "\\u{e9}".repeat(1024)));
    }

    #[test]
    fn a_line_has_the_fields_of_herokus() {
        let line = Line {
            client: "1.2.3.4".parse().expect("an address"),
            host: HeaderValue::from_static("a.example.com"),
            path: "/x?y=1".parse().expect("a path"),
            request_id: HeaderValue::from_static("id-1"),
        };
        let mut entry = Entry {
            app: RoutedApp::introduced("a".parse().expect("a name"), AppId::new()),
            nanos: 1,
            line,
            instance: Some("web.1".into()),
            method: Method::GET,
            status: 200,
            error: None,
            connect: Duration::from_micros(1400),
            service: Duration::from_millis(23),
            bytes: 1234,
            is_tls: true,
        };
        assert_eq!(
            entry.print(),
            "at=info method=GET path=\"/x?y=1\" host=a.example.com request_id=id-1 fwd=\"1.2.3.4\" instance=web.1 \
             connect=1ms service=23ms status=200 bytes=1234 protocol=https"
        );
        (entry.status, entry.error, entry.instance, entry.is_tls) = (502, Some("upstream-refused"), None, false);
        let text = entry.print();
        assert!(text.starts_with("at=error code=upstream-refused method=GET "), "{text}");
        assert!(text.contains(" instance=- ") && text.ends_with(" status=502 bytes=1234 protocol=http"), "{text}");
    }

    /// More requests than the queue holds: what is written and what is said to be missing add up.
    #[tokio::test]
    async fn every_request_is_written_or_counted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let logs = LogStore::new(
            folder.path().to_owned(),
            crate::logs::LogLimits { lines_per_second: 0, ..Default::default() },
        );
        let (observer, writing) = AccessLog::new(logs.clone());
        let id = AppId::new();
        let app = RoutedApp::introduced("a".parse().expect("a name"), id);
        let line = Line {
            client: "1.2.3.4".parse().expect("an address"),
            host: HeaderValue::from_static("a"),
            path: "/".parse().expect("a path"),
            request_id: HeaderValue::from_static("id"),
        };
        let request = Answered {
            app: Some(&app),
            instance: None,
            method: &Method::GET,
            status: 200,
            error: None,
            connect: Duration::ZERO,
            service: Duration::ZERO,
            bytes_in: 0,
            bytes_out: 0,
            is_tls: false,
            is_upgraded: false,
            line: Some(&line),
        };
        (0..QUEUE + 100).for_each(|_| observer.answered(&request));
        observer.answered(&Answered { line: None, ..request });
        drop(observer);
        tokio::time::timeout(Duration::from_secs(20), writing).await.expect("the writer ends with its observer");
        let lines = logs.tail(id, QUEUE + 200).await.expect("lines");
        let (missing, there): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.text.contains("missing="));
        assert_eq!(there.len(), QUEUE);
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].text, "at=warn code=lines-left-out missing=100");
        assert_eq!(missing[0].source.to_string(), "slipway[router]");
    }
}
