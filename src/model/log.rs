//! Log lines: what an app's stream is made of.

use std::fmt;

use super::{InstanceId, ProcessType, Timestamp};

/// The parts of the platform that speak in an app's stream, other than the router.
pub const LOG_COMPONENTS: [&str; 9] =
    ["api", "certificates", "cron", "deploy", "disk", "drain", "logs", "release", "supervisor"];

/// Who said a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// An instance of the app; prints as `app[web.1]`.
    App {
        /// Which process.
        process: ProcessType,
        /// Which of them.
        number: u32,
        /// Which exactly; tells a restarted collector what it has already stored.
        instance: InstanceId,
    },
    /// The router, of one request; prints as `slipway[router]`.
    Router,
    /// Another part of the platform, one of [`LOG_COMPONENTS`]; prints as `slipway[deploy]`.
    Slipway(String),
}

impl LogSource {
    /// The word that the router's lines lie and are asked for under.
    pub const ROUTER: &str = "router";

    /// The source of a part of the platform, the router among them.
    pub fn of_component(component: &str) -> Self {
        if component == Self::ROUTER { Self::Router } else { Self::Slipway(component.to_owned()) }
    }
}

impl fmt::Display for LogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App { process, number, .. } => write!(f, "app[{process}.{number}]"),
            Self::Router => write!(f, "slipway[{}]", Self::ROUTER),
            Self::Slipway(component) => write!(f, "slipway[{component}]"),
        }
    }
}

/// One line of an app's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Nanoseconds since the epoch, as the engine or the platform stamped it.
    pub nanos: i64,
    /// Who said it.
    pub source: LogSource,
    /// What was said, without the line end.
    pub text: String,
}

impl LogLine {
    /// What a part of the platform says now.
    pub fn now(component: &str, text: String) -> Self {
        Self { nanos: Timestamp::now_nanos(), source: LogSource::of_component(component), text }
    }

    /// When it was said, to the millisecond.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.nanos.div_euclid(1_000_000))
    }
}
