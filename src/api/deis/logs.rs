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

/// Show the log
///
/// One JSON string of all lines, oldest first, each with a newline at its end, although the type is text: that is what clients
/// decode. A line is a moment, who said it (`hello[web.1]:` or `deis[api]:`) and what.
///
/// Client: `deis logs`
#[utoipa::path(
    get, path = "/apps/{app}/logs", tag = "logs",
    params(("log_lines" = Option<u64>, Query, description = "How many of the last lines; 1000 if left out.", example = 100)),
    responses(
        (
            status = 200, description = "The lines.", body = String, content_type = "text/plain",
            example = json!("2014-01-01T00:00:00UTC hello[web.1]: listening on 5000\n")
        ),
        (status = 204, description = "Nothing has been said yet."),
        (status = 400),
    )
)]
pub(super) async fn tail(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    uri: Uri,
) -> Result<Response, Error> {
    let lines = platform.logs(&handle, wanted(&uri)?).await?;
    if lines.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let text: String = lines.iter().map(|line| printed(&handle.app().name, line)).collect();
    Ok(([(CONTENT_TYPE, "text/plain")], serde_json::Value::String(text).to_string()).into_response())
}

fn wanted(uri: &Uri) -> Result<usize, Error> {
    let mut arguments = uri.query().unwrap_or_default().split('&');
    let given = arguments.find_map(|argument| argument.strip_prefix("log_lines="));
    let Some(text) = given else { return Ok(LINES) };
    // As wide as the format of the document, int64.
    let number = text.parse().ok().filter(|number: &i64| *number >= 0);
    let number = number.ok_or_else(|| Error::field("log_lines", "A valid integer is required."))?;
    Ok(usize::try_from(number).unwrap_or(usize::MAX))
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
        let check = |uri: &str, expect: Option<usize>| {
            assert_eq!(wanted(&uri.parse().unwrap()).ok(), expect, "{uri}");
        };
        check("/apps/a/logs", Some(1000));
        check("/apps/a/logs?log_lines=5", Some(5));
        check("/apps/a/logs?x=1&log_lines=5000", Some(5000));
        check("/apps/a/logs?log_lines=x", None);
        check("/apps/a/logs?log_lines=-1", None);
    }
}
