//! Each rule, with a real database and an engine in memory.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::build::cache_volume;
use crate::engine::memory::Memory;
use crate::engine::{ContainerSpec, Image, Labels, label, labels};
use crate::model::{
    BuildId, BuildKind, ConfigId, ConfigVars, Instance, InstanceId, InstanceState, Limits, OperationId, OperationKind,
    OperationStatus, Procfile, Release, ReleaseStatus, Runtime, Timestamp, User,
};
use crate::rollout::app_network;
use crate::store::builds::{BuildResult, NewBuild};
use crate::store::{Sealer, builds, configs, instances, operations, releases, users};

const OURS: &str = "server-1";
const DAY: Duration = Duration::from_secs(24 * 3600);

struct World {
    store: Store,
    engine: Arc<Memory>,
    slugs: SlugStore,
    _dir: TempDir,
    user: User,
}

/// An app with a config to release.
struct Tenant {
    app: App,
    config: ConfigId,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("db").display());
        let store = Store::open(&url, Sealer::new([7; 32])).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let new = users::NewUser {
            username: "ada".parse().unwrap(),
            email: String::new(),
            first_name: String::new(),
            last_name: String::new(),
            password_hash: String::new(),
            is_superuser: false,
            may_be_first: true,
        };
        let user = users::insert(&mut tx, store.sealer(), &new).await.unwrap();
        tx.commit().await.unwrap();
        let slugs = SlugStore::open(dir.path().join("slugs")).unwrap();
        Self { store, engine: Arc::new(Memory::default()), slugs, _dir: dir, user }
    }

    async fn tenant(&self, name: &str) -> Tenant {
        let (id, store) = (AppId::new(), &self.store);
        apps::insert(store.pool(), id, &name.parse().unwrap(), self.user.id).await.unwrap();
        let app = apps::by_id(store.pool(), id).await.unwrap().unwrap();
        let (values, limits) = (ConfigVars::new(), Limits::default());
        let config = configs::insert(store.pool(), store.sealer(), id, self.user.id, &values, &limits).await.unwrap();
        Tenant { app, config }
    }

    /// A finished build whose image is called `TAG` and whose slug is that digit, 64 times.
    async fn build(&self, tenant: &Tenant, kind: BuildKind, tag: &str, slug: Option<char>) -> BuildId {
        let (id, pool, app) = (BuildId::new(), self.store.pool(), &tenant.app);
        let name = format!("slipway/app-{}:{tag}", app.name);
        let new = NewBuild {
            app: app.id,
            owner: self.user.id,
            kind,
            image: app.name.to_string(),
            engine_image: String::new(),
            commit: None,
            dockerfile: String::new(),
        };
        builds::insert(pool, id, &new).await.unwrap();
        let slug = slug.map(digest);
        if let Some(slug) = &slug {
            self.write_slug(slug);
        }
        let (procfile, port) = (Procfile::default(), None);
        let result = BuildResult {
            engine_image: name.clone(),
            fingerprint: None,
            slug,
            procfile,
            port,
            health: Default::default(),
            cron: Vec::new(),
        };
        builds::succeed(pool, id, &result).await.unwrap();
        let marks = if kind == BuildKind::Image { Labels::new() } else { marks(app, id) };
        self.engine.add_labelled_image(&name, marks, None);
        id
    }

    async fn release(&self, tenant: &Tenant, build: BuildId) -> Release {
        let mut tx = self.store.begin().await.unwrap();
        let new = releases::NewRelease {
            app: tenant.app.id,
            owner: self.user.id,
            build: Some(build),
            config: tenant.config,
            summary: String::new(),
            status: ReleaseStatus::Deployed,
        };
        let release = releases::insert(&mut tx, &new).await.unwrap();
        tx.commit().await.unwrap();
        release
    }

    /// Releases `a`, `b`, `c` ... of as many builds, by slugs, oldest first.
    async fn releases(&self, tenant: &Tenant, tags: &str) -> Vec<Release> {
        let mut made = Vec::new();
        for tag in tags.chars() {
            let build = self.build(tenant, BuildKind::Slug, &tag.to_string(), Some(tag)).await;
            made.push(self.release(tenant, build).await);
        }
        made
    }

    async fn runs(&self, tenant: &Tenant, release: &Release) {
        let now = Timestamp::now();
        let instance = Instance {
            id: InstanceId::new(),
            app_id: tenant.app.id,
            release_id: release.id,
            version: release.version,
            process: "web".parse().unwrap(),
            number: 1,
            state: InstanceState::Live,
            operation_id: OperationId::new(),
            address: None,
            created_at: now,
            updated_at: now,
        };
        instances::insert(self.store.pool(), &instance).await.unwrap();
    }

    /// A slug that nobody has touched for a day.
    fn write_slug(&self, digest: &str) {
        self.write_old(&format!("{digest}.tgz"));
    }

    fn write_old(&self, name: &str) {
        let file = std::fs::File::create(self.slugs.dir().join(name)).unwrap();
        file.set_len(1000).unwrap();
        file.set_modified(SystemTime::now() - 2 * DAY).unwrap();
    }

    fn cleanup(&self, keep_releases: i64) -> Cleanup {
        let server_id = OURS.to_owned();
        let settings = CleanupSettings { server_id, keep_releases, build_cache_bytes: 100, runtime_bytes: 2500 };
        let engine: Arc<dyn Engine> = self.engine.clone();
        Cleanup::new(self.store.clone(), engine, self.slugs.clone(), settings, CancellationToken::new())
    }

    /// What would go, by name, sorted.
    async fn goes(&self, keep_releases: i64) -> Vec<String> {
        let plan = self.cleanup(keep_releases).plan(Depth::Full).await.unwrap();
        let mut names: Vec<String> = plan.goes.iter().map(|item| item.name.clone()).collect();
        names.sort();
        names
    }

    /// Cleans up; what became of each thing.
    async fn clean(&self, keep_releases: i64) -> BTreeMap<String, Outcome> {
        let (cleanup, mut done) = (self.cleanup(keep_releases), BTreeMap::new());
        let plan = cleanup.plan(Depth::Full).await.unwrap();
        let mut report = |item: &Item, outcome: &Outcome| {
            done.insert(item.name.clone(), outcome.clone());
        };
        cleanup.carry_out(&plan, &mut report).await.unwrap();
        let live = operations::live(self.store.pool()).await.unwrap();
        assert!(live.iter().all(|operation| operation.kind != OperationKind::CleanUp), "every lock is given back");
        done
    }
}

/// Labels of the image of a build.
fn marks(app: &App, build: BuildId) -> Labels {
    labels([
        (label::SERVER, OURS),
        (label::APP, &app.id.to_string()),
        (label::APP_NAME, app.name.as_str()),
        (label::BUILD, &build.to_string()),
    ])
}

fn digest(tag: char) -> String {
    tag.to_string().repeat(64)
}

#[tokio::test]
async fn what_the_last_releases_need_stays_and_the_rest_goes() {
    let world = World::new().await;
    let web = world.tenant("web").await;
    world.releases(&web, "abcd").await;
    let expect = [digest('a'), digest('b'), "slipway/app-web:a".to_owned(), "slipway/app-web:b".to_owned()];
    assert_eq!(world.goes(2).await, expect);
    let mut gone: Vec<String> = world.clean(2).await.into_keys().collect();
    gone.sort();
    assert_eq!(gone, expect);
    assert_eq!(world.engine.images_now(), ["slipway/app-web:c", "slipway/app-web:d"]);
    assert_eq!(world.slugs.list().unwrap(), [digest('c'), digest('d')]);
    assert_eq!(world.goes(2).await, [""; 0]);
}

#[tokio::test]
async fn what_runs_stays_and_a_build_that_a_later_release_shares() {
    let world = World::new().await;
    let web = world.tenant("web").await;
    let made = world.releases(&web, "abc").await;
    world.runs(&web, &made[1]).await;
    // As a rollback does.
    world.release(&web, made[0].build_id.unwrap()).await;
    assert_eq!(world.goes(1).await, [digest('c'), "slipway/app-web:c".to_owned()]);
}

#[tokio::test]
async fn runtimes_that_no_kept_build_needs_go_beyond_their_budget_least_used_first() {
    let world = World::new().await;
    let web = world.tenant("web").await;
    let made = world.releases(&web, "ab").await;
    let runtime =
        |version: &str| Runtime { tool: "node".to_owned(), version: Some(version.to_owned()), wish: ">=20".to_owned() };
    for (release, version) in made.iter().zip(["20.1.0", "22.1.0"]) {
        builds::set_runtimes(world.store.pool(), release.build_id.unwrap(), &[runtime(version)]).await.unwrap();
    }
    // Each has 1000 bytes of 2500; the later of use, the lower the number.
    for (age, version) in (1..).zip(["20.1.0", "22.1.0", "23.1.0", "24.1.0", "25.1.0"]) {
        let path = world.slugs.dir().join(format!("node-{version}.tgz"));
        let file = std::fs::File::create(path).unwrap();
        file.set_len(1000).unwrap();
        file.set_modified(SystemTime::now() - age * DAY).unwrap();
    }
    let base = |version: &str| {
        let name = format!("slipway/runtimes:{version}");
        let marks = labels([(label::SERVER, OURS), (label::RUNTIMES, &format!("node-{version}"))]);
        world.engine.add_labelled_image(&name, marks, None);
    };
    ["22.1.0", "23.1.0"].into_iter().for_each(base);
    world.engine.add_labelled_image("slipway/runtimes:installer-1", Labels::new(), None);
    let goes = ["node-23.1.0", "node-24.1.0", "node-25.1.0", "slipway/runtimes:23.1.0"];
    assert_eq!(world.goes(2).await, goes, "two are needed, which leaves no room for a third");
    let of_first = [digest('a'), "node-24.1.0".to_owned(), "node-25.1.0".to_owned()];
    let now = world.goes(1).await;
    assert!(of_first.iter().all(|name| now.contains(name)) && !now.contains(&"node-22.1.0".to_owned()), "{now:?}");
    assert!(!now.contains(&"node-20.1.0".to_owned()), "there is room for what was of use last: {now:?}");
    world.clean(2).await;
    let left: Vec<String> = world.slugs.runtimes().unwrap().into_iter().map(|file| file.name).collect();
    assert_eq!(left, ["node-20.1.0", "node-22.1.0"]);
    assert!(world.engine.images_now().contains(&"slipway/runtimes:installer-1".to_owned()));
}

#[tokio::test]
async fn a_build_without_a_release_stays_for_a_day() {
    let world = World::new().await;
    let web = world.tenant("web").await;
    world.releases(&web, "a").await;
    let failed = world.build(&web, BuildKind::Dockerfile, "b", None).await;
    assert_eq!(world.goes(1).await, [""; 0]);
    sqlx::query("UPDATE builds SET updated_at = updated_at - 90000000 WHERE id = $1")
        .bind(failed.to_string())
        .execute(world.store.pool())
        .await
        .unwrap();
    assert_eq!(world.goes(1).await, ["slipway/app-web:b"]);
}

#[tokio::test]
async fn a_busy_app_is_left_alone() {
    let world = World::new().await;
    let (web, other) = (world.tenant("web").await, world.tenant("other").await);
    world.releases(&web, "ab").await;
    world.releases(&other, "cd").await;
    let (cleanup, pool) = (world.cleanup(1), world.store.pool());
    let plan = cleanup.plan(Depth::Full).await.unwrap();
    // The push begins between the plan and the work.
    let push = operations::begin(pool, OperationKind::Push, &web.app, "ada").await.unwrap();
    let mut done = BTreeMap::new();
    let mut report = |item: &Item, outcome: &Outcome| {
        done.insert(item.name.clone(), outcome.clone());
    };
    cleanup.carry_out(&plan, &mut report).await.unwrap();
    assert_eq!(done["slipway/app-web:a"], Outcome::Kept("web is busy".to_owned()));
    assert_eq!(done["slipway/app-other:c"], Outcome::Removed);
    assert!(world.engine.images_now().contains(&"slipway/app-web:a".to_owned()));

    // While it is at work nothing of the app is even planned.
    assert_eq!(world.goes(1).await, [""; 0]);
    let plan = cleanup.plan(Depth::Full).await.unwrap();
    let stays = plan.stays.iter().find(|item| item.name == "slipway/app-web:a").unwrap();
    assert_eq!(stays.why, "a push by ada is at work on web");
    operations::finish(pool, &push.id, OperationStatus::Succeeded, "").await.unwrap();
    assert_eq!(world.goes(1).await, ["slipway/app-web:a"]);
}

#[tokio::test]
async fn what_became_of_use_between_the_plan_and_the_work_stays() {
    let world = World::new().await;
    let web = world.tenant("web").await;
    let made = world.releases(&web, "ab").await;
    let cleanup = world.cleanup(1);
    let plan = cleanup.plan(Depth::Full).await.unwrap();
    assert_eq!(plan.goes.len(), 2);
    // A rollback that is over by now; the slug was touched by it.
    world.release(&web, made[0].build_id.unwrap()).await;
    assert!(world.slugs.touch(&digest('a')).unwrap());
    let mut done = Vec::new();
    cleanup.carry_out(&plan, &mut |_, outcome| done.push(outcome.clone())).await.unwrap();
    assert_eq!(done, [const { "it is needed by now" }; 2].map(|why| Outcome::Kept(why.to_owned())));
    assert_eq!(world.slugs.list().unwrap(), [digest('a'), digest('b')]);
}

#[tokio::test]
async fn a_slug_that_was_of_use_lately_stays() {
    let world = World::new().await;
    let web = world.tenant("web").await;
    world.releases(&web, "ab").await;
    assert!(world.slugs.touch(&digest('a')).unwrap());
    assert_eq!(world.goes(1).await, ["slipway/app-web:a"]);
}

#[tokio::test]
async fn a_slug_stays_as_long_as_any_app_needs_it() {
    let world = World::new().await;
    let (web, other) = (world.tenant("web").await, world.tenant("other").await);
    world.releases(&web, "ab").await;
    world.releases(&other, "a").await;
    assert_eq!(world.goes(1).await, ["slipway/app-web:a"]);
}

#[tokio::test]
async fn what_slipway_did_not_make_stays() {
    let world = World::new().await;
    let (engine, web) = (&world.engine, world.tenant("web").await);
    let made = world.releases(&web, "ab").await;
    let old = engine.image("slipway/app-web:a").await.unwrap();
    let inherited = marks(&web.app, made[0].build_id.unwrap());
    // Made by somebody from an image of ours, with a name and without one: the labels are inherited.
    engine.add_labelled_image("ada/debug:1", inherited.clone(), Some(&old));
    let nameless = engine.add_labelled_image("", inherited.clone(), Some(&old));
    // The stack, an image without any label, one of another installation.
    engine.add_labelled_image("slipway/stack:slipway-12-run", labels([("io.slipway.stack", "x")]), None);
    engine.add_labelled_image("slipway/app-web:zzz", Labels::new(), None);
    let theirs = labels([(label::SERVER, "server-2"), (label::BUILD, "x"), (label::APP, "x")]);
    engine.add_labelled_image("slipway/app-web:yyy", theirs.clone(), None);
    engine.add_labelled_image("", theirs.clone(), None);
    engine.ensure_volume("slipway-cache-x", &theirs).await.unwrap();
    engine.ensure_volume("ada", &Labels::new()).await.unwrap();
    engine.ensure_network("ada", &Labels::new()).await.unwrap();
    let foreign = ContainerSpec {
        name: "ada-looks".to_owned(),
        image: "ada/debug:1".to_owned(),
        labels: inherited,
        ..ContainerSpec::default()
    };
    engine.create_container(&foreign).await.unwrap();

    let plan = world.cleanup(1).plan(Depth::Full).await.unwrap();
    let why = |name: &str| plan.stays.iter().find(|item| item.name == name).map(|item| item.why.as_str());
    assert_eq!(why("ada/debug:1"), Some("somebody else gave it that name"));
    assert_eq!(why(&nameless.id), Some("somebody else made it from an image of Slipway's"));
    // What they stand on stays with the nameless one, or it could not be told from ours any more.
    assert_eq!(why("slipway/app-web:a"), Some(format!("image {} was made from it", nameless.id).as_str()));
    let goes: Vec<&str> = plan.goes.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(goes, [digest('a')]);
}

#[tokio::test]
async fn an_image_that_lost_its_name_goes_unless_a_container_uses_it() {
    let world = World::new().await;
    let (engine, web) = (&world.engine, world.tenant("web").await);
    let made = world.releases(&web, "a").await;
    let labels = marks(&web.app, made[0].build_id.unwrap());
    let (used, unused) =
        (engine.add_labelled_image("", labels.clone(), None), engine.add_labelled_image("", labels, None));
    let run = ContainerSpec { name: "one".to_owned(), image: used.id.clone(), ..ContainerSpec::default() };
    engine.create_container(&run).await.unwrap();
    assert_eq!(world.goes(1).await, std::slice::from_ref(&unused.id));
    let done = world.clean(1).await;
    assert_eq!(done[&unused.id], Outcome::Removed);
    assert!(engine.image(&used.id).await.is_ok() && engine.image(&unused.id).await.is_err());
}

#[tokio::test]
async fn an_image_that_is_used_at_the_last_moment_stays() {
    let world = World::new().await;
    let web = world.tenant("web").await;
    world.releases(&web, "ab").await;
    let run =
        ContainerSpec { name: "one".to_owned(), image: "slipway/app-web:a".to_owned(), ..ContainerSpec::default() };
    world.engine.create_container(&run).await.unwrap();
    let plan = world.cleanup(1).plan(Depth::Full).await.unwrap();
    let stays = plan.stays.iter().find(|item| item.name == "slipway/app-web:a").unwrap();
    assert_eq!(stays.why, "container one uses it");
    // Where only the engine knows of it, its refusal says so.
    let item = Item { kind: Kind::Image, name: run.image.clone(), app: None, size_bytes: None, why: String::new() };
    let mut done = Vec::new();
    let plan = Plan { goes: vec![item], ..Plan::default() };
    world.cleanup(1).carry_out(&plan, &mut |_, outcome| done.push(outcome.clone())).await.unwrap();
    assert_eq!(done, [Outcome::Kept("container one uses it".to_owned())]);
}

#[tokio::test]
async fn the_name_of_an_image_from_elsewhere_goes_and_its_own_names_stay() {
    let world = World::new().await;
    let web = world.tenant("web").await;
    let (a, b) =
        (world.build(&web, BuildKind::Image, "a", None).await, world.build(&web, BuildKind::Image, "b", None).await);
    world.release(&web, a).await;
    world.release(&web, b).await;
    world.engine.add_labelled_image("registry.test/web:1", Labels::new(), None);
    assert_eq!(world.goes(1).await, ["slipway/app-web:a"]);
    world.clean(1).await;
    assert_eq!(world.engine.images_now(), ["registry.test/web:1", "slipway/app-web:b"]);
}

#[tokio::test]
async fn what_an_app_that_is_gone_left_goes() {
    let world = World::new().await;
    let (engine, web, gone) = (&world.engine, world.tenant("web").await, world.tenant("gone").await);
    world.releases(&gone, "a").await;
    for tenant in [&web, &gone] {
        let marks = marks(&tenant.app, BuildId::new());
        engine.ensure_volume(&cache_volume(&tenant.app), &marks).await.unwrap();
        engine.ensure_network(&app_network(tenant.app.id), &marks).await.unwrap();
    }
    for container in [(label::INSTANCE, "x"), (label::ONE_OFF, "y")] {
        let name = container.1.to_owned();
        let labels = labels([(label::SERVER, OURS), container]);
        let spec = ContainerSpec { name, image: "slipway/app-gone:a".to_owned(), labels, ..ContainerSpec::default() };
        engine.create_container(&spec).await.unwrap();
    }
    world.write_old("slug-half.tmp");
    assert!(!world.goes(1).await.contains(&cache_volume(&gone.app)));
    apps::delete(world.store.pool(), gone.app.id).await.unwrap();
    let mut expect = vec![
        digest('a'),
        "slug-half.tmp".to_owned(),
        "x".to_owned(),
        app_network(gone.app.id),
        cache_volume(&gone.app),
    ];
    expect.sort();
    // The image waits for the one-off, which is for the server that runs it to end.
    assert_eq!(world.goes(1).await, expect);
    world.clean(1).await;
    assert_eq!(engine.volumes_now(), [cache_volume(&web.app)]);
    engine.remove_container("y").await.unwrap();
    assert_eq!(world.goes(1).await, ["slipway/app-gone:a"]);
}

#[tokio::test]
async fn the_caches_that_were_used_least_lately_go_first() {
    let world = World::new().await;
    let mut caches = Vec::new();
    for (name, size) in [("old", 30), ("middle", 60), ("new", 50)] {
        let tenant = world.tenant(name).await;
        world.releases(&tenant, "a").await;
        // The clock has to move on between the builds.
        let now = Timestamp::now();
        while Timestamp::now() == now {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let cache = cache_volume(&tenant.app);
        world.engine.ensure_volume(&cache, &marks(&tenant.app, BuildId::new())).await.unwrap();
        world.engine.size_volume(&cache, size);
        caches.push(cache);
    }
    let mut expect = vec![caches[0].clone(), caches[1].clone()];
    expect.sort();
    assert_eq!(world.goes(9).await, expect, "50 of 100 are left after the newest, too little for 60, and 30 is older");
    let quick = world.cleanup(9).plan(Depth::Quick).await.unwrap();
    assert_eq!(quick.goes, [], "what is not measured is not judged");
    world.engine.fail_next("volume_sizes");
    let plan = world.cleanup(9).plan(Depth::Full).await.unwrap();
    assert!(plan.goes.is_empty() && plan.notes[0].starts_with("build caches were not measured"), "{plan:?}");
    world.clean(9).await;
    assert_eq!(world.engine.volumes_now(), [caches[2].clone()]);
}

#[tokio::test]
async fn a_cache_is_emptied_under_the_apps_lock() {
    let world = World::new().await;
    let (web, pool) = (world.tenant("web").await, world.store.pool());
    let cache = cache_volume(&web.app);
    world.engine.ensure_volume(&cache, &marks(&web.app, BuildId::new())).await.unwrap();
    let push = operations::begin(pool, OperationKind::Push, &web.app, "ada").await.unwrap();
    let cleanup = world.cleanup(1);
    let purge = cleanup.purge_build_cache(&web.app, "ada");
    tokio::pin!(purge);
    let early = tokio::time::timeout(Duration::from_millis(300), &mut purge).await;
    assert!(early.is_err() && world.engine.volumes_now() == [cache], "it waits for the push");
    operations::finish(pool, &push.id, OperationStatus::Succeeded, "").await.unwrap();
    purge.await.unwrap();
    assert_eq!(world.engine.volumes_now(), [""; 0]);
    assert!(operations::live(pool).await.unwrap().is_empty());
}

#[test]
fn an_image_takes_what_it_adds_to_the_one_below() {
    let image = |id: &str, size_bytes, layers: &[&str]| Image {
        id: id.to_owned(),
        tags: vec![format!("slipway/app-{id}:1")],
        labels: labels([(label::SERVER, OURS), (label::BUILD, id)]),
        size_bytes,
        layers: layers.iter().map(|&layer| layer.to_owned()).collect(),
        ..Image::default()
    };
    let facts = facts::Facts {
        server_id: OURS.to_owned(),
        images: vec![image("base", 100, &["a"]), image("more", 130, &["a", "b"]), image("app", 150, &["a", "b", "c"])],
        ..facts::Facts::default()
    };
    let sizes: Vec<_> = rules::plan(&facts).goes.into_iter().map(|item| item.size_bytes.unwrap()).collect();
    assert_eq!(sizes, [100, 30, 20]);
    assert_eq!([0, 3 << 20, 5 << 29].map(shown_size), ["0 KiB", "3.0 MiB", "2.5 GiB"]);
}
