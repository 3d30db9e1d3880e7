//! The harness: the real binary, and what a person has beside it (git, ssh, an HTTP client, the engine).

mod answer;
mod app;
mod authority;
mod cgroup;
mod client;
mod database;
mod docker;
mod git;
mod invariants;
mod key;
mod load;
mod process;
mod raw;
mod registry;
mod repo;
mod slipway;
mod tls;
mod user;
mod wait;

pub use answer::Answer;
pub use app::App;
pub use authority::{Authority, by_name};
pub use cgroup::Bounds;
pub use client::{Deis, Generation, prepared};
pub use docker::{Container, Docker, Objects};
pub use git::{Finished, Running};
pub use key::{Key, KeyKind};
pub use load::Load;
pub use process::{processes_with, run};
pub use raw::raw_request;
pub use registry::{PASSWORD, Registry, USERNAME};
pub use repo::{Repo, fixture_dir};
pub use slipway::{Options, Slipway, fresh_name};
pub use tls::Pair;
pub use user::User;
pub use wait::{LONG, SHORT, wait_until};
