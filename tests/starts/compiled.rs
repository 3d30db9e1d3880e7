//! Go, Rust and Java: which of the programs serves.

use crate::tree::{Tree, refused, starts};

const GO: &str = "// A program.\npackage main\n\nfunc main() {}\n";
const MODULE: (&str, &str) = ("go.mod", "module example.com/shop/v2\n\ngo 1.22\n");

#[track_caller]
fn go(files: &[(&str, &str)], expected: &str) {
    let mut files = files.to_vec();
    files.push(MODULE);
    starts("go", &files, expected);
}

#[test]
fn the_main_package_of_a_go_module_serves() {
    go(&[("main.go", GO)], "bin/shop (Go: func main in main.go line 4)");
    go(&[("server.go", GO), ("cmd/tool/main.go", GO)], "bin/shop (Go: func main in server.go line 4)");
    go(&[("cmd/api/main.go", GO), ("tools/gen/main.go", GO)], "bin/api (Go: func main in cmd/api/main.go line 4)");
    go(
        &[("server/main.go", GO), ("lib/lib.go", "package lib\n")],
        "bin/server (Go: func main in server/main.go line 4)",
    );
    go(&[("cmd/web/main.go", GO), ("cmd/jobs/main.go", GO)], "bin/web (Go: func main in cmd/web/main.go line 4)");
    go(&[("cmd/shop/main.go", GO), ("cmd/jobs/main.go", GO)], "bin/shop (Go: func main in cmd/shop/main.go line 4)");
    let ignored = format!("//go:build ignore\n\n{GO}");
    let aside = [
        ("gen.go", ignored.as_str()),
        ("cmd/api/api_windows.go", GO),
        ("cmd/api/main.go", GO),
        ("other/go.mod", "module other\n"),
        ("other/main.go", GO),
        ("vendor/x/main.go", GO),
        ("x_test.go", GO),
    ];
    go(&aside, "bin/api (Go: func main in cmd/api/main.go line 4)");
}

#[test]
fn several_go_programs_are_refused_unless_one_is_named() {
    let two = [("cmd/api/main.go", GO), ("cmd/jobs/main.go", GO)];
    refused(
        "go",
        &[MODULE, two[0], two[1]],
        &["several programs: api (func main in cmd/api/main.go line 4)", "  web: bin/api", "  web: bin/jobs"],
    );
    let named = ("go.mod", "// +heroku install ./cmd/jobs\nmodule shop\n");
    starts("go", &[named, two[0], two[1]], "bin/jobs (Go: func main in cmd/jobs/main.go line 4)");
    for spec in ["./cmd/api", "example.com/shop/v2/cmd/api", "./cmd/api/..."] {
        go(
            &[two[0], two[1], ("env/GO_INSTALL_PACKAGE_SPEC", spec)],
            "bin/api (Go: func main in cmd/api/main.go line 4)",
        );
    }
    refused("go", &[MODULE, two[0], two[1], ("env/GO_INSTALL_PACKAGE_SPEC", "./cmd/...")], &["several programs"]);
    refused("go", &[MODULE, ("lib.go", "package shop\n")], &["no package main", "// +heroku install"]);
    assert_eq!(Tree::of(&[MODULE, ("+bin/go-pre-compile", "")]).start("go"), Ok(String::new()), "it may write one");
}

const MAIN: &str = "//! A program.\n\nfn main() {}\n";

/// A Cargo.toml of a package.
fn package(more: &str) -> String {
    format!("[package]\nname = \"shop\"\nversion = \"1.0.0\"\n{more}")
}

#[track_caller]
fn rust(manifest: &str, files: &[(&str, &str)], expected: &str) {
    let mut files = files.to_vec();
    files.push(("Cargo.toml", manifest));
    starts("rust", &files, expected);
}

#[test]
fn the_only_or_the_default_program_of_a_cargo_package_serves() {
    let two = [("src/bin/api.rs", MAIN), ("src/bin/jobs/main.rs", MAIN)];
    rust(&package(""), &[("src/main.rs", MAIN)], "target/release/shop (Rust: src/main.rs line 3)");
    rust(&package(""), &[two[0], ("src/lib.rs", "")], "target/release/api (Rust: src/bin/api.rs line 3)");
    rust(&package("default-run = \"jobs\"\n"), &two, "target/release/jobs (Rust: default-run in Cargo.toml line 4)");
    rust(
        &package("[[bin]]\nname = \"serve\"\npath = \"src/main.rs\"\n"),
        &[("src/main.rs", MAIN)],
        "target/release/serve (Rust: Cargo.toml line 5)",
    );
    rust(
        &package(""),
        &[("src/main.rs", MAIN), two[0]],
        "target/release/shop (Rust: named as the package: src/main.rs line 3)",
    );
    rust(
        &package("[[bin]]\nname = \"api\"\nrequired-features = [\"x\"]\n"),
        &two,
        "target/release/jobs (Rust: src/bin/jobs/main.rs line 3)",
    );
    rust(
        &package(""),
        &[two[0], two[1], ("env/RUST_CARGO_BUILD_FLAGS", "--release --bin jobs")],
        "target/release/jobs (Rust: src/bin/jobs/main.rs line 3)",
    );
    refused(
        "rust",
        &[("Cargo.toml", &package("")), two[0], two[1]],
        &[
            "several programs: api (src/bin/api.rs line 3)",
            "  web: target/release/api",
            "  web: target/release/jobs",
            "default-run",
        ],
    );
    refused("rust", &[("Cargo.toml", &package("")), ("src/lib.rs", "")], &["no program in this package"]);
}

#[test]
fn of_a_cargo_workspace_only_what_is_clear_serves() {
    let workspace = "[workspace]\nmembers = [\"crates/*\"]\n";
    let member = |name: &str| format!("[package]\nname = \"{name}\"\nversion = \"1.0.0\"\n");
    let (api, jobs) = (member("api"), member("jobs"));
    let files = [
        ("crates/api/Cargo.toml", api.as_str()),
        ("crates/api/src/main.rs", MAIN),
        ("crates/jobs/Cargo.toml", jobs.as_str()),
        ("crates/jobs/src/lib.rs", ""),
    ];
    rust(workspace, &files, "target/release/api (Rust: crates/api/src/main.rs line 3)");
    let mut both = files.to_vec();
    both.extend([("crates/jobs/src/main.rs", MAIN), ("Cargo.toml", workspace)]);
    refused("rust", &both, &["several programs", "  web: target/release/api", "  web: target/release/jobs"]);
    both.pop();
    rust(
        &format!("{workspace}default-members = [\"crates/jobs\"]\n"),
        &both,
        "target/release/jobs (Rust: crates/jobs/src/main.rs line 3)",
    );
    both.push(("env/RUST_CARGO_BUILD_FLAGS", "-p api"));
    rust(workspace, &both, "target/release/api (Rust: crates/api/src/main.rs line 3)");
}

/// A pom.xml with a plugin.
fn pom(inside: &str) -> String {
    format!("<project>\n{inside}\n</project>\n")
}

#[test]
fn what_makes_an_executable_archive_of_java_is_read_before_it_is_built() {
    let plugin = |name: &str| pom(&format!("<plugin>\n  <artifactId>{name}</artifactId>\n</plugin>"));
    for (name, reason, options) in [
        ("spring-boot-maven-plugin", "Spring Boot", "-Dserver.port=$PORT"),
        ("quarkus-maven-plugin", "Quarkus", "-Dquarkus.http.host=0.0.0.0 -Dquarkus.http.port=$PORT"),
    ] {
        let answer = Tree::of(&[("pom.xml", &plugin(name))]).start("java");
        assert_eq!(answer, Ok(format!("=reason\t{reason}: {name} in pom.xml line 3\n=options\t{options}")));
    }
    let modules = [("pom.xml", pom("<modules/>")), ("web/pom.xml", plugin("spring-boot-maven-plugin"))];
    let modules: Vec<(&str, &str)> = modules.iter().map(|(name, text)| (*name, text.as_str())).collect();
    assert!(Tree::of(&modules).start("java").unwrap().contains("in web/pom.xml line 3"));
    let answer = Tree::of(&[("pom.xml", &pom("<mainClass>app.Main</mainClass>"))]).start("java");
    assert_eq!(answer, Ok("=reason\tmain class in pom.xml line 2".into()));
    for inherited in [
        &[("pom.xml", pom("<parent><artifactId>company-parent</artifactId></parent>"))][..],
        &[("pom.xml", pom("")), ("env/MAVEN_CUSTOM_GOALS", "x".into())],
    ] {
        let files: Vec<(&str, &str)> = inherited.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert_eq!(Tree::of(&files).start("java"), Ok(String::new()), "{files:?}");
    }
    let spring = pom("<parent><artifactId>spring-boot-starter-parent</artifactId></parent>");
    refused(
        "java",
        &[("pom.xml", &spring)],
        &["Add spring-boot-maven-plugin to its plugins", "  web: java -cp target/classes"],
    );
}
