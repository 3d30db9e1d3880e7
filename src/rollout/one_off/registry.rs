//! Which one-offs run at this moment. Those that somebody asked for never outlive the server, so its memory is the truth about
//! them; of runs of scheduled commands the database has the truth.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::model::{AppId, CronRun, InstanceId, ProcessType, Timestamp};

/// Most one-offs of one app at once.
pub const ONE_OFFS_MAX: usize = 20;

/// A one-off command at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOff {
    /// Names it in the engine and in the app's log.
    pub id: InstanceId,
    /// `run`, or `cron` for a run of a scheduled command.
    pub process: ProcessType,
    /// 1 and up within the app: `run.1`, counting on for as long as the server lives; `cron.1`, as it is recorded.
    pub number: u32,
    /// Version of the release that it runs on.
    pub version: i64,
    /// Whether its container has been started.
    pub is_started: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// All one-offs, by app. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::rollout) struct OneOffs(Arc<Mutex<HashMap<AppId, OfApp>>>);

#[derive(Default)]
struct OfApp {
    last_number: u32,
    running: BTreeMap<(ProcessType, u32), Entry>,
}

struct Entry {
    one_off: OneOff,
    /// Fired to end it because its app goes.
    end: CancellationToken,
    /// Fires when nothing of it is left.
    gone: CancellationToken,
}

/// The place of one one-off among those of its app. Given up by dropping it, which has to come after its container is
/// gone: whoever destroys the app waits for that.
pub struct Place {
    all: OneOffs,
    pub(super) app: AppId,
    one_off: OneOff,
    /// Fires when the app is being destroyed.
    pub(super) end: CancellationToken,
    gone: CancellationToken,
}

impl OneOffs {
    /// Takes a place; `None` when the app has [`ONE_OFFS_MAX`] already.
    pub(super) fn enter(&self, app: AppId, version: i64) -> Option<Place> {
        self.enter_as(app, |last_number| {
            *last_number += 1;
            let (id, process, created_at) = (InstanceId::new(), ProcessType::run(), Timestamp::now());
            OneOff { id, process, number: *last_number, version, is_started: false, created_at }
        })
    }

    /// The same for a run of a scheduled command.
    pub(super) fn enter_cron(&self, run: &CronRun, version: i64) -> Option<Place> {
        self.enter_as(run.app_id, |_| OneOff {
            id: run.id,
            process: ProcessType::cron(),
            number: run.number,
            version,
            is_started: run.started_at.is_some(),
            created_at: run.created_at,
        })
    }

    fn enter_as(&self, app: AppId, make: impl FnOnce(&mut u32) -> OneOff) -> Option<Place> {
        let mut all = self.lock();
        let of_app = all.entry(app).or_default();
        if of_app.running.len() >= ONE_OFFS_MAX {
            return None;
        }
        let one_off = make(&mut of_app.last_number);
        let (end, gone) = (CancellationToken::new(), CancellationToken::new());
        let entry = Entry { one_off: one_off.clone(), end: end.clone(), gone: gone.clone() };
        of_app.running.insert(one_off.key(), entry);
        Some(Place { all: self.clone(), app, one_off, end, gone })
    }

    /// An app's one-offs of that process type, oldest first.
    pub(super) fn of_app(&self, app: AppId, process: &ProcessType) -> Vec<OneOff> {
        let all = self.lock();
        let of_app = all.get(&app).into_iter().flat_map(|it| it.running.values()).map(|it| &it.one_off);
        of_app.filter(|one_off| one_off.process == *process).cloned().collect()
    }

    /// Whether a one-off of that id is at work.
    pub(in crate::rollout) fn contains(&self, id: InstanceId) -> bool {
        self.lock().values().flat_map(|it| it.running.values()).any(|it| it.one_off.id == id)
    }

    /// Ends an app's one-offs and waits until nothing of them is left.
    pub(in crate::rollout) async fn end_all(&self, app: AppId) {
        let ended = self.lock().get(&app).into_iter().flat_map(|it| it.running.values()).map(Entry::end).collect();
        let ended: Vec<CancellationToken> = ended;
        for gone in ended {
            gone.cancelled().await;
        }
        let mut all = self.lock();
        if all.get(&app).is_some_and(|it| it.running.is_empty()) {
            all.remove(&app);
        }
    }

    /// The state behind the lock is valid between any two statements, even after a panic elsewhere.
    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, OfApp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OneOff {
    fn key(&self) -> (ProcessType, u32) {
        (self.process.clone(), self.number)
    }
}

impl Entry {
    fn end(&self) -> CancellationToken {
        self.end.cancel();
        self.gone.clone()
    }
}

impl Place {
    /// Whose place it is.
    pub fn one_off(&self) -> &OneOff {
        &self.one_off
    }

    /// Notes that its container runs.
    pub(super) fn started(&self) {
        let mut all = self.all.lock();
        let entry = all.get_mut(&self.app).and_then(|it| it.running.get_mut(&self.one_off.key()));
        if let Some(entry) = entry {
            entry.one_off.is_started = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(of_app) = self.all.lock().get_mut(&self.app) {
            of_app.running.remove(&self.one_off.key());
        }
        self.gone.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_on_and_places_are_bounded_per_app() {
        let (all, app) = (OneOffs::default(), AppId::new());
        let mut places: Vec<Place> = (0..ONE_OFFS_MAX).map(|_| all.enter(app, 2).unwrap()).collect();
        assert!(all.enter(app, 2).is_none());
        assert!(all.enter(AppId::new(), 2).is_some(), "another app has places of its own");
        let last = places.pop().unwrap();
        assert_eq!(last.one_off().number, 20);
        assert!(all.contains(last.one_off().id));
        let id = last.one_off().id;
        drop(last);
        assert!(!all.contains(id));
        let next = all.enter(app, 3).unwrap();
        assert_eq!((next.one_off().number, next.one_off().version), (21, 3));
        next.started();
        let listed = all.of_app(app, &ProcessType::run());
        assert_eq!((listed.len(), listed[0].is_started, listed[19].is_started), (20, false, true));
    }

    #[tokio::test]
    async fn ending_all_waits_until_the_last_one_is_gone() {
        let (all, app) = (OneOffs::default(), AppId::new());
        let (place, other) = (all.enter(app, 2).unwrap(), all.enter(AppId::new(), 2).unwrap());
        let ending = all.end_all(app);
        tokio::pin!(ending);
        tokio::select! {
            biased;
            () = &mut ending => panic!("the one-off is still there"),
            () = place.end.cancelled() => {}
        }
        assert!(!other.end.is_cancelled());
        drop(place);
        ending.await;
        assert_eq!(all.of_app(app, &ProcessType::run()), []);
    }
}
