//! A BuildKit session of our own, which hands a build its secrets: `RUN --mount=type=secret,id=NAME`.
//!
//! The client library opens sessions too, but none that offers secrets to a build that runs through the engine's API. With
//! ours opened first under the build's session id, the engine refuses the library's, which the library passes over.
//!
//! Protocol: the engine answers `POST /session` by turning the connection around and speaking gRPC to us over it
//! (moby `docs/api/v1.41`, buildkit `session/grpc.go`, `session/secrets/secrets.proto`).

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::{Secrets as SecretsService, SecretsServer};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpStream, UnixStream};
use tonic::{Response, Status};
use tower::Service;

/// The only thing that the session offers.
const GET_SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";

/// How long the engine may take to turn the connection around.
const OPENING_LIMIT: Duration = Duration::from_secs(20);

/// Where the engine listens.
#[derive(Debug, Clone)]
pub(super) enum EngineAddress {
    /// A socket on this machine.
    Unix(std::path::PathBuf),
    /// `host:port`
    Tcp(String),
}

/// Opens the session `id`; yields what serves it, to be polled for as long as the build goes on.
///
/// # Errors
/// When the engine does not answer, or knows no sessions.
pub(super) async fn open(
    address: &EngineAddress,
    id: &str,
    secrets: BTreeMap<String, String>,
) -> io::Result<impl Future<Output = ()> + Send + use<>> {
    let opening = async {
        match address {
            EngineAddress::Unix(path) => turn_around(TokioIo::new(connect(path).await?), id).await,
            EngineAddress::Tcp(host) => turn_around(TokioIo::new(TcpStream::connect(host).await?), id).await,
        }
    };
    let connection = tokio::time::timeout(OPENING_LIMIT, opening).await??;
    Ok(serve(connection, secrets))
}

async fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

async fn turn_around<T>(io: T, id: &str) -> io::Result<Upgraded>
where
    T: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(io::Error::other)?;
    let request = Request::post("/session")
        .header("Host", "engine")
        .header("Connection", "Upgrade")
        .header("Upgrade", "h2c")
        .header("X-Docker-Expose-Session-Uuid", id)
        .header("X-Docker-Expose-Session-Grpc-Method", GET_SECRET)
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let asking = async {
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        if answer.status() != hyper::StatusCode::SWITCHING_PROTOCOLS {
            return Err(io::Error::other(format!("the engine answers {} to a build session", answer.status())));
        }
        hyper::upgrade::on(answer).await.map_err(io::Error::other)
    };
    // The connection moves only while it is polled; the upgrade ends it.
    let (turned, _ended) = tokio::join!(asking, connection.with_upgrades());
    turned
}

/// Answers the engine's questions until it closes the connection.
async fn serve(connection: Upgraded, secrets: BTreeMap<String, String>) {
    let secrets = SecretsServer::new(Offered(Arc::new(secrets)));
    let health = HealthServer::new(Alive);
    let service = service_fn(move |request: Request<Incoming>| {
        let (mut secrets, mut health) = (secrets.clone(), health.clone());
        async move {
            if request.uri().path() == GET_SECRET { secrets.call(request).await } else { health.call(request).await }
        }
    });
    let served = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(connection, service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a build session ended");
    }
}

/// What a build may ask for, by name.
struct Offered(Arc<BTreeMap<String, String>>);

#[tonic::async_trait]
impl SecretsService for Offered {
    async fn get_secret(
        &self,
        request: tonic::Request<GetSecretRequest>,
    ) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let value = self.0.get(&id).ok_or_else(|| {
            Status::not_found(format!("the app has no config var {id}, or it is not listed as a build secret"))
        })?;
        Ok(Response::new(GetSecretResponse { data: value.clone().into_bytes() }))
    }
}

/// The engine asks every few seconds, and gives the session up when there is no answer.
struct Alive;

#[tonic::async_trait]
impl Health for Alive {
    async fn check(&self, _: tonic::Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving.into() }))
    }

    async fn list(&self, _: tonic::Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Ok(Response::new(HealthListResponse::default()))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: tonic::Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let serving = HealthCheckResponse { status: ServingStatus::Serving.into() };
        Ok(Response::new(Box::pin(stream::iter([Ok(serving)]))))
    }
}
