//! Stage 2: source becomes an image.
//!
//! [`plan()`] decides how and refuses what cannot work; [`Builder`] does it, within limits, and leaves nothing behind.

mod builder;
mod buildpacks;
mod ca;
mod compile;
mod dockerfile;
mod dockerignore;
mod error;
mod fingerprint;
mod ignore;
mod image;
mod instructions;
mod output;
mod plan;
mod processes;
mod restamp;
mod scratch;
mod slug;
mod slugignore;
mod slugs;
mod sources;
mod stack;
#[cfg(test)]
mod tests;

pub use builder::{BuildRequest, BuildSettings, Builder, Built};
pub use error::BuildError;
pub use fingerprint::FingerprintKey;
pub use plan::{Plan, plan};
pub use slugs::SlugStore;
pub use stack::{STACK_NAME, Stack, StackStatus};
