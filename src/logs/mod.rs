//! Per-app log streams: collect from the engine, store bounded, tail.
//!
//! [`Collector`] follows containers, [`LogStore`] keeps what they and the platform say. One stream per app, across its
//! releases; each line carries its source.

mod collector;
mod file;
mod record;
mod reverse;
mod store;
#[cfg(test)]
mod tests;

pub use collector::Collector;
pub use store::{LogLimits, LogStore};
