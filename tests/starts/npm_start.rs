//! The program that runs a start script as `npm start` does.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::tree::Tree;

/// Runs it for a package.json; what it says on stdout. The slug's root is where the tree lies.
fn run(manager: &str, script: &str, files: &[(&str, &str)], env: &[(&str, &str)]) -> String {
    let tree = Tree::of(files);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = Command::new("python3")
        .env("PYTHONPATH", root.join("buildpacks/lib"))
        .arg("-B")
        .arg(root.join("buildpacks/nodejs/lib/npm_start"))
        .arg(tree.path())
        .args([script, manager, "1.22.1", "10.9.2", "20.1.0"])
        .output()
        .expect("python3 is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let program = String::from_utf8(made.stdout).expect("it is UTF-8");
    let program = program.replace("cd /app", &format!("cd {}", tree.path().display()));
    let output =
        Command::new("bash").args(["-c", &program]).envs(env.iter().copied()).output().expect("bash is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it is UTF-8")
}

/// The environment of a start script that prints it.
fn environment(manager: &str, files: &[(&str, &str)], env: &[(&str, &str)]) -> BTreeMap<String, String> {
    let text = run(manager, "start", files, env);
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn scripts_see_what_npm_sets() {
    let package = r#"{"name": "shop", "version": "1.2.3", "config": {"port": 8}, "engines": {"node": ">=1"}, "bin": {"my-cli": "x.js"},
        "description": "it's", "scripts": {"start": "env"}}"#;
    let npmrc = "; a comment\nengine-strict=true\n//registry.example.com/:_authToken=secret\n_auth=secret\ntoken = ${TOKEN}\nfoo = \"b r\"\nsave=false\n";
    let files = [("package.json", package), (".npmrc", npmrc)];
    let seen = environment("npm", &files, &[("npm_config_cache", "/elsewhere")]);
    for (name, value) in [
        ("npm_package_name", "shop"),
        ("npm_package_version", "1.2.3"),
        ("npm_package_config_port", "8"),
        ("npm_package_engines_node", ">=1"),
        ("npm_package_json", "/app/package.json"),
        ("npm_lifecycle_event", "start"),
        ("npm_lifecycle_script", "env"),
        ("npm_command", "start"),
        ("npm_execpath", "/app/.heroku/node/lib/npm/bin/npm-cli.js"),
        ("npm_config_engine_strict", "true"),
        ("npm_config_foo", "b r"),
        ("npm_config_save", ""),
        ("npm_config_cache", "/elsewhere"),
        ("INIT_CWD", "/app"),
    ] {
        assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(
        seen["npm_config_user_agent"].starts_with("npm/1.22.1 node/v20.1.0 linux "),
        "{}",
        seen["npm_config_user_agent"]
    );
    assert!(!seen.contains_key("npm_package_description") && !seen.values().any(|value| value.contains("secret")));
    let seen = environment("yarn", &files, &[]);
    assert_eq!((seen["npm_package_description"].as_str(), seen["npm_package_scripts_start"].as_str()), ("it's", "env"));
    assert!(seen["npm_config_user_agent"].starts_with("yarn/1.22.1 npm/? node/v20.1.0 "));
    let seen = environment("pnpm", &files, &[]);
    assert!(
        seen["npm_config_user_agent"].starts_with("pnpm/1.22.1 npm/? ") && seen["npm_execpath"].ends_with("pnpm.cjs")
    );
}

#[test]
fn what_comes_before_and_after_runs_in_its_turn() {
    let echo = "echo $npm_lifecycle_event 'a' \\\"$npm_package_version\\\"";
    let package = |before: &str| {
        format!(
            r#"{{"version": "1.0.0", "scripts": {{"prestart": "{before}", "start": "{echo}; true || false", "poststart": "{echo}", "start:prod": "{echo}"}}}}"#
        )
    };
    let all = package(echo);
    assert_eq!(
        run("npm", "start", &[("package.json", &all)], &[]),
        "prestart a 1.0.0\nstart a 1.0.0\npoststart a 1.0.0\n"
    );
    assert_eq!(run("npm", "start:prod", &[("package.json", &all)], &[]), "start:prod a 1.0.0\n");
    let stop = r#"{"scripts": {"start": "trap 'echo went; exit' TERM; kill -TERM $PPID; sleep 1 & wait", "poststart": "echo after"}}"#;
    assert_eq!(
        run("npm", "start", &[("package.json", stop)], &[]),
        "went\nafter\n",
        "a signal is passed on, and the end waited for"
    );
}
