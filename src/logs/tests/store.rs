//! What is appended is there, whatever happens to the files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

fn files(folder: &tempfile::TempDir, app: AppId) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder.path().join("logs").join(app.to_string()))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn tail_yields_the_last_lines_in_order_with_their_sources() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 1 << 20);
    let (app, other, instance) = (AppId::new(), AppId::new(), InstanceId::new());
    for n in 0..10 {
        store.append(app, &line(instance, n, &format!("line {n}")));
    }
    store.note(app, "deploy", "one\ntwo\n");
    let tail = store.tail(app, 4).await.unwrap();
    let printed: Vec<String> = tail.iter().map(|line| format!("{} {}", line.source, line.text)).collect();
    assert_eq!(printed, ["app[web.1] line 8", "app[web.1] line 9", "slipway[deploy] one", "slipway[deploy] two"]);
    assert_eq!(tail[0], line(instance, 8, "line 8"));
    assert!(tail[3].at().elapsed() < Duration::from_secs(60));
    assert_eq!(store.tail(app, 0).await.unwrap(), []);
    assert_eq!(store.tail(other, 9).await.unwrap(), []);
    assert!(!folder.path().join("logs").join(other.to_string()).exists(), "asking makes no files");
}

/// Who asks for the lines of a part of the platform has to be able to name it.
#[test]
fn every_part_that_speaks_is_in_the_list() {
    let part =
        regex::Regex::new(r#"\bnote\(\s*[\w.]+(?:\(\)\.\w+)*,\s*"([^"]+)"|\bCOMPONENT: &str = "([^"]+)""#).unwrap();
    let (mut folders, mut found) = (vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")], 0);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            for named in part.captures_iter(&text) {
                found += 1;
                let name = named.get(1).or(named.get(2)).unwrap().as_str();
                let known = crate::model::LOG_COMPONENTS.contains(&name) || name == LogSource::ROUTER;
                assert!(known, "{}: '{name}' is not among LOG_COMPONENTS", path.display());
            }
        }
    }
    assert!(found > 15, "only {found} were found");
}

#[tokio::test]
async fn a_stream_stays_within_its_bytes_and_keeps_the_newest_half() {
    let folder = tempfile::tempdir().unwrap();
    let (app, instance, bytes) = (AppId::new(), InstanceId::new(), 64 << 10);
    let store = open(&folder, bytes);
    for n in 0..5000 {
        store.append(app, &line(instance, n, &format!("line {n}")));
        if n % 100 == 0 {
            let used: u64 = files(&folder, app).iter().map(|file| file.metadata().unwrap().len()).sum();
            assert!(used <= bytes, "{used} bytes after line {n}");
        }
    }
    let kept = texts(&store, app).await;
    let expect: Vec<String> = (5000 - kept.len()..5000).map(|n| format!("line {n}")).collect();
    assert_eq!(kept, expect, "no gap in what is kept");
    let used: u64 = files(&folder, app).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(used >= bytes / 2 - 1024, "{used}");
    assert_eq!(files(&folder, app).len(), 2);
}

#[tokio::test]
async fn lines_far_longer_than_a_file_are_cut_and_fit() {
    let folder = tempfile::tempdir().unwrap();
    let (app, instance) = (AppId::new(), InstanceId::new());
    let store = open(&folder, 8 << 10);
    for n in 0..20 {
        store.append(app, &line(instance, n, &"\u{1}".repeat(100_000)));
    }
    let used: u64 = files(&folder, app).iter().map(|file| file.metadata().unwrap().len()).sum();
    assert!(used <= 8 << 10, "{used}");
    assert!(texts(&store, app).await.last().unwrap().ends_with("... (99488 bytes cut)"));
}

#[tokio::test]
async fn a_torn_last_record_is_cut_off_and_the_stream_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (app, instance) = (AppId::new(), InstanceId::new());
    let store = open(&folder, 1 << 20);
    store.append(app, &line(instance, 1, "one"));
    store.append(app, &line(instance, 2, "two"));
    let file = &files(&folder, app)[0];
    let whole = fs::read(file).unwrap();
    for torn in [&whole[..whole.len() - 1], &whole[..whole.len() - 9], &[&whole[..], &b"{\"t\":3,\"te"[..]].concat()] {
        fs::write(file, torn).unwrap();
        let expect = if torn.len() < whole.len() { vec!["one"] } else { vec!["one", "two"] };
        let store = open(&folder, 1 << 20);
        assert_eq!(texts(&store, app).await, expect, "as found");
        store.append(app, &line(instance, 3, "three"));
        assert_eq!(texts(&store, app).await, [&expect[..], &["three"]].concat(), "after the next line");
    }
    // What a power cut leaves in the middle: zeroes instead of a record.
    fs::write(file, [&whole[..], &[0; 5000], b"\n", &whole[..]].concat()).unwrap();
    assert_eq!(texts(&open(&folder, 1 << 20), app).await, ["one", "two", "one", "two"]);
}

#[tokio::test]
async fn a_restarted_store_knows_how_far_each_instance_is_stored_even_after_rotation() {
    let folder = tempfile::tempdir().unwrap();
    let (app, quiet, chatty) = (AppId::new(), InstanceId::new(), InstanceId::new());
    let store = open(&folder, 16 << 10);
    assert_eq!(store.last_nanos(app, quiet), None);
    store.append(app, &line(quiet, 7, "hello"));
    for n in 0..1000 {
        store.append(app, &line(chatty, 100 + n, "x"));
    }
    assert!(!texts(&store, app).await.contains(&"hello".to_owned()), "rotated away");
    for store in [&store, &open(&folder, 16 << 10)] {
        assert_eq!(store.last_nanos(app, quiet), Some(7));
        assert_eq!(store.last_nanos(app, chatty), Some(1099));
        assert_eq!(store.last_nanos(app, InstanceId::new()), None);
    }
    // A crash between the two steps of a rotation leaves only the previous file.
    fs::remove_file(&files(&folder, app)[0]).unwrap();
    assert_eq!(open(&folder, 16 << 10).last_nanos(app, quiet), Some(7));
}

#[tokio::test]
async fn a_store_that_cannot_write_drops_lines_and_says_how_many() {
    let folder = tempfile::tempdir().unwrap();
    let (app, instance) = (AppId::new(), InstanceId::new());
    let store = open(&folder, 1 << 20);
    fs::write(folder.path().join("logs"), "in the way").unwrap();
    for n in 0..3 {
        store.append(app, &line(instance, n, "lost"));
    }
    assert!(store.tail(app, 9).await.is_err());
    fs::remove_file(folder.path().join("logs")).unwrap();
    let mut n = 3;
    wait_until("lines are stored again", async || {
        store.append(app, &line(instance, n, "kept"));
        n += 1;
        !texts(&store, app).await.is_empty()
    })
    .await;
    let expect = format!("{} log lines are missing here: they could not be stored", n - 1);
    assert_eq!(texts(&store, app).await, [expect.as_str(), "kept"]);
    assert_eq!(store.last_nanos(app, instance), Some(n - 1));
}

#[tokio::test]
async fn removed_logs_do_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (app, instance) = (AppId::new(), InstanceId::new());
    let store = open(&folder, 1 << 20);
    store.append(app, &line(instance, 1, "one"));
    let mode = fs::metadata(&files(&folder, app)[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "logs are nobody else's business");
    store.remove(app).await;
    store.append(app, &line(instance, 2, "two"));
    assert_eq!(store.last_nanos(app, instance), None);
    assert_eq!(texts(&store, app).await, [""; 0]);
    assert!(!folder.path().join("logs").join(app.to_string()).exists());
    store.remove(AppId::new()).await;
}

#[tokio::test]
async fn more_apps_than_open_files_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, 1 << 20);
    let apps: Vec<AppId> = (0..600).map(|_| AppId::new()).collect();
    for n in 0..2 {
        apps.iter().for_each(|app| store.append(*app, &line(InstanceId::new(), n, &n.to_string())));
    }
    // Other tests open files meanwhile, but far fewer than the apps here.
    let is_log = |entry: &fs::DirEntry| fs::read_link(entry.path()).is_ok_and(|to| to.starts_with(folder.path()));
    let open_files = fs::read_dir("/proc/self/fd").unwrap().filter(|entry| is_log(entry.as_ref().unwrap())).count();
    assert!(open_files <= 257, "{open_files}");
    for app in apps {
        assert_eq!(texts(&store, app).await, ["0", "1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_of_one_app_keep_their_own_order() {
    let folder = tempfile::tempdir().unwrap();
    let (store, app) = (open(&folder, 8 << 20), AppId::new());
    let instances: Vec<InstanceId> = (0..4).map(|_| InstanceId::new()).collect();
    std::thread::scope(|scope| {
        for instance in &instances {
            scope.spawn(|| (0..2000).for_each(|n| store.append(app, &line(*instance, n, &n.to_string()))));
        }
    });
    let tail = store.tail(app, usize::MAX).await.unwrap();
    for instance in instances {
        let of: Vec<i64> = tail.iter().filter(|line| line.source == web(instance)).map(|line| line.nanos).collect();
        assert_eq!(of, (0..2000).collect::<Vec<_>>());
    }
}

/// 100 000 lines, one call each; the bound is loose enough for a busy machine and an unoptimised build.
#[tokio::test]
async fn a_hundred_thousand_lines_are_cheap() {
    let folder = tempfile::tempdir().unwrap();
    let (store, app, instance) = (open(&folder, 32 << 20), AppId::new(), InstanceId::new());
    let begin = Instant::now();
    for n in 0..100_000 {
        store.append(app, &line(instance, n, "GET /some/path status=200 duration_ms=12 bytes=3456 agent=curl"));
    }
    let appended = begin.elapsed();
    let begin = Instant::now();
    let tail = store.tail(app, 100).await.unwrap();
    let tailed = begin.elapsed();
    println!("append of 100000 lines: {appended:?}; tail of 100: {tailed:?}");
    assert_eq!(tail.last().unwrap().nanos, 99_999);
    assert!(appended < Duration::from_secs(20), "{appended:?}");
    assert!(tailed < Duration::from_secs(1), "{tailed:?}");
}
