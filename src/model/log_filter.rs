//! Which lines of a stream somebody wants to read.

use std::str::FromStr;

use super::{LOG_COMPONENTS, LogLine, LogSource, ProcessType};

/// Fewest characters that name an instance by the beginning of its id.
const ID_MIN: usize = 8;

/// A choice of lines: those that fit one of each kind that is named. Nothing named, nothing left out.
///
/// Deis's door asks for processes, instances and sources; tsuru's `source` is a process type or the platform, its `unit`
/// the beginning of an instance's id, and `invert-source` is [`LogFilter::is_source_inverted`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogFilter {
    /// Lines of instances of these process types.
    pub processes: Vec<ProcessType>,
    /// Lines of these instances.
    pub instances: Vec<LogInstance>,
    /// Lines of these sources.
    pub sources: Vec<LogOrigin>,
    /// Lines of all sources but these.
    pub is_source_inverted: bool,
}

/// Which instance, as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogInstance {
    /// `web.1`, whichever container that was at the time.
    Numbered(ProcessType, u32),
    /// The one whose id begins so.
    WithId(String),
}

/// Which source, as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOrigin {
    /// All instances of the app.
    App,
    /// All instances of one process type.
    Process(ProcessType),
    /// The router.
    Router,
    /// The platform, its router apart.
    Slipway,
    /// One part of the platform.
    Component(String),
}

/// A text names nothing that speaks in a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {allowed}")]
pub struct InvalidLogChoice {
    /// What was given.
    pub text: String,
    /// What may be.
    pub allowed: String,
}

impl LogFilter {
    /// Whether the line is one of the chosen.
    pub fn includes(&self, line: &LogLine) -> bool {
        let source = &line.source;
        (self.processes.is_empty() || self.processes.iter().any(|process| is_of(source, process)))
            && (self.instances.is_empty() || self.instances.iter().any(|instance| instance.includes(source)))
            && (self.sources.is_empty()
                || self.sources.iter().any(|origin| origin.includes(source)) != self.is_source_inverted)
    }
}

fn is_of(source: &LogSource, wanted: &ProcessType) -> bool {
    matches!(source, LogSource::App { process, .. } if process == wanted)
}

impl LogInstance {
    fn includes(&self, source: &LogSource) -> bool {
        let LogSource::App { process, number, instance } = source else { return false };
        match self {
            Self::Numbered(wanted, of_type) => process == wanted && number == of_type,
            Self::WithId(begin) => instance.to_string().starts_with(begin),
        }
    }
}

impl LogOrigin {
    fn includes(&self, source: &LogSource) -> bool {
        match (self, source) {
            (Self::App, LogSource::App { .. })
            | (Self::Router, LogSource::Router)
            | (Self::Slipway, LogSource::Slipway(_)) => true,
            (Self::Process(process), source) => is_of(source, process),
            (Self::Component(wanted), LogSource::Slipway(component)) => wanted == component,
            _ => false,
        }
    }
}

impl FromStr for LogInstance {
    type Err = InvalidLogChoice;

    /// `web.1`, or at least eight characters of an instance's id.
    fn from_str(text: &str) -> Result<Self, InvalidLogChoice> {
        let numbered = text.rsplit_once('.').and_then(|(process, number)| {
            Some(Self::Numbered(process.parse().ok()?, number.parse().ok().filter(|number| *number > 0)?))
        });
        let is_id = text.len() >= ID_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let with_id = || is_id.then(|| Self::WithId(text.to_ascii_lowercase()));
        numbered.or_else(with_id).ok_or_else(|| InvalidLogChoice {
            text: text.to_owned(),
            allowed: format!("an instance: write it like web.1, or give at least {ID_MIN} characters of its uuid"),
        })
    }
}

impl FromStr for LogOrigin {
    type Err = InvalidLogChoice;

    /// `app`, `router`, `slipway` or one of its parts.
    fn from_str(text: &str) -> Result<Self, InvalidLogChoice> {
        match text {
            "app" => Ok(Self::App),
            LogSource::ROUTER => Ok(Self::Router),
            "slipway" => Ok(Self::Slipway),
            component if LOG_COMPONENTS.contains(&component) => Ok(Self::Component(component.to_owned())),
            _ => Err(InvalidLogChoice { text: text.to_owned(), allowed: Self::allowed() }),
        }
    }
}

impl LogOrigin {
    /// Every word that names a source.
    pub fn words() -> impl Iterator<Item = &'static str> {
        ["app", LogSource::ROUTER, "slipway"].into_iter().chain(LOG_COMPONENTS)
    }

    fn allowed() -> String {
        format!("a source of log lines; the sources are {}", Self::words().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InstanceId;

    fn line(source: LogSource) -> LogLine {
        LogLine { nanos: 0, source, text: String::new() }
    }

    fn app(process: &str, number: u32) -> LogLine {
        line(LogSource::App { process: process.parse().unwrap(), number, instance: InstanceId::new() })
    }

    #[test]
    fn kinds_narrow_each_other_and_words_of_a_kind_widen_it() {
        let lines = [
            app("web", 1),
            app("web", 2),
            app("worker", 1),
            line(LogSource::Router),
            line(LogSource::of_component("api")),
        ];
        let LogSource::App { instance, .. } = lines[1].source else { unreachable!("it is one") };
        let check = |filter: LogFilter, expect: [bool; 5]| {
            assert_eq!(lines.each_ref().map(|line| filter.includes(line)), expect, "{filter:?}");
        };
        let processes = |words: &[&str]| words.iter().map(|word| word.parse().unwrap()).collect::<Vec<ProcessType>>();
        let instances = |words: &[&str]| words.iter().map(|word| word.parse().unwrap()).collect::<Vec<LogInstance>>();
        let sources = |words: &[&str]| words.iter().map(|word| word.parse().unwrap()).collect::<Vec<LogOrigin>>();
        let none = LogFilter::default;
        check(none(), [true; 5]);
        check(LogFilter { processes: processes(&["web"]), ..none() }, [true, true, false, false, false]);
        check(LogFilter { processes: processes(&["web", "worker"]), ..none() }, [true, true, true, false, false]);
        check(LogFilter { instances: instances(&["web.1"]), ..none() }, [true, false, false, false, false]);
        let id = instance.to_string();
        check(LogFilter { instances: instances(&[&id[..9]]), ..none() }, [false, true, false, false, false]);
        check(LogFilter { sources: sources(&["app"]), ..none() }, [true, true, true, false, false]);
        check(LogFilter { sources: sources(&["router", "api"]), ..none() }, [false, false, false, true, true]);
        check(LogFilter { sources: sources(&["slipway"]), ..none() }, [false, false, false, false, true]);
        let both = LogFilter { processes: processes(&["web"]), instances: instances(&["worker.1"]), ..none() };
        check(both, [false; 5]);
        let web = vec![LogOrigin::Process("web".parse().unwrap())];
        check(LogFilter { sources: web, is_source_inverted: true, ..none() }, [false, false, true, true, true]);
    }

    #[test]
    fn what_names_nothing_is_refused_with_what_does() {
        for text in ["", "web", "web.", "web.x", "web.0", ".1", "abc", "1234567z", "web.-1"] {
            let error = text.parse::<LogInstance>().unwrap_err().to_string();
            assert!(error.contains("like web.1"), "{text}: {error}");
        }
        for text in ["", "App", "heroku", "deis", "web"] {
            let error = text.parse::<LogOrigin>().unwrap_err().to_string();
            assert!(error.contains("app, router, slipway, api, certificates, cron, deploy"), "{text}: {error}");
        }
        for word in LogOrigin::words() {
            word.parse::<LogOrigin>().unwrap();
        }
    }
}
