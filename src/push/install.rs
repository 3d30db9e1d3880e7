//! The pre-receive hook as git finds it: a script that runs this program's `hook` command.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// How long the hook may take to say that it is run outside of a push.
const RUN_LIMIT: Duration = Duration::from_secs(10);

/// Between two tries to run a hook that is still open for writing somewhere.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Writes the pre-receive hook, by a rename, so that a push that is just starting sees the old one or the new one; yields
/// its path. One that is there already stays, so that a server can start again on a full disk.
pub(super) fn pre_receive(folder: &Path, program: &Path) -> io::Result<PathBuf> {
    let program = program.to_str().ok_or_else(|| io::Error::other("the hook program's path is not UTF-8"))?;
    let (script, path) =
        (format!("#!/bin/sh\nexec '{}' hook\n", program.replace('\'', r"'\''")), folder.join("pre-receive"));
    if is_there(&path, &script) {
        return Ok(path);
    }
    std::fs::create_dir_all(folder)?;
    let fresh = tempfile::Builder::new().prefix(".pre-receive").tempfile_in(folder)?;
    std::fs::write(fresh.path(), script)?;
    std::fs::set_permissions(fresh.path(), std::fs::Permissions::from_mode(0o755))?;
    // Closed before it can be run: a file open for writing cannot be.
    fresh.into_temp_path().persist(&path).map_err(|error| error.error)?;
    Ok(path)
}

fn is_there(path: &Path, script: &str) -> bool {
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777);
    mode.is_ok_and(|mode| mode == 0o755) && std::fs::read(path).is_ok_and(|found| found == script.as_bytes())
}

/// Runs the hook once, outside of any push, where it only says so.
///
/// Git skips a hook that it cannot execute, as on a file system mounted `noexec`, and would take pushes without deploying
/// them.
pub(super) async fn check(path: &Path) -> io::Result<()> {
    let cannot_run = |cause: String| {
        io::Error::other(format!(
            "cannot run the pre-receive hook {}: {cause}. Is its file system mounted 'noexec'?",
            path.display()
        ))
    };
    let mut command = tokio::process::Command::new(path);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let run = async {
        loop {
            match command.status().await {
                // A process that another thread was starting while the hook was written has it open for writing until
                // it executes its own program.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => tokio::time::sleep(BUSY_PAUSE).await,
                ended => return ended,
            }
        }
    };
    let ended = tokio::time::timeout(RUN_LIMIT, run).await;
    let status = ended.map_err(|_| cannot_run(format!("it ran longer than {} s", RUN_LIMIT.as_secs())))?;
    match status.map_err(|error| cannot_run(error.to_string()))?.code() {
        // The shell's words for "not executable" and "not found".
        Some(126 | 127) | None => Err(cannot_run("its program does not start".to_owned())),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hook_that_git_would_skip_is_found_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = pre_receive(&folder.path().join("it's"), Path::new("/bin/false")).unwrap();
        check(&path).await.unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let message = check(&path).await.unwrap_err().to_string();
        assert!(message.contains(&path.display().to_string()) && message.contains("noexec"), "{message}");
        let path = pre_receive(folder.path(), Path::new("/nowhere/slipway")).unwrap();
        assert!(check(&path).await.is_err());
    }
}
