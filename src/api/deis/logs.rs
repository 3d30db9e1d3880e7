//! Logs (spec §10), and what Deis did not have: to follow them, and to choose among them.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

use super::error::Error;
use super::path::AppInPath;
use crate::model::{AppName, LogFilter, LogLine, LogSource};
use crate::platform::Platform;

/// How many lines a client gets that does not say how many it wants.
const LINES: usize = 1000;
/// Most lines that go into one chunk of what a follower reads. They bound the memory that one takes.
const CHUNK_LINES: usize = 16;

/// Show the log
///
/// One JSON string of all lines, oldest first, each with a newline at its end, although the type is text: that is what clients
/// decode. A line is a moment, who said it (`hello[web.1]:` or `deis[api]:`) and what.
///
/// With `follow=true` the answer is plain text, begins with the same lines and goes on with every line that comes, without a
/// gap or a duplicate, until the client hangs up, the app is destroyed or the server stops. A client that reads too slowly
/// finds a line that says how many it missed. Of `process`, `instance` and `source` each may be given several times.
///
/// Client: `deis logs`
#[utoipa::path(
    get, path = "/apps/{app}/logs", tag = "logs",
    params(
        ("log_lines" = Option<u64>, Query, description = "How many of the last lines; 1000 if left out.", example = 100),
        ("follow" = Option<bool>, Query, description = "Go on with what comes.", example = false),
        (
            "process" = Option<String>, Query, example = "web", pattern = "^[A-Za-z0-9_-]{1,63}$",
            description = "Only lines of this process type.",
        ),
        (
            "instance" = Option<String>, Query, example = "web.1",
            pattern = r"^([A-Za-z0-9_-]{1,63}\.[1-9][0-9]{0,8}|[0-9a-fA-F-]{8,36})$",
            description = "Only lines of this instance, by its number or by the beginning of its uuid.",
        ),
        (
            "source" = Option<String>, Query, example = "app",
            pattern = "^(app|router|slipway|api|certificates|cron|deploy|disk|drain|logs|release|supervisor)$",
            description = "Only lines of the app's instances (`app`), of the router, of the platform apart from it (`slipway`), or \
                           of one of its parts.",
        ),
    ),
    responses(
        (
            status = 200, description = "The lines.", body = String, content_type = "text/plain",
            example = json!("2014-01-01T00:00:00UTC hello[web.1]: listening on 5000\n")
        ),
        (status = 204, description = "Nothing has been said yet."),
        (status = 400),
        (status = 503),
    )
)]
pub(super) async fn read(
    State(platform): State<Platform>,
    AppInPath(handle): AppInPath,
    uri: Uri,
) -> Result<Response, Error> {
    let Wanted { lines, is_followed, filter } = wanted(&uri)?;
    let name = handle.app().name.clone();
    if is_followed {
        let followed = platform.follow_logs(&handle, lines, filter).await?;
        let chunks = followed.ready_chunks(CHUNK_LINES).map(move |lines| {
            let text: String = lines.iter().map(|line| printed(&name, line)).collect();
            Ok::<_, Infallible>(text)
        });
        let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")];
        return Ok((headers, Body::from_stream(chunks)).into_response());
    }
    let lines = platform.logs(&handle, lines, filter).await?;
    if lines.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let text: String = lines.iter().map(|line| printed(&name, line)).collect();
    Ok(([(CONTENT_TYPE, "text/plain")], serde_json::Value::String(text).to_string()).into_response())
}

/// What a client asks for.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    lines: usize,
    is_followed: bool,
    filter: LogFilter,
}

/// Reads the query. What nobody knows in it is not looked at, as everywhere at this door.
fn wanted(uri: &Uri) -> Result<Wanted, Error> {
    let arguments: Vec<(String, String)> = serde_urlencoded::from_str(uri.query().unwrap_or_default())
        .map_err(|_| Error::Refused("The query cannot be read.".to_owned()))?;
    let mut wanted = Wanted { lines: LINES, ..Wanted::default() };
    let filter = &mut wanted.filter;
    for (name, value) in arguments {
        let invalid = |field: &'static str, why: String| Error::field(field, why);
        match name.as_str() {
            "log_lines" => {
                // As wide as the format of the document, int64.
                let number = value.parse().ok().filter(|number: &i64| *number >= 0);
                let number = number.ok_or_else(|| Error::field("log_lines", "A valid integer is required."))?;
                wanted.lines = usize::try_from(number).unwrap_or(usize::MAX);
            }
            "follow" => {
                wanted.is_followed = match value.as_str() {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(Error::field("follow", "Must be a valid boolean.")),
                }
            }
            "process" => filter.processes.push(value.parse().map_err(|_| {
                let text = format!("'{value}' is not a process type; write it like web, with letters, digits, _ and -");
                invalid("process", text)
            })?),
            "instance" => {
                filter.instances.push(value.parse().map_err(|why| invalid("instance", format!("{why}")))?);
            }
            "source" => filter.sources.push(value.parse().map_err(|why| invalid("source", format!("{why}")))?),
            _ => {}
        }
    }
    Ok(wanted)
}

/// Ends with a newline: the clients drop what follows the last one. They colour a line by its second word.
fn printed(app: &AppName, line: &LogLine) -> String {
    let source = match &line.source {
        LogSource::App { process, number, .. } => format!("{app}[{process}.{number}]"),
        LogSource::Router => format!("deis[{}]", LogSource::ROUTER),
        LogSource::Slipway(component) => format!("deis[{component}]"),
    };
    format!("{} {source}: {}\n", line.at().deis(), line.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InstanceId, LogInstance, LogOrigin};

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
        check(LogSource::Router, "2014-11-14T20:00:00UTC deis[router]: Hello, 世界\n");
    }

    #[test]
    fn the_number_of_lines_can_be_asked_for() {
        let check = |uri: &str, expect: Option<usize>| {
            assert_eq!(wanted(&uri.parse().unwrap()).ok().map(|wanted| wanted.lines), expect, "{uri}");
        };
        check("/apps/a/logs", Some(1000));
        check("/apps/a/logs?log_lines=5", Some(5));
        check("/apps/a/logs?x=1&log_lines=5000", Some(5000));
        check("/apps/a/logs?log_lines=x", None);
        check("/apps/a/logs?log_lines=-1", None);
    }

    #[test]
    fn the_document_names_every_source() {
        let pointer = "/paths/~1v1~1apps~1{app}~1logs/get/parameters";
        let parameters = crate::api::deis::document().pointer(pointer).unwrap().as_array().unwrap();
        let source = parameters.iter().find(|parameter| parameter["name"] == "source").unwrap();
        let words: Vec<_> = LogOrigin::words().collect();
        assert_eq!(source["schema"]["pattern"], format!("^({})$", words.join("|")));
    }

    #[test]
    fn lines_can_be_chosen_and_what_names_none_is_refused() {
        let of = |query: &str| wanted(&format!("/apps/a/logs?{query}").parse().unwrap());
        let found = of("follow=true&process=web&process=worker&instance=web.1&source=router&source=app").unwrap();
        assert!(found.is_followed);
        assert_eq!(found.filter.processes, ["web".parse().unwrap(), "worker".parse().unwrap()]);
        assert_eq!(found.filter.instances, [LogInstance::Numbered("web".parse().unwrap(), 1)]);
        assert_eq!(found.filter.sources, [LogOrigin::Router, LogOrigin::App]);
        assert!(!of("follow=0").unwrap().is_followed);
        for (query, field) in [
            ("follow=perhaps", "follow"),
            ("process=a%20b", "process"),
            ("instance=web", "instance"),
            ("source=nobody", "source"),
        ] {
            let Err(Error::Fields(errors)) = of(query) else { panic!("{query} is taken") };
            assert_eq!(errors.keys().collect::<Vec<_>>(), [&field], "{query}");
        }
    }
}
