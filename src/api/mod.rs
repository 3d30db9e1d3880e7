//! HTTP doors over the platform's verbs.
pub mod deis;
