//! Scheduled commands: what is due, and the rows of their runs.

use super::*;

on_both!(
    tasks_change_with_the_release_and_keep_what_is_due,
    of_each_moment_there_is_one_run,
    a_run_moves_on_in_one_direction,
    old_runs_and_those_of_gone_tasks_are_forgotten,
    accounts_wait_each_in_an_order_of_its_own,
);

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_millis(1_796_040_000_000 + minutes * 60_000)
}

fn task(id: &str, schedule: &str) -> CronTask {
    CronTask {
        id: id.parse().unwrap(),
        command: "./work".to_owned(),
        schedule: schedule.parse().unwrap(),
        zone: Zone::default(),
        policy: CronPolicy::Allow,
        is_paused: false,
    }
}

async fn replace(db: &Database, app: &App, tasks: &[CronTask], now: Timestamp) {
    let mut tx = db.store.begin().await.unwrap();
    cron::replace(&mut tx, app.id, tasks, now).await.unwrap();
    tx.commit().await.unwrap();
}

async fn due(db: &Database, now: Timestamp) -> Vec<(String, Timestamp)> {
    let due = cron::due(db.store.pool(), now).await.unwrap();
    due.into_iter().map(|task| (task.id.to_string(), task.next_at)).collect()
}

async fn record(db: &Database, app: &App, id: &str, at: Option<Timestamp>) -> Option<CronRun> {
    let mut tx = db.store.begin().await.unwrap();
    quotas::lock(&mut tx, app.owner_id).await.unwrap();
    let run = cron::insert_run(&mut tx, app.id, app.owner_id, &id.parse().unwrap(), at).await.unwrap();
    tx.commit().await.unwrap();
    run
}

async fn end(db: &Database, run: &CronRun, state: CronRunState) -> bool {
    let mut tx = db.store.begin().await.unwrap();
    let end = cron::RunEnd { state, exit_status: Some(3), detail: "why".to_owned() };
    let is_news = cron::end(&mut tx, run, &end).await.unwrap();
    tx.commit().await.unwrap();
    is_news
}

async fn tasks_change_with_the_release_and_keep_what_is_due(db: Database) {
    let alice = user(&db, "alice").await;
    let (hello, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let minutely = task("minutely", "* * * * *");
    replace(&db, &hello, &[minutely.clone(), task("daily", "@daily")], at(0)).await;
    replace(&db, &other, &[CronTask { is_paused: true, ..minutely.clone() }], at(0)).await;
    assert_eq!(due(&db, at(0)).await, []);
    assert_eq!(due(&db, at(1)).await, [("minutely".to_owned(), at(1))]);
    let next = cron::next_times(db.store.pool(), hello.id).await.unwrap();
    assert_eq!(next[&minutely.id], Some(at(1)));
    assert_eq!(cron::next_times(db.store.pool(), other.id).await.unwrap()[&minutely.id], None, "it is paused");
    // A release that comes in the very minute takes nothing away.
    replace(&db, &hello, std::slice::from_ref(&minutely), at(2)).await;
    assert_eq!(due(&db, at(2)).await, [("minutely".to_owned(), at(1))]);
    let first = cron::due(db.store.pool(), at(2)).await.unwrap().remove(0);
    assert!(cron::advance(db.store.pool(), &first, Some(at(3))).await.unwrap());
    assert!(!cron::advance(db.store.pool(), &first, Some(at(4))).await.unwrap(), "it was moved on before");
    assert_eq!(due(&db, at(9)).await, [("minutely".to_owned(), at(3))]);
    let (schedule, zone) = cron::schedule(db.store.pool(), hello.id, &minutely.id).await.unwrap().unwrap();
    assert_eq!((schedule, zone), (minutely.schedule.clone(), minutely.zone.clone()));
    // Another schedule, or none for a while, counts from its release.
    replace(&db, &hello, &[task("minutely", "*/2 * * * *")], at(9)).await;
    assert_eq!(due(&db, at(10)).await, [("minutely".to_owned(), at(10))]);
    replace(&db, &hello, &[CronTask { is_paused: true, ..minutely.clone() }], at(10)).await;
    replace(&db, &hello, std::slice::from_ref(&minutely), at(20)).await;
    assert_eq!(due(&db, at(30)).await, [("minutely".to_owned(), at(21))]);
    replace(&db, &hello, &[], at(30)).await;
    assert_eq!(due(&db, at(99)).await, []);
    assert!(cron::schedule(db.store.pool(), hello.id, &minutely.id).await.unwrap().is_none());
    replace(&db, &hello, &[minutely], at(30)).await;
    apps::mark_destroying(db.store.pool(), hello.id).await.unwrap();
    assert_eq!(due(&db, at(99)).await, []);
    apps::delete(db.store.pool(), hello.id).await.unwrap();
}

async fn of_each_moment_there_is_one_run(db: Database) {
    let alice = user(&db, "alice").await;
    let (hello, other) = (app(&db, &alice, "hello").await, app(&db, &alice, "other").await);
    let run = record(&db, &hello, "work", Some(at(1))).await.unwrap();
    assert_eq!((run.number, run.state, run.scheduled_at), (1, CronRunState::Waiting, Some(at(1))));
    assert_eq!((run.owner_id, run.version, run.exit_status, run.ended_at), (alice.id, None, None, None));
    assert!(record(&db, &hello, "work", Some(at(1))).await.is_none());
    assert_eq!(record(&db, &hello, "work", Some(at(2))).await.unwrap().number, 2);
    assert_eq!(record(&db, &hello, "more", Some(at(1))).await.unwrap().number, 3);
    assert_eq!(record(&db, &other, "work", Some(at(1))).await.unwrap().number, 1);
    // Those that somebody asks for have no moment.
    for number in 4..6 {
        assert_eq!(record(&db, &hello, "work", None).await.unwrap().number, number);
    }
    let mut tx = db.store.begin().await.unwrap();
    let gone = cron::insert_run(&mut tx, AppId::new(), alice.id, &run.task, None).await;
    assert!(matches!(gone, Err(StoreError::Dangling)), "{gone:?}");
    drop(tx);
    // Of two that record the same moment at once, one does.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, hello) = (db.store.clone(), hello.clone());
        tasks.spawn(async move {
            let mut tx = store.begin().await.unwrap();
            quotas::lock(&mut tx, hello.owner_id).await.unwrap();
            let id = "work".parse().unwrap();
            let run = cron::insert_run(&mut tx, hello.id, hello.owner_id, &id, Some(at(7))).await.unwrap();
            tx.commit().await.unwrap();
            run.is_some()
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|made| *made).count(), 1);
}

async fn a_run_moves_on_in_one_direction(db: Database) {
    let alice = user(&db, "alice").await;
    let hello = app(&db, &alice, "hello").await;
    let pool = db.store.pool();
    let tasks = [task("work", "* * * * *")];
    replace(&db, &hello, &tasks, at(0)).await;
    let run = record(&db, &hello, "work", Some(at(1))).await.unwrap();
    let now = async || cron::get(pool, run.id).await.unwrap().unwrap();
    let used = async || quotas::count(pool, alice.id, QuotaKind::CronRuns).await.unwrap();
    assert_eq!(used().await, Some(0), "what waits takes no place");
    assert!(cron::claim(pool, run.id, 4).await.unwrap());
    assert!(!cron::claim(pool, run.id, 5).await.unwrap());
    assert_eq!((now().await.state, now().await.version, used().await), (CronRunState::Starting, Some(4), Some(1)));
    cron::give_back(pool, run.id).await.unwrap();
    assert_eq!((now().await.state, now().await.version), (CronRunState::Waiting, None));
    cron::started(pool, run.id).await.unwrap();
    assert_eq!(now().await.state, CronRunState::Waiting, "nobody has claimed it");
    assert!(cron::claim(pool, run.id, 5).await.unwrap());
    cron::started(pool, run.id).await.unwrap();
    let running = now().await;
    assert_eq!((running.state, running.started_at.is_some()), (CronRunState::Running, true));
    cron::give_back(pool, run.id).await.unwrap();
    assert_eq!(now().await.state, CronRunState::Running, "it has a container");
    assert_eq!(cron::under_way(pool).await.unwrap().len(), 1);
    assert_eq!(cron::live(pool, hello.id, Some(&run.task)).await.unwrap().len(), 1);
    assert!(cron::live(pool, hello.id, Some(&"more".parse().unwrap())).await.unwrap().is_empty());
    assert!(end(&db, &run, CronRunState::Failed).await);
    assert!(!end(&db, &run, CronRunState::Succeeded).await, "it has ended");
    let ended = now().await;
    assert_eq!((ended.state, ended.exit_status, ended.detail.as_str()), (CronRunState::Failed, Some(3), "why"));
    assert!(ended.ended_at.is_some() && !ended.state.is_live());
    assert!(!cron::claim(pool, run.id, 6).await.unwrap());
    assert!(cron::under_way(pool).await.unwrap().is_empty() && used().await == Some(0));
    let last = cron::last_runs(pool, hello.id).await.unwrap();
    assert_eq!(last.iter().map(|run| run.number).collect::<Vec<_>>(), [1]);
}

async fn old_runs_and_those_of_gone_tasks_are_forgotten(db: Database) {
    let alice = user(&db, "alice").await;
    let hello = app(&db, &alice, "hello").await;
    replace(&db, &hello, &[task("work", "* * * * *"), task("rare", "@yearly")], at(0)).await;
    let rare = record(&db, &hello, "rare", Some(at(0))).await.unwrap();
    end(&db, &rare, CronRunState::Succeeded).await;
    for minute in 1..=15 {
        let run = record(&db, &hello, "work", Some(at(minute))).await.unwrap();
        end(&db, &run, CronRunState::Succeeded).await;
    }
    let known = async || {
        let sql = "SELECT COUNT(*) AS n FROM cron_runs WHERE app_id = $1";
        let row = sqlx::query(sql).bind(hello.id.to_string()).fetch_one(db.store.pool()).await.unwrap();
        sqlx::Row::get::<i64, _>(&row, "n")
    };
    assert_eq!(known().await, 11, "ten of one task and one of the other");
    let last = cron::last_runs(db.store.pool(), hello.id).await.unwrap();
    let mut numbers: Vec<u32> = last.iter().map(|run| run.number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 16]);
    // What goes on of a task that is gone stays until its end.
    let live = record(&db, &hello, "work", Some(at(16))).await.unwrap();
    replace(&db, &hello, &[task("rare", "@yearly")], at(20)).await;
    assert_eq!(known().await, 2);
    end(&db, &live, CronRunState::Succeeded).await;
    assert_eq!(known().await, 1);
    apps::delete(db.store.pool(), hello.id).await.unwrap();
    assert_eq!(known().await, 0);
}

async fn accounts_wait_each_in_an_order_of_its_own(db: Database) {
    let (alice, bob) = (user(&db, "alice").await, user(&db, "bob").await);
    let (hello, other) = (app(&db, &alice, "hello").await, app(&db, &bob, "other").await);
    for minute in 0..3 {
        record(&db, &hello, "work", Some(at(minute))).await.unwrap();
        tick().await;
    }
    let run = record(&db, &other, "work", Some(at(0))).await.unwrap();
    let pool = db.store.pool();
    let mut who = cron::who_waits(pool).await.unwrap();
    who.sort();
    let mut expect = vec![alice.id, bob.id];
    expect.sort();
    assert_eq!(who, expect);
    let waiting = cron::waiting(pool, alice.id).await.unwrap();
    assert_eq!(waiting.iter().map(|run| run.number).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(cron::claim(pool, run.id, 1).await.unwrap());
    assert_eq!(cron::who_waits(pool).await.unwrap(), [alice.id]);
    assert!(cron::of_former_owners(pool).await.unwrap().is_empty());
    apps::set_owner(pool, other.id, alice.id).await.unwrap();
    let former = cron::of_former_owners(pool).await.unwrap();
    assert_eq!(former.iter().map(|it| it.id).collect::<Vec<_>>(), [run.id]);
}
