//! `slipway stack`: the images that slugs are built and run on.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Subcommand;

use crate::build::{Stack, StackStatus};
use crate::config::{Config, Options};
use crate::engine::docker::Docker;
use crate::model::{RebaseOutcome, RebaseResult};
use crate::platform::{RebaseProgress, rebase_progress, request_rebase};
use crate::server;

/// Between two looks at what the server has done.
const LOOK: Duration = Duration::from_millis(300);

/// What to do with the stack.
#[derive(Debug, Subcommand)]
pub enum StackCommand {
    /// Build the stack images, unless they are there and up to date.
    Build {
        /// Build them even so, with today's packages.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Move all apps to the present run image, as new releases, without building them again. The server does it; it goes
    /// on if this command is ended.
    Rebase {
        #[command(flatten)]
        options: Options,
    },
}

/// Runs the command.
pub async fn run(command: StackCommand) -> Result<ExitCode> {
    match command {
        StackCommand::Build { force, options } => {
            let config = options.load()?;
            let engine = Docker::connect(&config.docker_host).await?;
            Stack::new(&config.stack).build(&engine, force, &|line| println!("{line}")).await?;
            Ok(ExitCode::SUCCESS)
        }
        StackCommand::Rebase { options } => rebase(&options.load()?).await,
    }
}

async fn rebase(config: &Config) -> Result<ExitCode> {
    let engine = Docker::connect(&config.docker_host).await?;
    if Stack::new(&config.stack).status(&engine).await? == StackStatus::Missing {
        bail!("stack images are missing; type: slipway stack build");
    }
    refuse_without_server(config, "it starts the apps on the present run image; start it with `slipway serve`")?;
    let store = server::open_store(config).await?;
    let id = request_rebase(&store).await?;
    let (mut told, mut unneeded, mut failed) = (HashSet::new(), 0, 0);
    loop {
        let RebaseProgress { results, is_finished } = rebase_progress(&store, &id).await?;
        for RebaseResult { app_id, app_name, outcome, detail } in results {
            match outcome {
                _ if !told.insert(app_id) => {}
                RebaseOutcome::Rebased => println!("{app_name}: {detail} runs on the present run image"),
                RebaseOutcome::Unneeded => unneeded += 1,
                RebaseOutcome::Failed => {
                    failed += 1;
                    println!("{app_name}: FAILED, it stays on the release that it has");
                    detail.lines().for_each(|line| println!("  {line}"));
                }
            }
        }
        if is_finished {
            break;
        }
        refuse_without_server(config, "the rebase goes on when it is started again")?;
        tokio::time::sleep(LOOK).await;
    }
    println!("{} apps were rebased, {failed} failed, {unneeded} needed nothing", told.len() - unneeded - failed);
    store.close().await;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn refuse_without_server(config: &Config, consequence: &str) -> Result<()> {
    if !server::is_running(config) {
        bail!("no Slipway serves {}; {consequence}", config.data_dir.display());
    }
    Ok(())
}
