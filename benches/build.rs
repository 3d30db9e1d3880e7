//! Builds by buildpacks, with nothing cached and with everything, against the same steps by hand in one container.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::repo::Repo;
use crate::report::{Aim, Row, Section, Steps, Unit};
use crate::stats::{Samples, Side, sides};
use crate::world::World;

/// With nothing cached everything is downloaded: fewer rounds of that.
const COLD_ROUNDS: usize = 3;
const WARM_ROUNDS: usize = 5;

/// What the server says when the image is there.
const BUILT: &str = "-----> Launching";
/// What the compile begins and ends with.
const COMPILE: &str = " app detected";
const COMPILED: &str = "-----> Discovering process types";

/// A sample app, and what somebody types to build it.
struct Sample {
    name: &'static str,
    fixture: &'static str,
    /// In `/app`, with the cache in `/cache`.
    script: &'static str,
}

const SAMPLES: [Sample; 2] = [
    Sample {
        name: "Python",
        fixture: "pyapp",
        script: "python3 -m venv .heroku/python && .heroku/python/bin/pip install -q --cache-dir /cache/pip -r requirements.txt",
    },
    Sample {
        name: "Node.js",
        fixture: "node-app",
        script: "npm ci --silent --cache /cache/npm && npm run --silent build && npm prune --silent --omit=dev --cache /cache/npm",
    },
];

/// Measures.
pub async fn measure(world: &World) -> Result<Section> {
    let (mut rows, mut steps) = (Vec::new(), Vec::new());
    for sample in &SAMPLES {
        let app = format!("{}-{}", world.web.0, sample.fixture);
        world.api.create_app(&app).await?;
        let repo = Repo::new(world.folder.path(), sample.fixture, &world.key.ssh_command()).await?;
        repo.copy_fixture(sample.fixture)?;
        repo.commit("First").await?;
        let bench = Bench { world, sample, app: &app, repo: &repo };
        rows.extend(bench.rows(&mut steps).await?);
        world.api.destroy_app(&app).await?;
    }
    Ok(Section {
        title: "Builds by buildpacks",
        how: "A sample app changes one file and is built: Slipway from the start of `git push` until the image is there \
              (\"Launching\"); by hand the tree is copied into one container of the same build image, the packages are \
              installed there (`pip install`; `npm ci`, `npm run build`, `npm prune`), and `docker build` adds the result \
              to the run image. Cold: no cache (`-o no-cache`; a new volume). Warm: the caches of the build before. \
              Unchanged: an empty commit is pushed. The slug path is all of a push until then but the buildpack's own work."
            .to_owned(),
        baseline: "by hand",
        rows,
        steps,
    })
}

struct Bench<'a> {
    world: &'a World,
    sample: &'a Sample,
    app: &'a str,
    repo: &'a Repo,
}

/// When a push got how far, in milliseconds.
struct Pushed {
    built: f64,
    compile: f64,
}

impl Bench<'_> {
    async fn rows(&self, steps: &mut Vec<Steps>) -> Result<Vec<Row>> {
        let (mut cold, mut hand_cold) = (Samples::default(), Samples::default());
        let (mut warm, mut hand_warm) = (Samples::default(), Samples::default());
        let (mut unchanged, mut compile, mut rest) = (Samples::default(), Samples::default(), Samples::default());
        for round in 0..COLD_ROUNDS {
            for side in sides(round) {
                self.repo.change().await?;
                match side {
                    Side::Slipway => cold.push(self.push(&["-o", "no-cache"]).await?.built),
                    Side::Baseline => hand_cold.push(self.by_hand(true).await?),
                }
            }
        }
        let mut shares = Steps::new(self.sample.name);
        for round in 0..WARM_ROUNDS {
            for side in sides(round) {
                self.repo.change().await?;
                match side {
                    Side::Slipway => {
                        let pushed = self.push(&[]).await?;
                        warm.push(pushed.built);
                        compile.push(pushed.compile);
                        rest.push(pushed.built - pushed.compile);
                        shares.note("the buildpack's own work", pushed.compile);
                        shares.note("all of the push until the image is there", pushed.built);
                        // Before the other side changes the tree again.
                        self.repo.commit("Nothing changed").await?;
                        unchanged.push(self.push(&[]).await?.built);
                    }
                    Side::Baseline => hand_warm.push(self.by_hand(false).await?),
                }
            }
        }
        steps.push(shares);
        let name = |what: &str| format!("{}: {what}", self.sample.name);
        Ok(vec![
            Row::compared(name("cold build"), Unit::Milliseconds, cold, hand_cold),
            Row::compared(name("warm build"), Unit::Milliseconds, warm.clone(), hand_warm).aim(Aim::RatioAtMost(1.2)),
            Row::compared(name("unchanged tree / warm build"), Unit::Milliseconds, unchanged, warm)
                .aim(Aim::RatioAtMost(0.2)),
            Row::compared(name("slug path / buildpack's own work"), Unit::Milliseconds, rest, compile),
        ])
    }

    async fn push(&self, options: &[&str]) -> Result<Pushed> {
        let remote = self.world.remote(self.app);
        let arguments = [&["push"], options, &[&remote, "main"]].concat();
        let began = Instant::now();
        let mut command = self.repo.command(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("it was asked for")?).lines();
        let (mut marks, mut all) = ([0.0; 3], String::new());
        while let Some(line) = lines.next_line().await? {
            let said = line.strip_prefix("remote: ").unwrap_or(&line).trim_end();
            let now = began.elapsed().as_secs_f64() * 1e3;
            match said {
                _ if said.ends_with(COMPILE) => marks[0] = now,
                _ if said.starts_with(COMPILED) => marks[1] = now,
                _ if said.starts_with(BUILT) => marks[2] = now,
                _ => {}
            }
            all.push_str(&line);
            all.push('\n');
        }
        if !child.wait().await?.success() || marks[2] == 0.0 {
            bail!("git push of {} failed:\n{all}", self.sample.fixture);
        }
        Ok(Pushed { built: marks[2], compile: marks[1] - marks[0] })
    }

    /// Milliseconds until the image is there.
    async fn by_hand(&self, is_cold: bool) -> Result<f64> {
        let volume = format!("{}-hand-cache", self.app);
        if is_cold {
            self.world.docker.new_volume(&volume).await?;
        }
        let out = tempfile::Builder::new().prefix("slipway-bench-hand-").tempdir()?;
        fs::set_permissions(out.path(), fs::Permissions::from_mode(0o777))?;
        fs::write(out.path().join("Dockerfile"), "FROM slipway/stack:slipway-12-run\nADD app.tar /\n")?;
        let script = format!("cp -r /src/. /app && cd /app && {} && tar -C / -cf /out/app.tar app", self.sample.script);
        let tag = format!("slipway-bench-hand:{:08x}", rand::random::<u32>());
        let began = Instant::now();
        let mounts = Mounts { source: self.repo.folder(), out: out.path(), volume: &volume };
        self.world.docker.run_in_build_image(&mounts, &script).await?;
        self.world.docker.build_folder(out.path(), &tag).await?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }
}

/// What a container by hand sees.
pub struct Mounts<'a> {
    /// The tree, at `/src`.
    pub source: PathBuf,
    /// Where the result goes, `/out`.
    pub out: &'a Path,
    /// The cache, `/cache`.
    pub volume: &'a str,
}
