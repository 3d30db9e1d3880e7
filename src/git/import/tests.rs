//! Archives as people and attackers make them.

use std::io::{self, Cursor, Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};
use tempfile::TempDir;

use super::super::SourceOptions;
use super::super::tests::peak;
use super::*;

/// An archive that is written header by header, with nothing checked.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn header(kind: EntryType, path: &[u8], target: &[u8], size: u64, mode: u32) -> Header {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..path.len()].copy_from_slice(path);
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target);
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_mtime(1_700_000_000);
        header.set_cksum();
        header
    }

    fn entry(mut self, kind: EntryType, path: &[u8], target: &[u8], content: &[u8]) -> Self {
        let header = Self::header(kind, path, target, content.len() as u64, 0o644);
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, path.as_bytes(), b"", content.as_bytes())
    }

    fn folder(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path.as_bytes(), b"", b"")
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path.as_bytes(), target.as_bytes(), b"")
    }

    fn hard(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path.as_bytes(), target.as_bytes(), b"")
    }

    fn pax(self, kind: EntryType, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length).unwrap();
            content.extend_from_slice(format!("{length} {key}=").as_bytes());
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.entry(kind, b"pax", b"", &content)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

struct World {
    folder: TempDir,
    repositories: Repositories,
    options: ArchiveOptions,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repositories = Repositories::new(folder.path().join("repositories"));
        Self { folder, repositories, options: ArchiveOptions::default() }
    }

    fn import(&self, archive: impl Read) -> Result<Source, GitError> {
        self.repositories.import_archive(AppId::new(), archive, &self.options)
    }

    fn leftovers(&self) -> usize {
        std::fs::read_dir(self.repositories.root()).unwrap().count()
    }

    /// Checks that an archive is refused, in words that contain each of `texts`, and that nothing is left of it.
    #[track_caller]
    fn refuses(&self, archive: Vec<u8>, texts: &[&str]) {
        for archive in [gzip(&archive), archive] {
            let error = self.import(archive.as_slice()).expect_err("it is refused");
            assert!(matches!(error, GitError::Refused(_)), "{error:?}");
            let text = error.to_string();
            for expected in texts {
                assert!(text.contains(expected), "'{expected}' is not in: {text}");
            }
            assert!(!text.contains(|c: char| c.is_control()), "{text:?}");
            assert_eq!(self.leftovers(), 0);
        }
    }
}

/// `path mode content` of every entry, as a build gets them.
fn listing(source: &Source) -> Vec<String> {
    let mut bytes = Vec::new();
    source.write_tar(&mut bytes, SourceOptions::default(), &mut |_, _| true).unwrap();
    let mut archive = tar::Archive::new(Cursor::new(bytes));
    let line = |entry: io::Result<tar::Entry<'_, Cursor<Vec<u8>>>>| {
        let mut entry = entry.unwrap();
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mode = entry.header().mode().unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        if let Some(target) = entry.link_name_bytes() {
            content = format!("-> {}", String::from_utf8_lossy(&target));
        }
        format!("{path} {mode:o} {content}")
    };
    archive.entries().unwrap().map(line).collect()
}

#[test]
fn what_the_real_tar_makes_of_a_folder_is_what_is_built() {
    let world = World::new();
    let folder = world.folder.path().join("app");
    let long = format!("{}/{}/file", "d".repeat(120), "e".repeat(120));
    for (path, content) in [("Procfile", "web: a\n"), ("bin/run", "#!/bin/sh\n"), (&long, "deep"), ("line\nend", "x")] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::create_dir(folder.join("empty")).unwrap();
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    run(Command::new("chmod").arg("755").arg(folder.join("bin/run")));
    run(Command::new("ln").arg("-s").arg("bin/run").arg(folder.join("link")));
    run(Command::new("ln").arg(folder.join("Procfile")).arg(folder.join("same")));
    let mut expected = vec![
        "Procfile 644 web: a\n".to_owned(),
        "bin/ 755 ".to_owned(),
        "bin/run 755 #!/bin/sh\n".to_owned(),
        "line\nend 644 x".to_owned(),
        "link 777 -> bin/run".to_owned(),
        "same 644 web: a\n".to_owned(),
    ];
    for part in [&long[..120], &long[..241]] {
        expected.push(format!("{part}/ 755 "));
    }
    expected.push(format!("{long} 644 deep"));
    expected.sort_unstable();
    let mut trees = Vec::new();
    for arguments in [&["--format=gnu", "-cz"][..], &["--format=pax", "-cz"], &["--format=pax", "-c"]] {
        let archive = run(Command::new("tar").args(arguments).arg("-C").arg(&folder).arg("."));
        let source = world.import(archive.as_slice()).unwrap();
        let mut found = listing(&source);
        found.sort_unstable();
        assert_eq!(found, expected, "{arguments:?}");
        assert_eq!(source.file("Procfile", 100).unwrap().as_deref(), Some(b"web: a\n".as_slice()));
        let again = world.import(archive.as_slice()).unwrap();
        assert_eq!(again.commit(), source.commit(), "the same archive gives the same commit");
        trees.push(source.tree().to_owned());
        let clone = source.clone();
        drop((source, again));
        assert_eq!(world.leftovers(), 1, "a clone still needs it");
        drop(clone);
        assert_eq!(world.leftovers(), 0);
    }
    trees.dedup();
    assert_eq!(trees.len(), 1, "equal files, equal trees");
}

#[test]
fn the_only_folder_at_the_top_is_the_root_when_asked_for() {
    let mut world = World::new();
    let archive = || {
        let archive = Archive::default().pax(EntryType::XGlobalHeader, &[("comment", b"c0ffee")]);
        archive.folder("app-1/").file("app-1/Procfile", "web: a").link("app-1/l", "Procfile")
    };
    assert_eq!(listing(&world.import(archive().end().as_slice()).unwrap())[0], "app-1/ 755 ");
    world.options.strip_top_folder = true;
    let stripped = world.import(archive().end().as_slice()).unwrap();
    assert_eq!(listing(&stripped), ["Procfile 644 web: a", "l 777 -> Procfile"]);
    let beside = world.import(archive().file("README", "x").end().as_slice()).unwrap();
    assert_eq!(listing(&beside)[0], "README 644 x");
    drop((stripped, beside));
    // It would have been inside before.
    world.refuses(archive().link("app-1/out", "../app-1/x").end(), &["'out' leads out", "'../app-1/x'"]);
}

#[test]
fn paths_that_lead_out_of_the_archive_are_refused() {
    let world = World::new();
    let with = |path: &str| Archive::default().file("ok", "").file(path, "x").end();
    world.refuses(with("/etc/passwd"), &["'/etc/passwd' is an absolute path", "tar -czf"]);
    world.refuses(with("../x"), &["'../x' leads out of the archive", "-C FOLDER"]);
    world.refuses(with("a/b/../../../x"), &["leads out"]);
    world.refuses(with("a/.."), &["leads out"]);
    world.refuses(Archive::default().folder("../").end(), &["'../' leads out"]);
    let pax = Archive::default().pax(EntryType::XHeader, &[("path", b"/tmp/x")]).file("innocent", "");
    world.refuses(pax.end(), &["'/tmp/x' is an absolute path"]);
    let gnu = Archive::default().entry(EntryType::GNULongName, b"././@LongLink", b"", b"../../x\0");
    world.refuses(gnu.file("innocent", "").end(), &["'../../x' leads out"]);
    world.refuses(Archive::default().file("", "x").end(), &["'' names no file"]);
    world.refuses(Archive::default().link("./", "x").end(), &["names no file"]);
}

#[test]
fn links_that_lead_out_of_the_archive_are_refused() {
    let world = World::new();
    let link = |target: &str| Archive::default().link("a/l", target).end();
    world.refuses(link("/etc/passwd"), &["'a/l' leads out of the archive, to '/etc/passwd'"]);
    world.refuses(link("../../x"), &["leads out"]);
    world.refuses(link("b/../../../x"), &["leads out"]);
    world.refuses(link(""), &["leads out"]);
    // Inside by its letters; but 'up' is the root, and '..' of that is not.
    let devious = Archive::default().link("d/up", "..").link("d/e/l", "../up/../x");
    world.refuses(devious.end(), &["'d/e/l' leads out"]);
    // Only after the whole archive is read, it is clear where 'x' leads.
    let later = Archive::default().link("l", "x/../y").link("x", "d/e/f/../.././.").folder("d/e/f/");
    assert_eq!(listing(&world.import(later.end().as_slice()).unwrap()).len(), 2);
    let later = Archive::default().link("l", "d/x/../../y").link("d/x", "..");
    world.refuses(later.end(), &["'l' leads out"]);
    let hard = |target: &str| Archive::default().file("f", "1").folder("d/").hard("h", target).end();
    for target in ["/etc/passwd", "../f"] {
        world.refuses(hard(target), &["'", target]);
    }
    for target in ["none", "d", "h", "f/x"] {
        world.refuses(hard(target), &["the hard link 'h' leads to", target, "--hard-dereference"]);
    }
    world.refuses(Archive::default().link("f", "x").hard("h", "f").end(), &["hard link"]);
}

#[test]
fn links_inside_of_the_archive_are_kept_even_those_that_lead_nowhere() {
    let world = World::new();
    let archive = Archive::default().file("f", "1").link("a/up", "../f").link("loop", "loop").link("none", "no/where");
    let archive = archive.link("x", "y").link("y", "x/deeper").hard("./h", ".//f").link("a/b/c", "../..");
    let found = listing(&world.import(archive.end().as_slice()).unwrap());
    for line in ["a/up 777 -> ../f", "loop 777 -> loop", "none 777 -> no/where", "h 644 1", "y 777 -> x/deeper"] {
        assert!(found.iter().any(|found| found == line), "{line} is not in {found:?}");
    }
    assert_eq!(world.leftovers(), 0);
}

#[test]
fn links_through_many_links_take_no_time() {
    let world = World::new();
    let mut archive = Archive::default();
    // Each leads through the one before, twice: 2 to the power of 5000 steps for one who counts them all.
    for n in 1..5000 {
        archive = archive.link(&format!("l{n}"), &format!("l{0}/l{0}", n - 1));
    }
    let began = Instant::now();
    let source = world.import(archive.end().as_slice()).unwrap();
    assert_eq!(listing(&source).len(), 4999);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn what_is_neither_file_nor_folder_nor_link_is_refused() {
    let world = World::new();
    for kind in [EntryType::Char, EntryType::Block, EntryType::Fifo] {
        world.refuses(
            Archive::default().entry(kind, b"dev/x", b"", b"").end(),
            &["'dev/x' is a device or a named pipe"],
        );
    }
    for kind in [b'V', b'M', b'D', b'z', 0x1b] {
        world.refuses(Archive::default().entry(EntryType::new(kind), b"x", b"", b"").end(), &["'x' is of the type"]);
    }
    world.refuses(Archive::default().entry(EntryType::GNUSparse, b"x", b"", b"1").end(), &["'x'", "--sparse"]);
    for key in ["GNU.sparse.major", "GNU.sparse.realsize", "GNU.sparse.name"] {
        let archive = Archive::default().pax(EntryType::XHeader, &[(key, b"1")]).file("x", "1");
        world.refuses(archive.end(), &["--sparse"]);
    }
    world.refuses(Archive::default().entry(EntryType::Directory, b"d/", b"", b"x").end(), &["'d/'", "has content"]);
    world.refuses(Archive::default().entry(EntryType::Symlink, b"l", b"x", b"x").end(), &["'l'", "has content"]);
}

#[test]
fn names_that_something_takes_for_git_are_refused_and_other_odd_ones_taken() {
    let world = World::new();
    for name in [".git/config", "sub/.GIT/hooks/post-checkout", "git~1/x", ".g\u{200c}it/x", ".git /x", ".git::$DATA"] {
        world.refuses(Archive::default().file(name, "x").end(), &["git's own, or looks like it", "--exclude=.git"]);
    }
    world.refuses(Archive::default().folder("./.git/").end(), &["'./.git/' is git's own"]);
    world.refuses(Archive::default().link(".git", "x").end(), &["'.git' is git's own"]);
    let odd =
        ["line\nend", "esc\u{1b}[2J", "\"quo\\ted\"", " blank ", "-rf", "späte", "README", "readme", ".gitignore"];
    let mut archive = Archive::default().entry(EntryType::Regular, b"latin-\xe4", b"", b"x");
    for name in odd {
        archive = archive.file(name, "x");
    }
    let found = listing(&world.import(archive.end().as_slice()).unwrap());
    for name in odd.into_iter().chain(["latin-\u{fffd}"]) {
        assert!(found.contains(&format!("{name} 644 x")), "{name:?} is not in {found:?}");
    }
    let archive = Archive::default().pax(EntryType::XHeader, &[("path", b"a\0b")]).file("x", "");
    world.refuses(archive.end(), &["zero byte"]);
    let archive = Archive::default().entry(EntryType::GNULongName, b"././@LongLink", b"", b"a\0b\0");
    world.refuses(archive.file("x", "").end(), &["zero byte"]);
}

#[test]
fn entries_that_contradict_each_other_are_refused() {
    let world = World::new();
    let below = |archive: Archive| archive.file("a/b/c", "x").end();
    world.refuses(below(Archive::default().link("a/b", "d")), &["'a/b/c' lies below 'b', which is a symbolic link"]);
    world.refuses(below(Archive::default().file("a/b", "d")), &["'a/b/c' lies below 'b', which is a file"]);
    let twice = |archive: Archive| world.refuses(archive.end(), &["'a' is in it twice, and not the same"]);
    twice(Archive::default().file("a", "1").file("a", "2"));
    twice(Archive::default().file("a", "1").file("a", "12"));
    twice(Archive::default().file("a", "1").folder("a"));
    twice(Archive::default().file("a", "1").link("a", "1"));
    twice(Archive::default().link("a", "x").link("a", "y"));
    twice(Archive::default().link("a", "x").folder("a"));
    twice(Archive::default().file("a/b", "x").link("a", "x"));
    twice(Archive::default().file("a", "1").file("b", "2").hard("a", "b"));
    let same = Archive::default().folder("d").folder("d").file("a", "1").file("./a", "1").link("l", "a").link("l", "a");
    let same = same.hard("a", "a").file("d/x", "").file("d/x", "");
    assert_eq!(listing(&world.import(same.end().as_slice()).unwrap()).len(), 4);
}

#[test]
fn an_archive_that_is_damaged_or_cut_off_is_refused_wherever_it_ends() {
    let world = World::new();
    let whole =
        Archive::default().file("a", &"x".repeat(600)).pax(EntryType::XHeader, &[("path", b"b")]).file("c", "1");
    let whole = whole.end();
    let packed = gzip(&whole);
    for length in (0..whole.len() - 1024).step_by(97) {
        assert!(matches!(world.import(&whole[..length]), Err(GitError::Refused(_))), "{length}");
    }
    for length in 0..packed.len() {
        assert!(matches!(world.import(&packed[..length]), Err(GitError::Refused(_))), "{length}");
    }
    world.refuses(whole[..whole.len() - 1024].to_vec(), &["cut off", "Upload it again"]);
    let mut flipped = packed.clone();
    let at = flipped.len() - 6;
    flipped[at] ^= 1;
    assert!(matches!(world.import(flipped.as_slice()), Err(GitError::Refused(_))), "the checksum at the end counts");
    let mut flipped = whole;
    flipped[3] ^= 1;
    world.refuses(flipped, &["wrong checksum"]);
    assert!(world.import(io::empty()).unwrap_err().to_string().contains("it is empty"));
    world.refuses(b"not an archive".repeat(100), &["no tar archive"]);
    for (head, name) in
        [(&b"PK\x03\x04"[..], "zip"), (b"BZh9", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd")]
    {
        assert!(world.import(head).unwrap_err().to_string().contains(name), "{name}");
    }
    assert_eq!(world.leftovers(), 0);
}

#[test]
fn an_upload_that_breaks_off_is_refused_and_leaves_nothing() {
    struct Breaks;
    impl Read for Breaks {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::ConnectionReset, "the client has gone"))
        }
    }
    let world = World::new();
    let start = Archive::default().file("a", &"x".repeat(5000)).0;
    let error = world.import(start.as_slice().chain(Breaks)).unwrap_err();
    assert!(error.to_string().contains("the client has gone"), "{error}");
    assert_eq!(world.leftovers(), 0);
}

#[test]
fn sizes_that_lie_are_refused() {
    let world = World::new();
    let pax = Archive::default().pax(EntryType::XHeader, &[("size", b"3")]).file("x", "1234567");
    world.refuses(pax.end(), &["'x' has two sizes, 7 and 3 bytes"]);
    let pax = Archive::default().pax(EntryType::XHeader, &[("size", b"-1")]).file("x", "1");
    world.refuses(pax.end(), &["no readable size"]);
    for key in ["path", "linkpath", "size", "GNU.sparse.map"] {
        let pax = Archive::default().pax(EntryType::XGlobalHeader, &[(key, b"1")]).file("x", "1");
        world.refuses(pax.end(), &["a global header sets"]);
    }
    for content in
        [&b"9999 path=x\n"[..], b"5 a=b", b"x path=y\n", b"0 \n", b"11 path x\n\n", b"99999999999999999999 a=b\n"]
    {
        let archive = Archive::default().entry(EntryType::XHeader, b"p", b"", content).file("x", "");
        world.refuses(archive.end(), &["an extension header cannot be read"]);
    }
    // What is said to follow does not; and nobody tries to hold it in memory.
    for (kind, texts) in [
        (EntryType::Regular, ["'x' has 9223372036854775807 bytes", "1024 MiB"]),
        (EntryType::GNULongName, ["an extension header has", "9223372036854775807"]),
        (EntryType::XHeader, ["an extension header has", "9223372036854775807"]),
    ] {
        let header = Archive::header(kind, b"x", b"", i64::MAX.cast_unsigned(), 0o644);
        world.refuses(header.as_bytes().to_vec(), &texts);
    }
    let mut header = Archive::header(EntryType::Regular, b"x", b"", 0, 0o644);
    header.as_mut_bytes()[124..136].copy_from_slice(b"zzzzzzzzzzzz");
    header.set_cksum();
    world.refuses(header.as_bytes().to_vec(), &["no readable size"]);
    let mut header = Archive::header(EntryType::Regular, b"x", b"", 0, 0o644);
    header.as_mut_bytes()[124..136].fill(0xff);
    header.set_cksum();
    let error = world.import(header.as_bytes().as_slice()).unwrap_err();
    assert!(matches!(error, GitError::Refused(_)), "{error:?}");
}

#[test]
fn an_archive_has_to_keep_within_every_limit() {
    let mut world = World::new();
    world.options.limits = SourceLimits { entries: 10, total_bytes: 1000, file_bytes: 400, path_bytes: 50, depth: 5 };
    let many = |count: usize| (0..count).fold(Archive::default(), |all, n| all.file(&format!("f{n}"), "")).end();
    assert!(world.import(many(10).as_slice()).is_ok());
    world.refuses(many(11), &["more than 10 entries"]);
    let x = |length: usize| "x".repeat(length);
    world.refuses(Archive::default().file("big", &x(401)).end(), &["'big' has 401 bytes"]);
    let three = Archive::default().file("a", &x(400)).file("b", &x(400)).file("c", &x(201));
    world.refuses(three.end(), &["together"]);
    let hard = Archive::default().file("a", &x(400)).hard("b", "a").hard("c", "a");
    world.refuses(hard.end(), &["together"]);
    world.refuses(Archive::default().file(&x(51), "").end(), &["is a path of 51 bytes; 50 are taken"]);
    world.refuses(Archive::default().file("a/b/c/d/e/f", "").end(), &["lies 5 folders deep; 5 are taken"]);
    world.options.limits = SourceLimits::default();
    let archive = Archive::default().pax(EntryType::XHeader, &[("path", x(256).as_bytes())]).file("x", "");
    world.refuses(archive.end(), &["more than 255 bytes"]);
    // 10,000 levels.
    let deep = Archive::default().pax(EntryType::XHeader, &[("path", "d/".repeat(10_000).as_bytes())]).folder("d");
    world.refuses(deep.end(), &["is a path of 20000 bytes"]);
    let deep = Archive::default().pax(EntryType::XHeader, &[("path", "d/".repeat(511).as_bytes())]).folder("d");
    let deep = deep.pax(EntryType::XHeader, &[("path", format!("{}f", "d/".repeat(511)).as_bytes())]).file("f", "x");
    assert_eq!(listing(&world.import(deep.end().as_slice()).unwrap()).len(), 512);
}

/// Zeros, and how many of them somebody took.
struct Zeros<'a>(&'a mut u64);

impl Read for Zeros<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(0);
        *self.0 += buffer.len() as u64;
        Ok(buffer.len())
    }
}

#[test]
fn a_bomb_goes_off_at_the_limit_and_not_in_memory() {
    let mut world = World::new();
    world.options.limits.total_bytes = 64 << 20;
    world.options.limits.entries = 1000;
    // Behind the end mark, too: all of it has to be read for the checksum.
    let mut taken = 0;
    let error = world.import(Archive::default().file("a", "1").end().as_slice().chain(Zeros(&mut taken))).unwrap_err();
    assert!(error.to_string().contains("unpacked it has more than"), "{error}");
    assert!(taken < 100 << 20, "{taken}");
    let header = Archive::header(EntryType::Regular, b"x", b"", 1 << 40, 0o644);
    taken = 0;
    let error = world.import(header.as_bytes().chain(Zeros(&mut taken))).unwrap_err();
    assert!(error.to_string().contains("'x' has 1099511627776 bytes"), "{error}");
    assert!(taken < 1 << 20, "{taken}");
    assert_eq!(world.leftovers(), 0);
}

#[test]
fn a_file_of_a_gigabyte_goes_through_without_being_held() {
    let mut world = World::new();
    let size = 1 << 30;
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let header = Archive::header(EntryType::Regular, b"big", b"", size, 0o644);
    packed.write_all(header.as_bytes()).unwrap();
    io::copy(&mut io::repeat(0).take(size + 1024), &mut packed).unwrap();
    let packed = packed.finish().unwrap();
    world.options.limits.file_bytes = size - 1;
    let error = world.import(packed.as_slice()).unwrap_err();
    assert!(error.to_string().contains("'big' has 1073741824 bytes"), "{error}");
    world.options.limits.file_bytes = size;
    let before = peak();
    let source = world.import(packed.as_slice()).unwrap();
    assert!(source.exists("big").unwrap());
    // Other tests of this process use some, too.
    assert!(peak() - before < 512 << 20, "{} MiB more", (peak() - before) >> 20);
}

#[test]
fn a_hundred_thousand_files_are_taken_in_a_bound() {
    let world = World::new();
    let mut archive = Vec::new();
    for n in 0..100_000 {
        let path = format!("d{}/f{n}", n % 1000);
        archive.extend_from_slice(Archive::header(EntryType::Regular, path.as_bytes(), b"", 512, 0o644).as_bytes());
        let mut content = [b'.'; 512];
        content[..4].copy_from_slice(&u32::to_be_bytes(n));
        archive.extend_from_slice(&content);
    }
    archive.resize(archive.len() + 1024, 0);
    let began = Instant::now();
    let source = world.import(archive.as_slice()).unwrap();
    assert_eq!(source.paths().unwrap().len(), 100_000);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}
