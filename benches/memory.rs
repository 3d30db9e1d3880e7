//! Resident memory of the server when nothing happens.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use crate::report::{Aim, Row, Section, Unit};
use crate::stats::Samples;
use crate::world::World;

const ROUNDS: usize = 5;
/// From the start to the first look.
const SETTLE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(500);
/// Looks in a row that must agree, and how many there are at most.
const AGREEING: usize = 3;
const LOOKS: usize = 20;
/// In MiB.
const AGREEMENT: f64 = 0.1;

/// Measures.
pub async fn measure(world: &mut World) -> Result<Section> {
    let (resident, private) = world.server.resident_after_pushes()?;
    let [worked, worked_private] = [resident, private].map(|value| [value].into_iter().collect::<Samples>());
    let (mut all, mut anonymous) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        world.server.restart(None).await?;
        sleep(SETTLE).await;
        let (resident, private) = settled(world).await?;
        all.push(resident);
        anonymous.push(private);
    }
    Ok(Section {
        title: "Memory of the idle server",
        how:
            "`VmRSS` of the server's only process, 10 s after its start and once it stays the same, with three apps of \
              which two run. The part that is not backed by a file is `RssAnon`; the rest is the program itself, which \
              the kernel can drop. The last two lines are of the process that took all pushes and rollbacks above, right after them."
                .to_owned(),
        baseline: "",
        rows: vec![
            Row::alone("resident, idle", Unit::Mebibytes, all).aim(Aim::AtMost(40.0)),
            Row::alone("of that not backed by a file", Unit::Mebibytes, anonymous),
            Row::alone("resident after all pushes", Unit::Mebibytes, worked),
            Row::alone("of that not backed by a file", Unit::Mebibytes, worked_private),
        ],
        steps: Vec::new(),
    })
}

async fn settled(world: &World) -> Result<(f64, f64)> {
    let (mut last, mut agreeing) = (world.server.resident()?, 1);
    for _ in 0..LOOKS {
        if agreeing >= AGREEING {
            break;
        }
        sleep(LOOK).await;
        let now = world.server.resident()?;
        agreeing = if (now.0 - last.0).abs() <= AGREEMENT { agreeing + 1 } else { 1 };
        last = now;
    }
    Ok(last)
}
