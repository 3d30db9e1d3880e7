//! A platform with a real database and a pretend engine behind the real router, and a client for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::engine::Fake;
use crate::build::{BuildLogs, BuildSettings, Builder, FingerprintKey, SlugStore, Stack};
use crate::engine::ImageFetcher;
use crate::git::Repositories;
use crate::logs::{Collector, DrainSettings, LogDrains, LogLimits, LogStore};
use crate::model::{BuilderKey, Registration};
use crate::outbound::Outbound;
use crate::platform::{AutomaticCertificates, Parts, Platform, PlatformSettings, RoutedSettings, ServedCertificates};
use crate::rollout::{RolloutSettings, Rollouts};
use crate::route::{Certificates, Challenges, Table, tls};
use crate::store::{Sealer, Store};

/// What the builder of the operator's own proves itself with.
pub const BUILDER_KEY: &str = "the builder's own key";
/// An image that the engine has.
pub const IMAGE: &str = "example/hello:1.0";

pub struct World {
    pub router: Router,
    pub engine: Arc<Fake>,
    pub store: Store,
    pub certificates: Certificates,
    _stop: DropGuard,
    _dir: TempDir,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The status and the body at once, for a message that shows both.
    #[track_caller]
    pub fn is(&self, status: u16, body: Value) {
        assert_eq!((self.status, self.json()), (status, body), "{self:?}");
    }

    #[track_caller]
    pub fn is_detail(&self, status: u16, detail: &str) {
        self.is(status, json!({"detail": detail}));
    }

    #[track_caller]
    pub fn is_empty(&self, status: u16) {
        assert_eq!((self.status, self.text.as_str()), (status, ""), "{self:?}");
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(Registration::Open).await
    }

    pub async fn with(registration: Registration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}?mode=rwc", dir.path().join("db").display());
        let store = Store::open(&url, Sealer::new([7; 32])).await.unwrap();
        let engine = Arc::new(Fake::with_image(IMAGE));
        let (stop, tracker) = (CancellationToken::new(), TaskTracker::new());
        let logs = LogStore::new(dir.path().join("logs"), LogLimits::default());
        let collector = Collector::new(engine.clone(), logs.clone(), tracker.clone(), stop.clone());
        let table = Table::new("example.com");
        let rollouts = Rollouts::new(
            store.clone(),
            ImageFetcher::for_tests(engine.clone()),
            table.clone(),
            logs.clone(),
            collector,
            rollout_settings(),
            stop.clone(),
        );
        let images = ImageFetcher::for_tests(engine.clone());
        let builder = Builder::new(images.clone(), build_settings(&dir), "test".to_owned(), tracker.clone());
        let (certificate, key) = tls::self_signed("example.com").unwrap();
        let certificates = Certificates::new(tls::certified_key(&certificate, &key).unwrap(), Challenges::default());
        let platform = Platform::new(Parts {
            store: store.clone(),
            engine: engine.clone(),
            images,
            repositories: Repositories::new(dir.path().join("repositories")),
            builder,
            rollouts,
            drains: LogDrains::new(logs.clone(), drain_settings(), stop.clone()),
            logs,
            certificates: ServedCertificates::new(certificates.clone()),
            automatic: AutomaticCertificates::new(None, Challenges::default()),
            routing: RoutedSettings::new(table),
            settings: PlatformSettings {
                server_id: "test".to_owned(),
                domain: "example.com".to_owned(),
                api_url: "http://slipway.example.com".to_owned(),
                sizes: Vec::new(),
                registration,
                builder_key: BuilderKey::new(BUILDER_KEY),
                max_push_bytes: 1 << 20,
                quotas: "apps=1000".parse().unwrap(),
                instance_memory: 512 << 20,
                port_range: 1024..=65_535,
                own_ports: Vec::new(),
                keep_releases: 10,
                build_cache_bytes: 1 << 30,
                runtime_bytes: 1 << 30,
                url_suffix: String::new(),
            },
            tracker,
            stop: stop.clone(),
            owned: crate::platform::OwnedOperations::default(),
            callers: crate::platform::Callers::default(),
            running_builds: crate::platform::RunningBuilds::default(),
            disk_use: crate::platform::DiskUse::default(),
            throttle: crate::platform::Throttle::default(),
            cleanup_due: crate::platform::CleanupDue::default(),
            cron: crate::platform::CronRuns::default(),
        });
        Self { router: crate::api::router(platform), engine, store, certificates, _stop: stop.drop_guard(), _dir: dir }
    }

    /// From this machine, over the API's own address.
    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
        self.send_through_the_router(request).await
    }

    /// As the router hands requests on.
    pub async fn send_through_the_router(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 22).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, text }
    }

    /// As the clients do: lower-case scheme, `Content-Type` on every request, no trailing slash.
    pub async fn ask(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("Host", "deis.example.com");
        if !token.is_empty() {
            request = request.header(AUTHORIZATION, format!("token {token}"));
        }
        let request = request.header(CONTENT_TYPE, "application/json").header("X-Deis-Version", "1");
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    pub async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(token, "GET", path, "").await
    }

    pub async fn post(&self, token: &str, path: &str, body: Value) -> Answer {
        self.ask(token, "POST", path, &body.to_string()).await
    }

    pub async fn delete(&self, token: &str, path: &str) -> Answer {
        self.ask(token, "DELETE", path, "").await
    }

    /// A form without a token, as `deis register` and `deis login` send it.
    pub async fn form(&self, path: &str, body: &str) -> Answer {
        let request = Request::post(path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Registers a user and yields the token.
    pub async fn user(&self, name: &str) -> String {
        let form = format!("username={name}&password=opensesame&email=");
        assert_eq!(self.form("/v1/auth/register", &form).await.status, 201);
        self.form("/v1/auth/login/", &form).await.json()["token"].as_str().unwrap().to_owned()
    }

    /// A user and an app of the user's.
    pub async fn app(&self, user: &str, app: &str) -> String {
        let token = self.user(user).await;
        assert_eq!(self.post(&token, "/v1/apps", json!({"id": app})).await.status, 201);
        token
    }

    /// A user and an app that runs `web=1` from [`IMAGE`] as v2, with `worker` declared too.
    pub async fn running(&self, user: &str, app: &str) -> String {
        let token = self.app(user, app).await;
        let build = json!({"image": IMAGE, "procfile": {"web": "./serve", "worker": "./work"}});
        let answer = self.post(&token, &format!("/v1/apps/{app}/builds"), build).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        // An image from elsewhere starts its own command first.
        self.post(&token, &format!("/v1/apps/{app}/scale"), json!({"web": 1, "cmd": 0})).await.is_empty(204);
        token
    }
}

/// Receivers on this machine, except where a test asks for the rule.
fn drain_settings() -> DrainSettings {
    DrainSettings {
        outbound: Outbound::new("127.0.0.0/8,localhost,192.0.2.1".parse().unwrap()),
        ..DrainSettings::default()
    }
}

fn rollout_settings() -> RolloutSettings {
    RolloutSettings {
        server_id: "test".to_owned(),
        domain: "example.com".to_owned(),
        boot_timeout: Duration::from_secs(10),
        settle: Duration::from_millis(20),
        drain_timeout: Duration::from_secs(5),
        upgrade_grace: Duration::from_secs(1),
        stop_grace: Duration::from_secs(1),
        instance_memory: 64 << 20,
        instance_pids: 64,
        run_timeout: Duration::from_secs(6),
        watch_period: Duration::from_secs(5),
        restart_wait: Duration::from_secs(1),
        port_range: 49_153..=65_535,
        publish_addr: std::net::Ipv4Addr::UNSPECIFIED.into(),
        quotas: "apps=1000".parse().unwrap(),
    }
}

fn build_settings(dir: &TempDir) -> BuildSettings {
    BuildSettings {
        memory_bytes: 64 << 20,
        cpu_shares: 256,
        pids: 64,
        time_limit: Duration::from_secs(10),
        slug_bytes: 1 << 20,
        ca_bundle: None,
        image_bytes: 10 << 30,
        outbound: crate::outbound::Outbound::default(),
        min_free_bytes: 0,
        at_once: std::num::NonZeroUsize::MIN,
        logs: BuildLogs::open(dir.path().join("build-logs")).unwrap(),
        slugs: SlugStore::open(dir.path().join("slugs")).unwrap(),
        stack: Stack::default(),
        fingerprint_key: FingerprintKey([7; 32]),
        frontends: Vec::new(),
        runtime_mirrors: Default::default(),
    }
}
