//! `slipway stack`: the images that slugs are built and run on.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::build::Stack;
use crate::config::Options;
use crate::engine::docker::Docker;

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
}

/// Runs the command.
pub async fn run(command: StackCommand) -> Result<ExitCode> {
    let StackCommand::Build { force, options } = command;
    let engine = Docker::connect(&options.load()?.docker_host).await?;
    Stack::default().build(&engine, force, &|line| println!("{line}")).await?;
    Ok(ExitCode::SUCCESS)
}
