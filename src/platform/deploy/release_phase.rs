//! Commands around the switch to a release: the Procfile's `release` type, and the scripts of `app.json`.

use super::super::operations::Progress;
use super::super::{Error, Platform};
use crate::build::Scripts;
use crate::model::ProcessType;
use crate::rollout::{OneOffError, Target};

impl Platform {
    /// Runs what has to succeed before a release may serve, in containers of the release and with its config: the
    /// `predeploy` script of a push, then the `release` process type, which every release runs that has a build (Heroku's
    /// release phase).
    ///
    /// # Errors
    /// [`Error::DeployFailed`] when a command fails: the release must not be switched to.
    pub(super) async fn release_phase(&self, target: &Target, scripts: &Scripts, out: &Progress) -> Result<(), Error> {
        let release = target.build.procfile.command(&ProcessType::release());
        let commands = [("predeploy script", scripts.predeploy.as_deref()), ("release command", release)];
        for (what, command) in commands {
            if let Some(command) = command {
                self.run_around(target, what, command, out).await?;
            }
        }
        Ok(())
    }

    /// Runs what follows a deploy. The release serves already: a failure is told, and undoes nothing.
    pub(super) async fn after_deploy(&self, target: &Target, scripts: &Scripts, is_first: bool, out: &Progress) {
        let first = scripts.first_deploy.as_deref().filter(|_| is_first);
        for command in first.into_iter().chain(scripts.postdeploy.as_deref()) {
            if let Err(error) = self.run_around(target, "postdeploy script", command, out).await {
                error.lines().iter().for_each(|line| out.line(&format!(" !     {line}")));
                out.line(&format!(" !     v{} serves all the same.", target.release.version));
            }
        }
    }

    async fn run_around(&self, target: &Target, what: &str, command: &str, out: &Progress) -> Result<(), Error> {
        let version = target.release.version;
        out.line(&format!("-----> Running the {what}: {}", one_line(command)));
        let place = self.0.rollouts.enter_one_off(&target.app, version).await.map_err(|error| failed(what, error))?;
        let cancel = self.0.stop.child_token();
        let on_line = |line: &str| out.line(&format!("       {line}"));
        let ran = self.0.rollouts.run_one_off(&place, target, command, &cancel, &on_line).await;
        let ran = ran.map_err(|error| match error {
            OneOffError::Cancelled => {
                Error::Unavailable(format!("Slipway is stopping and has ended the {what}; try again"))
            }
            other => failed(what, other),
        })?;
        if ran.status == 0 {
            return Ok(());
        }
        Err(Error::DeployFailed(vec![
            format!("the {what} ended with status {}", ran.status),
            "Its output is above and in the app's log. Fix it, then deploy again.".to_owned(),
        ]))
    }
}

fn failed(what: &str, error: OneOffError) -> Error {
    match error {
        OneOffError::Engine(error) => error.into(),
        OneOffError::Store(error) => error.into(),
        other => Error::DeployFailed(vec![format!("the {what} did not run to its end: {other}")]),
    }
}

/// The command as a headline shows it.
fn one_line(command: &str) -> String {
    const SHOWN: usize = 200;
    let flat = command.split_whitespace().collect::<Vec<_>>().join(" ");
    match flat.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &flat[..end]),
        None => flat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_headline_is_one_short_line() {
        assert_eq!(one_line("  python manage.py \n migrate"), "python manage.py migrate");
        assert_eq!(one_line(&"é".repeat(300)), format!("{}...", "é".repeat(200)));
    }
}
