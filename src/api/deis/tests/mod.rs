//! The door as its clients see it: the real router over a real database, with a pretend engine.

mod accounts;
mod apps;
mod certs;
mod clients;
mod config;
mod domains;
mod engine;
mod hooks;
mod log_drains;
mod logs;
mod people;
mod releases;
mod restart;
mod routing;
mod run;
mod scale;
mod sharing;
mod transport;
mod world;

pub use world::{Answer, BUILDER_KEY, IMAGE, World};
