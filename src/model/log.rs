//! Log lines: what an app's stream is made of.

use std::fmt;

use super::{InstanceId, ProcessType, Timestamp};

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
    /// The platform; prints as `slipway[deploy]`.
    Slipway(String),
}

impl fmt::Display for LogSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App { process, number, .. } => write!(f, "app[{process}.{number}]"),
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
    /// When it was said, to the millisecond.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.nanos / 1_000_000)
    }
}
