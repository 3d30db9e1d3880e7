//! Arguments become a command.

mod cache;
mod doctor;
mod gc;
mod stack;
mod user;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::config::Options;
use crate::{server, telemetry};

/// A self-hosted platform: git push becomes a running, routed release.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until SIGTERM; running apps outlive it.
    Serve {
        #[command(flatten)]
        options: Options,
        /// Take the place of the server that runs on the same data directory, for an upgrade: no request fails.
        #[arg(long)]
        takeover: bool,
    },
    /// Say what is missing or wrong on this machine, and the command that fixes it.
    Doctor {
        #[command(flatten)]
        options: Options,
    },
    /// The images that slugs are built and run on.
    #[command(subcommand)]
    Stack(stack::StackCommand),
    /// Remove images, slugs and caches that no release needs any more. The server does so by itself.
    Gc(gc::GcArguments),
    /// What builds of apps have cached.
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    /// Accounts, from the host itself.
    #[command(subcommand)]
    User(user::UserCommand),
}

/// Runs the command that the process was started with. `slipway hook` is not among these: see `main`.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = telemetry::init() {
        return failed(&error.into());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    match runtime.block_on(run_command(arguments.command)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

async fn run_command(command: Command) -> Result<ExitCode> {
    match command {
        Command::Serve { options, takeover } => {
            server::serve(options.load()?, takeover).await.map(|()| ExitCode::SUCCESS)
        }
        Command::Doctor { options } => doctor::run(&options.load()?).await,
        Command::Stack(command) => stack::run(command).await,
        Command::Gc(arguments) => gc::run(arguments).await,
        Command::Cache(command) => cache::run(command).await,
        Command::User(command) => user::run(command).await,
    }
}

/// One line per cause: what failed, then why.
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("slipway: {error}");
    error.chain().skip(1).for_each(|cause| eprintln!("  because: {cause}"));
    ExitCode::FAILURE
}
