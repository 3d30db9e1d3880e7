//! No gap and no duplicate, whoever restarts and whatever breaks.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::engine::{Handle, TalkingEngine};
use super::*;
use crate::engine::ContainerState;
use crate::logs::Collector;

const SECOND: i64 = 1_000_000_000;

/// One container of one instance, and a server that collects from it.
struct World {
    engine: Arc<TalkingEngine>,
    store: LogStore,
    app: AppId,
    instance: InstanceId,
    folder: tempfile::TempDir,
    server: Server,
}

struct Server {
    collector: Collector,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Server {
    fn start(engine: &Arc<TalkingEngine>, store: &LogStore) -> Self {
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let engine = Arc::new(Handle(engine.clone()));
        Self { collector: Collector::new(engine, store.clone(), tracker.clone(), stop.clone()), tracker, stop }
    }

    async fn stop(&self) {
        self.stop.cancel();
        self.ended().await;
    }

    /// Every task has come to its end.
    async fn ended(&self) {
        self.tracker.close();
        tokio::time::timeout(Duration::from_secs(10), self.tracker.wait()).await.expect("followers end");
    }
}

impl World {
    fn new(bytes_per_app: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (engine, store) = (Arc::new(TalkingEngine::new()), open(&folder, bytes_per_app));
        engine.run("c1");
        let server = Server::start(&engine, &store);
        Self { engine, store, app: AppId::new(), instance: InstanceId::new(), folder, server }
    }

    fn follow(&self) {
        self.server.collector.follow(self.app, &"web".parse().unwrap(), 1, self.instance, "c1");
    }

    async fn restart(&mut self) {
        self.server.stop().await;
        self.store = open(&self.folder, 1 << 20);
        self.server = Server::start(&self.engine, &self.store);
        self.follow();
    }

    async fn sees(&self, expect: &[&str]) {
        let mut last = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(10);
        while last != expect {
            assert!(Instant::now() < deadline, "{last:?} instead of {expect:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
            last = texts(&self.store, self.app).await;
        }
    }
}

#[tokio::test]
async fn output_is_followed_until_the_container_ends() {
    let world = World::new(1 << 20);
    world.engine.say("c1", SECOND, "one");
    world.follow();
    world.follow();
    world.sees(&["one"]).await;
    world.engine.say("c1", 2 * SECOND, "two");
    world.sees(&["one", "two"]).await;
    world.engine.say("c1", 3 * SECOND, "last words");
    world.engine.exit("c1");
    world.server.collector.settled(world.instance).await;
    assert_eq!(texts(&world.store, world.app).await, ["one", "two", "last words"]);
    world.server.ended().await;
    assert_eq!(world.store.tail(world.app, 1).await.unwrap(), [line(world.instance, 3 * SECOND, "last words")]);
}

#[tokio::test]
async fn a_restarted_server_goes_on_without_gap_or_duplicate() {
    let mut world = World::new(1 << 20);
    // The two outputs are stamped and written by two threads: two lines of one stamp, and one pair out of order.
    let said =
        [(5 * SECOND, "a"), (5 * SECOND, "b"), (5 * SECOND + 9, "c"), (5 * SECOND + 4, "d"), (5 * SECOND + 9, "e")];
    let mut expect = Vec::new();
    for (nanos, text) in said {
        world.engine.say("c1", nanos, text);
        expect.push(text);
        world.restart().await;
        world.sees(&expect).await;
    }
    world.server.stop().await;
    world.engine.say("c1", 5 * SECOND + 9, "while down");
    world.engine.say("c1", 900 * SECOND, "much later");
    world.restart().await;
    world.sees(&["a", "b", "c", "d", "e", "while down", "much later"]).await;
    world.engine.say("c1", 901 * SECOND, "end");
    world.restart().await;
    world.sees(&["a", "b", "c", "d", "e", "while down", "much later", "end"]).await;
    let since = world.engine.opened.lock().unwrap().last().unwrap().1;
    assert!(since >= 899, "asks for what is new, not for everything: {since}");
    world.server.stop().await;
}

#[tokio::test]
async fn lines_that_were_rotated_away_are_not_collected_again() {
    let mut world = World::new(16 << 10);
    world.engine.say("c1", 5 * SECOND, "boot");
    world.engine.say("c1", 6 * SECOND, "ready");
    world.follow();
    world.sees(&["boot", "ready"]).await;
    let chatty = InstanceId::new();
    for n in 0..500 {
        world.store.append(world.app, &line(chatty, 7 * SECOND + n, "x"));
    }
    world.restart().await;
    world.engine.say("c1", 9 * SECOND, "new");
    wait_until("the new line is stored", async || texts(&world.store, world.app).await.last().unwrap() == "new").await;
    let texts = texts(&world.store, world.app).await;
    assert!(!texts.contains(&"boot".to_owned()) && !texts.contains(&"ready".to_owned()), "{texts:?}");
    world.server.stop().await;
}

#[tokio::test]
async fn an_engine_that_goes_away_costs_no_line() {
    let world = World::new(1 << 20);
    world.engine.say("c1", 5 * SECOND, "one");
    world.follow();
    world.sees(&["one"]).await;
    for round in 0..3 {
        let before = world.engine.opened.lock().unwrap().len();
        world.engine.go_away();
        world.engine.say("c1", 6 * SECOND + round, "while away");
        wait_until("it asks again", async || world.engine.opened.lock().unwrap().len() > before).await;
        world.engine.return_();
        let expect: Vec<&str> = ["one"].into_iter().chain((0..=round).map(|_| "while away")).collect();
        world.sees(&expect).await;
    }
    world.engine.go_away();
    world.engine.remove("c1");
    world.engine.return_();
    world.server.collector.settled(world.instance).await;
    world.server.ended().await;
}

#[tokio::test]
async fn a_container_may_start_late_and_start_again() {
    let world = World::new(1 << 20);
    world.engine.set_state("c1", ContainerState::Created);
    world.follow();
    wait_until("it has looked once", async || !world.engine.opened.lock().unwrap().is_empty()).await;
    world.engine.run("c1");
    world.engine.say("c1", 5 * SECOND, "first life");
    world.sees(&["first life"]).await;
    world.engine.exit("c1");
    world.engine.run("c1");
    world.follow();
    world.engine.say("c1", 6 * SECOND, "second life");
    world.sees(&["first life", "second life"]).await;
    world.engine.exit("c1");
    world.server.collector.settled(world.instance).await;
    world.server.ended().await;
    world.engine.run("c1");
    world.engine.say("c1", 7 * SECOND, "third life");
    world.follow();
    world.sees(&["first life", "second life", "third life"]).await;
    world.server.stop().await;
}

#[tokio::test]
async fn a_stop_ends_the_followers_of_running_containers_and_of_an_absent_engine() {
    let world = World::new(1 << 20);
    world.engine.say("c1", SECOND, "one");
    world.follow();
    world.sees(&["one"]).await;
    world.server.stop().await;
    let world = World::new(1 << 20);
    world.engine.go_away();
    world.follow();
    wait_until("it has asked", async || !world.engine.opened.lock().unwrap().is_empty()).await;
    world.server.stop().await;
}

#[tokio::test]
async fn last_lines_come_from_the_engine() {
    let world = World::new(1 << 20);
    for n in 0..5 {
        world.engine.say("c1", n, &n.to_string());
    }
    assert_eq!(world.server.collector.last_lines("c1", 2).await, ["3", "4"]);
    assert_eq!(world.server.collector.last_lines("c1", 0).await, [""; 0]);
    assert_eq!(world.server.collector.last_lines("gone", 2).await, [""; 0]);
    world.server.collector.settled(world.instance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_arrives_whole() {
    let mut world = World::new(64 << 20);
    for n in 0..20_000 {
        world.engine.say("c1", SECOND + n, "a line of some length, as programs write them");
    }
    world.engine.exit("c1");
    let begin = Instant::now();
    world.follow();
    world.server.collector.settled(world.instance).await;
    println!("20000 lines collected in {:?}", begin.elapsed());
    let nanos = |tail: Vec<LogLine>| tail.iter().map(|line| line.nanos - SECOND).collect::<Vec<_>>();
    let expect: Vec<i64> = (0..20_000).collect();
    assert_eq!(nanos(world.store.tail(world.app, usize::MAX).await.unwrap()), expect);
    world.server.ended().await;
    world.restart().await;
    world.server.ended().await;
    assert_eq!(nanos(world.store.tail(world.app, usize::MAX).await.unwrap()), expect, "nothing twice");
}
