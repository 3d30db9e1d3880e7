//! Repositories that mean harm, as they would be if git let them through.

use std::io::{self, Write};
use std::process::Stdio;
use std::time::Instant;

use git2::{ObjectType, Oid, Repository, Signature};

use super::*;

impl World {
    fn bare(&self) -> Repository {
        Repository::open_bare(self.repositories.ensure(self.app, 0).unwrap()).unwrap()
    }
}

/// A tree as it is stored, nothing checked: mode, name, id.
fn tree(repository: &Repository, entries: &[(&str, &[u8], Oid)]) -> Oid {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend_from_slice(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(id.as_bytes());
    }
    repository.odb().unwrap().write(ObjectType::Tree, &bytes).unwrap()
}

fn commit(repository: &Repository, tree: Oid) -> Source {
    let who = Signature::now("t", "t@example.com").unwrap();
    let tree = repository.find_tree(tree).unwrap();
    let id = repository.commit(None, &who, &who, "c", &tree, &[]).unwrap();
    Source::open(repository.path(), None, &id.to_string()).unwrap()
}

/// Has `git fast-import` make a commit; `write` gives it the files.
fn import(repository: &Repository, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Source {
    let mut command = Command::new("git");
    command
        .args(["-c", "core.bigFileThreshold=1m", "-c", "core.compression=1", "--git-dir"])
        .arg(repository.path())
        .args(["fast-import", "--quiet"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut input = io::BufWriter::new(child.stdin.take().unwrap());
    writeln!(input, "commit refs/heads/main\ncommitter t <t@example.com> 0 +0000\ndata 0").unwrap();
    write(&mut input).unwrap();
    input.flush().unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    let id = read_ref(repository.path(), "refs/heads/main").unwrap().unwrap();
    Source::open(repository.path(), None, &id).unwrap()
}

fn inspect(source: &Source) -> Result<Inspected, GitError> {
    source.inspect(&SourceLimits::default())
}

fn archive(source: &Source) -> Result<(), GitError> {
    source.write_tar(io::sink(), SourceOptions::default(), &mut |_, _| true)
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, GitError>, text: &str) {
    let error = result.expect_err("it is refused");
    assert!(matches!(error, GitError::Refused(_) | GitError::TooLarge { .. }), "{error:?}");
    assert!(error.to_string().contains(text), "'{text}' is not in: {error}");
}

#[test]
fn names_with_line_ends_and_control_characters_are_names_like_others() {
    let world = World::new();
    let names = ["line\nend", "esc\u{1b}[2J", "tab\tand\rreturn", "-rf", "~", "$(id)", "README", "readme", "Read Me"];
    for name in names {
        world.write(name, name);
    }
    symlink("loop-b", world.work().join("loop-a")).unwrap();
    symlink("loop-a", world.work().join("loop-b")).unwrap();
    let (path, id) = world.push();
    let source = Source::open(&path, None, &id).unwrap();
    assert_eq!(inspect(&source).unwrap().entries, names.len() as u64 + 2);
    let found = unpack(&tar(&source, |_, _| true));
    for name in names {
        assert_eq!(found[name].2, name);
    }
    assert_eq!(source.file("loop-a", 100).unwrap(), None);
    assert_eq!(inspect(&source).unwrap().link_outside, None);
    symlink("/etc", world.work().join("absolute")).unwrap();
    symlink("loop-a/../../x", world.work().join("up")).unwrap();
    let (path, id) = world.push();
    let outside = inspect(&Source::open(&path, None, &id).unwrap()).unwrap().link_outside;
    assert_eq!(outside.as_deref(), Some("up"));
    let limits = SourceLimits { file_bytes: 5, ..SourceLimits::default() };
    let error = source.inspect(&limits).unwrap_err().to_string();
    assert!(error.contains("'$(id)'") || !error.contains(|c: char| c.is_control()), "{error:?}");
}

#[test]
fn a_hundred_thousand_files_are_archived_in_a_bound() {
    let world = World::new();
    let source = import(&world.bare(), |out| {
        (0..100_000).try_for_each(|n| write!(out, "M 100644 inline d{}/f{n}\ndata 6\n{n:06}\n", n % 500))
    });
    let began = Instant::now();
    assert_eq!(inspect(&source).unwrap().entries, 100_500);
    archive(&source).unwrap();
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn a_file_of_a_gigabyte_is_archived_without_being_held_and_a_larger_one_refused() {
    let (world, size) = (World::new(), 1 << 30);
    let source = import(&world.bare(), |out| {
        writeln!(out, "M 100644 inline big\ndata {size}")?;
        io::copy(&mut io::Read::take(io::repeat(0), size), out).map(drop)
    });
    let before = peak();
    assert_eq!(inspect(&source).unwrap().total_bytes, size);
    let less = SourceLimits { file_bytes: size - 1, ..SourceLimits::default() };
    assert_refused(source.inspect(&less), "'big' has 1073741824 bytes; at most 1073741823");
    archive(&source).unwrap();
    // Other tests of this process use some, too.
    assert!(peak() - before < 512 << 20, "{} MiB more", (peak() - before) >> 20);
}

#[test]
fn ten_thousand_levels_overflow_no_stack() {
    let world = World::new();
    let bare = world.bare();
    let blob = bare.blob(b"web: deep").unwrap();
    let mut below = tree(&bare, &[("100644", b"f", blob)]);
    for _ in 0..10_000 {
        below = tree(&bare, &[("40000", b"d", below)]);
    }
    let target = bare.blob(format!("{}f", "d/".repeat(10_000)).as_bytes()).unwrap();
    let source = commit(&bare, tree(&bare, &[("120000", b"Procfile", target), ("40000", b"d", below)]));
    assert_refused(source.paths(), "more than 512 folders deep");
    assert_refused(archive(&source), "more than 512 folders deep");
    assert!(inspect(&source).is_err());
    assert_eq!(source.file("Procfile", 100).unwrap(), None, "no link is that long");
    let deepest = format!("{}f", "d/".repeat(10_001));
    assert_eq!(source.file(&deepest, 100).unwrap().as_deref(), Some(&b"web: deep"[..]));
    assert!(!source.exists(&"d/".repeat(20_000)).unwrap());
}

#[test]
fn trees_that_hold_each_other_a_thousand_times_are_given_up_early() {
    let world = World::new();
    let bare = world.bare();
    let names: Vec<_> = (0..10).map(|n| format!("n{n}")).collect();
    let mut id = bare.blob(b"boom").unwrap();
    for level in 0..10 {
        let mode = if level == 0 { "100644" } else { "40000" };
        let entries: Vec<_> = names.iter().map(|name| (mode, name.as_bytes(), id)).collect();
        id = tree(&bare, &entries);
    }
    let source = commit(&bare, id);
    let began = Instant::now();
    assert_refused(inspect(&source), "more than 500000 files and folders");
    assert_refused(source.paths(), "more than 500000");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let limits = SourceLimits { total_bytes: 100, ..SourceLimits::default() };
    assert_refused(source.inspect(&limits), "together");
}

#[test]
fn names_that_lead_out_of_the_tree_are_refused_wherever_they_are() {
    let world = World::new();
    let bare = world.bare();
    let blob = bare.blob(b"x").unwrap();
    for name in
        [&b".git"[..], b".GIT", b"git~1", b".git ", ".g\u{200c}it".as_bytes(), b".", b"..", b"a/b", b"../x", b"/x"]
    {
        let inner = tree(&bare, &[("100644", name, blob)]);
        let source = commit(&bare, tree(&bare, &[("40000", b"sub", inner)]));
        let error = inspect(&source).expect_err("it is refused").to_string();
        assert!(error.contains("sub/"), "{name:?}: {error}");
    }
    let long = [b'n'; 256];
    let source = commit(&bare, tree(&bare, &[("100644", &long, blob)]));
    assert_refused(inspect(&source), "more than 255 bytes");
    let target = bare.blob(&[b'x'; 5000]).unwrap();
    let source = commit(&bare, tree(&bare, &[("120000", b"Procfile", target)]));
    assert_refused(inspect(&source), "'Procfile' has a target of 5000 bytes");
    assert_eq!(source.file("Procfile", 10_000).unwrap(), None);
}

#[test]
fn pointers_of_git_lfs_are_named() {
    let world = World::new();
    let pointer = |n: u32| format!("version https://git-lfs.github.com/spec/v1\noid sha256:{n:064}\nsize 12345\n");
    for n in 0..5 {
        world.write(&format!("assets/{n}.bin"), pointer(n));
    }
    world.write("extended", pointer(9).replace("oid", "ext-0-foo sha256:0\noid"));
    world.write("README", format!("A pointer looks so:\n{}", pointer(1)));
    world.write("long", format!("{}{}", pointer(1), "x".repeat(1024)));
    world.write("not-quite", "version https://git-lfs.github.com/spec/v1\n".repeat(3));
    let (path, id) = world.push();
    let lfs = inspect(&Source::open(&path, None, &id).unwrap()).unwrap().lfs;
    assert_eq!((lfs.count, lfs.first.join(" ").as_str()), (6, "assets/0.bin assets/1.bin assets/2.bin"));
    let warning = lfs.warning();
    assert!(warning[0].starts_with("6 files are pointers of git-lfs") && warning[0].ends_with("2.bin and 3 more"));
    assert!(warning[1].contains("git lfs migrate export"), "{warning:?}");
    assert_eq!(LfsPointers::default().warning(), Vec::<String>::new());
}
