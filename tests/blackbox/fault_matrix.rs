//! The fault matrix: trouble after every recorded step of every operation.
//!
//! The server is killed, the engine is started anew, the database takes no more writes, or the disk is full, while an
//! operation stands at a step; then all is well again. Before step *drain* a change that was killed has not happened, from
//! it on it has; of one that was not killed the answer tells. Whatever was cut short, the right release serves afterwards,
//! nothing is left that no row accounts for, no operation is live, and the next push works.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Value, json};

use crate::crash::{ask_directly, recover, releases};
use crate::full_disk::{DISK, fill};
use crate::support::{App, Engine, LONG, Options, Postgres, Repo, Slipway, User, wait_until};

/// A change of an app, each with the operation of its own kind.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Push,
    Config,
    Rollback,
    ScaleUp,
    ScaleDown,
    Restart,
    Destroy,
}

/// What happens to an operation that stands at a step.
enum Fault {
    /// `kill -9` of the server.
    Kill,
    /// The engine ends, with all containers, and starts.
    Engine(Engine),
    /// Writing transactions fail.
    Database(Postgres),
    /// Not a byte is free.
    Disk,
}

/// What can be seen of an app that serves.
#[derive(Debug, PartialEq)]
struct Seen {
    release: String,
    version: String,
    greeting: Option<String>,
    instances: usize,
}

impl Change {
    /// The kind of its operation and the steps that are recorded, in order.
    fn steps(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Push => ("push", &["accepted", "build", "release", "start", "switch", "drain"]),
            Self::Config => ("config", &["accepted", "release", "start", "switch", "drain"]),
            Self::Rollback => ("rollback", &["accepted", "release", "start", "switch", "drain"]),
            Self::ScaleUp | Self::ScaleDown => ("scale", &["accepted", "start", "switch", "drain"]),
            Self::Restart => ("restart", &["accepted", "start", "switch", "drain"]),
            Self::Destroy => ("destroy", &["accepted", "destroy"]),
        }
    }

    /// What serves before and after the change.
    fn states(self) -> (Seen, Seen) {
        let seen = |release: &str, version: &str, greeting: Option<&str>, instances| Seen {
            release: release.to_owned(),
            version: version.to_owned(),
            greeting: greeting.map(str::to_owned),
            instances,
        };
        let before = || seen("v3", "1", Some("old"), 2);
        let after = match self {
            Self::Push => seen("v4", "2", Some("old"), 2),
            Self::Config => seen("v4", "1", Some("new"), 2),
            Self::Rollback => seen("v4", "1", None, 2),
            Self::ScaleUp => seen("v3", "1", Some("old"), 3),
            Self::ScaleDown => seen("v3", "1", Some("old"), 1),
            Self::Restart | Self::Destroy => before(),
        };
        (before(), after)
    }

    /// Asks for the change; yields whether it was said to have been made. A killed server says nothing.
    async fn ask(self, app: &App<'_>, repo: &Repo) -> bool {
        let user = app.user;
        let (method, below, body) = match self {
            Self::Push => return app.push(repo).await.code == Some(0),
            Self::Config => ("POST", "/config", json!({ "values": { "GREETING": "new" } })),
            Self::Rollback => ("POST", "/releases/rollback", json!({ "version": 2 })),
            Self::ScaleUp => ("POST", "/scale", json!({ "web": 3 })),
            Self::ScaleDown => ("POST", "/scale", json!({ "web": 1 })),
            Self::Restart => ("POST", "/containers/restart", json!({})),
            Self::Destroy => ("DELETE", "", Value::Null),
        };
        let method = method.parse().expect("it is a method");
        let answer = user.request(method, &app.path(below)).json(&body).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}

impl Fault {
    fn options(&self) -> Options {
        match self {
            Self::Kill => Options::default(),
            Self::Engine(engine) => Options::default().engine(engine),
            Self::Database(server) => Options::default().database(server),
            Self::Disk => Options::default().env("SLIPWAY_MIN_FREE_DISK", "0").disk(DISK),
        }
    }
}

/// One cell of the matrix: a change of a prepared app, with trouble at a step.
struct Cell<'a> {
    fault: &'a Fault,
    change: Change,
    step: &'static str,
    app: App<'a>,
    repo: Repo,
    /// Engine containers before the change.
    containers: BTreeSet<String>,
}

impl<'a> Cell<'a> {
    /// An app that serves version 1, as release v3 with a config of its own, in two instances, and version 2 to push.
    async fn prepare(fault: &'a Fault, change: Change, step: &'static str, owner: &'a User<'a>) -> Self {
        let (app, repo) = (owner.create("fault").await, Repo::of("docker-web"));
        repo.write("Procfile", "web: python3 server.py\n");
        if let Fault::Engine(_) = fault {
            // An engine without a network for builds and without the image that builds slugs.
            repo.edit("Dockerfile", "RUN printf '%s\\n' \"$BUILD_NOTE\" > /tmp/note\n", "");
        } else {
            std::fs::remove_file(repo.tree().join("Dockerfile")).expect("the sample has one");
        }
        repo.commit("Have a process type web");
        app.push(&repo).await.succeeded().says(&[":v2 deployed to Slipway"]);
        assert_eq!(app.set(&json!({ "GREETING": "old" })).await, 3);
        app.scale(&json!({ "web": 2 })).await;
        repo.commit_file("VERSION", "2\n");
        Self { fault, change, step, containers: running(&app).await, app, repo }
    }

    /// Asks for the change and brings the trouble when its operation has recorded the step, and its end. Yields whether
    /// the change has happened.
    async fn go_through(&self) -> bool {
        let server = self.app.user.server;
        server.pause_after(&format!("{}:{}", self.change.steps().0, self.step));
        let asked = self.change.ask(&self.app, &self.repo);
        let (is_done, ()) = tokio::join!(asked, self.trouble());
        let has_switched = matches!(self.step, "drain" | "destroy");
        match self.fault {
            Fault::Kill => {
                assert!(!is_done, "{self}: nobody was there to say that it is done");
                has_switched
            }
            Fault::Database(database) => {
                database.take_writes().await;
                is_done || has_switched
            }
            Fault::Disk => {
                std::fs::remove_file(server.data_dir().join("ballast")).expect("it was filled");
                // A database may find room for the switch in its files where git then finds none for the ref.
                server.settle_within(LONG).await;
                is_done || has_switched || (self.change == Change::Push && self.app.versions().await[0] == 4)
            }
            Fault::Engine(_) => is_done || has_switched,
        }
    }

    /// From the moment that the operation stands at its step until it goes on, if it does.
    async fn trouble(&self) {
        let server = self.app.user.server;
        server.paused().await;
        match self.fault {
            Fault::Kill => return server.kill9().await,
            Fault::Engine(engine) => {
                engine.stop().await;
                engine.run().await;
            }
            Fault::Database(database) => database.refuse_writes().await,
            Fault::Disk => drop(fill(server)),
        }
        server.go_on();
    }

    /// What ran before a change that has not happened runs on while there is no server.
    async fn assert_untouched(&self) {
        let running = running(&self.app).await;
        assert!(running.is_superset(&self.containers), "{self}: {running:?} of {:?}", self.containers);
        let pages = ask_directly(&self.app).await;
        let old = releases(&pages).into_iter().filter(|release| *release == "v3").count();
        assert!(old >= self.containers.len(), "{self}: {pages:?}");
    }

    /// The right release serves, in the right containers, and nothing is left of anything else.
    async fn assert_recovered(&self, has_happened: bool) {
        let (app, server) = (&self.app, self.app.user.server);
        let (before, after) = self.change.states();
        let wanted = if has_happened { after } else { before };
        if let Fault::Kill = self.fault {
            recover(app, &wanted.release).await;
        }
        wait_until(&format!("{self}: the right release serves"), LONG, async || {
            let seen = seen(app).await?;
            if seen == wanted { Ok(()) } else { Err(format!("{seen:?} instead of {wanted:?}")) }
        })
        .await;
        server.settle_within(LONG).await;
        let newest: u64 = wanted.release[1..].parse().expect("a number");
        assert_eq!(app.versions().await, (1..=newest).rev().collect::<Vec<_>>(), "{self}");
        self.assert_containers(has_happened).await;
        if self.change == Change::Push && !matches!(self.fault, Fault::Disk) {
            let follows = app.head(&self.repo).await == Some(self.repo.head());
            assert_eq!(follows, has_happened, "{self}: the ref follows the release");
        }
        wait_until(&format!("{self}: nothing is left behind"), LONG, async || orphans(server).await).await;

        self.repo.commit_file("VERSION", "3\n");
        app.push(&self.repo).await.succeeded().says(&[&format!(":v{} deployed to Slipway", newest + 1)]);
        let next = seen(app).await.unwrap_or_else(|error| panic!("{self}: {error}"));
        assert_eq!((next.version.as_str(), next.instances), ("3", wanted.instances), "{self}: the next push works");
    }

    /// Which containers run, where those of before the change have not been ended by the fault itself.
    async fn assert_containers(&self, has_happened: bool) {
        if let Fault::Engine(_) = self.fault {
            return;
        }
        let now = running(&self.app).await;
        match self.change {
            _ if !has_happened => assert_eq!(now, self.containers, "{self}"),
            Change::ScaleUp => assert!(now.is_superset(&self.containers), "{self}"),
            Change::ScaleDown => assert!(now.is_subset(&self.containers), "{self}"),
            _ => assert!(now.is_disjoint(&self.containers), "{self}"),
        }
    }

    /// Of a destroyed app nothing is left, and its name is free for another one.
    async fn assert_gone(&self) {
        let (app, server) = (&self.app, self.app.user.server);
        if let Fault::Kill = self.fault {
            server.go_on();
            server.restart().await;
        }
        wait_until(&format!("{self}: the app is gone"), LONG, async || {
            let rows = server.rows("SELECT name FROM apps").await;
            if rows.is_empty() { orphans(server).await } else { Err(format!("{rows:?}")) }
        })
        .await;
        server.settle_within(LONG).await;
        app.user.get(&app.path("")).await.expect(404);
        assert_eq!(app.ask("/").await.status, 404);
        app.user.post("/apps", &json!({ "id": app.name })).await.expect(201);
        app.push(&self.repo).await.succeeded().says(&[":v2 deployed to Slipway"]);
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Kill => "killed",
            Fault::Engine(_) => "engine restarted",
            Fault::Database(_) => "writes refused",
            Fault::Disk => "disk full",
        };
        write!(out, "{:?}, {fault} after step {}", self.change, self.step)
    }
}

/// Engine containers of the app that run.
async fn running(app: &App<'_>) -> BTreeSet<String> {
    app.containers().await.into_iter().filter(|container| container.is_running).map(|container| container.id).collect()
}

async fn seen(app: &App<'_>) -> Result<Seen, String> {
    let answer = app.try_ask("/").await?;
    let page: Value = serde_json::from_str(&answer.text).map_err(|_| format!("{} {}", answer.line(), answer.text))?;
    let text = |name: &str| page[name].as_str().map(str::to_owned);
    let config = app.get("/config").await;
    let greeting = config["values"].get("GREETING").cloned().unwrap_or(Value::Null);
    let containers = app.containers().await;
    let structure = app.get("").await["structure"].clone();
    let is_whole = containers.iter().all(|container| container.is_running)
        && structure == json!({ "web": containers.len() })
        && page["config"] == greeting;
    if !is_whole {
        return Err(format!("{structure}, {greeting}, {page}, {containers:?}"));
    }
    Ok(Seen {
        release: text("release").unwrap_or_default(),
        version: text("version").unwrap_or_default(),
        greeting: text("config"),
        instances: containers.len(),
    })
}

/// Images, networks and slugs that no row accounts for, and what a build left.
async fn orphans(server: &Slipway) -> Result<(), String> {
    let (docker, id) = (server.docker(), server.id().await);
    let label = format!("io.slipway.server={id}");
    let rows = async |sql| server.rows(sql).await.into_iter().collect::<BTreeSet<_>>();
    let images = docker.image_names(&label).await;
    let mut left: Vec<String> = images.difference(&rows("SELECT engine_image FROM builds").await).cloned().collect();
    let mut networks: BTreeSet<String> = docker.objects(&[&label]).await.networks.into_iter().collect();
    for app in rows("SELECT id FROM apps").await {
        for network in docker.objects(&[&label, &format!("io.slipway.app={app}")]).await.networks {
            networks.remove(&network);
        }
    }
    left.extend(networks);
    left.extend(docker.build_containers(&id).await.into_iter().map(|container| container.id));
    let slugs = std::fs::read_dir(server.data_dir().join("slugs")).expect("the server makes it");
    let slugs: BTreeSet<String> =
        slugs.map(|file| file.expect("our own folder").file_name().to_string_lossy().into_owned()).collect();
    let known = rows("SELECT slug || '.tgz' FROM builds WHERE slug IS NOT NULL").await;
    left.extend(slugs.difference(&known).cloned());
    if left.is_empty() { Ok(()) } else { Err(left.join(", ")) }
}

async fn at_every_step_of(changes: &[Change], fault: Fault) {
    let server = Slipway::start_with(fault.options()).await;
    if !matches!(fault, Fault::Kill) {
        server.may_log_errors();
    }
    let owner = server.owner().await;
    for change in changes.iter().copied() {
        for step in change.steps().1 {
            let cell = Cell::prepare(&fault, change, step, &owner).await;
            let has_happened = cell.go_through().await;
            if matches!(fault, Fault::Kill) && !has_happened {
                cell.assert_untouched().await;
            }
            if change == Change::Destroy && has_happened {
                cell.assert_gone().await;
            } else {
                cell.assert_recovered(has_happened).await;
            }
            owner.delete(&cell.app.path("")).await.expect(204);
        }
    }
    wait_until("nothing is left behind", LONG, async || orphans(&server).await).await;
}

macro_rules! killed {
    ($($name:ident: $change:ident,)*) => {$(
        #[tokio::test]
        #[cfg_attr(not(debug_assertions), ignore = "only debug builds stop at a step")]
        async fn $name() {
            at_every_step_of(&[Change::$change], Fault::Kill).await;
        }
    )*};
}

killed! {
    killed_at_every_step_of_a_push: Push,
    killed_at_every_step_of_a_config_change: Config,
    killed_at_every_step_of_a_rollback: Rollback,
    killed_at_every_step_of_scaling_up: ScaleUp,
    killed_at_every_step_of_scaling_down: ScaleDown,
    killed_at_every_step_of_a_restart: Restart,
    killed_at_every_step_of_a_destruction: Destroy,
}

const OF_RELEASES: &[Change] = &[Change::Push, Change::Config, Change::Rollback];
const OF_INSTANCES: &[Change] = &[Change::ScaleUp, Change::ScaleDown, Change::Restart, Change::Destroy];

macro_rules! troubled {
    ($($name:ident: $changes:ident, $fault:expr;)*) => {$(
        #[tokio::test]
        #[cfg_attr(not(debug_assertions), ignore = "only debug builds stop at a step")]
        async fn $name() {
            at_every_step_of($changes, $fault).await;
        }
    )*};
}

troubled! {
    the_engine_restarts_at_every_step_towards_a_release: OF_RELEASES, Fault::Engine(Engine::start().await);
    the_engine_restarts_at_every_step_towards_other_instances: OF_INSTANCES, Fault::Engine(Engine::start().await);
    the_database_refuses_writes_at_every_step_towards_a_release: OF_RELEASES, Fault::Database(Postgres::start().await);
    the_database_refuses_writes_at_every_step_towards_other_instances: OF_INSTANCES,
        Fault::Database(Postgres::start().await);
    the_disk_is_full_at_every_step_towards_a_release: OF_RELEASES, Fault::Disk;
    the_disk_is_full_at_every_step_towards_other_instances: OF_INSTANCES, Fault::Disk;
}
