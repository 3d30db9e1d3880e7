//! Each language that a built-in buildpack knows: pushed, built, asked, pushed again with its cache, and refused.

use serde_json::json;

use crate::support::{App, Repo, Slipway, User};

/// No build says it.
const NOTHING: &str = "(nothing)";

/// A fixture, what its first build says, the change of the second push and what that says.
struct Story<'a> {
    fixture: &'a str,
    first: &'a [&'a str],
    change: (&'a str, &'a str, &'a str),
    second: &'a [&'a str],
    /// What the second build must not say again.
    no_more: &'a str,
}

impl Story<'_> {
    /// Pushes twice; `look` is given the app after each push, and whether it is the second.
    async fn tell(&self, look: impl AsyncFn(&App<'_>, bool)) {
        let server = Slipway::start().await;
        let owner = server.owner().await;
        let (app, repo) = (owner.create("lang").await, Repo::of(self.fixture));
        let push = app.push(&repo).await.succeeded().says(self.first);
        assert!(self.no_more == NOTHING || push.has(self.no_more), "{}", push.output());
        look(&app, false).await;

        let (file, from, to) = self.change;
        repo.edit(file, from, to);
        repo.commit("Change what the page says");
        let push = app.push(&repo).await.succeeded().says(self.second);
        assert!(!push.has(self.no_more), "{}", push.output());
        look(&app, true).await;
    }
}

/// Asks for `/`, which must begin with the one text before the change and with the other after it.
async fn says(app: &App<'_>, is_second: bool, before: &str, after: &str) {
    let page = app.ask("/").await.expect(200).text;
    assert!(page.starts_with(if is_second { after } else { before }), "{page}");
}

#[tokio::test]
async fn a_django_site_is_installed_by_its_uv_lock_and_its_static_files_are_collected() {
    let story = Story {
        fixture: "django-app",
        first: &["Python app detected", "Installing uv.lock with pip", "1 static file copied"],
        change: ("mysite/urls.py", "on Slipway", "on Slipway again"),
        second: &["uv.lock is unchanged: its packages are taken from the cache", "1 static file copied"],
        no_more: "Collecting django",
    };
    story
        .tell(async |app, second| {
            says(app, second, "Django 5.2", "Django 5.2").await;
            assert_eq!(app.ask("/").await.text.contains("again"), second);
            let css = app.ask("/static/site.css").await.expect(200);
            assert!(css.text.contains("navy"), "{}", css.text);
        })
        .await;
}

#[tokio::test]
async fn a_node_app_is_built_and_pruned() {
    let story = Story {
        fixture: "node-app",
        first: &["Node.js app detected", "npm 10", "added 6 packages", "Running build", "Pruning"],
        change: ("src/index.md", "Node.js on Slipway", "Node.js again"),
        second: &["package-lock.json is unchanged: node_modules is taken from the cache", "Running build"],
        no_more: "added 6 packages",
    };
    story
        .tell(async |app, second| {
            says(app, second, "<h1>Node.js on Slipway</h1>", "<h1>Node.js again</h1>").await;
            let about = app.ask("/about").await.expect(200).json();
            assert_eq!(
                (&about["env"], &about["polka"], &about["marked"]),
                (&json!("production"), &json!(true), &json!(false)),
                "what only the build needs is gone: {about}"
            );
        })
        .await;
}

#[tokio::test]
async fn a_single_page_app_is_built_by_yarn_and_served_with_a_fallback() {
    let story = Story {
        fixture: "spa",
        first: &["yarn 1.", "chosen by yarn.lock", "Serving dist/ as a single-page app"],
        change: ("src/app.jsx", "A single-page app at", "Somewhere at"),
        second: &["yarn.lock is unchanged: node_modules is taken from the cache"],
        no_more: "Linking dependencies",
    };
    story
        .tell(async |app, second| {
            let page = app.ask("/").await.expect(200);
            assert_eq!(page.header("cache-control"), "no-cache");
            let deep = app.ask("/deep/link").await.expect(200);
            assert_eq!(deep.text, page.text, "the browser decides which page this is");
            let script = page.text.split("src=\"").nth(1).and_then(|rest| rest.split('"').next());
            let script = app.ask(script.expect("the page names its script")).await.expect(200);
            assert_eq!(script.text.contains("Somewhere at"), second);
            assert!(script.header("cache-control").contains("immutable"), "its name changes with its content");
            assert!(!app.ask("/.heroku/node").await.text.contains("bin"), "only dist/ is served");
        })
        .await;
}

#[tokio::test]
async fn a_go_module_with_vendored_packages_is_built() {
    let story = Story {
        fixture: "go-app",
        first: &["Go app detected", "Dependencies are those of vendor/", "Built go-app"],
        change: ("greeting/greeting.go", "Go on Slipway", "Go again"),
        second: &["What did not change is taken from the cache", "Built go-app"],
        no_more: NOTHING,
    };
    let id = "uuid=22958cb8-5754-5ffd-bf4a-197108d907dc";
    story
        .tell(async |app, second| {
            says(app, second, &format!("Go on Slipway {id}"), &format!("Go again {id}")).await;
        })
        .await;
}

#[tokio::test]
async fn a_rust_package_is_built_and_only_what_changed_is_built_again() {
    let story = Story {
        fixture: "rust-app",
        first: &["Rust app detected", "Compiling tiny_http", "Built rust-app"],
        change: ("src/greeting.rs", "Rust on Slipway", "Rust again"),
        second: &["What did not change is taken from the cache", "Compiling rust-app", "Built rust-app"],
        no_more: "Compiling tiny_http",
    };
    story.tell(async |app, second| says(app, second, "Rust on Slipway", "Rust again").await).await;
}

#[tokio::test]
async fn a_rack_app_is_installed_by_its_lock_file() {
    let story = Story {
        fixture: "ruby-app",
        first: &["Ruby (Rack) app detected", "Gems are those of vendor/cache", "Default types for Ruby (Rack) -> web"],
        change: ("config.ru", "Ruby on Slipway", "Ruby again"),
        second: &["Gemfile.lock is unchanged: its gems are taken from the cache"],
        no_more: "Installed 2 gems",
    };
    story
        .tell(async |app, second| {
            says(app, second, "Ruby on Slipway, rack 2.2.22, production", "Ruby again, rack 2.2.22, production").await;
        })
        .await;
}

#[tokio::test]
async fn a_php_app_is_served_from_its_document_root() {
    let story = Story {
        fixture: "php-app",
        first: &["PHP app detected", "Installing example/greeting (1.0.0)", "Serving public/"],
        change: ("packages/greeting/src/Greeting.php", "PHP on Slipway", "PHP again"),
        second: &["Installing example/greeting (1.0.0)"],
        no_more: NOTHING,
    };
    story
        .tell(async |app, second| {
            says(app, second, "PHP ON SLIPWAY at /, release v2", "PHP AGAIN at /, release v3").await;
            assert!(app.ask("/no/file").await.expect(200).text.contains("at /no/file"), "the front controller answers");
            assert!(app.ask("/site.css").await.expect(200).text.contains("sans-serif"));
            for hidden in ["/.profile.d/000-php.sh", "/composer.json", "/vendor/autoload.php"] {
                assert!(!app.ask(hidden).await.text.contains("autoload"), "{hidden} is nobody's page");
            }
        })
        .await;
}

#[tokio::test]
async fn a_maven_project_is_served_by_its_executable_jar() {
    let story = Story {
        fixture: "java-app",
        first: &["Java app detected", "BUILD SUCCESS", "Executable jar: target/java-app-1.0.jar"],
        change: ("src/main/java/app/Main.java", "Java on Slipway", "Java again"),
        second: &["What was downloaded before is taken from the cache", "BUILD SUCCESS"],
        no_more: NOTHING,
    };
    story
        .tell(async |app, second| {
            says(app, second, "Java on Slipway, version 17", "Java again, version 17").await;
        })
        .await;
}

#[tokio::test]
async fn a_tree_of_scripts_needs_nothing_but_its_procfile() {
    let story = Story {
        fixture: "procfile-app",
        first: &["Procfile app detected", "Nothing to compile"],
        change: ("bin/serve", "A Procfile on Slipway", "A Procfile again"),
        second: &["Nothing to compile"],
        no_more: NOTHING,
    };
    story.tell(async |app, second| says(app, second, "A Procfile on Slipway", "A Procfile again").await).await;
}

/// Pushes a changed fixture, which is refused with `texts`.
async fn assert_refused(owner: &User<'_>, fixture: &str, change: impl FnOnce(&Repo), texts: &[&str]) {
    let (app, repo) = (owner.create("bad").await, Repo::of(fixture));
    change(&repo);
    repo.commit("Break it");
    app.push(&repo).await.failed().says(texts);
    assert_eq!(app.versions().await, [1], "{fixture}: nothing is released");
}

#[tokio::test]
async fn a_version_that_there_is_not_is_refused_with_those_there_are() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let write = |name: &'static str, text: &'static str| move |repo: &Repo| repo.write(name, text);
    let edit = |name: &'static str, from: &'static str, to: &'static str| move |repo: &Repo| repo.edit(name, from, to);
    assert_refused(&owner, "pyapp", write(".python-version", "3.99\n"), &["asks for Python '3.99'", "3.11"]).await;
    let texts = ["pyproject.toml (project.requires-python) asks for Python '>=3.99'", "3.11"];
    assert_refused(&owner, "django-app", edit("pyproject.toml", ">=3.11", ">=3.99"), &texts).await;
    let texts = ["asks for Node.js '>=999', and there is no such version", "There is: "];
    assert_refused(&owner, "node-app", edit("package.json", ">=18", ">=999"), &texts).await;
    let texts = ["asks for Ruby '~> 9.9'", "3.1"];
    assert_refused(&owner, "ruby-app", edit("Gemfile", ">= 3.1", "~> 9.9"), &texts).await;
    let texts = ["system.properties asks for Java '99'", "17"];
    assert_refused(&owner, "java-app", write("system.properties", "java.runtime.version=99\n"), &texts).await;
    let texts = ["rust-toolchain asks for Rust 'nightly', which is no version", "write for example stable"];
    assert_refused(&owner, "rust-app", write("rust-toolchain", "nightly\n"), &texts).await;
    let texts = ["php >=99", "composer install failed"];
    assert_refused(&owner, "php-app", edit("composer.lock", ">=8.1", ">=99"), &texts).await;

    let (app, repo) = (owner.create("bad").await, Repo::of("go-app"));
    app.set(&json!({ "GOPROXY": "off" })).await;
    repo.edit("go.mod", "go 1.19", "go 1.99");
    repo.commit("Ask for a Go of the future");
    app.push(&repo).await.failed().says(&["Go 1.99.0, which go.mod asks for, cannot be fetched", "has Go 1."]);
}

#[tokio::test]
async fn a_lock_file_that_does_not_fit_is_refused_with_what_to_type() {
    let server = Slipway::start().await;
    let owner = server.owner().await;
    let write = |name: &'static str, text: &'static str| move |repo: &Repo| repo.write(name, text);
    let edit = |name: &'static str, from: &'static str, to: &'static str| move |repo: &Repo| repo.edit(name, from, to);
    let texts = ["uv.lock is out of date", "(bottle)", "Type uv lock"];
    assert_refused(&owner, "django-app", edit("pyproject.toml", "\"gunicorn", "\"bottle\", \"gunicorn"), &texts).await;
    let texts = ["There is a Pipfile and no Pipfile.lock", "Type pipenv lock"];
    assert_refused(&owner, "procfile-app", write("Pipfile", "[packages]\nbottle = \"*\"\n"), &texts).await;
    let texts = ["npm ci failed", "type npm install, commit package-lock.json"];
    assert_refused(&owner, "node-app", edit("package.json", "\"0.5.2\"", "\"0.5.1\""), &texts).await;
    let texts = ["lock files of different package managers: package-lock.json, yarn.lock"];
    assert_refused(&owner, "node-app", write("yarn.lock", "# yarn lockfile v1\n"), &texts).await;
    let texts = ["cargo build failed", "type cargo update --workspace and commit it"];
    assert_refused(&owner, "rust-app", edit("Cargo.toml", "=0.12.0", "=0.11.0"), &texts).await;
    let texts = ["bundle install failed", "type bundle lock"];
    assert_refused(&owner, "ruby-app", edit("Gemfile", "'2.2.22'", "'2.2.21'"), &texts).await;
    let texts = ["requires packages, and there is no composer.lock", "Type composer update"];
    let remove = |repo: &Repo| drop(repo.git(&["rm", "-q", "composer.lock"]));
    assert_refused(&owner, "php-app", remove, &texts).await;
    let texts = ["The Procfile starts web by bin/missing, but the pushed tree has no such file"];
    assert_refused(&owner, "procfile-app", write("Procfile", "web: bin/missing\n"), &texts).await;
}
