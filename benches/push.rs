//! From `git push` of a changed file to the first answer of the new release, against the same by hand.

use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::hand::{Hand, under_requests};
use crate::repo::{Repo, init_bare};
use crate::report::{Aim, Row, Section, Steps, Unit};
use crate::sshd::KEY_EXCHANGE;
use crate::stats::{Samples, Side, sides};
use crate::world::World;

const ROUNDS: usize = 9;

/// What the server says on the way, and what that is the beginning of.
const MARKS: [(&str, &str); 4] = [
    ("-----> Building", "push received, build begins"),
    ("-----> Launching", "build done, launch begins"),
    ("       healthy after", "healthy"),
    ("-----> Draining", "switched, drain begins"),
];

/// Measures.
pub async fn measure(world: &World) -> Result<Section> {
    let (mut ours, mut theirs, mut returned) = (Samples::default(), Samples::default(), Samples::default());
    let (mut our_steps, mut their_steps) = (Steps::new("Slipway"), Steps::new("by hand"));
    let bare = world.path("by-hand.git");
    init_bare(&bare).await?;
    let repo = Repo::web_app(world.folder.path(), "by-hand", &world.key.ssh_command()).await?;
    let mut hand = Hand::new(&world.docker);
    // One deploy of each before the first that counts, so that all of them replace something.
    by_hand(world, &repo, &bare, &mut hand, &mut Steps::new("")).await?;
    for round in 0..ROUNDS {
        for side in sides(round) {
            match side {
                Side::Slipway => {
                    let (answered, ended) = by_slipway(world, &mut our_steps).await?;
                    ours.push(answered);
                    returned.push(ended);
                }
                Side::Baseline => theirs.push(by_hand(world, &repo, &bare, &mut hand, &mut their_steps).await?),
            }
        }
    }
    hand.end().await?;
    Ok(Section {
        title: "Push of a changed Dockerfile app until the first answer",
        how: format!(
            "One file of `fixtures/apps/docker-web` changes, to what it never was before, and is pushed; the Dockerfile \
             copies it into a new layer. Slipway: from the start of `git push` to the first 200 of the new release \
             through the router. By hand: `git push` to a bare repository over OpenSSH's sshd, `git archive | docker \
             build` ({}), `docker run -p`, then the same until its first 200. Both are asked every 10 ms from beginning \
             to end, by hand the old container until the new one runs. Stopping the old container is not part of either \
             figure. The key exchange of SSH is {KEY_EXCHANGE} on both sides; the one that two OpenSSH choose by default \
             is slower.",
            world.docker.builder
        ),
        baseline: "by hand",
        rows: vec![
            Row::compared("push to first 200", Unit::Milliseconds, ours, theirs).aim(Aim::RatioAtMost(1.15)),
            Row::alone("`git push` returns, old instances drained and gone", Unit::Milliseconds, returned),
        ],
        steps: vec![our_steps, their_steps],
    })
}

/// Milliseconds until the first answer, and until `git push` ended.
async fn by_slipway(world: &World, steps: &mut Steps) -> Result<(f64, f64)> {
    let (app, repo) = &world.web;
    repo.change().await?;
    let expected = format!("v{}", world.web_version().await? + 1);
    let (page, remote) = (world.page(app)?, world.remote(app));
    let began = Instant::now();
    let push = async {
        let marks = watched_push(repo, &remote, began).await?;
        Ok((marks, since(began)))
    };
    let (answered, (marks, ended)) = tokio::try_join!(page.until(&expected), push)?;
    let answered = answered.duration_since(began).as_secs_f64() * 1e3;
    for (name, at) in marks {
        steps.note(name, at);
    }
    steps.note("first 200", answered);
    steps.note("`git push` returns", ended);
    Ok((answered, ended))
}

/// Pushes; yields which marks came after how many milliseconds.
async fn watched_push(repo: &Repo, remote: &str, began: Instant) -> Result<Vec<(&'static str, f64)>> {
    let mut command = repo.command(&["push", remote, "main"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(child.stderr.take().context("it was asked for")?).lines();
    let (mut marks, mut all) = (Vec::new(), String::new());
    while let Some(line) = lines.next_line().await? {
        let said = line.strip_prefix("remote: ").unwrap_or(&line);
        marks.extend(MARKS.iter().filter(|(start, _)| said.starts_with(start)).map(|(_, name)| (*name, since(began))));
        all.push_str(&line);
        all.push('\n');
    }
    if !child.wait().await?.success() {
        bail!("git push to Slipway failed:\n{all}");
    }
    Ok(marks)
}

/// Milliseconds until the first answer.
async fn by_hand(world: &World, repo: &Repo, bare: &Path, hand: &mut Hand<'_>, steps: &mut Steps) -> Result<f64> {
    repo.change().await?;
    let (remote, tag) = (world.sshd.url(bare), format!("slipway-bench-hand:{:08x}", rand::random::<u32>()));
    let page = hand.page();
    let began = Instant::now();
    let work = async {
        repo.git(&["push", "-q", &remote, "main"]).await?;
        let pushed = since(began);
        world.docker.build(bare, "main", &tag).await?;
        let built = since(began);
        Ok((pushed, built, hand.replace(&tag).await?))
    };
    let (pushed, built, replaced) = under_requests(page, work).await?;
    let ms = |at: Instant| at.duration_since(began).as_secs_f64() * 1e3;
    for (name, at) in [
        ("`git push` returns", pushed),
        ("`docker build` returns", built),
        ("`docker run` returns", ms(replaced.started)),
        ("first 200", ms(replaced.answered)),
    ] {
        steps.note(name, at);
    }
    hand.retire().await?;
    Ok(ms(replaced.answered))
}

fn since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
