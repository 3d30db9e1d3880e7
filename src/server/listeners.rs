//! The four listeners: bound before anything is served, so that a taken port is the first thing to be said.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::access::AccessLog;
use super::compose::{Ingress, router_config};
use super::keys;
use super::life::{Stops, Tasks};
use super::push_backend::Backend;
use super::ready::Ready;
use super::takeover::Sockets;
use crate::config::Config;
use crate::net::Blocks;
use crate::platform::Platform;
use crate::push::{self, PushConfig};
use crate::route::{self, Answer, BoxError, Certificates, Observer, PlatformService, Table, tls};
use crate::store::Store;

/// Bound, not yet served.
pub struct Listeners {
    api: TcpListener,
    ssh: TcpListener,
    http: TcpListener,
    https: TcpListener,
}

async fn bind(address: SocketAddr, setting: &str) -> Result<TcpListener> {
    let hint = || format!("cannot listen on {address}: stop what does, or choose another address with --{setting}");
    TcpListener::bind(address).await.with_context(hint)
}

fn address(listener: &TcpListener) -> String {
    listener.local_addr().map(|address| address.to_string()).unwrap_or_default()
}

impl From<[TcpListener; 4]> for Listeners {
    /// In the order API, SSH, HTTP, HTTPS.
    fn from([api, ssh, http, https]: [TcpListener; 4]) -> Self {
        Self { api, ssh, http, https }
    }
}

impl Listeners {
    /// Takes all four addresses, or none.
    pub async fn bind(config: &Config) -> Result<Self> {
        Ok(Self {
            api: bind(config.api_addr, "api-addr").await?,
            ssh: bind(config.ssh_addr, "ssh-addr").await?,
            http: bind(config.http_addr, "http-addr").await?,
            https: bind(config.https_addr, "https-addr").await?,
        })
    }

    /// Handles of the sockets, which outlive these listeners.
    pub(super) fn sockets(&self) -> Result<Sockets> {
        Sockets::of([&self.api, &self.ssh, &self.http, &self.https]).context("keeping the listening sockets")
    }

    /// The addresses as they were really bound.
    pub fn ready(&self) -> Ready {
        Ready {
            api: address(&self.api),
            ssh: address(&self.ssh),
            http: address(&self.http),
            https: address(&self.https),
            pid: std::process::id(),
        }
    }

    /// `:8080`, or nothing when the router is where browsers look.
    pub fn url_suffix(&self) -> String {
        match self.http.local_addr().map(|address| address.port()) {
            Ok(80) | Err(_) => String::new(),
            Ok(port) => format!(":{port}"),
        }
    }

    /// Starts serving on all four: the doors as tasks of `serving`, the router as those that are returned.
    #[expect(clippy::too_many_arguments, reason = "called once, by the composition root")]
    pub(super) async fn serve(
        self,
        config: &Config,
        store: &Store,
        platform: &Platform,
        ingress: Ingress,
        stops: &Stops,
        tracker: &TaskTracker,
        serving: &mut Tasks,
    ) -> Result<Tasks> {
        let mut routing = Tasks::new();
        let api = crate::api::router(platform.clone());
        let router_config = router_config(config, self.https.local_addr()?.port());
        let tls = tls::server_config(ingress.certificates.clone());
        let service = platform_service(api, ingress.builds.clone(), ingress.certificates);
        let (access, writing) = AccessLog::new(ingress.logs);
        let no_more_lines = stops.lines.clone();
        routing.spawn(async move {
            // By itself it ends with the observer, which goes with the router.
            no_more_lines.run_until_cancelled(writing).await;
            Ok(())
        });
        let observer: Arc<dyn Observer> = access;
        for (listener, tls) in [(self.http, None), (self.https, Some(tls))] {
            let (table, observer) = (ingress.table.clone(), Arc::clone(&observer));
            let (bounds, stop) = (Arc::clone(&router_config), stops.ingress.clone());
            let service = service.clone();
            routing.spawn(async move {
                route::serve(listener, tls, table, bounds, service, observer, stop).await;
                Ok(())
            });
        }
        serving.spawn(serve_ssh(config, store, platform, self.ssh, stops, tracker)?);
        let (stop, local) = (stops.doors.clone(), crate::api::local_router(platform.clone()));
        serving.spawn(async move {
            crate::api::serve(self.api, local, ingress.builds, crate::api::HEAD_TIMEOUT, stop).await;
            Ok(())
        });
        Ok(routing)
    }
}

/// The door for git, as a future that ends with it.
fn serve_ssh(
    config: &Config,
    store: &Store,
    platform: &Platform,
    listener: TcpListener,
    stops: &Stops,
    tracker: &TaskTracker,
) -> Result<impl Future<Output = Result<()>> + use<>> {
    let data = &config.data_dir;
    let host_key = data.join("ssh_host_ed25519_key.sealed");
    let host_key = keys::load_or_make(store, &host_key, || Ok(push::generate_host_key()))?;
    let host_key = push::parse_host_key(&host_key)?;
    let port = listener.local_addr().map_or(config.ssh_addr.port(), |address| address.port());
    let push_config = PushConfig {
        git_bin: "git".into(),
        hook_dir: data.join("hooks"),
        hook_program: std::env::current_exe().context("finding this program")?,
        hook_socket: data.join("hook.sock"),
        max_push_bytes: config.max_push_bytes,
        address: format!("{}:{port}", config.domain),
    };
    let backend = Arc::new(Backend(platform.clone()));
    let (tracker, stop) = (tracker.clone(), stops.doors.clone());
    Ok(async move {
        push::serve(listener, host_key, backend, push_config, tracker, stop).await.context("the SSH listener died")
    })
}

/// The router's certificates, at first only one of our own making, which is shown where no better one was uploaded. It is
/// kept, so that who trusts it need not do so again.
pub fn own_certificate(config: &Config, store: &Store, table: &Table) -> Result<Certificates> {
    let path = config.data_dir.join("tls_self_signed.sealed");
    let pem = keys::load_or_make(store, &path, || {
        let (certificate, key) = tls::self_signed(&config.domain)?;
        Ok(format!("{}{key}", certificate.trim_end().to_owned() + "\n"))
    })?;
    let at = pem.rfind("-----BEGIN").ok_or_else(|| anyhow!("{} holds no key", path.display()))?;
    let (certificate, key) = pem.split_at(at);
    Ok(Certificates::new(tls::certified_key(certificate, key)?, table.challenges().clone()))
}

/// The API under the router's own host name.
fn platform_service(api: Router, closed_to: Blocks, certificates: Certificates) -> PlatformService {
    let answer: Answer = Arc::new(move |request| {
        let api = api.clone();
        Box::pin(async move {
            let Ok(response) = api.oneshot(request.map(Body::new)).await;
            response.map(|body| body.map_err(BoxError::from).boxed_unsync())
        })
    });
    PlatformService { answer, closed_to, certificates }
}
