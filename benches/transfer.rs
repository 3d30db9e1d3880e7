//! A large push: how fast bytes get through the SSH server into git, against OpenSSH's.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::process::outcome;
use crate::repo::{Repo, init_bare};
use crate::report::{Aim, Row, Section, Unit};
use crate::stats::{Samples, sides};
use crate::world::World;

const ROUNDS: usize = 5;
const FILES: u64 = 15;
const FILE_BYTES: u64 = 10_000_000;
/// Neither side takes this branch.
const BRANCH: &str = "bulk";
/// What Slipway and OpenSSH's client agree on where the processor has AES.
const CIPHER: &str = "aes128-gcm@openssh.com";

/// Measures.
pub async fn measure(world: &World) -> Result<Section> {
    let repo = Repo::new(world.folder.path(), "bulk", &world.key.ssh_command()).await?;
    for number in 0..FILES {
        let mut noise = Vec::new();
        fs::File::open("/dev/urandom")?.take(FILE_BYTES).read_to_end(&mut noise)?;
        repo.write(&format!("noise{number}"), noise)?;
    }
    repo.commit("Large").await?;
    // git sends what is packed as it is, so that next to none of the time is the client's.
    repo.git(&["repack", "-q", "-a", "-d"]).await?;
    let bare = world.path("bulk.git");
    init_bare(&bare).await?;
    fs::copy(own_repository(&world.server.data_dir())?.join("config"), bare.join("config"))?;
    refuse_everything(&bare)?;
    let (slipway, sshd) = (world.remote(&world.empty), world.sshd.url(&bare));
    let by_default = world.key.ssh_command();
    let same_cipher = format!("{by_default} -c {CIPHER}");
    let mut samples = [Samples::default(), Samples::default(), Samples::default()];
    for round in 0..=ROUNDS {
        let mut pushes = [(0, &slipway, &by_default), (1, &sshd, &by_default), (2, &sshd, &same_cipher)];
        if sides(round) != sides(0) {
            pushes.reverse();
        }
        for (number, remote, ssh) in pushes {
            let seconds = refused_push(&repo, remote, ssh).await?;
            // The first of each warms the page cache.
            if round > 0 {
                samples[number].push(seconds);
            }
        }
    }
    let [ours, theirs, theirs_same] = samples;
    Ok(Section {
        title: "A push of 150 MB",
        how: "Incompressible data, packed beforehand, from the start of `git push` until the server has received and \
              checked all of it and its pre-receive hook has refused the branch: nothing of it stays, and no deploy is \
              part of the figure. The repository behind sshd has the settings of the one behind Slipway (a copy of its \
              configuration file, with `receive.fsckObjects` and what is to be synced to disk). Ciphers are what each pair \
              agrees on by default; the second line is sshd with AES-GCM, which Slipway prefers where the processor has \
              AES."
            .to_owned(),
        baseline: "OpenSSH's sshd",
        rows: vec![
            Row::compared("150 MB received and checked", Unit::Seconds, ours.clone(), theirs).aim(Aim::RatioAtMost(1.1)),
            Row::compared("150 MB, sshd with AES-GCM, too", Unit::Seconds, ours, theirs_same).aim(Aim::RatioAtMost(1.1)),
        ],
        steps: Vec::new(),
    })
}

/// Seconds that a push takes that the hook refuses.
async fn refused_push(repo: &Repo, remote: &str, ssh: &str) -> Result<f64> {
    let branch = format!("HEAD:refs/heads/{BRANCH}");
    let mut command = repo.command(&["push", remote, &branch]);
    command.env("GIT_SSH_COMMAND", ssh);
    let began = Instant::now();
    let (succeeded, _, said) = outcome(&mut command).await?;
    let seconds = began.elapsed().as_secs_f64();
    if succeeded || !said.contains("pre-receive hook declined") {
        bail!("git push to {BRANCH} was not refused by a hook:\n{said}");
    }
    Ok(seconds)
}

/// A repository that Slipway made.
fn own_repository(data_dir: &Path) -> Result<PathBuf> {
    let mut entries = fs::read_dir(data_dir.join("repositories"))?;
    let found =
        entries.find_map(|entry| entry.ok().map(|entry| entry.path()).filter(|path| path.join("config").is_file()));
    found.context("Slipway has no repository yet")
}

fn refuse_everything(repository: &Path) -> Result<()> {
    let hook = repository.join("hooks/pre-receive");
    fs::write(&hook, "#!/bin/sh\necho 'This branch is not deployed.' >&2\nexit 1\n")?;
    Ok(fs::set_permissions(hook, fs::Permissions::from_mode(0o755))?)
}
