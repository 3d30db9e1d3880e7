//! An app that says too much, and a disk that has no room: the stream tells what is not in it.

use std::io::{self, Read};

use futures_util::StreamExt;
use tokio::time::timeout;

use super::*;
use crate::logs::file::AppLog;
use crate::model::LogFilter;

const SECOND: i64 = 1_000_000_000;

fn limited(folder: &tempfile::TempDir, lines_per_second: u64) -> LogStore {
    let limits = LogLimits { lines_per_second, min_free_bytes: 0, ..LogLimits::default() };
    LogStore::new(folder.path().join("logs"), limits)
}

#[tokio::test]
async fn a_chatty_app_is_limited_and_the_stream_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (store, app, instance) = (limited(&folder, 10), AppId::new(), InstanceId::new());
    for n in 0..50 {
        store.append(app, &line(instance, SECOND + n, "x"));
    }
    store.note(app, "deploy", "heard");
    store.append(app, &line(instance, 4 * SECOND, "later"));
    let said = texts(&store, app).await;
    let told = "30 lines dropped: the app logs faster than 10 lines per second";
    assert_eq!(said[..20], ["x"; 20]);
    assert_eq!(said[20..], [told, "heard", "later"]);
    assert_eq!(store.last_nanos(app, instance), Some(4 * SECOND));
}

#[tokio::test]
async fn the_count_comes_although_the_app_falls_silent() {
    let folder = tempfile::tempdir().unwrap();
    let (store, app, instance) = (limited(&folder, 1), AppId::new(), InstanceId::new());
    let mut stream = store.follow(app, 0, LogFilter::default()).await.unwrap();
    for n in 0..7 {
        store.append(app, &line(instance, n, "x"));
    }
    let mut read = Vec::new();
    while read.len() < 3 {
        read.push(timeout(Duration::from_secs(10), stream.next()).await.expect("a line comes").unwrap().text);
    }
    assert_eq!(read, ["x", "x", "5 lines dropped: the app logs faster than 1 lines per second"]);
    assert_eq!(texts(&store, app).await.len(), 3, "it is said once");
}

#[test]
fn a_disk_without_room_drops_lines_and_the_stream_counts_them() {
    let folder = tempfile::tempdir().unwrap();
    let limits = LogLimits { lines_per_second: 0, ..LogLimits::default() };
    let (mut log, instance) = (AppLog::new(folder.path().join("app"), &limits), InstanceId::new());
    let full = || Err(io::Error::new(io::ErrorKind::StorageFull, "less than 64 MiB of disk space are left"));
    log.append(&[line(instance, 1, "kept")], Ok(()));
    let before = log.end().unwrap().1;
    log.append(&[line(instance, 2, "lost"), line(instance, 3, "lost")], full());
    log.append(&[line(instance, 4, "lost")], Ok(()));
    assert_eq!(log.end().unwrap().1, before, "nothing is written, nor tried for a while");
    let (deadline, mut lost) = (Instant::now() + Duration::from_secs(10), 3);
    while log.end().unwrap().1 == before {
        assert!(Instant::now() < deadline, "it never works again");
        std::thread::yield_now();
        log.append(&[line(instance, 5, "again")], Ok(()));
        lost += 1;
    }
    let (file, mut said) = (log.end().unwrap().0.remove(0).0, String::new());
    std::io::BufReader::new(file).read_to_string(&mut said).unwrap();
    let told = format!("{} log lines are missing here: they could not be stored", lost - 1);
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.contains(&told) && said.contains("again") && !said.contains("lost"), "{told}: {said}");
}
