//! Per-app log streams: collect from the engine, store bounded, tail, follow, drain.
//!
//! [`Collector`] follows containers, [`LogStore`] keeps what they and the platform say, [`LogDrains`] take it elsewhere. One
//! stream per app, across its releases; each line carries its source.

mod collector;
mod drain;
mod file;
mod follow;
mod limit;
mod record;
mod reverse;
mod space;
mod store;
#[cfg(test)]
mod tests;

pub use collector::Collector;
pub use drain::{DrainCounts, DrainSettings, LogDrains};
pub use store::{LogLimits, LogStore};
