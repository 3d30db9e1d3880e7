//! The pre-receive hook's side: a small, synchronous program that git starts for every push.

use std::env::{self, VarError};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use super::refs::Update;
use super::wire::{Frame, HookCall, MAX_CALL, SOCKET_VARIABLE, TOKEN_VARIABLE};

/// How long the server may take to take the call.
const SEND_LIMIT: Duration = Duration::from_secs(30);
/// Most push options that are passed on.
const MAX_OPTIONS: usize = 100;

/// Runs as git's pre-receive hook: hands the push to the server, shows its answer on standard error, which git sends to
/// the pusher, and returns the exit status that accepts or refuses the push. Blocks; needs no runtime.
///
/// Once the server has said that the release stands, the push is accepted even if the server dies.
pub fn run_hook() -> ExitCode {
    ExitCode::from(status())
}

/// What [`run_hook`] returns, as a number.
pub(super) fn status() -> u8 {
    call_server().unwrap_or_else(|message| {
        show(format!(" !     {message}\n").as_bytes());
        1
    })
}

fn call_server() -> Result<u8, String> {
    let variable =
        |name: &str| env::var(name).map_err(|_| "'slipway hook' is run by git during a push only".to_owned());
    let (socket, token) = (variable(SOCKET_VARIABLE)?, variable(TOKEN_VARIABLE)?);
    let call = gather(token).map_err(|error| format!("Cannot read the push: {error}"))?;
    let gone = |error: io::Error| format!("Slipway does not answer ({error}). Push again.");
    let mut stream = UnixStream::connect(socket).map_err(gone)?;
    stream.set_write_timeout(Some(SEND_LIMIT)).map_err(gone)?;
    let mut line = serde_json::to_vec(&call).map_err(|error| format!("Cannot describe the push: {error}"))?;
    line.push(b'\n');
    if line.len() as u64 > MAX_CALL {
        return Err("This push carries too many references. Type: git push --no-follow-tags <remote> main".to_owned());
    }
    stream.write_all(&line).map_err(gone)?;
    follow(&mut io::BufReader::new(stream))
}

/// Shows frames until the server has decided.
fn follow(stream: &mut impl Read) -> Result<u8, String> {
    let mut is_released = false;
    loop {
        match Frame::read(stream) {
            Ok(Some(Frame::Output(bytes))) => show(&bytes),
            // Nothing comes behind it that could change the outcome, not even the end of the server.
            Ok(Some(Frame::Released)) => is_released = true,
            Ok(Some(Frame::Exit(_)) | None) | Err(_) if is_released => return Ok(0),
            Ok(Some(Frame::Exit(code))) => return Ok(code),
            Ok(None) => return Err("Slipway went away during this push. Push again.".to_owned()),
            Err(error) => return Err(format!("Slipway went away during this push ({error}). Push again.")),
        }
    }
}

fn gather(token: String) -> io::Result<HookCall> {
    let mut updates = Vec::new();
    for line in io::stdin().lock().take(2 * MAX_CALL).lines() {
        let line = line?;
        let invalid = || io::Error::other(format!("'{line}' is not a reference update"));
        updates.push(Update::parse(&line).ok_or_else(invalid)?);
    }
    let quarantine = env::var("GIT_QUARANTINE_PATH").ok();
    Ok(HookCall { token, updates, quarantine, options: options(), shallow: shallow()? })
}

/// `GIT_PUSH_OPTION_0` and so on (githooks(5), "pre-receive").
fn options() -> Vec<String> {
    let count: usize = env::var("GIT_PUSH_OPTION_COUNT").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    (0..count.min(MAX_OPTIONS)).filter_map(|n| env::var(format!("GIT_PUSH_OPTION_{n}")).ok()).collect()
}

/// The commits in git's `GIT_SHALLOW_FILE`, which receive-pack sets for pushes from shallow clones.
fn shallow() -> io::Result<Vec<String>> {
    match env::var("GIT_SHALLOW_FILE") {
        Ok(path) if !path.is_empty() => Ok(std::fs::read_to_string(path)?.lines().map(str::to_owned).collect()),
        Ok(_) | Err(VarError::NotPresent) => Ok(Vec::new()),
        Err(error) => Err(io::Error::other(error)),
    }
}

/// A pusher who has gone is no reason to fail: the server knows, and decides.
fn show(bytes: &[u8]) {
    let _ = io::stderr().write_all(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(frames: &[Frame]) -> Result<u8, String> {
        let wire: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        follow(&mut &wire[..])
    }

    #[test]
    fn the_last_word_decides() {
        assert_eq!(outcome(&[Frame::Exit(3)]), Ok(3));
        assert_eq!(outcome(&[Frame::Released, Frame::Exit(1)]), Ok(0));
        assert_eq!(outcome(&[Frame::Released]), Ok(0), "the server may die right after it");
        assert_eq!(outcome(&[Frame::Released, Frame::Output(b"draining\n".to_vec())]), Ok(0));
        assert!(outcome(&[]).unwrap_err().contains("Push again"));
    }
}
