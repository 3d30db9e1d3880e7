//! Slugs of good trees and of hostile ones.

use std::fs::File;

use tar::{Archive, EntryType, Header};

use super::*;
use crate::build::slugignore::Slugignore;

/// What a tar entry of a test is.
#[derive(Clone, Copy)]
enum Make {
    Dir,
    File(&'static str),
    Exec(&'static str),
    Sym(&'static str),
    Hard(&'static str),
    Other(EntryType),
}
use Make::{Dir, Exec, Hard, Other, Sym};

/// A raw archive; paths are written as they are, however bad.
fn raw(entries: &[(&str, Make)], mtime: u64) -> File {
    let mut archive = tar::Builder::new(tempfile::tempfile().unwrap());
    for (path, make) in entries {
        let (kind, mode, contents, link) = match *make {
            Dir => (EntryType::Directory, 0o755, "", ""),
            Make::File(text) => (EntryType::Regular, 0o644, text, ""),
            Exec(text) => (EntryType::Regular, 0o4755, text, ""),
            Sym(target) => (EntryType::Symlink, 0o777, "", target),
            Hard(target) => (EntryType::Link, 0o644, "", target),
            Other(kind) => (kind, 0o644, "", ""),
        };
        let mut header = Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_link_name_literal(link).unwrap();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(mtime);
        header.set_uid(mtime);
        header.set_size(contents.len() as u64);
        header.set_cksum();
        archive.append(&header, contents.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

fn read(raw: &File, ignore: &str) -> Result<Tree, BuildError> {
    Tree::read(raw.try_clone().unwrap(), &Slugignore::parse(ignore.as_bytes()).unwrap())
}

fn packed(raw: &mut File, ignore: &str) -> Result<Packed, BuildError> {
    pack(&read(raw, ignore)?, NamedTempFile::new().unwrap(), 1 << 20)
}

/// Path, type, mode and link of everything in a slug.
fn listing(slug: &Packed) -> Vec<String> {
    let gunzip = flate2::read::GzDecoder::new(slug.file.reopen().unwrap());
    let mut archive = Archive::new(gunzip);
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (2000, 2000));
        assert_eq!(header.mtime().unwrap(), 315_532_800);
        let link = entry.link_name_bytes().map(|link| format!(" -> {}", String::from_utf8_lossy(&link)));
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        format!("{path} {:o}{}", header.mode().unwrap(), link.unwrap_or_default())
    });
    entries.collect()
}

#[test]
fn the_same_tree_gives_the_same_slug_whatever_order_and_time_it_comes_with() {
    let tree = [
        ("app/", Dir),
        ("app/Procfile", Make::File("web: x")),
        ("app/bin", Dir),
        ("app/bin/run", Exec("#!/bin/sh")),
        ("app/link", Sym("../etc/./passwd")),
        ("app/.release", Make::File("---")),
    ];
    let mut reversed = tree;
    reversed.reverse();
    let first = packed(&mut raw(&tree, 1), "").unwrap();
    let second = packed(&mut raw(&reversed, 7_000_000), "").unwrap();
    assert_eq!(first.digest, second.digest);
    assert_eq!(first.size_bytes, first.file.as_file().metadata().unwrap().len());
    assert_eq!(first.digest, hex::encode(Sha256::digest(std::fs::read(first.file.path()).unwrap())));
    let found = read(&raw(&tree, 1), "").unwrap();
    assert_eq!(found.procfile.as_deref(), Some(b"web: x".as_slice()));
    assert_eq!(found.release.as_deref(), Some(b"---".as_slice()));
    let expect = [
        "app 755",
        "app/.release 644",
        "app/Procfile 644",
        "app/bin 755",
        "app/bin/run 755",
        "app/link 777 -> ../etc/./passwd",
    ];
    assert_eq!(listing(&first), expect);
}

#[test]
fn one_byte_more_gives_another_slug() {
    let digest = |text| packed(&mut raw(&[("app", Dir), ("app/a", Make::File(text))], 0), "").unwrap().digest;
    assert_ne!(digest("x"), digest("y"));
}

#[test]
fn hard_links_do_not_depend_on_which_name_came_first() {
    let first = [("app", Dir), ("app/b", Make::File("x")), ("app/a", Hard("app/b")), ("app/c", Hard("app/a"))];
    let second = [("app", Dir), ("app/c", Make::File("x")), ("app/b", Hard("app/c")), ("app/a", Hard("app/c"))];
    let first = packed(&mut raw(&first, 0), "").unwrap();
    assert_eq!(listing(&first), ["app 755", "app/a 644", "app/b 644 -> app/a", "app/c 644 -> app/a"]);
    assert_eq!(first.digest, packed(&mut raw(&second, 0), "").unwrap().digest);
    // The contents stay even when the name that had them is left out.
    let without = packed(&mut raw(&[("app/b", Make::File("x")), ("app/a", Hard("app/b"))], 0), "/b").unwrap();
    assert_eq!(listing(&without), ["app/a 644"]);
}

#[test]
fn git_and_ignored_files_stay_out() {
    let tree = [
        ("app", Dir),
        ("app/.git", Dir),
        ("app/.git/config", Make::File("")),
        ("app/.gitignore", Make::File("")),
        ("app/docs", Dir),
        ("app/docs/a.md", Make::File("")),
        ("app/.heroku/x.md", Make::File("")),
        ("app/vendor/x/.git/HEAD", Make::File("")),
    ];
    let slug = packed(&mut raw(&tree, 0), "docs\n*.md\n").unwrap();
    assert_eq!(listing(&slug), ["app 755", "app/.gitignore 644", "app/.heroku/x.md 644"]);
}

#[test]
fn long_names_survive() {
    let (name, target) = ("n".repeat(150), "t".repeat(150));
    let mut archive = tar::Builder::new(tempfile::tempfile().unwrap());
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_mode(0o777);
    header.set_size(0);
    archive.append_link(&mut header, format!("app/{name}"), &target).unwrap();
    let slug = packed(&mut archive.into_inner().unwrap(), "").unwrap();
    assert_eq!(listing(&slug), [format!("app/{name} 777 -> {target}")]);
}

#[test]
fn pipes_and_devices_are_left_out() {
    let tree = [
        ("app/pipe", Other(EntryType::Fifo)),
        ("app/disk", Other(EntryType::Block)),
        ("app/tty", Other(EntryType::Char)),
        ("app/x", Make::File("")),
    ];
    assert_eq!(listing(&packed(&mut raw(&tree, 0), "").unwrap()), ["app/x 644"]);
}

#[test]
fn hostile_entries_are_refused() {
    let check = |entries: &[(&str, Make)], expect: &str| {
        let error = packed(&mut raw(entries, 0), "").unwrap_err().to_string();
        assert!(error.contains(expect), "{error:?} should contain {expect:?}");
    };
    check(&[("app/../etc/passwd", Make::File(""))], "lies outside of /app");
    check(&[("/app/x", Make::File(""))], "lies outside of /app");
    check(&[("etc/passwd", Make::File(""))], "lies outside of /app");
    check(&[("app//x", Make::File(""))], "lies outside of /app");
    check(&[("application", Make::File(""))], "lies outside of /app");
    check(&[("app/x", Make::File("1")), ("./app/x", Make::File("2"))], "occurs twice");
    check(&[("app/x", Sym("/etc")), ("app/x/passwd", Make::File(""))], "below something that is no directory");
    check(&[("app/x", Hard("app/x"))], "hard link to no file");
    check(&[("app/x", Hard("app/y")), ("app/y", Hard("app/x"))], "hard link to no file");
    check(&[("app/x", Hard("etc/shadow"))], "lies outside of /app");
    check(&[("app/s", Sym("/etc/shadow")), ("app/x", Hard("app/s"))], "hard link to no file");
    check(&[("app/x", Other(EntryType::new(b'?')))], "unknown type");
}

#[test]
fn a_slug_beyond_the_limit_is_refused() {
    let mut noise = String::new();
    let mut seed = 1u64;
    while noise.len() < 200_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.push_str(&format!("{seed:x}"));
    }
    let tree = read(&raw(&[("app/noise", Make::File(noise.leak()))], 0), "").unwrap();
    let result = pack(&tree, NamedTempFile::new().unwrap(), 50_000);
    assert!(matches!(result, Err(BuildError::SlugTooLarge { limit_bytes: 50_000 })));
}
