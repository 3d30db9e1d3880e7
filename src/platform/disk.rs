//! The watch over the disk: who writes more than an account may, or the last of what is reserved, is ended.
//!
//! Containers and builds are measured, since few engines can bound what they write. Whoever fills the disk faster than it is
//! looked at meets the reserve: while that is short, the writer that grew most is ended at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Error, Platform};
use crate::build::BuildError;
use crate::engine::{EngineError, Labels, Purpose, Writer, Written, label, labels};
use crate::model::{App, AppId, OperationId, Quota, QuotaExceeded, QuotaKind, UserId};
use crate::store::{Page, apps, quotas};

/// Between two looks at the free space.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at who writes, and how many times as long as such a look took it waits at least, but no longer than
/// [`LONGEST`]: nobody buys time with files that take long to count.
const PERIOD: Duration = Duration::from_secs(5);
const REST: u32 = 40;
const LONGEST: Duration = Duration::from_secs(60);
/// After somebody was ended it takes so long until the space is free again; nobody else is ended for it meanwhile.
const SETTLE: Duration = Duration::from_secs(3);
/// Who wrote less than that is not ended for it, unless that is what all of an account wrote, in many small parts.
const NOTABLE: u64 = 16 << 20;

/// How much each account had on the disk at the latest look, in bytes. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct DiskUse(Arc<Mutex<HashMap<UserId, u64>>>);

impl DiskUse {
    /// What an account's containers and builds had written; 0 before the first look.
    pub(super) fn of(&self, account: UserId) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&account).copied().unwrap_or_default()
    }

    fn set(&self, all: HashMap<UserId, u64>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = all;
    }
}

/// What the watch remembers.
#[derive(Default)]
struct Watch {
    /// Bytes by writer at the look before; `None` before the first one.
    before: Option<HashMap<Key, u64>>,
    /// Bytes by place that steps of builds at work had. What a step wrote stays with its build.
    steps: HashMap<OperationId, (AppId, BTreeMap<String, u64>)>,
}

/// What can be ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Container(String),
    Build(OperationId),
}

/// Somebody who writes.
#[derive(Debug, Clone)]
struct Candidate {
    key: Key,
    app: AppId,
    /// A container that does not run keeps what it wrote, and is not ended again.
    is_running: bool,
    bytes: u64,
    /// Bytes that came since the look before.
    grown: u64,
}

impl Watch {
    /// What was measured, by who can be ended for it. `marked` tells whose build a mark means.
    fn candidates(
        &mut self,
        written: Vec<Written>,
        marked: impl Fn(&str) -> Option<(AppId, OperationId)>,
    ) -> Vec<Candidate> {
        let mut all: HashMap<Key, Candidate> = HashMap::new();
        let mut add = |key: Key, app, is_running, bytes| {
            let empty = Candidate { key: key.clone(), app, is_running, bytes: 0, grown: 0 };
            let candidate = all.entry(key).or_insert(empty);
            candidate.bytes += bytes;
            candidate.is_running |= is_running;
        };
        for Written { place, writer, bytes } in written {
            match writer {
                Writer::Container { labels, is_running } => {
                    if let Some((app, key)) = whose(&labels, &place) {
                        add(key, app, is_running, bytes);
                    }
                }
                Writer::BuildStep { mark } => {
                    if let Some((app, operation)) = marked(&mark) {
                        let (_, places) = self.steps.entry(operation).or_insert((app, BTreeMap::new()));
                        let most = places.entry(place).or_default();
                        *most = bytes.max(*most);
                    }
                }
            }
        }
        for (operation, (app, places)) in &self.steps {
            add(Key::Build(operation.clone()), *app, true, places.values().sum());
        }
        let mut all: Vec<Candidate> = all.into_values().collect();
        for candidate in &mut all {
            let before = self.before.as_ref().map(|before| before.get(&candidate.key).copied().unwrap_or_default());
            candidate.grown = candidate.bytes.saturating_sub(before.unwrap_or(candidate.bytes));
        }
        self.before = Some(all.iter().map(|it| (it.key.clone(), it.bytes)).collect());
        all
    }
}

/// The app and the writer that a container's labels name.
fn whose(labels: &Labels, container: &str) -> Option<(AppId, Key)> {
    let app = labels.get(label::APP)?.parse().ok()?;
    let key = match Purpose::of(labels)? {
        Purpose::Operation(operation) => Key::Build(operation.parse().ok()?),
        Purpose::Instance(_) | Purpose::OneOff(_) => Key::Container(container.to_owned()),
    };
    Some((app, key))
}

/// Who of an account is ended: the one that `weight` says wrote most, if that is worth it.
fn heaviest<'a>(of: impl Iterator<Item = &'a Candidate>, weight: impl Fn(&Candidate) -> u64) -> Option<&'a Candidate> {
    let all: Vec<&Candidate> = of.collect();
    let average = all.iter().map(|it| weight(it)).sum::<u64>() / u64::try_from(all.len().max(1)).unwrap_or(u64::MAX);
    let least = NOTABLE.min(average).max(1);
    all.into_iter().filter(|it| it.is_running && weight(it) >= least).max_by_key(|it| weight(it))
}

/// Bytes by account.
fn totals<'a>(
    candidates: impl Iterator<Item = &'a Candidate>,
    owners: &HashMap<AppId, App>,
    weight: impl Fn(&Candidate) -> u64,
) -> HashMap<UserId, u64> {
    let mut all = HashMap::new();
    for candidate in candidates {
        if let Some(app) = owners.get(&candidate.app) {
            *all.entry(app.owner_id).or_default() += weight(candidate);
        }
    }
    all
}

impl Platform {
    /// Watches the disk until the server stops.
    pub async fn watch_disk(self) {
        let mut watch = Watch::default();
        let (mut next_look, mut settled) = (Instant::now(), Instant::now());
        loop {
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = sleep(LOOK) => {}
            }
            // An engine that does not answer cannot be asked who writes, either.
            let shortage = self.0.builder.check_space().await.err();
            let shortage = shortage.filter(|error| matches!(error, BuildError::NoSpace { .. }));
            let began = Instant::now();
            if began < settled || (shortage.is_none() && began < next_look) {
                continue;
            }
            match self.look_at_disk(&mut watch, shortage).await {
                Ok(true) => settled = Instant::now() + SETTLE,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "cannot look at who writes to the disk"),
            }
            next_look = Instant::now() + PERIOD.max((began.elapsed() * REST).min(LONGEST));
        }
    }

    /// One look; returns whether somebody was ended.
    async fn look_at_disk(&self, watch: &mut Watch, shortage: Option<BuildError>) -> Result<bool, Error> {
        let ours = labels([(label::SERVER, self.0.settings.server_id.as_str())]);
        let written = self.0.engine.written(&ours).await?;
        watch.steps.retain(|operation, _| self.0.builder.is_at_work(operation));
        let candidates = watch.candidates(written, |mark| self.0.builder.marked(mark));
        let pool = self.0.store.pool();
        let owners: HashMap<AppId, App> =
            apps::list(pool, None, Page::ALL).await?.into_iter().map(|app| (app.id, app)).collect();
        let used = totals(candidates.iter(), &owners, |it| it.bytes);
        self.0.disk_use.set(used.clone());
        let own = quotas::of_kind(pool, QuotaKind::Disk).await?;
        let by = |account: UserId| {
            let owners = &owners;
            candidates.iter().filter(move |it| owners.get(&it.app).is_some_and(|app| app.owner_id == account))
        };
        let mut is_any_ended = false;
        for (account, used) in used {
            let limit = own.get(&account).copied().unwrap_or_else(|| self.0.settings.quotas.get(QuotaKind::Disk));
            let Quota::AtMost(most) = limit else { continue };
            if used > most
                && let Some(writer) = heaviest(by(account), |it| it.bytes)
                && let Some(app) = owners.get(&writer.app)
            {
                let account = app.owner.to_string();
                let excess = QuotaExceeded { account, kind: QuotaKind::Disk, limit: most, used, more: 0 };
                is_any_ended |= self.end_writer(writer, app, BuildError::Quota(excess)).await;
            }
        }
        let Some(shortage) = shortage.filter(|_| !is_any_ended) else { return Ok(is_any_ended) };
        let grown = totals(candidates.iter().filter(|it| it.is_running), &owners, |it| it.grown);
        if let Some((account, _)) = grown.into_iter().max_by_key(|(_, grown)| *grown)
            && let Some(writer) = heaviest(by(account), |it| it.grown)
            && let Some(app) = owners.get(&writer.app)
        {
            is_any_ended = self.end_writer(writer, app, shortage).await;
        }
        Ok(is_any_ended)
    }

    /// Ends a writer, and says so in its log.
    async fn end_writer(&self, writer: &Candidate, app: &App, why: BuildError) -> bool {
        let size = QuotaKind::Disk.shown(writer.bytes);
        let done = match &writer.key {
            Key::Build(operation) => {
                self.0.logs.note(app.id, "disk", &format!("the build is ended, which has written {size}: {why}"));
                Ok(self.0.builder.end(operation, why))
            }
            Key::Container(id) => self.end_container(id, app, &size, &why).await,
        };
        match done {
            Ok(done) => done,
            Err(error) => {
                tracing::warn!(app.name = %app.name, writer = ?writer.key, %error, "what fills the disk cannot be ended");
                false
            }
        }
    }

    async fn end_container(&self, id: &str, app: &App, size: &str, why: &BuildError) -> Result<bool, EngineError> {
        let name = match self.0.engine.container(id).await {
            Ok(container) => container.name,
            Err(EngineError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        tracing::warn!(app.name = %app.name, container = %name, written = size, %why, "a container is ended for what it writes");
        self.0.logs.note(app.id, "disk", &format!("{name} is ended, which has written {size}: {why}"));
        self.0.engine.stop_container(id, Duration::ZERO).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(place: &str, app: AppId, purpose: &str, id: &str, bytes: u64) -> Written {
        let app = app.to_string();
        let labels = labels([(label::APP, app.as_str()), (purpose, id)]);
        Written { place: place.to_owned(), writer: Writer::Container { labels, is_running: true }, bytes }
    }

    fn step(place: &str, mark: &str, bytes: u64) -> Written {
        Written { place: place.to_owned(), writer: Writer::BuildStep { mark: mark.to_owned() }, bytes }
    }

    #[test]
    fn what_grew_is_told_from_what_was_there() {
        let (mut watch, app) = (Watch::default(), AppId::new());
        let mut look = |bytes| {
            let written = vec![container("c1", app, label::INSTANCE, "i1", bytes)];
            let found = watch.candidates(written, |_| None);
            (found[0].bytes, found[0].grown)
        };
        // The first look after a start knows of no growth.
        assert_eq!(look(5 << 30), (5 << 30, 0));
        assert_eq!(look(6 << 30), (6 << 30, 1 << 30));
        assert_eq!(look(4 << 30), (4 << 30, 0));
    }

    #[test]
    fn a_build_has_what_all_its_steps_wrote() {
        let (mut watch, app, operation) = (Watch::default(), AppId::new(), OperationId::new());
        let marked = |mark: &str| (mark == "bob").then(|| (app, operation.clone()));
        let mut look = |written| {
            let found = watch.candidates(written, marked);
            found.into_iter().map(|it| (it.key, it.bytes)).collect::<Vec<_>>()
        };
        let build = Key::Build(operation.clone());
        assert_eq!(look(vec![step("/a", "bob", 100), step("/x", "nobody", 900)]), [(build.clone(), 100)]);
        assert_eq!(look(vec![]), [(build.clone(), 100)]);
        assert_eq!(look(vec![step("/b", "bob", 30), step("/cache", "bob", 5)]), [(build.clone(), 135)]);
        // The container of a build by buildpacks belongs to it as well.
        let slug = container("c1", app, label::OPERATION, operation.as_str(), 7);
        assert_eq!(look(vec![slug]), [(build, 142)]);
    }

    #[test]
    fn the_heaviest_runs_and_has_written_something_worth_it() {
        let candidate = |id: &str, is_running, bytes| Candidate {
            key: Key::Container(id.to_owned()),
            app: AppId::new(),
            is_running,
            bytes,
            grown: 0,
        };
        let all = [candidate("stopped", false, 9 << 30), candidate("a", true, 1 << 30), candidate("b", true, 2 << 30)];
        assert_eq!(heaviest(all.iter(), |it| it.bytes).map(|it| &it.key), Some(&Key::Container("b".to_owned())));
        let kept = [candidate("stopped", false, 9 << 30), candidate("small", true, 1 << 20)];
        assert!(heaviest(kept.iter(), |it| it.bytes).is_none());
        assert!(heaviest(all.iter(), |it| it.grown).is_none());
        // Many small parts are no way around.
        let many: Vec<Candidate> =
            (0..200).map(|number| candidate(&number.to_string(), true, (10 << 20) + number)).collect();
        assert_eq!(heaviest(many.iter(), |it| it.bytes).map(|it| &it.key), Some(&Key::Container("199".to_owned())));
    }
}
