//! Builds against the real container engine. They need Docker and the stack: `slipway stack build`.

use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::task::TaskTracker;

use super::*;
use crate::engine::docker::Docker;
use crate::engine::{Container, ContainerSpec, Engine, ImageFetcher, label, labels};
use crate::git::Source;
use crate::model::{
    App, AppId, Build, BuildId, BuildKind, BuildStatus, ConfigValue, ConfigVars, OperationId, ProcessType,
    RuntimeMirrors, Timestamp, UserId,
};

/// Where the engine of this machine listens.
const ENGINE: &str = "unix:///var/run/docker.sock";

/// A builder of its own, a repository to push to, and the end of all that is made in the engine.
struct World {
    folder: TempDir,
    engine: Arc<dyn Engine>,
    builder: Builder,
    app: App,
    lines: Mutex<Vec<String>>,
}

impl World {
    async fn new(change: impl FnOnce(&mut BuildSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine: Arc<dyn Engine> = Arc::new(Docker::connect(ENGINE).await.unwrap());
        let mut settings = BuildSettings {
            memory_bytes: 2 << 30,
            cpu_shares: 512,
            pids: 512,
            time_limit: Duration::from_secs(300),
            slug_bytes: 500 << 20,
            image_bytes: 10 << 30,
            outbound: crate::outbound::Outbound::default(),
            min_free_bytes: 1 << 20,
            at_once: NonZeroUsize::MIN,
            ca_bundle: ca_bundle(),
            slugs: SlugStore::open(folder.path().join("slugs")).unwrap(),
            logs: BuildLogs::open(folder.path().join("build-logs")).unwrap(),
            stack: Stack::default(),
            fingerprint_key: FingerprintKey([7; 32]),
            frontends: Vec::new(),
            runtime_mirrors: RuntimeMirrors::default(),
        };
        change(&mut settings);
        let id = AppId::new();
        let app = App {
            id,
            name: format!("t{}", &OperationId::new().as_str()[..8]).parse().unwrap(),
            owner_id: UserId::new(),
            owner: "tester".parse().unwrap(),
            is_destroying: false,
            epoch: 0,
            created_at: Timestamp::now(),
            updated_at: Timestamp::now(),
        };
        let builder = Builder::new(
            ImageFetcher::for_tests(Arc::clone(&engine)),
            settings,
            format!("test-{id}"),
            TaskTracker::new(),
        );
        Self { folder, engine, builder, app, lines: Mutex::default() }
    }

    /// Commits `files` (path, contents; those in `bin/` can be executed) as a tree of their own.
    fn commit(&self, files: &[(&str, &str)]) -> BuildRequest {
        let work = self.folder.path().join("work");
        let _ = fs::remove_dir_all(&work);
        for (path, contents) in files {
            let path = work.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, contents).unwrap();
            let mode = if path.parent().unwrap().ends_with("bin") { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        git(&work, &["init", "-q", "-b", "main"]);
        git(&work, &["add", "-A", "-f"]);
        git(&work, &["commit", "-q", "-m", "c"]);
        let bare = self.folder.path().join(format!("{}.git", OperationId::new()));
        git(&work, &["clone", "-q", "--bare", ".", bare.to_str().unwrap()]);
        let source = Source::open(bare, None, &git(&work, &["rev-parse", "HEAD"])).unwrap();
        BuildRequest {
            app: self.app.clone(),
            build_id: BuildId::new(),
            operation: OperationId::new(),
            source: Arc::new(source),
            config: ConfigVars::new(),
            no_cache: false,
            places: BuildPlaces::UNLIMITED,
            runtimes: Vec::new(),
        }
    }

    async fn build(&self, request: &BuildRequest) -> Result<Built, BuildError> {
        self.lines.lock().unwrap().clear();
        let plan = plan(&request.source, &request.config)?;
        self.builder.build(request, &plan, &|line| self.lines.lock().unwrap().push(line.to_owned())).await
    }

    /// What was said, for a look and for the message of a failed assertion.
    fn output(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    async fn containers(&self) -> Vec<Container> {
        self.engine.containers(&labels([(label::APP, &self.app.id.to_string())])).await.unwrap()
    }

    /// Waits until no container of the app is left.
    async fn until_no_container_is_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.containers().await.is_empty() {
            assert!(Instant::now() < deadline, "still there: {:?}", self.containers().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Takes away what the test made in the engine.
    async fn end(self) {
        self.builder.tasks.close();
        self.builder.tasks.wait().await;
        for container in self.containers().await {
            self.engine.remove_container(&container.id).await.unwrap();
        }
        for image in self.engine.images(&labels([(label::APP, &self.app.id.to_string())])).await.unwrap() {
            self.engine.remove_image(&image.id).await.unwrap();
        }
        self.builder.remove_cache(&self.app).await.unwrap();
    }
}

/// What downloads in builds need on this machine.
fn ca_bundle() -> Option<PathBuf> {
    ["SLIPWAY_BUILD_CA_BUNDLE", "SSL_CERT_FILE"].iter().find_map(std::env::var_os).map(PathBuf::from)
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn text(value: &str) -> ConfigValue {
    ConfigValue::Text(value.to_owned())
}

/// A Python app without requirements; `hook` runs before its build.
fn python_with_hook(hook: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![("requirements.txt", ""), ("Procfile", "web: python -m http.server $PORT"), ("bin/pre_compile", hook)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_sees_what_is_not_ignored_what_it_declares_and_the_ca() {
    let bundle = tempfile::NamedTempFile::new().unwrap();
    let own = OperationId::new();
    fs::write(bundle.path(), format!("bundle {own}\n")).unwrap();
    let world = World::new(|settings| settings.ca_bundle = Some(bundle.path().to_owned())).await;
    let dockerfile = format!(
        "FROM {} AS base\nARG GREETING\nARG GIT_SHA\nUSER 0:0\nCOPY . /src/\n\
         RUN ls -A /src; echo \"greeting=$GREETING token=$TOKEN sha=$GIT_SHA\"; cat $SSL_CERT_FILE\n\
         RUN <<EOF\necho \"document of\" \\\n  $GREETING\nEOF\n\
         EXPOSE 8123\n",
        Stack::default().run_image()
    );
    // The port of the stack's image is declared as well; the Dockerfile's own one counts.
    let mut request = world.commit(&[
        ("Dockerfile", dockerfile.as_str()),
        (".dockerignore", "*\n!src\nsrc/**/*.log\n"),
        ("src/main.c", "int main;"),
        ("src/deep/x.log", "log"),
        ("secret/key", "k"),
        ("Procfile", "web: ./main\nworker: ./main -w\n"),
    ]);
    request.config = [("GREETING".to_owned(), text("hello world")), ("TOKEN".to_owned(), text("s3cret"))].into();
    let built = world.build(&request).await.unwrap();
    let output = world.output();
    assert!(output.starts_with("-----> Building image with the Dockerfile\n       Step "), "{output}");
    let commit = request.source.commit();
    assert!(output.contains(&format!("       greeting=hello world token= sha={commit}")), "{output}");
    // As with Docker, what the rules leave out is not copied, the Dockerfile and the rules themselves included.
    assert!(output.contains("       src\n"), "{output}");
    for hidden in ["       .dockerignore\n", "       Dockerfile\n", "slipway-files"] {
        assert!(!output.contains(hidden), "{hidden}: {output}");
    }
    assert!(output.contains(&format!("       bundle {own}")), "{output}");
    assert!(output.contains("       document of hello world\n"), "{output}");
    assert!(output.contains("\n       done in "), "{output}");
    assert_eq!((built.kind, built.port, built.slug), (BuildKind::Dockerfile, Some(8123), None));
    assert_eq!(built.procfile.names(), "web, worker");
    let image = world.engine.image(&built.engine_image).await.unwrap();
    assert_eq!(image.ports, [5000, 8123]);
    assert_eq!(image.labels[label::COMMIT], commit);
    assert_eq!(image.labels[label::APP_NAME], world.app.name.as_str());

    // The next build of the same tree finds every step in the cache, the bundle's included.
    let again = BuildRequest { build_id: BuildId::new(), ..request };
    world.build(&again).await.unwrap();
    assert!(!world.output().contains("       greeting="), "{}", world.output());
    let ca_image = ca::CaBundle::read(bundle.path()).await.unwrap().ensure_image(&*world.engine).await.unwrap();
    world.engine.remove_image(&ca_image).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_that_fails_says_how() {
    let world = World::new(|_| {}).await;
    let from = format!("FROM {}\n", Stack::default().run_image());
    let failure = async |rest: &str| {
        let dockerfile = format!("{from}{rest}\n");
        world.build(&world.commit(&[("Dockerfile", dockerfile.as_str())])).await.unwrap_err()
    };
    let error = failure("RUN echo about to fail; exit 3").await;
    assert!(matches!(&error, BuildError::Failed { status, .. } if status.ends_with("exit code: 3")), "{error:?}");
    assert!(world.output().contains("       about to fail"), "{}", world.output());
    let error = failure("RUNN x").await;
    assert!(matches!(&error, BuildError::Failed { status, .. } if status.contains("RUNN")), "{error:?}");
    let error = failure("RUN sh -c 'kill -9 $$'").await;
    assert!(matches!(error, BuildError::OutOfMemory { .. }), "{error:?}");
    let error =
        world.build(&world.commit(&[("Dockerfile", "FROM scratch"), (".dockerignore", "ok\n[x")])).await.unwrap_err();
    assert!(error.to_string().starts_with(".dockerignore line 2"), "{error}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_is_the_same_each_time_and_its_image_can_be_laid_again() {
    let world = World::new(|_| {}).await;
    let files = [
        ("requirements.txt", ""),
        ("Procfile", "web: exec python app.py"),
        (".slugignore", "*.md\n"),
        ("README.md", "not needed"),
        ("config/app.yml", "a folder of that name is harmless"),
        ("bin/post_compile", "#!/bin/sh\necho \"token=$TOKEN\"; mkfifo pipe; echo now > built\n"),
        (
            "app.py",
            "import http.server, os\nos.listdir('.')\nclass H(http.server.SimpleHTTPRequestHandler): pass\n\
             http.server.HTTPServer(('0.0.0.0', int(os.environ['PORT'])), H).serve_forever()\n",
        ),
    ];
    let mut request = world.commit(&files);
    request.config = [("TOKEN".to_owned(), text("a b"))].into();
    let plan = plan(&request.source, &request.config).unwrap();
    let fingerprint = world.builder.fingerprint(&request, &plan).await.unwrap();
    let built = world.build(&request).await.unwrap();
    let output = world.output();
    for line in [
        "-----> Python app detected",
        "       token=a b",
        "-----> Discovering process types",
        "       Procfile declares types -> web",
        "-----> Compiled slug size is ",
        "-----> Laying the slug on slipway-12",
    ] {
        assert!(output.contains(line), "{line:?} is not in\n{output}");
    }
    assert_eq!((built.kind, built.port), (BuildKind::Slug, Some(5000)));
    let slug = built.slug.clone().unwrap();
    assert!(world.builder.slugs().contains(&slug));

    let mut again = world.commit(&files);
    again.config = request.config.clone();
    assert_eq!(world.builder.fingerprint(&again, &plan).await.unwrap(), fingerprint);
    again.no_cache = true;
    assert_eq!(world.build(&again).await.unwrap().slug.as_ref(), Some(&slug), "{}", world.output());
    again.config.insert("TOKEN".to_owned(), text("c"));
    assert_ne!(world.builder.fingerprint(&again, &plan).await.unwrap(), fingerprint);

    world.engine.remove_image(&built.engine_image).await.unwrap();
    let build = build_row(&world, &request, &built);
    world.builder.ensure_image(&build).await.unwrap();
    let listing = get(&world, &built, "/").await;
    for name in ["built", "config/", "app.py", "Procfile"] {
        assert!(listing.contains(&format!("\"{name}\"")), "{name} is not in {listing}");
    }
    assert!(!listing.contains("README.md") && !listing.contains("pipe"), "{listing}");

    // An instance carries its image's labels, and is no leftover all the same.
    assert_eq!(world.builder.remove_leftovers(None).await.unwrap(), 0);
    assert_eq!(world.containers().await.len(), 1);
    world.builder.slugs().remove(&slug).unwrap();
    let lost = Build { engine_image: "slipway/app-none:none".into(), ..build };
    assert!(matches!(world.builder.ensure_image(&lost).await, Err(BuildError::ImageLost { .. })));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_from_the_index_give_the_same_slug_from_the_cache_and_without_it() {
    let world = World::new(|_| {}).await;
    let fixture = |name: &str| fs::read_to_string(Path::new("fixtures/apps/hello").join(name)).unwrap();
    let files = ["Procfile", "requirements.txt", "app.py"].map(|name| (name, fixture(name)));
    let mut request = world.commit(&files.each_ref().map(|(name, contents)| (*name, contents.as_str())));
    let mut slugs = Vec::new();
    for no_cache in [true, false, true] {
        request = BuildRequest { build_id: BuildId::new(), no_cache, ..request };
        let built = world.build(&request).await;
        slugs.push(built.unwrap_or_else(|error| panic!("{error}\n{}", world.output())).slug);
        assert_eq!(world.output().contains("Compiling bytecode"), no_cache, "{}", world.output());
    }
    assert!(slugs.iter().all(|slug| *slug == slugs[0]), "{slugs:?}");
    world.end().await;
}

/// The row that the platform would keep.
fn build_row(world: &World, request: &BuildRequest, built: &Built) -> Build {
    Build {
        id: request.build_id,
        app_id: world.app.id,
        owner_id: world.app.owner_id,
        owner: world.app.owner.clone(),
        kind: built.kind,
        status: BuildStatus::Succeeded,
        image: world.app.name.to_string(),
        engine_image: built.engine_image.clone(),
        commit: Some(request.source.commit().to_owned()),
        fingerprint: None,
        slug: built.slug.clone(),
        dockerfile: String::new(),
        procfile: built.procfile.clone(),
        port: built.port,
        health: Default::default(),
        cron: Vec::new(),
        runtimes: Vec::new(),
        created_at: Timestamp::now(),
        updated_at: Timestamp::now(),
    }
}

/// Starts `web` and asks it for `path`.
async fn get(world: &World, built: &Built, path: &str) -> String {
    let command = built.procfile.command(&ProcessType::web()).unwrap();
    let spec = ContainerSpec {
        name: format!("slipway-test-{}", world.app.name),
        image: built.engine_image.clone(),
        command: Some(vec![command.to_owned()]),
        ..ContainerSpec::default()
    };
    let container = world.engine.create_container(&spec).await.unwrap();
    world.engine.start_container(&container).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let ip = world.engine.container(&container).await.unwrap().ip;
        if let Some(ip) = ip
            && let Ok(mut stream) = tokio::net::TcpStream::connect((ip, 5000)).await
        {
            let mut answer = String::new();
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
            stream.read_to_string(&mut answer).await.unwrap();
            return answer;
        }
        if Instant::now() > deadline {
            let said: Vec<_> = world.engine.logs(&container, 0, false).collect().await;
            panic!("nothing listens: {said:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_build_leaves_no_container() {
    let world = World::new(|_| {}).await;
    let request = world.commit(&python_with_hook("#!/bin/sh\necho waiting; sleep 300\n"));
    {
        let build = world.build(&request);
        let waiting = async {
            let deadline = Instant::now() + Duration::from_secs(60);
            while !world.output().contains("waiting") {
                assert!(Instant::now() < deadline, "{}", world.output());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            ended = build => panic!("the build ended: {ended:?}"),
            () = waiting => {}
        }
    }
    world.until_no_container_is_left().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_for_time_and_memory() {
    let mut world = World::new(|settings| settings.time_limit = Duration::from_secs(4)).await;
    let error = world.build(&world.commit(&python_with_hook("#!/bin/sh\nsleep 300\n"))).await.unwrap_err();
    assert!(matches!(error, BuildError::TimedOut { .. }), "{error:?}\n{}", world.output());
    let dockerfile = format!("FROM {}\nRUN sleep 300\n", Stack::default().run_image());
    let error = world.build(&world.commit(&[("Dockerfile", dockerfile.as_str())])).await.unwrap_err();
    assert!(matches!(error, BuildError::TimedOut { .. }), "{error:?}\n{}", world.output());
    world.until_no_container_is_left().await;

    world.builder.settings.time_limit = Duration::from_secs(60);
    world.builder.settings.memory_bytes = 64 << 20;
    let hungry = "#!/bin/sh\npython3 -c 'x = bytearray(200 << 20)'\n";
    let error = world.build(&world.commit(&python_with_hook(hungry))).await.unwrap_err();
    assert!(matches!(error, BuildError::OutOfMemory { limit_bytes: 67_108_864 }), "{error:?}\n{}", world.output());
    world.until_no_container_is_left().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_built_is_refused_with_what_to_do() {
    let world = World::new(|settings| settings.slug_bytes = 4096).await;
    let error = world.build(&world.commit(&[("README", "")])).await.unwrap_err();
    assert!(matches!(&error, BuildError::Refused(text) if text.contains("requirements.txt")), "{error:?}");
    let error = world.build(&world.commit(&[("requirements.txt", ""), ("main.py", "")])).await.unwrap_err();
    assert!(matches!(&error, BuildError::SlugTooLarge { limit_bytes: 4096 }), "{error:?}");
    for files in [[("Procfile", "nonsense"), ("Dockerfile", "FROM scratch")], [("Procfile", "nonsense"), ("x", "")]] {
        let error = world.build(&world.commit(&files)).await.unwrap_err();
        assert!(error.to_string().starts_with("Procfile line 1: "), "{error}");
        assert_eq!(world.output(), "");
    }
    let failing = "#!/bin/sh\necho cannot go on; exit 9\n";
    let error = world.build(&world.commit(&python_with_hook(failing))).await.unwrap_err();
    assert!(matches!(&error, BuildError::Failed { .. }) && error.hint().is_some(), "{error:?}");
    assert!(world.output().contains("cannot go on"), "{}", world.output());

    let world = World { builder: without_stack(&world), ..world };
    let error = world.build(&world.commit(&[("requirements.txt", "")])).await.unwrap_err();
    assert!(error.to_string().ends_with("slipway stack build"), "{error}");
    world.end().await;
}

fn without_stack(world: &World) -> Builder {
    let settings = BuildSettings { stack: Stack::new("slipway/no-such-stack"), ..world.builder.settings.clone() };
    Builder::new(
        ImageFetcher::for_tests(Arc::clone(&world.engine)),
        settings,
        world.builder.server_id.clone(),
        TaskTracker::new(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn leftovers_of_an_earlier_life_are_found() {
    let world = World::new(|_| {}).await;
    let operation = OperationId::new();
    let leave = async |operation: &OperationId| {
        let spec = ContainerSpec {
            name: builder::container_name(BuildId::new(), "compile"),
            image: Stack::default().build_image(),
            labels: world.builder.container_labels(world.app.id, operation),
            ..ContainerSpec::default()
        };
        world.engine.create_container(&spec).await.unwrap();
    };
    leave(&operation).await;
    leave(&OperationId::new()).await;
    assert_eq!(world.builder.remove_leftovers(Some(&operation)).await.unwrap(), 1);
    assert_eq!(world.builder.remove_leftovers(None).await.unwrap(), 1);
    assert!(world.containers().await.is_empty());
    world.end().await;
}
