//! Ties the SSH door to the platform.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::model::{AppName, Quota, User, Username};
use crate::platform::{self, Deployed, Error, Event, Platform, PushRequest, SourceRequest};
use crate::push::{Progress, Push, PushBackend, PushLease, Rejected};

/// The platform as the SSH door sees it.
pub struct Backend(pub Platform);

/// What the pusher reads when the fault is ours; the log has the rest.
fn told(error: &Error) -> Vec<String> {
    if let Error::Internal(cause) = error {
        tracing::error!(error = ?cause, "a push failed for an internal reason");
    }
    error.lines()
}

/// Push options (`git push -o no-cache`).
const NO_CACHE: &str = "no-cache";
const REDEPLOY: &str = "redeploy";

/// Other names for an option of ours that pushers try.
const ALIASES: [(&str, &str); 4] =
    [("nocache", NO_CACHE), ("clean", NO_CACHE), ("rebuild", REDEPLOY), ("force", REDEPLOY)];
/// Letters that may differ between what was typed and an option of ours that was probably meant.
const MAX_TYPOS: usize = 2;

/// One line about the options that nothing here knows. They are ignored: `push.pushOption` is often set for good, for
/// another server (`ci.skip`). One that looks like ours is named, since a mistyped option would do nothing unnoticed.
fn unknown_options(options: &[String]) -> Option<String> {
    let unknown: Vec<&String> =
        options.iter().filter(|option| ![NO_CACHE, REDEPLOY].contains(&option.as_str())).collect();
    let shown = unknown.iter().take(5).map(|option| format!("'{}'", shortened(option))).collect::<Vec<_>>().join(", ");
    let more = if unknown.len() > 5 { format!(" and {} more", unknown.len() - 5) } else { String::new() };
    let what = match unknown.len() {
        0 => return None,
        1 => "push option",
        _ => "push options",
    };
    let mut meant: Vec<&str> = unknown.iter().filter_map(|option| meant(option)).collect();
    meant.dedup();
    let hint = match meant[..] {
        [] => format!("there are {NO_CACHE} and {REDEPLOY}"),
        [..] => format!("did you mean {}? Type: git push -o {} <remote> main", meant.join(" or "), meant[0]),
    };
    Some(format!(" !     Unknown {what} {shown}{more}, ignored: {hint}"))
}

/// What a person may read of an option: bounded, on one line.
fn shortened(option: &str) -> String {
    let shown: String = option.chars().take(40).collect();
    let end = if shown.len() < option.len() { "..." } else { "" };
    format!("{}{end}", shown.escape_debug())
}

/// The option of ours that was probably meant by one that is none.
fn meant(option: &str) -> Option<&'static str> {
    let name = option.split('=').next().unwrap_or_default().to_lowercase().replace(['_', '.', ' '], "-");
    if let Some((_, ours)) = ALIASES.iter().find(|(alias, _)| name.replace('-', "") == *alias) {
        return Some(ours);
    }
    // Longer ones are not near, and the distance costs the product of both lengths.
    let is_near = |ours: &&str| name.len() <= 16 && distance(&name, ours) <= MAX_TYPOS;
    [NO_CACHE, REDEPLOY].into_iter().find(is_near)
}

/// Letters to insert, delete or replace to make one text the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.chars().count()]
}

impl Backend {
    async fn known(&self, name: &Username) -> Result<User, Error> {
        self.0.user(name).await?.ok_or(Error::Forbidden)
    }

    async fn request(&self, push: Push) -> Result<PushRequest, Error> {
        let user = self.known(&push.user).await?;
        let handle = self.0.app(&user, push.app.as_str()).await?;
        let repository = self.0.repository(&handle).await?;
        let has = |wanted: &str| push.options.iter().any(|option| option == wanted);
        let (no_cache, redeploy) = (has(NO_CACHE), has(REDEPLOY));
        let deploy = SourceRequest { handle, source: Arc::new(push.source), no_cache, redeploy };
        Ok(PushRequest { deploy, repository, reference: push.reference, old: push.old })
    }
}

#[async_trait]
impl PushBackend for Backend {
    async fn user_for_key(&self, fingerprint: &str) -> Result<Option<Username>, String> {
        let user = self.0.user_for_key(fingerprint).await.map_err(|error| told(&error).join(" "))?;
        Ok(user.map(|user| user.username))
    }

    async fn repository(&self, user: &Username, app: &str) -> Result<Option<(AppName, PathBuf)>, String> {
        let found = async {
            let user = self.known(user).await?;
            let handle = self.0.app(&user, app).await?;
            let path = self.0.repository(&handle).await?;
            Ok((handle.app().name.clone(), path))
        };
        match found.await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound(_) | Error::Forbidden) => Ok(None),
            Err(error) => Err(told(&error).join(" ")),
        }
    }

    async fn git_quota(&self, user: &Username) -> Result<Quota, String> {
        let quota = async { self.0.git_quota(&self.known(user).await?).await };
        quota.await.map_err(|error| told(&error).join(" "))
    }

    async fn receive(
        &self,
        push: Push,
        progress: Progress,
        cancel: CancellationToken,
    ) -> Result<Box<dyn PushLease>, Rejected> {
        if let Some(line) = unknown_options(&push.options) {
            progress.line(&line);
        }
        let out = platform::Progress::new(move |event| match event {
            Event::Line(line) => progress.line(line),
            Event::Switched => progress.released(),
        });
        let deployed = async { self.0.push(self.request(push).await?, out, cancel).await };
        match deployed.await {
            Ok(deployed) => Ok(Box::new(Lease(deployed))),
            Err(error) => Err(Rejected { lines: told(&error) }),
        }
    }
}

/// Keeps the app locked until git has moved the ref.
struct Lease(Deployed);

#[async_trait]
impl PushLease for Lease {
    async fn finish(self: Box<Self>, ref_moved: bool) {
        if !ref_moved {
            tracing::warn!(release.version = self.0.release.version, "a release serves whose push git did not take");
        }
        self.0.finish().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_options_are_ignored_in_one_line() {
        let line = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
            unknown_options(&options).unwrap_or_default()
        };
        assert_eq!(line(&["no-cache", "redeploy"]), "");
        assert_eq!(
            line(&["ci.skip"]),
            " !     Unknown push option 'ci.skip', ignored: there are no-cache and redeploy"
        );
        let two = line(&["ci.variable=A=b", "merge_request.create"]);
        assert!(two.contains("Unknown push options 'ci.variable=A=b', 'merge_request.create', ignored"), "{two}");
        for (near, ours) in
            [("no-cash", NO_CACHE), ("No_Cache", NO_CACHE), ("nocache=1", NO_CACHE), ("re-deploy", REDEPLOY)]
        {
            assert!(line(&[near]).ends_with(&format!("did you mean {ours}? Type: git push -o {ours} <remote> main")));
        }
        for far in ["", "deploy", "skip-ci", "topic=x", &"no-cache".repeat(9)] {
            assert_eq!(meant(far), if far == "deploy" { Some(REDEPLOY) } else { None }, "{far}");
        }
        let hostile = line(&["a\n\u{1b}[31m", &"x".repeat(5000), "1", "2", "3", "4", "5"]);
        assert!(
            hostile.contains("and 2 more") && !hostile.contains(['\n', '\u{1b}']) && hostile.len() < 300,
            "{hostile}"
        );
    }
}
