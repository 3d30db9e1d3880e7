//! One-off commands: run one beside the app, see which ones run.

use tokio_util::sync::CancellationToken;

use super::deploy::target;
use super::{AppHandle, Error, Platform};
use crate::release;
use crate::rollout::{OneOff, OneOffError, Ran};

/// Longest command in bytes. The kernel takes 128 KiB for one argument (`MAX_ARG_STRLEN`, execve(2)).
const COMMAND_MAX: usize = 128_000;

/// Longest command that is logged, in characters.
const LOGGED_MAX: usize = 1000;

impl Platform {
    /// Runs a command in a fresh container of the app's latest release and waits for its end (spec §9).
    ///
    /// It does not take the app's lock: pushes go on meanwhile, and the command stays on the release that it began on.
    /// Dropping the future ends the command: its container gets SIGTERM, the stop grace, SIGKILL, and is removed by a task
    /// that the platform owns. So does the end of the app or of the server.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a command that no shell can take, [`Error::Refused`] without a build or a shell,
    /// [`Error::Unavailable`] when it takes too long, when too many run already, or when app or server end meanwhile.
    /// A command that fails is no error, see [`Ran::status`].
    pub async fn run(&self, handle: &AppHandle, command: &str) -> Result<Ran, Error> {
        validate(command)?;
        let cancel = self.0.stop.child_token();
        let _asker_is_there = cancel.clone().drop_guard();
        let (platform, handle, command) = (self.clone(), handle.clone(), command.to_owned());
        self.owned(async move {
            let work = platform.run_with(&handle, &command, &cancel);
            let ran = platform.while_granted(&handle, &cancel, work).await?;
            // What it printed is for whoever may use the app still.
            platform.grant(&handle).check().await?;
            Ok(ran)
        })
        .await
    }

    async fn run_with(&self, handle: &AppHandle, command: &str, cancel: &CancellationToken) -> Result<Ran, Error> {
        let app = handle.app();
        let current = release::current(&self.0.store, app.id).await?;
        let Some(build) = &current.build else {
            return Err(Error::Refused("No build associated with this release to run this command".to_owned()));
        };
        let failed = |error| self.run_error(handle, command, error);
        let place = self.0.rollouts.enter_one_off(app, current.release.version).await.map_err(|error| match error {
            OneOffError::AppGone => Error::NotFound(format!("app '{}'", app.name)),
            other => failed(other),
        })?;
        // With the place taken: the app is not destroyed while its image is being laid.
        self.0.builder.ensure_image(build).await?;
        let target = target(app, &current)?;
        self.0.logs.note(app.id, "api", &format!("{} runs '{}'", handle.user().username, logged(command)));
        self.0.rollouts.run_one_off(&place, &target, command, cancel, &|_| {}).await.map_err(failed)
    }

    /// The app's one-off commands at work, oldest first.
    pub fn one_offs(&self, handle: &AppHandle) -> Vec<OneOff> {
        self.0.rollouts.one_offs(handle.app().id)
    }

    fn run_error(&self, handle: &AppHandle, command: &str, error: OneOffError) -> Error {
        let name = &handle.app().name;
        match error {
            OneOffError::Cancelled if self.0.stop.is_cancelled() => {
                Error::Unavailable("Slipway is stopping and has ended the command; run it again in a moment".to_owned())
            }
            OneOffError::Cancelled => Error::Cancelled,
            OneOffError::NoShell => Error::Refused(error.to_string()),
            OneOffError::TimedOut { .. } => {
                Error::Unavailable(format!("{error}. The command was: {}", logged(command)))
            }
            OneOffError::TooMany => Error::Unavailable(error.to_string()),
            OneOffError::AppGone => Error::Unavailable(format!("app '{name}' was destroyed, and its commands ended")),
            OneOffError::Engine(error) => error.into(),
            OneOffError::Store(error) => error.into(),
        }
    }
}

fn validate(command: &str) -> Result<(), Error> {
    if command.contains('\0') {
        return Err(Error::invalid("command", "Null characters are not allowed."));
    }
    if command.len() > COMMAND_MAX {
        let message = format!("A command has at most {COMMAND_MAX} bytes; put a longer script into the app.");
        return Err(Error::invalid("command", message));
    }
    Ok(())
}

/// The command on one line of bounded length: no part of it can pass for a line of the platform's.
pub(super) fn logged(command: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    let mut text: String = command.chars().take(LOGGED_MAX).map(escaped).collect();
    if command.chars().count() > LOGGED_MAX {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_shell_can_take_is_refused() {
        let check = |command: &str, is_valid: bool| assert_eq!(validate(command).is_ok(), is_valid);
        check("", true);
        check("a\nb 'c' \"世界\"", true);
        check("a\0b", false);
        check(&"a".repeat(COMMAND_MAX), true);
        check(&"a".repeat(COMMAND_MAX + 1), false);
    }

    #[test]
    fn a_command_is_logged_on_one_bounded_line() {
        assert_eq!(logged("ls -l 'é'"), "ls -l 'é'");
        assert_eq!(logged("a\nadmin scaled\u{1b}[0m"), "a\\nadmin scaled\\u{1b}[0m");
        assert_eq!(logged(&"x".repeat(5000)).len(), LOGGED_MAX + 3);
    }
}
