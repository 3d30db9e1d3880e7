//! Slipway: a self-hosted platform in one binary.
//!
//! The five stages of a deploy, in order, are [`push`], [`build`], [`release`], [`rollout`] and [`route`];
//! [`platform::deploy`] says them as one sentence. Doors ([`push`], [`api`]) stand outside and call [`platform`].

pub mod api;
pub mod build;
pub mod cli;
pub mod config;
pub mod engine;
pub mod git;
pub mod logs;
pub mod model;
pub mod net;
pub mod outbound;
pub mod platform;
pub mod push;
pub mod release;
pub mod rollout;
pub mod route;
pub mod server;
pub mod store;
pub mod telemetry;
