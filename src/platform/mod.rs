//! The verbs that every door calls.
pub mod deploy;
