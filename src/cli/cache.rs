//! `slipway cache`: what builds of an app have cached.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::gc;
use crate::config::Options;
use crate::platform::cleanup::app_on_host;

/// What to do with build caches.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Empty the build cache of an app: its next build starts from nothing. Waits for a push that is at work.
    Purge {
        /// Name of the app.
        app: String,
        #[command(flatten)]
        options: Options,
    },
}

/// Runs the command; it works whether the server runs or not.
pub async fn run(command: CacheCommand) -> Result<ExitCode> {
    let CacheCommand::Purge { app, options } = command;
    let (store, cleanup) = gc::open(&options.load()?).await?;
    let app = app_on_host(&store, &app).await?;
    cleanup.purge_build_cache(&app, "the host's administrator").await?;
    println!("the build cache of {} is empty", app.name);
    store.close().await;
    Ok(ExitCode::SUCCESS)
}
