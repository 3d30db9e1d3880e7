//! A running router, upstreams that do what a test wants of them, and clients of both kinds.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::model::{AppName, InstanceId};
use crate::route::app::Settings;
use crate::route::{Answered, BoxBody, BoxError, ERROR_HEADER, Observer, RouterConfig, Table, serve};

/// How long anything in these tests may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for `work`, but not for ever.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("timed out: {what}"))
}

/// Polls until `condition` holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// A router that serves one listener.
pub struct Running {
    pub address: SocketAddr,
    pub table: Table,
    pub told: Arc<Told>,
    pub stop: CancellationToken,
    pub served: JoinHandle<()>,
}

impl Running {
    pub async fn start() -> Self {
        Self::start_with(RouterConfig::default(), None).await
    }

    pub async fn start_with(config: RouterConfig, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (table, stop) = (Table::new("Example.Test"), CancellationToken::new());
        let answer = Arc::new(|request: Request<Incoming>| -> BoxFuture<'static, Response<BoxBody>> {
            let text = format!("platform {} {:?}", request.uri(), request.headers().get("x-forwarded-proto"));
            Box::pin(async move { Response::new(full(text).map_err(|never| match never {}).boxed_unsync()) })
        });
        let (own, key) = crate::route::tls::self_signed("example.test").expect("a certificate");
        let own = crate::route::tls::certified_key(&own, &key).expect("usable");
        let certificates = crate::route::Certificates::new(own, table.challenges().clone());
        let platform = crate::route::PlatformService { answer, closed_to: crate::net::Blocks::default(), certificates };
        let told = Arc::new(Told::default());
        let (observer, bounds) = (told.clone(), Arc::new(config));
        let served = tokio::spawn(serve(listener, tls, table.clone(), bounds, platform, observer, stop.clone()));
        Self { address, table, told, stop, served }
    }

    /// Publishes exactly these upstreams for `app`.
    pub fn publish(&self, app: &str, upstreams: &[SocketAddr]) -> Vec<InstanceId> {
        let listed: Vec<_> = upstreams.iter().map(|address| (InstanceId::new(), *address)).collect();
        self.table.publish(&name(app), listed.clone());
        listed.into_iter().map(|(instance, _)| instance).collect()
    }

    /// Treats the requests of `app`, which is made known, by these settings.
    pub fn set(&self, app: &str, settings: Settings) {
        self.table.add_app(&name(app));
        self.table.set_settings([(&name(app), None, settings)]);
    }

    /// One GET over a connection of its own.
    pub async fn get(&self, host: &str, path: &str) -> Answer {
        let request = Request::get(path).header("host", host).body(Empty::<Bytes>::new()).expect("a request");
        Answer::of(self.client().await.send(request).await).await
    }

    /// A keep-alive connection.
    pub async fn client<B>(&self) -> Client<B>
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let stream = TcpStream::connect(self.address).await.expect("the router accepts");
        let (sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(driver.await) });
        Client { sender, _tasks: tasks }
    }

    /// Sends bytes and reads until the router closes or falls silent for good.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("the router accepts");
        stream.write_all(bytes).await.expect("the router reads");
        let mut answer = Vec::new();
        // A reset after the answer counts as its end: what was not read of a bad request may cause one.
        let shown: String = String::from_utf8_lossy(bytes).chars().take(120).collect();
        drop(soon(&format!("the end of an answer to {shown:?}"), stream.read_to_end(&mut answer)).await);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What the observer was told, one entry for each request: `app instance status code bytes-in bytes-out`, then `upgraded`, the
/// protocol and the path.
#[derive(Default)]
pub struct Told(Mutex<Vec<String>>);

impl Told {
    /// Waits until that many requests are over, then yields what was told of them.
    pub async fn requests(&self, count: usize) -> Vec<String> {
        until("requests are told of", || self.0.lock().expect("no panic").len() >= count).await;
        self.0.lock().expect("no panic").clone()
    }
}

impl Observer for Told {
    fn answered(&self, request: &Answered<'_>) {
        let app = request.app.map_or("-", |app| app.name().as_str());
        let instance = if request.instance.is_some() { "there" } else { "-" };
        let upgraded = if request.is_upgraded { " upgraded" } else { "" };
        let protocol = if request.is_tls { "https" } else { "http" };
        let path = request.line.map_or("", |line| line.path.as_str());
        self.0.lock().expect("no panic").push(format!(
            "{app} {instance} {} {} {} {}{upgraded} {protocol} {} {path}",
            request.status,
            request.error.unwrap_or("ok"),
            request.bytes_in,
            request.bytes_out,
            request.method,
        ));
    }
}

/// One client connection.
pub struct Client<B> {
    pub sender: hyper::client::conn::http1::SendRequest<B>,
    _tasks: JoinSet<()>,
}

impl<B> Client<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    pub async fn send(&mut self, request: Request<B>) -> Response<Incoming> {
        self.try_send(request).await.expect("an answer")
    }

    pub async fn try_send(&mut self, request: Request<B>) -> hyper::Result<Response<Incoming>> {
        soon("an answer", async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        })
        .await
    }
}

/// A whole response.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub trailers: Option<http::HeaderMap>,
    pub body: String,
}

impl Answer {
    pub async fn of(response: Response<Incoming>) -> Self {
        let (head, body) = response.into_parts();
        let body = soon("a whole body", body.collect()).await.expect("a whole body");
        let trailers = body.trailers().cloned();
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Self { status: head.status, headers: head.headers, trailers, body }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Status and reason when Slipway answered itself.
    pub fn refusal(&self) -> (u16, &str) {
        (self.status.as_u16(), self.header(ERROR_HEADER.as_str()))
    }
}

/// Settings with an upload and a download that may pause for `idle`, and an answer that has to begin within `response`.
pub fn patient(response: Duration, idle: Duration) -> Settings {
    Settings { response_timeout: response, idle_timeout: idle, ..Settings::default() }
}

pub fn name(app: &str) -> AppName {
    app.parse().expect("an app name")
}

pub fn full(text: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(text.into())
}

/// A server on a port of its own; dropping it closes the port and every connection.
pub struct TestServer {
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl TestServer {
    /// Runs `handle` for every connection.
    pub async fn raw<F>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(handle(stream));
            }
        });
        Self { address, _tasks: tasks }
    }

    /// Answers every connection's first request head with `answer`, byte for byte, then closes.
    pub async fn says(answer: &'static str) -> Self {
        Self::raw(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.expect("the router reads");
            stream.shutdown().await.expect("the router reads");
        })
        .await
    }

    /// An HTTP/1.1 server.
    pub async fn http<F, B>(service: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response<B>> + Send + 'static,
        B: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        Self::raw(move |stream| {
            let service = service.clone();
            async move {
                let service = service_fn(move |request| {
                    let answer = service(request);
                    async move { Ok::<_, std::convert::Infallible>(answer.await) }
                });
                let server = hyper::server::conn::http1::Builder::new();
                drop(server.serve_connection(TokioIo::new(stream), service).with_upgrades().await);
            }
        })
        .await
    }

    /// Answers everything with `text`.
    pub async fn text(text: &'static str) -> Self {
        Self::http(move |_| async move { Response::new(full(text)) }).await
    }
}

/// Reads up to the end of a request head. Yields what was read; empty when the other side closed first.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A port that nothing listens on.
pub async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}
