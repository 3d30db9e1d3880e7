//! "Last N, then follow" without a gap or a duplicate, whoever writes meanwhile and however often files rotate.

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use proptest::prelude::*;
use tokio::time::timeout;

use super::*;
use crate::model::LogFilter;

async fn follow(store: &LogStore, app: AppId, lines: usize) -> BoxStream<'static, LogLine> {
    store.follow(app, lines, LogFilter::default()).await.unwrap()
}

/// The next line; there has to be one within ten seconds.
async fn next(stream: &mut BoxStream<'static, LogLine>) -> LogLine {
    timeout(Duration::from_secs(10), stream.next()).await.expect("a line comes").expect("the stream goes on")
}

#[tokio::test]
async fn the_last_lines_come_first_and_then_what_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (store, app, instance) = (open(&folder, 1 << 20), AppId::new(), InstanceId::new());
    (0..5).for_each(|n| store.append(app, &line(instance, n, &n.to_string())));
    let mut stream = follow(&store, app, 2).await;
    for n in 3..5 {
        assert_eq!(next(&mut stream).await.nanos, n);
    }
    assert!(stream.next().now_or_never().is_none(), "nothing more yet");
    (5..8).for_each(|n| store.append(app, &line(instance, n, &n.to_string())));
    for n in 5..8 {
        assert_eq!(next(&mut stream).await, line(instance, n, &n.to_string()));
    }
}

#[tokio::test]
async fn an_app_that_never_spoke_can_be_followed_and_the_end_of_the_app_is_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (store, app, instance) = (open(&folder, 1 << 20), AppId::new(), InstanceId::new());
    let mut stream = follow(&store, app, 10).await;
    assert!(!folder.path().join("logs").exists(), "following makes no files");
    store.append(app, &line(instance, 1, "one"));
    assert_eq!(next(&mut stream).await.text, "one");
    store.remove(app).await;
    assert_eq!(timeout(Duration::from_secs(10), stream.next()).await.expect("it ends"), None);
    let mut late = follow(&store, app, 10).await;
    assert_eq!(timeout(Duration::from_secs(10), late.next()).await.expect("it ends"), None);
}

#[tokio::test]
async fn only_chosen_lines_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, app, instance) = (open(&folder, 1 << 20), AppId::new(), InstanceId::new());
    let filter = LogFilter { sources: vec!["release".parse().unwrap()], ..LogFilter::default() };
    for n in 0..3 {
        store.note(app, "release", &format!("v{n}"));
        store.append(app, &line(instance, n, "x"));
    }
    let tail = store.tail_of(app, 2, filter.clone()).await.unwrap();
    assert_eq!(tail.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["v1", "v2"]);
    let mut stream = store.follow(app, 1, filter).await.unwrap();
    store.append(app, &line(instance, 4, "x"));
    store.note(app, "release", "v3");
    assert_eq!((next(&mut stream).await.text, next(&mut stream).await.text), ("v2".to_owned(), "v3".to_owned()));
}

#[tokio::test]
async fn a_reader_that_cannot_keep_up_is_told_how_many_it_missed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, app, instance) = (open(&folder, 16 << 10), AppId::new(), InstanceId::new());
    store.append(app, &line(instance, 0, "first"));
    let mut stream = follow(&store, app, 1).await;
    assert_eq!(next(&mut stream).await.nanos, 0);
    (1..2000).for_each(|n| store.append(app, &line(instance, n, "x")));
    let told = next(&mut stream).await;
    let missed: i64 = told.text.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(told.source.to_string(), "slipway[logs]");
    assert!(told.text.ends_with(" log lines are missing here: they came faster than they were read"), "{}", told.text);
    for n in missed + 1..2000 {
        assert_eq!(next(&mut stream).await.nanos, n, "neither a gap nor a duplicate behind the missing ones");
    }
}

#[tokio::test]
async fn long_lines_are_followed_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (store, app, instance) = (open(&folder, 8 << 20), AppId::new(), InstanceId::new());
    let mut stream = follow(&store, app, 0).await;
    let long = "ä".repeat(32 << 10);
    let control = "\0\u{1b}".repeat(32 << 10);
    for (n, text) in (0..).zip([long.as_str(), &control, "short"]) {
        store.append(app, &line(instance, n, text));
    }
    for text in [long.as_str(), &control, "short"] {
        assert!(next(&mut stream).await.text == text, "{} bytes", text.len());
    }
}

#[tokio::test]
async fn no_more_than_so_many_follow() {
    let folder = tempfile::tempdir().unwrap();
    let (store, app) = (open(&folder, 1 << 20), AppId::new());
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(follow(&store, app, 0).await);
    }
    let error = store.follow(app, 0, LogFilter::default()).await.err().expect("it is refused");
    assert_eq!(error.kind(), std::io::ErrorKind::QuotaExceeded);
    streams.pop();
    drop(follow(&store, app, 0).await);
}

/// One reader that begins in the middle of things.
async fn read_all(store: LogStore, app: AppId, lines: usize, last: i64, pace: u32) -> Vec<LogLine> {
    let mut stream = follow(&store, app, lines).await;
    let mut read = Vec::new();
    loop {
        let line = next(&mut stream).await;
        let is_last = line.text == "end";
        read.push(line);
        if is_last {
            return read;
        }
        if pace > 0 && (read.len() as u32).is_multiple_of(pace) {
            tokio::task::yield_now().await;
        }
        assert!(read.len() < 4 * last as usize, "more lines than were written");
    }
}

/// Whether what was read of each writer is a stretch without gap or duplicate, but for what the reader was told of.
fn check(read: &[LogLine], writers: &[InstanceId], written: i64) {
    let missed: i64 = read
        .iter()
        .filter(|line| line.text.contains("log lines are missing"))
        .map(|line| line.text.split(' ').next().unwrap().parse::<i64>().unwrap())
        .sum();
    let mut gaps = 0;
    for writer in writers {
        let of: Vec<i64> = read.iter().filter(|line| line.source == web(*writer)).map(|line| line.nanos).collect();
        for pair in of.windows(2) {
            assert!(pair[1] > pair[0], "{} after {}: a duplicate", pair[1], pair[0]);
            gaps += pair[1] - pair[0] - 1;
        }
        gaps += written - 1 - of.last().unwrap_or(&(written - 1));
    }
    assert!(gaps <= missed, "{gaps} lines are missing, {missed} were told of");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn every_line_is_read_once_or_counted(
        kib in 16u64..200,
        written in 200i64..1500,
        lines in prop_oneof![Just(0), 1usize..300, Just(usize::MAX)],
        pace in 0u32..50,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let (store, app) = (open(&folder, kib << 10), AppId::new());
            let writers: Vec<InstanceId> = (0..3).map(|_| InstanceId::new()).collect();
            let writing: Vec<_> = writers.iter().map(|writer| {
                let (store, writer) = (store.clone(), *writer);
                tokio::task::spawn_blocking(move || {
                    for n in 0..written {
                        store.append(app, &line(writer, n, "a line of some length"));
                    }
                })
            }).collect();
            let readers: Vec<_> = (0..3).map(|n| {
                tokio::task::spawn(read_all(store.clone(), app, lines, 3 * written + 10, pace * n))
            }).collect();
            for writer in writing {
                writer.await.unwrap();
            }
            store.note(app, "deploy", "end");
            for reader in readers {
                check(&reader.await.unwrap(), &writers, written);
            }
        });
    }
}
