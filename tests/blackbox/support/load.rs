//! A continuous client: requests one after another, from several connections, until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt, stream};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;

use super::{Answer, App, LONG, wait_until};

/// How long one exchange may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an upload, pieces of one that takes its time, messages over one websocket.
const UPLOAD: usize = 256 << 10;
const PIECES: usize = 8;
const MESSAGES: usize = 8;

/// Clients at work.
pub struct Load {
    clients: JoinSet<Vec<String>>,
    stop: CancellationToken,
    answered: Arc<AtomicUsize>,
}

impl Load {
    /// Sets clients on an app: some that keep their connection, some that open one per request, some whose requests take
    /// longer than a switch.
    pub fn on(app: &App<'_>) -> Self {
        let mut load = Self { clients: JoinSet::new(), stop: CancellationToken::new(), answered: Arc::default() };
        let url = format!("http://{}", app.user.server.addresses().http);
        let host = format!("{}.localhost", app.name);
        for (path, keeps, count) in
            [("/", true, 3), ("/", false, 2), ("/slow?ms=700", true, 2), ("/slow?ms=1500", false, 1)]
        {
            for _ in 0..count {
                let idle = if keeps { 1 } else { 0 };
                let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(idle);
                let client = client.timeout(Duration::from_secs(30)).build().expect("a client can be made");
                let (url, host) = (format!("{url}{path}"), host.clone());
                let (stop, answered) = (load.stop.clone(), Arc::clone(&load.answered));
                load.clients.spawn(async move {
                    let mut failures = Vec::new();
                    while !stop.is_cancelled() {
                        let request = client.get(&url).header("Host", &host);
                        match Answer::to(request, &url).await {
                            Ok(answer) if answer.status == 200 => drop(answered.fetch_add(1, Ordering::Relaxed)),
                            Ok(answer) => failures.push(format!("{url}: {} {}", answer.line(), answer.text)),
                            Err(error) => failures.push(error),
                        }
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    failures
                });
            }
        }
        load
    }

    /// As [`Load::on`], and beside those: uploads, an upload that takes its time, server-sent events and websockets.
    pub fn of_every_kind(app: &App<'_>) -> Self {
        let mut load = Self::on(app);
        let address = app.user.server.addresses().http;
        for kind in [Kind::Upload, Kind::SlowUpload, Kind::Events, Kind::Websocket, Kind::Websocket] {
            let (host, stop, answered) = (format!("{}.localhost", app.name), load.stop.clone(), load.answered.clone());
            load.clients.spawn(async move {
                let mut failures = Vec::new();
                while !stop.is_cancelled() {
                    match timeout(PATIENCE, kind.once(address, &host)).await {
                        Ok(Ok(())) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Ok(Err(error)) => failures.push(format!("{kind:?}: {error}")),
                        Err(_) => failures.push(format!("{kind:?}: nothing for {} s", PATIENCE.as_secs())),
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                failures
            });
        }
        load
    }

    /// How many requests were answered with 200 so far.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until requests have been answered for a while at the present state.
    pub async fn flows(&self) {
        let enough = self.answered() + 40;
        wait_until("requests go on", LONG, async || {
            let answered = self.answered();
            if answered >= enough { Ok(()) } else { Err(format!("{answered} answered")) }
        })
        .await;
    }

    /// Lets requests in flight end, then yields what failed.
    pub async fn stop(self) -> Vec<String> {
        self.stop.cancel();
        self.clients.join_all().await.into_iter().flatten().collect()
    }
}

/// What a client does again and again.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Upload,
    SlowUpload,
    Events,
    Websocket,
}

impl Kind {
    /// One whole exchange, from the connection on.
    async fn once(self, address: SocketAddr, host: &str) -> Result<(), String> {
        let client = reqwest::Client::builder().no_proxy().build().map_err(|error| error.to_string())?;
        let url = |path: &str| format!("http://{address}{path}");
        let post = |body: reqwest::Body| client.post(url("/echo")).header("Host", host).body(body);
        match self {
            Self::Upload => echoed(post(vec![b'u'; UPLOAD].into()), UPLOAD).await,
            Self::SlowUpload => {
                let pieces = stream::iter(0..PIECES).then(|_| async {
                    tokio::time::sleep(Duration::from_millis(80)).await;
                    Ok::<_, std::io::Error>(vec![b's'; 1000])
                });
                echoed(post(reqwest::Body::wrap_stream(pieces)), PIECES * 1000).await
            }
            Self::Events => {
                let answer = Answer::to(client.get(url("/sse")).header("Host", host), "/sse").await?;
                let count = answer.text.matches("data: event").count();
                if count == 5 { Ok(()) } else { Err(format!("{count} of 5 events: {}", answer.line())) }
            }
            Self::Websocket => talk(address, host).await,
        }
    }
}

async fn echoed(request: reqwest::RequestBuilder, length: usize) -> Result<(), String> {
    let answer = Answer::to(request, "POST /echo").await?;
    let got = answer.text.len();
    if answer.status == 200 && got == length {
        Ok(())
    } else {
        Err(format!("{}: {got} of {length} bytes", answer.line()))
    }
}

/// Opens a websocket, has some messages echoed, and closes it.
async fn talk(address: SocketAddr, host: &str) -> Result<(), String> {
    let request = format!("ws://{host}/ws").into_client_request().map_err(|error| error.to_string())?;
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let opened = tokio_tungstenite::client_async(request, stream).await;
    let (mut socket, _) = opened.map_err(|error| format!("opening: {error}"))?;
    for number in 0..MESSAGES {
        let message = Message::text(format!("message {number}"));
        socket.send(message.clone()).await.map_err(|error| format!("sending: {error}"))?;
        match socket.next().await {
            Some(Ok(echo)) if echo == message => {}
            other => return Err(format!("message {number} came back as {other:?}")),
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    socket.close(None).await.map_err(|error| format!("closing: {error}"))
}
