//! One SSH channel: waits for what the client wants, runs git for it or says what Slipway is for.

use std::time::Duration;

use russh::server::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio_util::sync::CancellationToken;

use super::connection::Peer;
use super::exec::{self, ExecError, GitCommand, Service};
use super::server::{Access, Door};
use super::transfer::{Job, Outcome};
use crate::model::Username;

/// git's exit status for "fatal".
const FATAL: u32 = 128;
/// The exit status of everything that is not git.
const NOT_GIT: u32 = 1;
/// How long the last words of a channel may take to leave.
const END_LIMIT: Duration = Duration::from_secs(10);
/// The extended data type of standard error (RFC 4254 §5.2).
const STDERR: u32 = 1;

/// What a client asks of a channel.
enum Wish {
    Exec(Vec<u8>),
    /// A shell, or a subsystem such as sftp.
    Other,
}

/// Serves one channel to its end.
///
/// Requests are read from the channel's own queue and not in the connection's callbacks, so that a client cannot fill the
/// queue of a channel that nobody reads.
pub(super) async fn serve(door: &Door, peer: &Peer, user: Username, fingerprint: &str, channel: Channel<Msg>) {
    let (mut read, write) = channel.split();
    let mut protocol = None;
    let mut line_end = "\n";
    let wish = loop {
        match read.wait().await {
            Some(ChannelMsg::SetEnv { variable_name, variable_value, .. }) => {
                protocol = git_protocol(&variable_name, &variable_value).map(str::to_owned).or(protocol);
            }
            // The client's terminal is raw from here on and needs its carriage returns.
            Some(ChannelMsg::RequestPty { .. }) => line_end = "\r\n",
            Some(ChannelMsg::Exec { command, .. }) => break Wish::Exec(command),
            Some(ChannelMsg::RequestShell { .. } | ChannelMsg::RequestSubsystem { .. }) => break Wish::Other,
            Some(ChannelMsg::Close) | None => return,
            Some(_) => {}
        }
    };
    // The key may have been removed since it was proven: a connection, and a channel that asks for nothing, live for as long as
    // their client likes.
    if door.user_for_key(fingerprint).await.as_ref() != Some(&user) {
        return peer.cut();
    }
    let parsed = match wish {
        Wish::Exec(command) => exec::parse(&command),
        Wish::Other => Err(ExecError::NotGit),
    };
    let result = match parsed {
        Ok(command) => {
            let caller = Caller { user: &user, fingerprint };
            run(door, caller, command, protocol, &mut read, &write).await
        }
        Err(ExecError::NoSuchApp(name)) => Err(Refusal { line: no_such_app(&name), code: FATAL }),
        Err(ExecError::NotGit) => Err(Refusal { line: greeting(door, &user), code: NOT_GIT }),
    };
    let (line, code) = match result {
        Ok(end) => (end.advice, end.code),
        Err(refusal) => (Some(refusal.line), refusal.code),
    };
    // A client may still be sending. Unread, its data would fill the channel's queue, and the connection would wait for
    // room there before it sends what follows.
    drop(read);
    let last_words = async {
        if let Some(line) = line {
            write.extended_data_bytes(STDERR, format!("{line}{line_end}")).await?;
        }
        write.exit_status(code).await?;
        write.eof().await?;
        write.close().await
    };
    match tokio::time::timeout(END_LIMIT, last_words).await {
        // An error says that the connection is gone already.
        Ok(_) => {}
        Err(_) => peer.cut(),
    }
}

/// One line for the client instead of git.
struct Refusal {
    line: String,
    code: u32,
}

/// Git has ended.
struct End {
    code: u32,
    advice: Option<String>,
}

/// Who asks, and with which key.
#[derive(Clone, Copy)]
struct Caller<'a> {
    user: &'a Username,
    fingerprint: &'a str,
}

async fn run(
    door: &Door,
    caller: Caller<'_>,
    command: GitCommand,
    protocol: Option<String>,
    read: &mut ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
) -> Result<End, Refusal> {
    let refusal = |line| Refusal { line, code: FATAL };
    let Caller { user, fingerprint } = caller;
    let found = door.repository(user, command.app.as_str()).await.map_err(refusal)?;
    let (app, repository) = found.ok_or_else(|| refusal(no_such_app(command.app.as_str())))?;
    // Before the repository is touched, and until git has ended.
    let _place = door.place(user).await.map_err(refusal)?;
    let session = match command.service {
        Service::ReceivePack => {
            Some(door.sessions.open(user.clone(), app.clone(), repository.clone(), door.stop.child_token()))
        }
        Service::UploadPack => None,
    };
    let is_push = session.is_some();
    let revoked = CancellationToken::new();
    let watched = repository.clone();
    let access = Access { user, fingerprint, app: &app, repository: &watched };
    let job = Job {
        config: &door.config,
        hook_socket: &door.hook_socket,
        service: command.service,
        repository,
        protocol,
        session,
        stop: &door.stop,
        revoked: &revoked,
        tracker: &door.tracker,
    };
    let outcome = tokio::select! {
        outcome = job.run(read, write) => outcome,
        never = door.watch(access, &revoked) => match never {},
    };
    let Outcome { code, received, has_called } = outcome.map_err(|error| {
        tracing::error!(app.name = %app, user.name = %user, %error, "cannot run git");
        refusal(format!("Slipway cannot run git on the server: {error}"))
    })?;
    tracing::info!(app.name = %app, user.name = %user, code, received_bytes = received, "git {} ended", command.service.command());
    if revoked.is_cancelled() {
        return Ok(End { code: FATAL, advice: Some(" !     Access to this app was taken away meanwhile.".to_owned()) });
    }
    // Git's own refusal of a large pack names no way out, and its exit status is that of success.
    let max_bytes = door.config.max_push_bytes;
    let is_too_large = is_push && !has_called && max_bytes > 0 && received > max_bytes;
    // Whatever comes to a push, git says so before it goes; a git that cannot even begin does not.
    let is_foreign = is_push && received == 0 && code != 0;
    let advice = is_foreign.then(|| OTHER_HASH.to_owned()).or(is_too_large.then(|| too_large(max_bytes)));
    Ok(End { code, advice })
}

/// For a git that read what this end can do, and left.
const OTHER_HASH: &str = " !     Your git sent nothing. If it says that this end does not support its hash algorithm: the repository has \
                          SHA-256 objects, and only SHA-1 is taken. Make a copy of it and push that. Type: git init \
                          --object-format=sha1 -b main ../copy && git fast-export --all | git -C ../copy fast-import";

fn no_such_app(name: &str) -> String {
    format!("app '{name}' does not exist, or you may not push to it")
}

fn greeting(door: &Door, user: &Username) -> String {
    let address = &door.config.address;
    format!("Hi {user}! Slipway takes git pushes only: git push ssh://git@{address}/APP.git main")
}

fn too_large(max_bytes: u64) -> String {
    let limit = if max_bytes >= 1 << 20 { format!("{} MiB", max_bytes >> 20) } else { format!("{max_bytes} bytes") };
    format!(
        " !     A push may have {limit} here. Take large files out of the history (git rm --cached FILE) and push again."
    )
}

/// The value of a `GIT_PROTOCOL` variable that git may see: `version=2`, perhaps with more keys (git(1)).
fn git_protocol<'a>(name: &str, value: &'a str) -> Option<&'a str> {
    let is_plain = |value: &str| value.bytes().all(|b| b.is_ascii_alphanumeric() || b"=:.-_".contains(&b));
    (name == "GIT_PROTOCOL" && (1..=64).contains(&value.len()) && is_plain(value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_git_protocol_reaches_git() {
        assert_eq!(git_protocol("GIT_PROTOCOL", "version=2"), Some("version=2"));
        assert_eq!(git_protocol("GIT_PROTOCOL", "version=2:key"), Some("version=2:key"));
        for value in ["", "a b", "version=2\n", &"v".repeat(65)] {
            assert_eq!(git_protocol("GIT_PROTOCOL", value), None, "{value:?}");
        }
        assert_eq!(git_protocol("LD_PRELOAD", "version=2"), None);
    }

    #[test]
    fn limits_are_named_in_words() {
        assert!(too_large(512 << 20).contains("512 MiB"));
        assert!(too_large(1000).contains("1000 bytes"));
    }
}
