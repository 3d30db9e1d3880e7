//! Holds the line that the compiler does not: which module may use which, and what may be used in one place only.
//!
//! The table is the one of the style guide: doors know the platform, the platform knows the stages, stages know the store
//! and the engine, and nothing points back. Sources are read as tokens, so that comments and strings do not count.

#[path = "architecture/scan.rs"]
mod scan;

use std::path::{Path, PathBuf};

use scan::{Scan, scan};

/// For each top-level module, the others that it may use. What may use everything puts the program together.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("net", &[]),
    ("store", &["model"]),
    ("outbound", &["model"]),
    ("git", &["model", "outbound"]),
    ("engine", &["model", "net", "outbound", "telemetry"]),
    ("logs", &["model", "engine", "outbound"]),
    ("build", &["model", "store", "engine", "git", "outbound"]),
    ("release", &["model", "store", "engine"]),
    ("route", &["model", "net", "store", "engine"]),
    ("rollout", &["model", "store", "engine", "route", "logs", "telemetry"]),
    ("platform", &["model", "store", "engine", "git", "logs", "build", "release", "rollout", "route", "telemetry"]),
    ("push", &["model", "net", "platform", "git"]),
    ("api", &["model", "net", "platform", "telemetry"]),
    ("config", &["model"]),
    ("telemetry", &[]),
];

/// The doors of `api`: none uses another, what two need lies beside them.
const DOORS: &[&str] = &["deis", "tutum"];

/// The composition root and what starts it.
const MAY_USE_EVERYTHING: &[&str] = &["server", "cli", "main", "lib"];

/// Crates that one module keeps from the others, so that what they stand for can change in one place.
const KEPT_CRATES: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("bollard", &["engine"]),
    ("russh", &["push"]),
    ("axum", &["api", "server"]),
    ("utoipa", &["api"]),
    ("git2", &["git"]),
    ("clap", &["cli", "config", "main"]),
    ("x509_parser", &["platform"]),
    ("prometheus", &["telemetry"]),
    ("instant_acme", &["platform"]),
    ("jiff", &["model"]),
];

/// Calls that have one place, or none, and what to do instead.
const BANNED: &[(&[&str], &[&str], &str)] = &[
    (&["process", "exit"], &["main"], "return an error; only main turns it into an exit status"),
    (&["tokio", "spawn"], &[], "spawn on a TaskTracker or in a JoinSet, so that somebody waits for the task"),
    (&["task", "spawn"], &[], "spawn on a TaskTracker or in a JoinSet, so that somebody waits for the task"),
    (&["thread", "sleep"], &[], "await tokio::time::sleep"),
    (&["env", "set_var"], &[], "pass the value on"),
    (&["env", "remove_var"], &[], "pass the value on"),
];

/// What is wrong with one source file. `path` is relative to `src`.
fn faults(path: &str, text: &str) -> Vec<String> {
    let module = top_module(path);
    let Scan { edges, crates, calls } = scan(&module_path(path), text);
    let mut faults = Vec::new();
    if !text.starts_with("//!") {
        faults.push(format!("{path}:1: does not open with a //! line"));
    }
    // A test of a door has to put together what the door stands on.
    for (line, target) in edges.iter().filter(|_| !is_test_file(path)) {
        let Some(top) = target.first() else { continue };
        if !may_use(module, top) {
            faults.push(format!("{path}:{line}: {module} may not use {top}"));
        } else if let (Some(from), Some(to)) = (door(&module_path(path)), door(target))
            && from != to
        {
            faults.push(format!("{path}:{line}: the door {from} may not use the door {to}"));
        }
    }
    for (line, name) in crates {
        let keeper = KEPT_CRATES.iter().find(|(kept, _)| *kept == name);
        // Tests may look at the world from outside, as a user of the crate would.
        if let Some((_, keepers)) = keeper.filter(|(_, keepers)| !keepers.contains(&module) && !is_test_file(path)) {
            faults.push(format!("{path}:{line}: {name} is used in {} only, not in {module}", keepers.join(" and ")));
        }
    }
    for (line, call) in calls {
        let banned = BANNED.iter().find(|(banned, _, _)| {
            let tail = call.iter().skip(call.len().saturating_sub(banned.len()));
            tail.map(String::as_str).eq(banned.iter().copied())
        });
        // A test's tasks end with its runtime.
        if let Some((name, _, instead)) =
            banned.filter(|(_, places, _)| !places.contains(&module) && !is_test_file(path))
        {
            faults.push(format!("{path}:{line}: {} has no place in {module}: {instead}", name.join("::")));
        }
    }
    faults
}

fn may_use(module: &str, target: &str) -> bool {
    let is_known = MAY_USE.iter().any(|(name, _)| *name == target) || MAY_USE_EVERYTHING.contains(&target);
    let row = MAY_USE.iter().find(|(name, _)| *name == module);
    module == target || !is_known || row.map_or(MAY_USE_EVERYTHING.contains(&module), |(_, may)| may.contains(&target))
}

/// `[api, deis, apps]` -> `deis`; nothing for what belongs to no door.
fn door(path: &[String]) -> Option<&str> {
    let (top, below) = (path.first()?, path.get(1)?);
    DOORS.iter().find(|door| top == "api" && below == **door).copied()
}

/// `push/exec.rs` -> `push`, `server.rs` -> `server`.
fn top_module(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// `push/exec.rs` -> `[push, exec]`, `push/mod.rs` -> `[push]`, `lib.rs` -> `[]`.
fn module_path(path: &str) -> Vec<String> {
    let parts = path.trim_end_matches(".rs").split('/').map(str::to_owned);
    parts.filter(|part| !["mod", "lib", "main"].contains(&part.as_str())).collect()
}

fn is_test_file(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}

fn sources(below: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(below);
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository can be read") {
            let path: PathBuf = entry.expect("its entries, too").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file can be read");
                let name = path.strip_prefix(&root).expect("it lies below its root");
                found.push((name.to_str().expect("names are UTF-8").to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn modules_use_only_what_they_may() {
    let sources = sources("src");
    assert!(sources.len() > 20, "only {} files were found", sources.len());
    let faults: Vec<String> = sources.iter().flat_map(|(path, text)| faults(path, text)).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_module_has_a_row() {
    let unknown: Vec<String> = sources("src")
        .into_iter()
        .map(|(path, _)| top_module(&path).to_owned())
        .filter(|module| !MAY_USE.iter().any(|(name, _)| name == module))
        .filter(|module| !MAY_USE_EVERYTHING.contains(&module.as_str()))
        .collect();
    assert!(unknown.is_empty(), "say in MAY_USE what these may use: {}", unknown.join(", "));
}

#[test]
fn every_test_and_benchmark_says_what_it_is() {
    for folder in ["tests", "benches"] {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//!"), "{folder}/{path} does not open with a //! line");
        }
    }
}

#[test]
fn the_checker_catches_what_it_is_for() {
    let check = |path: &str, text: &str, expect: &[&str]| {
        let found = faults(path, &format!("//! Doc.\n{text}"));
        assert_eq!(found.len(), expect.len(), "{text}: {found:?}");
        for (found, expect) in found.iter().zip(expect) {
            assert!(found.contains(expect), "{text}: {found:?}");
        }
    };
    check("model/app.rs", "use crate::store::Store;", &["model/app.rs:2: model may not use store"]);
    check("push/exec.rs", "use crate::{model::AppName, engine::Engine};", &["push may not use engine"]);
    check("push/exec.rs", "use {crate::store::apps, std::fmt};", &["push may not use store"]);
    check("push/mod.rs", "use super::store::apps;", &["push may not use store"]);
    check("push/exec.rs", "fn f() { super::super::rollout::go() }", &["push may not use rollout"]);
    check("api/deis/apps.rs", "fn f(s: &crate::store::Store) {}", &["api may not use store"]);
    check("api/deis/apps.rs", "use crate::api::{body, tutum::{state, ports}};", &["door deis may not", "door tutum"]);
    check("api/tutum/state.rs", "use super::super::deis::apps;", &["tutum may not use the door deis"]);
    check("api/tutum/mod.rs", "fn f() { super::deis::apps::list() }", &["tutum may not use the door deis"]);
    check("rollout/plan.rs", "mod tests { use super::super::probe; use super::super::super::push; }", &["push"]);
    check("store/apps.rs", "pub(in crate::platform) fn f() {}", &["store may not use platform"]);
    check("platform/apps.rs", "use axum::Json;", &["axum is used in api and server only"]);
    check("platform/apps.rs", "fn f(e: sqlx::Error) {}", &["sqlx is used in store only"]);
    check("git/source.rs", "fn f() { std::process::exit(1) }", &["process::exit has no place in git"]);
    check("git/source.rs", "fn f() { tokio::spawn(async {}); }", &["tokio::spawn has no place in git"]);
    assert_eq!(faults("model/x.rs", "use std::fmt;"), ["model/x.rs:1: does not open with a //! line"]);
}

#[test]
fn the_checker_lets_pass_what_is_fine() {
    let check = |path: &str, text: &str| assert_eq!(faults(path, &format!("//! Doc.\n{text}")), [""; 0], "{text}");
    check("model/app.rs", "// use crate::store::Store;\n/* crate::store /* nested */ crate::push */");
    check(
        "model/app.rs",
        r##"const A: &str = "crate::store"; const B: &str = r#"crate::"store"#; const C: char = '"';"##,
    );
    check("model/app.rs", "fn f<'a>(s: &'a str) -> char { 'x' }");
    check(
        "rollout/plan.rs",
        "use crate::route::Table; use super::spec; mod tests { use super::super::tests_support; }",
    );
    check("server.rs", "use crate::{push, store::Store}; use axum::Router;");
    check("api/mod.rs", "use self::{deis, tutum}; use crate::api::deis::apps; use super::api::tutum::state;");
    check("api/tutum/state.rs", "use super::deis; use crate::api::{body::deis, tutum::roles::{self, Role}};");
    check("main.rs", "fn main() { std::process::exit(1) }");
    check("store/tests.rs", "use sqlx::AnyPool;");
    check("push/exec.rs", "use crate::model::{self, App}; struct S { sqlx: u8 } fn f(s: S) -> u8 { s.sqlx }");
    check("build/slug.rs", "let child = tokio::process::Command::new(program).spawn();");
}
