//! Stage 2: source becomes an image.
//!
//! [`plan()`] decides how and refuses what cannot work; [`Builder`] does it, within limits, and leaves nothing behind.

mod app_json;
mod build_file;
mod build_logs;
mod builder;
mod buildpack_list;
mod buildpacks;
mod ca;
mod compile;
mod cron;
mod dockerfile;
mod dockerignore;
mod error;
mod fingerprint;
mod foreign_buildpacks;
mod frontend;
mod healthchecks;
mod ignore;
mod image;
mod instructions;
mod output;
mod plan;
mod processes;
mod queue;
mod restamp;
mod running;
mod runtimes;
mod scratch;
mod slug;
mod slugignore;
mod slugs;
mod sources;
mod space;
mod spelling;
mod stack;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod undetected;

pub use app_json::{AppJson, EnvVar, InvalidAppJson, Scripts};
pub use build_logs::{BuildLogWriter, BuildLogs};
pub use builder::{BuildRequest, BuildSettings, Builder, Built, cache_volume};
pub use error::BuildError;
pub use fingerprint::FingerprintKey;
pub use image::APP_IMAGE_PREFIX;
pub use plan::{Plan, plan};
pub use queue::BuildPlaces;
pub use runtimes::{RUNTIME_IMAGE_PREFIX, runtimes_label};
pub use slugs::{SlugFile, SlugStore};
pub use stack::{STACK_NAME, Stack, StackStatus};
