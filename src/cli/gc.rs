//! `slipway gc`: what nothing needs any more, and why; removed unless only asked about.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::build::SlugStore;
use crate::config::{Config, Options};
use crate::engine::docker::Docker;
use crate::platform::cleanup::{Depth, Item, Outcome, shown_size};
use crate::platform::{Cleanup, CleanupSettings};
use crate::server;
use crate::store::Store;

/// How to clean up.
#[derive(Debug, Args)]
pub struct GcArguments {
    /// Say what would go and why; remove nothing.
    #[arg(long)]
    dry_run: bool,
    /// Say what stays, too, and why.
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    options: Options,
}

/// Runs the command; it works whether the server runs or not.
pub async fn run(arguments: GcArguments) -> Result<ExitCode> {
    let config = arguments.options.load()?;
    let (store, cleanup) = open(&config).await?;
    let plan = cleanup.plan(Depth::Full).await?;
    if arguments.verbose {
        plan.stays.iter().for_each(|item| say("stays", item, &item.why));
    }
    plan.notes.iter().for_each(|note| println!("note: {note}"));
    let is_fine = if arguments.dry_run {
        plan.goes.iter().for_each(|item| say("goes", item, &item.why));
        let (count, size) = (plan.goes.len(), shown_size(plan.size_bytes()));
        println!("{count} things would go and free {size} at most; {} stay", plan.stays.len());
        true
    } else {
        let (mut count, mut bytes, mut is_fine) = (0, 0, true);
        let mut report = |item: &Item, outcome: &Outcome| match outcome {
            Outcome::Removed => {
                (count, bytes) = (count + 1, bytes + item.size_bytes.unwrap_or_default());
                say("gone", item, &item.why);
            }
            Outcome::Kept(why) => say("stays", item, why),
            Outcome::Failed(why) => {
                is_fine = false;
                say("FAILED", item, why);
            }
        };
        cleanup.carry_out(&plan, &mut report).await?;
        println!("{count} things are gone, which freed {} at most; {} stay", shown_size(bytes), plan.stays.len());
        is_fine
    };
    store.close().await;
    Ok(if is_fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Clean-up beside the server.
pub(super) async fn open(config: &Config) -> Result<(Store, Cleanup)> {
    let engine = Arc::new(Docker::connect(&config.docker_host).await?);
    let store = server::open_store(config).await?;
    let settings = CleanupSettings {
        server_id: server::server_id(&store).await?,
        keep_releases: config.keep_releases,
        build_cache_bytes: config.build_cache_bytes,
        runtime_bytes: config.runtime_bytes,
    };
    let slugs = SlugStore::beside(server::slugs_dir(config));
    let cleanup = Cleanup::new(store.clone(), engine, slugs, settings, CancellationToken::new());
    Ok((store, cleanup))
}

/// `gone    image        slipway/app-hello:0123456789ab    12.3 MiB  why`
fn say(what: &str, item: &Item, why: &str) {
    let size = item.size_bytes.map(shown_size).unwrap_or_default();
    println!("{what:<6}  {:<11}  {}  {size}  {why}", item.kind.to_string(), item.name);
}
