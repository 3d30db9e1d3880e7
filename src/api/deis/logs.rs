//! Logs (spec §10).

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::error::Error;
use super::path::AppInPath;
use crate::model::{AppName, LogLine, LogSource};
use crate::platform::Platform;

/// How many lines a client gets that does not say how many it wants.
const LINES: usize = 1000;

/// `GET /apps/<app>/logs`: one JSON string, although its type is text; the clients decode it and split it at line ends.
pub(super) async fn tail(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    uri: Uri,
) -> Result<Response, Error> {
    let lines = platform.logs(&handle, wanted(&uri)).await?;
    if lines.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let text: String = lines.iter().map(|line| printed(&handle.app().name, line)).collect();
    Ok(([(CONTENT_TYPE, "text/plain")], serde_json::Value::String(text).to_string()).into_response())
}

fn wanted(uri: &Uri) -> usize {
    let mut arguments = uri.query().unwrap_or_default().split('&');
    let given = arguments.find_map(|argument| argument.strip_prefix("log_lines="));
    given.and_then(|text| text.parse().ok()).unwrap_or(LINES)
}

/// Ends with a newline: the clients drop what follows the last one. They colour a line by its second word.
fn printed(app: &AppName, line: &LogLine) -> String {
    let source = match &line.source {
        LogSource::App { process, number, .. } => format!("{app}[{process}.{number}]"),
        LogSource::Slipway(component) => format!("deis[{component}]"),
    };
    format!("{} {source}: {}\n", line.at().deis(), line.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InstanceId;

    #[test]
    fn lines_are_printed_as_deis_does() {
        let app = "hello".parse().unwrap();
        let check = |source: LogSource, expect: &str| {
            let line = LogLine { nanos: 1_415_995_200_123_456_789, source, text: "Hello, 世界".to_owned() };
            assert_eq!(printed(&app, &line), expect);
        };
        let web = LogSource::App { process: "web".parse().unwrap(), number: 1, instance: InstanceId::new() };
        check(web, "2014-11-14T20:00:00UTC hello[web.1]: Hello, 世界\n");
        check(LogSource::Slipway("api".to_owned()), "2014-11-14T20:00:00UTC deis[api]: Hello, 世界\n");
    }

    #[test]
    fn the_number_of_lines_can_be_asked_for() {
        let check = |uri: &str, expect: usize| assert_eq!(wanted(&uri.parse().unwrap()), expect, "{uri}");
        check("/apps/a/logs", 1000);
        check("/apps/a/logs?log_lines=5", 5);
        check("/apps/a/logs?x=1&log_lines=5000", 5000);
        check("/apps/a/logs?log_lines=x", 1000);
        check("/apps/a/logs?log_lines=-1", 1000);
    }
}
