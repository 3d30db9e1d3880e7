//! Requests that fail while an app is deployed again and again: there must be none.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;

use crate::machine::two_cores;
use crate::report::{Aim, Row, Section, Unit};
use crate::stats::Samples;
use crate::world::{World, host};
use crate::wrk::Wrk;

/// Changes under load: a push, a change of config, more instances, fewer, a rollback, and again.
const CHANGES: usize = 20;
/// One piece of the load; pieces follow each other without a pause until the last change is over.
const PIECE: Duration = Duration::from_secs(5);

/// Measures.
pub async fn measure(world: &World) -> Result<Section> {
    let (_, core) = two_cores()?;
    let (app, repo) = &world.web;
    let load = |is_new_each_time: bool| Wrk {
        core,
        connections: 8,
        headers: [format!("Host: {}", host(app))]
            .into_iter()
            .chain(is_new_each_time.then(|| "Connection: close".to_owned()))
            .collect(),
        script: None,
        url: format!("http://{}/", world.server.addresses.http),
    };
    let (kept, fresh) = (load(false), load(true));
    let changes = async {
        let mut took = Samples::default();
        for change in 0..CHANGES {
            let began = Instant::now();
            match change % 5 {
                0 => {
                    repo.change().await?;
                    repo.git(&["push", "-q", &world.remote(app), "main"]).await?;
                }
                1 => world.api.set_config(app, &json!({ "CHANGE": change })).await?,
                2 => world.api.scale(app, &json!({ "cmd": 3 })).await?,
                3 => world.api.scale(app, &json!({ "cmd": 1 })).await?,
                _ => world.api.rollback(app, world.web_version().await? - 1).await?,
            }
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
        anyhow::Ok(took)
    };
    let mut changes = std::pin::pin!(changes);
    let (mut answered, mut failed, mut took) = (0.0, 0.0, None);
    while took.is_none() {
        let pieces = async { tokio::try_join!(kept.count(PIECE), fresh.count(PIECE)) };
        let mut pieces = std::pin::pin!(pieces);
        let counted = loop {
            tokio::select! {
                counted = &mut pieces => break counted?,
                changed = &mut changes, if took.is_none() => took = Some(changed?),
            }
        };
        for counted in [counted.0, counted.1] {
            answered += counted.answered;
            failed += counted.failed;
        }
    }
    Ok(Section {
        title: "Requests while an app is deployed again and again",
        how: format!(
            "{CHANGES} changes one after the other: pushes, config, scaling up and down, rollbacks. Meanwhile two wrk ask \
             the app, one over 8 connections that it keeps, one with a connection for each request. A request fails when it is \
             not answered, or not by a 2xx or 3xx."
        ),
        baseline: "none",
        rows: vec![
            Row::alone("failed requests", Unit::Count, [failed].into_iter().collect()).aim(Aim::AtMost(0.0)),
            Row::alone("answered requests", Unit::Count, [answered].into_iter().collect()),
            Row::alone("one change, old instances drained and gone", Unit::Milliseconds, took.unwrap_or_default()),
        ],
        steps: Vec::new(),
    })
}
