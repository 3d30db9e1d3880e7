//! The door as its clients see it: the real router over a real database, with a pretend engine.

mod accounts;
mod apps;
mod clients;
mod config;
mod engine;
mod releases;
mod run;
mod scale;
mod transport;
mod world;

pub use world::{Answer, IMAGE, World};
