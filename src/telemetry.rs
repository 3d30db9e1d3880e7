//! What the server tells about itself: structured logs, text for people or JSON for machines, on standard error; and metrics.

pub mod metrics;

use std::io::{IsTerminal, stderr};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Environment variable that says what is logged, in the syntax of [`EnvFilter`]: `debug`, `info,slipway::route=trace`.
pub const FILTER_VARIABLE: &str = "SLIPWAY_LOG";

/// Environment variable that chooses the form: `text` (the default) or `json`.
pub const FORMAT_VARIABLE: &str = "SLIPWAY_LOG_FORMAT";

/// What is logged when nothing else is asked for.
const DEFAULT_FILTER: &str = "info";

/// Libraries that say much about little. A filter that names one of them overrides this, a bare level does not.
const QUIET: &str = "russh=warn,sqlx=warn,hyper=warn,hyper_util=warn,h2=warn,bollard=warn,rustls=warn,tower=warn";

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be parsed.
    #[error(
        "environment variable {FILTER_VARIABLE}: '{input}' is not a filter; write it like info,slipway::route=debug"
    )]
    Filter {
        /// What was given.
        input: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The format has no such name.
    #[error("environment variable {FORMAT_VARIABLE}: '{input}' is neither text nor json; write it like json")]
    Format {
        /// What was given.
        input: String,
    },
    /// Something in this process has set up logging before.
    #[error("logging is set up already")]
    AlreadySet(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sends events of this process to standard error, as [`FILTER_VARIABLE`] and [`FORMAT_VARIABLE`] say. Colours only on a
/// terminal, and not where `NO_COLOR` is set.
///
/// # Errors
/// When a variable has a value that means nothing, or when called twice.
pub fn init() -> Result<(), TelemetryError> {
    let given = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let has_colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (filter, format) = (given(FILTER_VARIABLE), given(FORMAT_VARIABLE));
    tracing::subscriber::set_global_default(subscriber(filter.as_deref(), format.as_deref(), has_colour, stderr)?)?;
    Ok(())
}

/// The subscriber for these values of the two variables; an empty value counts as none.
fn subscriber<W>(
    filter: Option<&str>,
    format: Option<&str>,
    has_colour: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let wanted = filter.filter(|text| !text.is_empty()).unwrap_or(DEFAULT_FILTER);
    // A level below that of the quiet ones holds for them too.
    let is_quieter =
        wanted.split(',').any(|part| ["off", "error"].contains(&part.trim().to_ascii_lowercase().as_str()));
    let filter = EnvFilter::builder()
        .parse(if is_quieter { wanted.to_owned() } else { format!("{QUIET},{wanted}") })
        .map_err(|source| TelemetryError::Filter { input: wanted.to_owned(), source })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format.unwrap_or_default() {
        "" | "text" => Ok(Box::new(builder.with_ansi(has_colour).finish())),
        "json" => Ok(Box::new(builder.json().flatten_event(true).finish())),
        other => Err(TelemetryError::Format { input: other.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is printed while `act` runs.
    fn printed(filter: Option<&str>, format: Option<&str>, act: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        tracing::subscriber::with_default(subscriber(filter, format, false, move || writer.clone()).unwrap(), act);
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    fn events() {
        tracing::info!(app.name = "hello", "app {} is deployed", "hello");
        tracing::debug!("a detail");
        tracing::info!(target: "russh::server", "a handshake");
        tracing::warn!(target: "sqlx::query", "a slow query");
    }

    fn check(filter: Option<&str>, expect: &[&str]) {
        let text = printed(filter, None, events);
        for message in ["app hello is deployed", "a detail", "a handshake", "a slow query"] {
            assert_eq!(text.contains(message), expect.contains(&message), "{filter:?} {message}: {text}");
        }
    }

    #[test]
    fn libraries_are_quiet_unless_they_are_named() {
        check(None, &["app hello is deployed", "a slow query"]);
        check(Some(""), &["app hello is deployed", "a slow query"]);
        check(Some("debug"), &["app hello is deployed", "a detail", "a slow query"]);
        check(Some("warn,russh=info"), &["a handshake", "a slow query"]);
        check(Some("off"), &[]);
        check(Some("error,slipway=info"), &["app hello is deployed"]);
    }

    #[test]
    fn json_has_a_field_per_field() {
        let text = printed(None, Some("json"), events);
        let event: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(event["message"], "app hello is deployed");
        assert_eq!(event["app.name"], "hello");
        assert_eq!(event["level"], "INFO");
        let text = printed(None, Some("text"), events);
        assert!(text.contains("INFO") && text.contains("app.name=\"hello\""), "{text}");
        assert!(!text.contains('\u{1b}'), "no colours: {text:?}");
    }

    #[test]
    fn values_that_mean_nothing_are_named() {
        let message = |filter, format| subscriber(filter, format, false, stderr).err().unwrap().to_string();
        assert_eq!(
            message(Some("slipway=loud"), None),
            "environment variable SLIPWAY_LOG: 'slipway=loud' is not a filter; write it like info,slipway::route=debug"
        );
        assert_eq!(
            message(None, Some("xml")),
            "environment variable SLIPWAY_LOG_FORMAT: 'xml' is neither text nor json; write it like json"
        );
    }
}
