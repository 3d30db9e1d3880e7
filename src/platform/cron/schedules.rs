//! What is due becomes a run.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::sleep;

use super::in_the_way;
use crate::model::{AppId, CronSchedule, CronTask, Timestamp, UserId, Zone};
use crate::platform::{Error, Platform};
use crate::release;
use crate::store::cron::{self, DueTask};
use crate::store::{StoreError, quotas};

/// How late a run may begin. Of what was missed while the server was away, the latest moment is made up for, if it is no
/// longer ago.
const LATE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Longest pause between two looks. Clocks may be set, and the engine comes back when it likes.
const LOOK: Duration = Duration::from_secs(10);

impl Platform {
    /// Runs what is due, until the server stops. Runs that go on then are left to the next life of it.
    pub async fn keep_schedules(self) {
        loop {
            if let Err(error) = self.look_at_schedules(Timestamp::now()).await {
                tracing::warn!(error = ?error, "cannot look after scheduled commands");
            }
            tokio::select! {
                () = self.0.stop.cancelled() => return,
                () = self.0.cron.woken() => {}
                () = sleep(until_next_look(Timestamp::now())) => {}
            }
        }
    }

    /// One look at `now`: follows runs that nobody follows, records what is due, and starts what waits for its turn.
    ///
    /// Accounts take turns, so that whoever has many tasks delays nobody else's.
    ///
    /// # Errors
    /// When the database fails; the next look goes on. What fails for one app is logged and keeps nothing from the others.
    pub(super) async fn look_at_schedules(&self, now: Timestamp) -> Result<(), Error> {
        self.adopt_runs().await?;
        self.end_runs_of_former_owners().await?;
        for round in rounds(cron::due(self.0.store.pool(), now).await?) {
            for due in &round {
                if let Err(error) = self.record_due(due, now).await {
                    tracing::warn!(app.id = %due.app, error = ?error, "cannot record runs that are due");
                }
            }
            for due in &round {
                self.start_waiting_or_log(due.owner).await;
            }
        }
        for owner in cron::who_waits(self.0.store.pool()).await? {
            self.start_waiting_or_log(owner).await;
        }
        Ok(())
    }

    async fn start_waiting_or_log(&self, owner: UserId) {
        if let Err(error) = self.start_waiting(owner).await {
            tracing::warn!(user.id = %owner, error = ?error, "cannot start scheduled commands yet");
        }
    }

    /// Records a run for each of an app's tasks that is due, and moves the tasks on, in one transaction.
    async fn record_due(&self, due: &DueOfApp, now: Timestamp) -> Result<(), Error> {
        let store = &self.0.store;
        let current = release::current(store, due.app).await?;
        let tasks = current.build.map(|build| build.cron).unwrap_or_default();
        let mut notes = Vec::new();
        let mut tx = store.begin().await?;
        quotas::lock(&mut tx, due.owner).await?;
        for due in &due.tasks {
            // A release that was switched to in between has moved its tasks, or taken them away.
            let Some((schedule, zone)) = cron::schedule(&mut *tx, due.app_id, &due.id).await? else { continue };
            let Some(task) = tasks.iter().find(|task| task.id == due.id) else { continue };
            if !cron::advance(&mut *tx, due, schedule.next(&zone, now)).await? {
                continue;
            }
            let Some(at) = latest(&schedule, &zone, due.next_at, now) else {
                notes.push(format!(
                    "'{}' was due at {} and is left out: it is more than a day late",
                    due.id, due.next_at
                ));
                continue;
            };
            let live = cron::live(&mut *tx, due.app_id, Some(&due.id)).await?;
            match in_the_way(task.policy, &live) {
                Some(why) => notes.push(format!("'{}', due at {at}, is left out: {why}", due.id)),
                None => {
                    cron::insert_run(&mut tx, due.app_id, due.owner_id, &due.id, Some(at)).await?;
                    notes.extend(made_up_for(task, due.next_at, at));
                }
            }
        }
        tx.commit().await.map_err(StoreError::from)?;
        notes.iter().for_each(|note| self.0.logs.note(due.app, "cron", note));
        Ok(())
    }
}

/// What was missed is said.
fn made_up_for(task: &CronTask, first: Timestamp, at: Timestamp) -> Option<String> {
    (first < at).then(|| format!("'{}' was due at {first}, too; it runs once, for {at}", task.id))
}

/// The last moment of a schedule until `now`, if it is not too late for that; `first` is one of them.
fn latest(schedule: &CronSchedule, zone: &Zone, first: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let late = i64::try_from(LATE_MAX.as_millis()).unwrap_or(i64::MAX);
    let earliest = Timestamp::from_millis(now.millis() - late);
    let mut at = if first >= earliest { first } else { schedule.next(zone, earliest).filter(|at| *at <= now)? };
    while let Some(next) = schedule.next(zone, at).filter(|next| *next <= now) {
        at = next;
    }
    Some(at)
}

/// Until the next full minute, or less.
fn until_next_look(now: Timestamp) -> Duration {
    let millis = 60_000 - now.millis().rem_euclid(60_000);
    Duration::from_millis(millis.unsigned_abs()).min(LOOK)
}

/// What is due of one app.
struct DueOfApp {
    app: AppId,
    owner: UserId,
    tasks: Vec<DueTask>,
}

/// What is due by app, in rounds that have one app of each account at most.
fn rounds(due: Vec<DueTask>) -> Vec<Vec<DueOfApp>> {
    let mut accounts: Vec<(UserId, VecDeque<DueOfApp>)> = Vec::new();
    for task in due {
        let index = accounts.iter().position(|(owner, _)| *owner == task.owner_id).unwrap_or_else(|| {
            accounts.push((task.owner_id, VecDeque::new()));
            accounts.len() - 1
        });
        let apps = &mut accounts[index].1;
        match apps.iter_mut().find(|of| of.app == task.app_id) {
            Some(of) => of.tasks.push(task),
            None => apps.push_back(DueOfApp { app: task.app_id, owner: task.owner_id, tasks: vec![task] }),
        }
    }
    let mut rounds = Vec::new();
    loop {
        let round: Vec<DueOfApp> = accounts.iter_mut().filter_map(|(_, apps)| apps.pop_front()).collect();
        if round.is_empty() {
            return rounds;
        }
        rounds.push(round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let moment: time::OffsetDateTime =
            time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap();
        Timestamp::from_millis((moment.unix_timestamp_nanos() / 1_000_000) as i64)
    }

    #[test]
    fn of_what_was_missed_the_latest_is_made_up_for_within_a_day() {
        let check = |schedule: &str, first: &str, now: &str, expect: Option<&str>| {
            let found = latest(&schedule.parse().unwrap(), &Zone::default(), at(first), at(now));
            assert_eq!(found, expect.map(at), "{schedule} since {first} at {now}");
        };
        let noon = "2026-12-01T12:00:00Z";
        check("* * * * *", noon, "2026-12-01T12:00:00.020Z", Some(noon));
        check("* * * * *", noon, "2026-12-01T12:34:56Z", Some("2026-12-01T12:34:00Z"));
        check("* * * * *", noon, "2027-12-01T12:34:56Z", Some("2027-12-01T12:34:00Z"));
        check("@daily", "2026-12-01T00:00:00Z", "2026-12-01T23:00:00Z", Some("2026-12-01T00:00:00Z"));
        check("@daily", "2026-12-01T00:00:00Z", "2026-12-09T23:00:00Z", Some("2026-12-09T00:00:00Z"));
        check("@weekly", "2026-12-06T00:00:00Z", "2026-12-07T00:00:00Z", Some("2026-12-06T00:00:00Z"));
        check("@weekly", "2026-12-06T00:00:00Z", "2026-12-07T00:01:00Z", None);
    }

    #[test]
    fn looks_come_at_full_minutes_and_in_between() {
        let check = |now: &str, expect: Duration| assert_eq!(until_next_look(at(now)), expect, "{now}");
        check("2026-12-01T12:00:00Z", LOOK);
        check("2026-12-01T12:00:55Z", Duration::from_secs(5));
        check("2026-12-01T12:00:59.999Z", Duration::from_millis(1));
    }

    #[test]
    fn accounts_take_turns() {
        let (alice, bob) = (UserId::new(), UserId::new());
        let (first, second, third) = (AppId::new(), AppId::new(), AppId::new());
        let task = |app_id, owner_id, id: &str| DueTask {
            app_id,
            owner_id,
            id: id.parse().unwrap(),
            next_at: at("2026-12-01T12:00:00Z"),
        };
        let due =
            vec![task(first, alice, "a"), task(second, alice, "b"), task(first, alice, "c"), task(third, bob, "d")];
        let shown: Vec<Vec<(AppId, usize)>> =
            rounds(due).iter().map(|round| round.iter().map(|of| (of.app, of.tasks.len())).collect()).collect();
        assert_eq!(shown, [vec![(first, 2), (third, 1)], vec![(second, 1)]]);
    }
}
