//! Repositories made with the real git.

mod hostile;
mod submodules;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures_util::StreamExt;
use tempfile::TempDir;

use super::*;
use crate::model::AppId;

/// Runs git in `folder`, away from the configuration of the machine; yields its trimmed output.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

struct World {
    folder: TempDir,
    repositories: Repositories,
    app: AppId,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::new(folder.path().join("repositories"));
        fs::create_dir(folder.path().join("work")).unwrap();
        let world = Self { folder, repositories, app: AppId::new() };
        git(&world.work(), &["init", "-q", "-b", "main"]);
        world
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    /// Commits everything and pushes it by the file protocol; yields repository and commit.
    fn push(&self) -> (PathBuf, String) {
        let path = self.repositories.ensure(self.app, 0).unwrap();
        git(&self.work(), &["add", "-A"]);
        git(&self.work(), &["commit", "-q", "--allow-empty", "-m", "c"]);
        git(&self.work(), &["push", "-q", path.to_str().unwrap(), "HEAD:main"]);
        (path, git(&self.work(), &["rev-parse", "HEAD"]))
    }
}

/// path -> (type, mode, contents or link target)
fn unpack(bytes: &[u8]) -> BTreeMap<String, (tar::EntryType, u32, String)> {
    let mut archive = tar::Archive::new(bytes);
    let entry = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut contents = String::new();
        entry.read_to_string(&mut contents).unwrap();
        if let Some(target) = entry.link_name_bytes() {
            contents = String::from_utf8_lossy(&target).into_owned();
        }
        (path, (entry.header().entry_type(), entry.header().mode().unwrap(), contents))
    };
    archive.entries().unwrap().map(entry).collect()
}

fn tar(source: &Source, mut include: impl FnMut(&str, bool) -> bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    source.write_tar(&mut bytes, SourceOptions { owner: 1000, ..SourceOptions::default() }, &mut include).unwrap();
    bytes
}

#[test]
fn a_repository_is_made_once_and_its_settings_follow() {
    let world = World::new();
    let path = world.repositories.ensure(world.app, 1000).unwrap();
    assert_eq!(git(&path, &["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(git(&path, &["rev-parse", "--is-bare-repository"]), "true");
    assert_eq!(git(&path, &["config", "receive.maxInputSize"]), "1000");
    assert_eq!(git(&path, &["config", "receive.fsckObjects"]), "true");
    assert_eq!(git(&path, &["config", "receive.advertisePushOptions"]), "true");
    assert!(!path.join("hooks").join("pre-receive.sample").exists());
    assert_eq!(world.repositories.ensure(world.app, 2000).unwrap(), path);
    assert_eq!(git(&path, &["config", "--get-all", "receive.maxInputSize"]), "2000");
    assert_eq!(read_ref(&path, "refs/heads/main").unwrap(), None);
    let names: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, [path.file_name().unwrap()], "nothing half-made is left");
}

#[test]
fn a_pushed_ref_is_read_back_and_other_objects_are_refused() {
    let world = World::new();
    world.write("a", "1");
    let (path, commit) = world.push();
    assert_eq!(read_ref(&path, "refs/heads/main").unwrap().as_deref(), Some(commit.as_str()));
    let source = Source::open(&path, None, &commit).unwrap();
    assert_eq!(source.commit(), commit);
    assert_eq!(source.tree(), git(&world.work(), &["rev-parse", "HEAD^{tree}"]));
    assert!(!source.is_tag());
    assert!(
        matches!(Source::open(&path, None, source.tree()), Err(GitError::NotACommit { kind, .. }) if kind == "tree")
    );
    for oid in ["", "main", &"0".repeat(40), &commit[..39], "zz"] {
        assert!(matches!(Source::open(&path, None, oid), Err(GitError::UnknownObject { .. })), "{oid:?}");
    }
    git(&world.work(), &["tag", "-a", "v1", "-m", "v1"]);
    git(&world.work(), &["push", "-q", path.to_str().unwrap(), "v1"]);
    let tag = Source::open(&path, None, &git(&world.work(), &["rev-parse", "v1"])).unwrap();
    assert!(tag.is_tag());
    assert_eq!(tag.commit(), commit);
}

#[test]
fn objects_in_quarantine_are_readable() {
    let world = World::new();
    world.write("Procfile", "web: a");
    let path = world.repositories.ensure(world.app, 0).unwrap();
    git(&world.work(), &["add", "-A"]);
    git(&world.work(), &["commit", "-q", "-m", "c"]);
    let commit = git(&world.work(), &["rev-parse", "HEAD"]);
    let quarantine = path.join("objects/tmp_objdir-incoming-Abc123");
    fs::rename(world.work().join(".git/objects"), &quarantine).unwrap();
    assert!(Source::open(&path, None, &commit).is_err());
    let source = Source::open(&path, Some(quarantine), &commit).unwrap();
    assert_eq!(source.file("Procfile", 100).unwrap().as_deref(), Some(b"web: a".as_slice()));
    assert_eq!(unpack(&tar(&source, |_, _| true)).len(), 1);
}

#[test]
fn files_are_read_within_bounds_and_through_links() {
    let world = World::new();
    world.write("deploy/Procfile", "web: a");
    world.write("big", [0u8; 100]);
    let link = |target: &str, name: &str| symlink(target, world.work().join(name)).unwrap();
    link("deploy/Procfile", "Procfile");
    link("./deploy/../Procfile", "twice");
    link("loop", "loop");
    link("/etc/passwd", "absolute");
    link("../../etc/passwd", "outside");
    link("deploy", "folder");
    let (path, commit) = world.push();
    let source = Source::open(&path, None, &commit).unwrap();
    let check = |name: &str, expect: Option<&str>| {
        let found = source.file(name, 99).unwrap();
        assert_eq!(found.as_deref(), expect.map(str::as_bytes), "{name:?}");
    };
    check("deploy/Procfile", Some("web: a"));
    check("Procfile", Some("web: a"));
    check("twice", Some("web: a"));
    for name in ["loop", "absolute", "outside", "folder", "deploy", "none", "none/none", "big/none"] {
        check(name, None);
    }
    assert!(matches!(source.file("big", 99), Err(GitError::TooLarge { size: 100, max: 99, .. })));
    assert_eq!(source.file("big", 100).unwrap().map(|bytes| bytes.len()), Some(100));
    assert!(source.exists("deploy").unwrap() && source.exists("loop").unwrap() && !source.exists("nope/x").unwrap());
    let paths = source.paths().unwrap();
    assert!(paths.contains(&"deploy/Procfile".to_owned()) && !paths.contains(&"deploy".to_owned()), "{paths:?}");
}

#[test]
fn the_archive_keeps_modes_links_long_names_and_submodules() {
    let world = World::new();
    let long = format!("{}/{}/file.txt", "d".repeat(120), "e".repeat(120));
    world.write(&long, "deep");
    world.write("bin/run", "#!/bin/sh\n");
    fs::set_permissions(world.work().join("bin/run"), fs::Permissions::from_mode(0o755)).unwrap();
    world.write("HEAD", "harmless");
    world.write("config/app", "harmless");
    world.write("späte Grüße", "utf-8");
    symlink("bin/run", world.work().join("link")).unwrap();
    symlink("x".repeat(150), world.work().join("long-link")).unwrap();
    let other = World::new();
    other.write("x", "1");
    let (other_path, _) = other.push();
    git(&world.work(), &["submodule", "--quiet", "add", other_path.to_str().unwrap(), "vendor/module"]);
    let (path, commit) = world.push();
    let source = Source::open(&path, None, &commit).unwrap();
    let bytes = tar(&source, |_, _| true);
    let found = unpack(&bytes);
    let check = |name: &str, expect: (tar::EntryType, u32, &str)| {
        let entry = found.get(name).unwrap_or_else(|| panic!("{name:?} is not in {:?}", found.keys()));
        assert_eq!((entry.0, entry.1, entry.2.as_str()), expect, "{name:?}");
    };
    check(&long, (tar::EntryType::Regular, 0o644, "deep"));
    check("bin/", (tar::EntryType::Directory, 0o755, ""));
    check("bin/run", (tar::EntryType::Regular, 0o755, "#!/bin/sh\n"));
    check("HEAD", (tar::EntryType::Regular, 0o644, "harmless"));
    check("späte Grüße", (tar::EntryType::Regular, 0o644, "utf-8"));
    check("link", (tar::EntryType::Symlink, 0o777, "bin/run"));
    check("long-link", (tar::EntryType::Symlink, 0o777, &"x".repeat(150)));
    check("vendor/module/", (tar::EntryType::Directory, 0o755, ""));
    assert_eq!(bytes, tar(&source, |_, _| true), "the same tree gives the same bytes");
    let mut archive = tar::Archive::new(&bytes[..]);
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.header().uid().unwrap(), 1000);
        assert_eq!(entry.header().mtime().unwrap(), u64::try_from(source.time).unwrap());
    }
}

#[test]
fn a_filter_may_drop_a_folder_and_keep_a_file_in_it() {
    let world = World::new();
    for name in ["a/drop", "a/keep", "b"] {
        world.write(name, "x");
    }
    let (path, commit) = world.push();
    let source = Source::open(&path, None, &commit).unwrap();
    let mut asked = Vec::new();
    let bytes = tar(&source, |path, is_folder| {
        asked.push((path.to_owned(), is_folder));
        path == "a/keep"
    });
    assert_eq!(unpack(&bytes).into_keys().collect::<Vec<_>>(), ["a/keep"]);
    let expect = [("a", true), ("a/drop", false), ("a/keep", false), ("b", false)];
    assert_eq!(asked, expect.map(|(path, is_folder)| (path.to_owned(), is_folder)));
}

#[tokio::test]
async fn the_stream_carries_the_same_bytes_and_stops_when_dropped() {
    let world = World::new();
    // Incompressible enough, and several chunks long.
    let noise: Vec<u8> = (0u32..1_500_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    world.write("noise", &noise);
    world.write("small", "1");
    let (path, commit) = world.push();
    let source = Source::open(&path, None, &commit).unwrap();
    let options = SourceOptions { mtime: Some(7), ..SourceOptions::default() };
    let chunks: Vec<_> = source.tar_stream(options.clone(), |_, _| true).collect().await;
    assert!(chunks.len() > 3, "{} chunks", chunks.len());
    let streamed: Vec<u8> = chunks.into_iter().flat_map(|chunk| chunk.unwrap().to_vec()).collect();
    let mut written = Vec::new();
    source.write_tar(&mut written, options.clone(), &mut |_, _| true).unwrap();
    assert!(streamed == written);

    let (alive, dropped) = std::sync::mpsc::channel::<()>();
    let mut stream = source.tar_stream(options, move |_, _| {
        let _kept = &alive;
        true
    });
    assert!(stream.next().await.unwrap().is_ok());
    drop(stream);
    // The filter, and with it the sender, goes when the thread's work is over.
    let end = tokio::task::spawn_blocking(move || dropped.recv_timeout(Duration::from_secs(10))).await.unwrap();
    assert_eq!(end, Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
}

#[tokio::test]
async fn an_error_is_the_last_item_of_the_stream() {
    let world = World::new();
    world.write("a", "1");
    let (path, commit) = world.push();
    let source = Source::open(&path, None, &commit).unwrap();
    world.repositories.remove(world.app).unwrap();
    let mut stream = source.tar_stream(SourceOptions::default(), |_, _| true);
    assert!(stream.next().await.unwrap().is_err());
    assert!(stream.next().await.is_none());
}

#[test]
fn removing_is_repeatable_and_a_new_start_sees_nothing_old() {
    let world = World::new();
    world.write("a", "1");
    let (path, commit) = world.push();
    world.repositories.remove(world.app).unwrap();
    world.repositories.remove(world.app).unwrap();
    assert!(!path.exists());
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0);
    world.repositories.ensure(world.app, 0).unwrap();
    assert!(Source::open(&path, None, &commit).is_err());
}

#[test]
fn a_sweep_takes_what_killed_processes_left_and_nothing_else() {
    let world = World::new();
    world.write("a", "1");
    let (path, commit) = world.push();
    let root = path.parent().unwrap().to_owned();
    for folder in ["objects/tmp_objdir-incoming-x/pack", "objects/incoming-y"] {
        fs::create_dir_all(path.join(folder)).unwrap();
    }
    for file in ["refs/heads/main.lock", "config.lock", "packed-refs.lock", "objects/tmp_objdir-incoming-x/pack/p"] {
        fs::write(path.join(file), "").unwrap();
    }
    fs::create_dir_all(root.join(".trash-1/objects")).unwrap();
    fs::create_dir_all(root.join(".new-1/objects")).unwrap();
    let hour = Duration::from_secs(3600);
    assert_eq!(world.repositories.sweep(hour).unwrap(), Swept { removed: 0, left: 7 });
    assert!(path.join("refs/heads/main.lock").exists());
    assert_eq!(world.repositories.sweep(Duration::ZERO).unwrap(), Swept { removed: 7, left: 0 });
    assert_eq!(world.repositories.sweep(Duration::ZERO).unwrap(), Swept::default());
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    assert_eq!(read_ref(&path, "refs/heads/main").unwrap(), Some(commit));
    world.write("a", "2");
    world.push();
    assert_eq!(Repositories::new(root.join("none")).sweep(hour).unwrap(), Swept::default());
}

/// Most memory that this process ever had, in bytes.
pub(super) fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}
