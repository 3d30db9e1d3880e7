//! Releases that need no build: an unchanged tree and a rollback, against starting a container.

use std::time::Instant;

use anyhow::Result;

use crate::hand::{Hand, under_requests};
use crate::report::{Aim, Row, Section, Unit};
use crate::stats::{Samples, Side, sides};
use crate::world::World;

const ROUNDS: usize = 9;

/// Measures.
pub async fn measure(world: &World) -> Result<Section> {
    let (app, repo) = &world.web;
    // Two releases to go back and forth between.
    let mut builds = Vec::new();
    for _ in 0..2 {
        repo.change().await?;
        repo.git(&["push", "-q", &world.remote(app), "main"]).await?;
        builds.push(world.web_version().await?);
    }
    let image = world.docker.image_of(app).await?;
    let mut hand = Hand::new(&world.docker);
    hand.replace(&image).await?;
    let (mut rollbacks, mut redeploys, mut runs) = (Samples::default(), Samples::default(), Samples::default());
    let mut gone = Samples::default();
    for round in 0..ROUNDS {
        for side in sides(round) {
            match side {
                Side::Slipway => {
                    let version = builds[round % builds.len()];
                    // The call answers when the last old instance is gone.
                    let rollback = async {
                        let began = Instant::now();
                        world.api.rollback(app, version).await?;
                        gone.push(began.elapsed().as_secs_f64() * 1e3);
                        Ok(())
                    };
                    rollbacks.push(until_answer(world, rollback).await?);
                    repo.commit("Nothing").await?;
                    let remote = world.remote(app);
                    let push = async { repo.git(&["push", "-q", &remote, "main"]).await.map(drop) };
                    redeploys.push(until_answer(world, push).await?);
                }
                Side::Baseline => runs.push(run_by_hand(&mut hand, &image).await?),
            }
        }
    }
    hand.end().await?;
    Ok(Section {
        title: "Releases that need no build until the first answer",
        how: "Rollback: from the call of the API, between two releases with different images. Unchanged tree: from the \
              start of `git push` of an empty commit; the image of the earlier build is used again. Both until the first \
              200 of the new release through the router. By hand: `docker run -p` of the same image until its first \
              200. Everything is asked every 10 ms from beginning to end."
            .to_owned(),
        baseline: "`docker run`",
        rows: vec![
            Row::compared("rollback to first 200", Unit::Milliseconds, rollbacks, runs.clone()).aim(Aim::RatioAtMost(1.3)),
            Row::alone("rollback until the last old instance is gone", Unit::Milliseconds, gone),
            Row::compared("push of an unchanged tree to first 200", Unit::Milliseconds, redeploys, runs),
        ],
        steps: Vec::new(),
    })
}

/// Milliseconds from the start of `change` to the first answer of the release that it makes.
async fn until_answer(world: &World, change: impl Future<Output = Result<()>>) -> Result<f64> {
    let expected = format!("v{}", world.web_version().await? + 1);
    let page = world.page(&world.web.0)?;
    let began = Instant::now();
    let (answered, ()) = tokio::try_join!(page.until(&expected), change)?;
    Ok(answered.duration_since(began).as_secs_f64() * 1e3)
}

async fn run_by_hand(hand: &mut Hand<'_>, image: &str) -> Result<f64> {
    let page = hand.page();
    let began = Instant::now();
    let replaced = under_requests(page, hand.replace(image)).await?;
    hand.retire().await?;
    Ok(replaced.answered.duration_since(began).as_secs_f64() * 1e3)
}
