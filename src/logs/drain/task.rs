//! The life of one drain: read, deliver, fail, wait, try again.

use std::time::Duration;

use rand::RngExt;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::super::follow::{Follower, Piece};
use super::https::Https;
use super::syslog::Syslog;
use super::{Counts, DrainSettings, LogDrains};
use crate::model::{AppName, DrainKind, LogDrain, LogLine, Timestamp};

/// The app's stream tells of a receiver that could not be reached so often in a row. Once per time that it is away: what is
/// told is itself to be delivered, and must not keep failures going.
const TELLING: u32 = 3;

/// Lines that go out together.
pub(super) struct Batch {
    /// The same in every try.
    pub(super) id: String,
    pub(super) lines: Vec<LogLine>,
    /// How many of them are of the stream, and not the drain's own words.
    count: u64,
}

/// Why a batch was not taken.
pub(super) enum Trouble {
    /// It may be later.
    Again(String),
    /// It never will.
    Refused(String),
}

enum Outlet {
    Syslog(Syslog),
    Https(Https),
}

/// One drain at work.
pub(super) struct Task {
    drains: LogDrains,
    drain: LogDrain,
    app: AppName,
    counts: Counts,
    stop: CancellationToken,
    outlet: Outlet,
    /// Lines that were lost and that the receiver was not told of yet.
    lost: u64,
    /// Failures since the last success.
    failures: u32,
    /// There was a connection once.
    was_connected: bool,
}

impl Task {
    pub(super) fn new(
        drains: LogDrains,
        drain: LogDrain,
        app: AppName,
        counts: Counts,
        stop: CancellationToken,
    ) -> Self {
        let outlet = match drain.url.kind() {
            DrainKind::Syslog | DrainKind::SyslogTls => Outlet::Syslog(Syslog::new()),
            DrainKind::Http => Outlet::Https(Https::new()),
        };
        Self { drains, drain, app, counts, stop, outlet, lost: 0, failures: 0, was_connected: false }
    }

    pub(super) async fn run(mut self, mut follower: Follower) {
        let (stop, gone, mut pending) = (self.stop.clone(), follower.gone(), None);
        let end = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = gone => {}
            }
        };
        tokio::select! {
            () = end => {
                let last_words = self.drains.0.settings.last_words;
                let _whether_all = timeout(last_words, self.deliver_rest(&mut follower, &mut pending)).await;
            }
            () = self.work(&mut follower, &mut pending) => {}
        }
        if let Outlet::Syslog(syslog) = &mut self.outlet {
            syslog.close(&self.drains.0.settings).await;
        }
        self.counts.lock().connected_since = None;
        self.drains.running().remove(&self.drain.id);
    }

    /// Delivers for as long as there is something to read. Cancel-safe as far as it can be: a batch that was going out stays in `pending`.
    async fn work(&mut self, follower: &mut Follower, pending: &mut Option<Batch>) {
        loop {
            if pending.is_none() {
                let Some(batch) = self.next_batch(follower).await else { return };
                *pending = Some(batch);
            }
            if !self.try_to_deliver(pending).await {
                sleep(pause(self.failures, &self.drains.0.settings)).await;
            }
        }
    }

    /// Delivers what there is without waiting for more; the first failure ends it.
    async fn deliver_rest(&mut self, follower: &mut Follower, pending: &mut Option<Batch>) {
        loop {
            if pending.is_none() {
                let Some(piece) = follower.ready().await else { return };
                *pending = self.batch(piece);
            }
            if pending.is_some() && !self.try_to_deliver(pending).await {
                return;
            }
        }
    }

    /// Waits for lines. Connects at first where that is possible, so that whoever looks at a new drain sees whether it can
    /// be reached.
    async fn next_batch(&mut self, follower: &mut Follower) -> Option<Batch> {
        loop {
            if let Outlet::Syslog(syslog) = &mut self.outlet
                && !self.was_connected
            {
                if let Err(trouble) = syslog.connect(&self.drains, &self.drain.url).await {
                    self.note_trouble(&trouble);
                    sleep(pause(self.failures, &self.drains.0.settings)).await;
                    continue;
                }
                self.was_connected = true;
                self.note_connected();
            }
            let piece = match &mut self.outlet {
                Outlet::Https(_) => follower.next().await?,
                Outlet::Syslog(syslog) => tokio::select! {
                    piece = follower.next() => piece?,
                    () = syslog.lost() => {
                        // Receivers do that to connections that idle. The next line opens another one.
                        self.counts.lock().connected_since = None;
                        continue;
                    }
                },
            };
            if let Some(batch) = self.batch(piece) {
                return Some(batch);
            }
        }
    }

    /// What goes out together; before it, a line about what was lost.
    fn batch(&mut self, piece: Piece) -> Option<Batch> {
        let lines = match piece {
            Piece::Lines(lines) => lines,
            Piece::Missed(missed) => {
                self.counts.lock().dropped += missed;
                self.lost += missed;
                return None;
            }
        };
        let count = lines.len() as u64;
        let lost = (self.lost > 0 && count > 0).then(|| {
            let text = format!("{} lines dropped: this log drain takes lines slower than they come", self.lost);
            LogLine::now("drain", text)
        });
        let lines: Vec<_> = lost.into_iter().chain(lines).collect();
        (count > 0).then(|| Batch { id: Uuid::new_v4().to_string(), lines, count })
    }

    /// One try; says whether to go on at once.
    async fn try_to_deliver(&mut self, pending: &mut Option<Batch>) -> bool {
        let Some(batch) = pending.as_ref() else { return true };
        let count = batch.count;
        match self.deliver(batch).await {
            Ok(()) => {
                *pending = None;
                self.lost = 0;
                self.counts.lock().delivered += count;
                if self.failures >= TELLING {
                    self.tell("takes lines again");
                }
                self.failures = 0;
                self.note_connected();
                true
            }
            Err(trouble) => {
                self.note_trouble(&trouble);
                if let Trouble::Refused(_) = trouble {
                    *pending = None;
                    self.lost += count;
                    self.counts.lock().dropped += count;
                }
                false
            }
        }
    }

    async fn deliver(&mut self, batch: &Batch) -> Result<(), Trouble> {
        match &mut self.outlet {
            Outlet::Https(https) => {
                https.deliver(&self.drains, (self.drain.id, &self.drain.url), &self.app, batch).await
            }
            Outlet::Syslog(syslog) => {
                syslog.connect(&self.drains, &self.drain.url).await?;
                syslog.deliver(&self.app, batch, &self.drains.0.settings).await
            }
        }
    }

    fn note_connected(&self) {
        self.counts.lock().connected_since.get_or_insert_with(Timestamp::now);
    }

    fn note_trouble(&mut self, trouble: &Trouble) {
        let (Trouble::Again(why) | Trouble::Refused(why)) = trouble;
        let mut counts = self.counts.lock();
        counts.errors += 1;
        counts.last_error = Some(why.clone());
        if matches!(trouble, Trouble::Again(_)) {
            counts.connected_since = None;
        }
        drop(counts);
        if let Outlet::Https(https) = &mut self.outlet {
            https.reset();
        }
        self.failures += 1;
        if self.failures == TELLING {
            self.tell(&format!("takes no lines: {}; trying again", why.trim_end_matches('.')));
        }
    }

    fn tell(&self, what: &str) {
        let text = format!("log drain {} {what}", self.drain.url.shown());
        self.drains.0.store.note(self.drain.app_id, "drain", &text);
    }
}

/// How long to wait after so many failures in a row: twice as long each time, half of it up to chance, so that many drains
/// of one receiver do not come back at the same moment.
fn pause(failures: u32, settings: &DrainSettings) -> Duration {
    let (first, longest) = settings.pause;
    let doubled = first.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(longest).mul_f64(rand::rng().random_range(0.5..1.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_in_bounds() {
        let settings = DrainSettings::default();
        for failures in 0..100 {
            let expect = f64::from(1 << failures.clamp(1, 7)) / 2.0;
            let seconds = pause(failures, &settings).as_secs_f64();
            assert!(expect.min(60.0) * 0.5 <= seconds && seconds <= expect.min(60.0) * 1.5, "{failures}: {seconds}");
        }
    }
}
