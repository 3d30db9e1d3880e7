//! Is an instance healthy? Asked from the host, often, until the first yes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{RolloutSettings, Target, spec};
use crate::engine::{Engine, EngineError, ExitStatus};
use crate::model::ProcessType;

/// The pause between two attempts: short, so that a fast app is switched to at once.
const PAUSE: Duration = Duration::from_millis(25);
/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// The config var that names the path of an HTTP health check, as Deis 1.9 has it.
const HEALTHCHECK_URL: &str = "HEALTHCHECK_URL";

/// What counts as healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The port accepts a connection.
    Port(u16),
    /// A GET of the path answers 2xx or 3xx.
    Http {
        /// Which port.
        port: u16,
        /// Path and query.
        path: String,
        /// Value of the `Host` header.
        host: String,
    },
    /// It keeps running for so long.
    Running(Duration),
}

/// Why an instance is not healthy.
#[derive(Debug)]
pub enum ProbeError {
    /// It ended.
    Exited(ExitStatus),
    /// Time is up; the last attempt ended like this.
    TimedOut(String),
    /// The engine failed.
    Engine(EngineError),
}

impl Probe {
    /// The probe of a process type: HTTP where the app names a path, the port for routed types, else staying up.
    pub fn of(settings: &RolloutSettings, target: &Target, process: &ProcessType) -> Self {
        let port = spec::port(target);
        if !process.is_routed() {
            return Self::Running(settings.settle);
        }
        match target.config.values.get(HEALTHCHECK_URL).map(ToString::to_string).filter(|path| !path.is_empty()) {
            Some(path) => {
                let path = if path.starts_with('/') { path } else { format!("/{path}") };
                Self::Http { port, path, host: format!("{}.{}", target.app.name, settings.domain) }
            }
            None => Self::Port(port),
        }
    }

    /// Where a healthy instance takes requests.
    pub fn address(&self, ip: Option<IpAddr>) -> Option<SocketAddr> {
        match self {
            Self::Port(port) | Self::Http { port, .. } => ip.map(|ip| SocketAddr::new(ip, *port)),
            Self::Running(_) => None,
        }
    }

    /// Polls until the first success. Cancel-safe: it changes nothing.
    ///
    /// # Errors
    /// [`ProbeError::Exited`] as soon as the container ends, [`ProbeError::TimedOut`] when `limit` has passed.
    pub async fn until_healthy(
        &self,
        engine: &dyn Engine,
        container: &str,
        ip: Option<IpAddr>,
        limit: Duration,
    ) -> Result<(), ProbeError> {
        tokio::select! {
            biased;
            healthy = self.poll(ip, limit) => healthy,
            ended = engine.wait_container(container) => match ended {
                Ok(status) => Err(ProbeError::Exited(status)),
                Err(error) => Err(ProbeError::Engine(error)),
            },
        }
    }

    async fn poll(&self, ip: Option<IpAddr>, limit: Duration) -> Result<(), ProbeError> {
        let deadline = Instant::now() + limit;
        if let Self::Running(settle) = self {
            sleep(*settle).await;
            return Ok(());
        }
        loop {
            let attempt = match self.address(ip) {
                Some(address) => {
                    timeout(ATTEMPT, self.attempt(address)).await.unwrap_or(Err("no answer in 5 s".into()))
                }
                None => Err("the container has no address".to_owned()),
            };
            match attempt {
                Ok(()) => return Ok(()),
                Err(last) if Instant::now() >= deadline => return Err(ProbeError::TimedOut(last)),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn attempt(&self, address: SocketAddr) -> Result<(), String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("connecting: {error}"))?;
        let Self::Http { path, host, .. } = self else { return Ok(()) };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("connecting: {error}"))?;
        let request = Request::get(path.as_str())
            .header(HOST, host)
            .header("User-Agent", "Slipway-Health-Check")
            .body(Empty::<Bytes>::new())
            .map_err(|error| format!("{HEALTHCHECK_URL} '{path}': {error}"))?;
        let answer = tokio::select! {
            answer = sender.send_request(request) => answer.map_err(|error| format!("GET {path}: {error}"))?,
            ended = connection => return Err(format!("GET {path}: the connection ended: {ended:?}")),
        };
        accept(path, answer.status())
    }
}

fn accept(path: &str, status: StatusCode) -> Result<(), String> {
    if status.is_success() || status.is_redirection() { Ok(()) } else { Err(format!("GET {path} answered {status}")) }
}
