//! `make bench`: measures the release binary against what it stands in for, taken in the same run, and writes
//! `BENCHMARKS.md`.
//!
//! Everything is set up for the run and gone after it, however the run ends: the server with a data directory of its
//! own, an OpenSSH server, an nginx, containers, images, networks. `cargo bench -- push router` runs only what is named
//! and leaves the file alone.

mod api;
mod build;
mod deis;
mod deploys;
mod docker;
mod hand;
mod machine;
mod memory;
mod population;
mod postgres;
mod process;
mod push;
mod release;
mod repo;
mod report;
mod router;
mod server;
mod sshd;
mod stats;
mod transfer;
mod world;
mod wrk;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};

use report::Section;
use world::World;

/// A run that takes longer is broken, or its machine is far too busy to measure on.
const LIMIT: Duration = Duration::from_secs(90 * 60);

/// What can be measured, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measure {
    Push,
    Build,
    Release,
    Deploys,
    Memory,
    Transfer,
    Router,
    Api,
}

const MEASURES: [(&str, Measure); 8] = [
    ("push", Measure::Push),
    ("build", Measure::Build),
    ("release", Measure::Release),
    ("deploys", Measure::Deploys),
    // Before the router is given thousands of apps.
    ("memory", Measure::Memory),
    ("transfer", Measure::Transfer),
    ("router", Measure::Router),
    ("api", Measure::Api),
];

impl Measure {
    async fn run(self, world: &mut World) -> Result<Section> {
        match self {
            Self::Push => push::measure(world).await,
            Self::Build => build::measure(world).await,
            Self::Release => release::measure(world).await,
            Self::Deploys => deploys::measure(world).await,
            Self::Transfer => transfer::measure(world).await,
            Self::Router => router::measure(world).await,
            Self::Api => deis::measure().await,
            Self::Memory => memory::measure(world).await,
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` starts this, too, and wants no measurements.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("measures nothing unless cargo bench starts it");
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be started");
    match runtime.block_on(bounded(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ends the run by a signal or when it takes too long, too: dropping it is what cleans up.
async fn bounded(arguments: &[String]) -> Result<()> {
    let wanted = wanted(arguments)?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        result = bench(&wanted) => result,
        () = tokio::time::sleep(LIMIT) => Err(anyhow!("not done after {} min", LIMIT.as_secs() / 60)),
        _ = interrupt.recv() => Err(anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow!("terminated")),
    }
}

fn wanted(arguments: &[String]) -> Result<Vec<Measure>> {
    let mut wanted = Vec::new();
    for name in arguments.iter().filter(|argument| !argument.starts_with('-')) {
        match MEASURES.iter().find(|(known, _)| known == name) {
            Some((_, measure)) => wanted.push(*measure),
            None => {
                let known: Vec<&str> = MEASURES.iter().map(|(known, _)| *known).collect();
                bail!("there is no measure '{name}'; there are {}", known.join(", "));
            }
        }
    }
    if wanted.is_empty() {
        wanted.extend(MEASURES.iter().map(|(_, measure)| *measure));
    }
    Ok(wanted)
}

async fn bench(wanted: &[Measure]) -> Result<()> {
    machine::check_tools()?;
    say("Setting up");
    let mut world = World::set_up().await?;
    let machine = machine::describe(&world.docker).await?;
    let mut sections = Vec::new();
    for (name, measure) in MEASURES {
        if wanted.contains(&measure) {
            say(&format!("Measuring: {name}"));
            let section = measure.run(&mut world).await?;
            print!("{}", report::table(&section));
            sections.push(section);
        }
    }
    drop(world);
    if sections.len() == MEASURES.len() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("BENCHMARKS.md");
        std::fs::write(&path, report::markdown(&machine, &sections))?;
        println!("       written to BENCHMARKS.md");
    } else {
        println!("       BENCHMARKS.md is written by a run of everything only");
    }
    Ok(())
}

/// A line for whoever waits.
fn say(text: &str) {
    println!("-----> {text}");
}
