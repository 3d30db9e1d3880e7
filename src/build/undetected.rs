//! What to say of a tree that no buildpack accepts.

use super::buildpacks::ORDER;

/// Files at the root of a tree, by name or by ending, and what a tree with one of them needs.
const HINTS: [(&[&str], &str); 8] = [
    (
        &["deno.json", "deno.jsonc", "deno.lock"],
        "is for Deno, which the stack does not have: add a Dockerfile (FROM denoland/deno)",
    ),
    (&["bun.lock", "bun.lockb", "bunfig.toml"], "is for Bun: add the package.json beside it"),
    (
        &[
            "build.gradle",
            "build.gradle.kts",
            "build.sbt",
            "mix.exs",
            "project.clj",
            "deps.edn",
            "*.csproj",
            "*.fsproj",
            "*.sln",
            "Package.swift",
            "pubspec.yaml",
            "CMakeLists.txt",
        ],
        "is for no buildpack that comes with the server: name one by the config var BUILDPACK_URL, or add a Dockerfile",
    ),
    (
        &["server.js", "index.js", "app.js", "main.js", "*.mjs", "*.ts"],
        "needs a package.json beside it: type npm init -y",
    ),
    (&["config.ru", "*.rb"], "needs a Gemfile and its lock file: type bundle init && bundle lock"),
    (&["*.go"], "needs a go.mod: type go mod init NAME"),
    (&["*.rs"], "needs a Cargo.toml: type cargo init"),
    (
        &["*.py"],
        "needs a requirements.txt (an empty one will do) and a Procfile with a line such as 'web: python FILE.py'",
    ),
];

/// The refusal of a tree with these paths.
pub(super) fn refusal(paths: &[String]) -> String {
    let known = ORDER.join(", ");
    match hint(paths) {
        Some((file, what)) => {
            format!("No buildpack matches; there are {known}. {file} {what}, then commit and push again.")
        }
        None => format!(
            "No buildpack matches; there are {known}. Add what one of them looks for (requirements.txt, package.json, go.mod, \
             index.html, a Procfile ...) or a Dockerfile, then commit and push again."
        ),
    }
}

fn hint(paths: &[String]) -> Option<(&str, &'static str)> {
    let matches = |path: &str, pattern: &str| match pattern.strip_prefix('*') {
        Some(ending) => path.ends_with(ending),
        None => path == pattern,
    };
    let at_root = || paths.iter().filter(|path| !path.contains('/'));
    HINTS.iter().find_map(|(patterns, what)| {
        let file = at_root().find(|path| patterns.iter().any(|pattern| matches(path, pattern)))?;
        Some((file.as_str(), *what))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_a_known_kind_is_told_what_it_needs() {
        for (paths, expected) in [
            (&["deno.json", "main.ts"][..], "deno.json is for Deno, which the stack does not have"),
            (&["bun.lockb", "index.ts"], "bun.lockb is for Bun"),
            (&["README.md", "build.gradle.kts"], "build.gradle.kts is for no buildpack that comes with the server"),
            (&["Shop.csproj"], "Shop.csproj is for no buildpack"),
            (&["server.js"], "server.js needs a package.json beside it: type npm init -y"),
            (&["config.ru"], "config.ru needs a Gemfile"),
            (&["serve.go"], "serve.go needs a go.mod"),
            (&["tool.py"], "tool.py needs a requirements.txt"),
            (&["README.md", "tools/x.py"], "Add what one of them looks for"),
            (&[], "or a Dockerfile, then commit and push again."),
        ] {
            let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
            let text = refusal(&paths);
            assert!(text.starts_with("No buildpack matches; there are python, ") && text.contains(expected), "{text}");
        }
    }
}
