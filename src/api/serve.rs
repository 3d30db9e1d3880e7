//! The listener of the APIs: HTTP/1.1 with bounded connections, heads and times.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use axum::{Json, Router};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::limits::READ_BUFFER;
use crate::net::{self, Blocks, Bounds, Busy, Place, Places};

/// Connections at the same time.
const BOUNDS: Bounds = Bounds::of(1024);
/// How long the head of a request may take to arrive, and how long a connection may idle before the next one.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the last words to a client may take.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What a client reads whose request did not arrive in time. Nothing is known of the request, so no door says it.
const TOO_SLOW: &str = "HTTP/1.1 408 REQUEST TIMEOUT\r\ncontent-type: application/json\r\ncontent-length: 60\r\n\
     connection: close\r\n\r\n{\"detail\":\"The head of the request did not arrive in time.\"}";

/// Serves the doors until `stop`; requests in flight then finish, and idle connections are closed.
///
/// Whoever comes from `closed_to` is only told so. An address has a quarter of the places; the idlest connection goes when there is none left. Dropping the future instead
/// leaves its connections running until the runtime ends.
pub async fn serve(
    listener: TcpListener,
    api: Router,
    closed_to: Blocks,
    head_timeout: Duration,
    stop: CancellationToken,
) {
    let (tasks, places) = (TaskTracker::new(), Places::new(BOUNDS));
    loop {
        let (stream, peer, place) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = net::accept(&listener, "api", &places) => accepted,
        };
        place.establish();
        let place = Arc::new(place);
        let api = if closed_to.contains(peer.ip()) { closed() } else { api.clone() };
        let connection = connection(stream, peer, Arc::clone(&place), api, head_timeout, stop.clone());
        tasks.spawn(async move {
            let ended = tokio::select! {
                ended = connection => ended,
                () = place.evicted() => Err("others needed its place".into()),
            };
            if let Err(error) = ended {
                tracing::debug!(client = %peer, %error, "a client's connection broke off");
            }
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// All that a build gets.
fn closed() -> Router {
    let answer =
        || async { (StatusCode::FORBIDDEN, Json(json!({"detail": "Builds do not reach this server's API."}))) };
    Router::new().fallback(answer)
}

/// One client's connection, to its end.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    place: Arc<Place>,
    api: Router,
    head_timeout: Duration,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let (busy, answer) = (place.busy(), api.clone().oneshot(request.map(Body::new)));
        Box::pin(async move { answer.await.map(|response| response.map(|body| Held { body, _busy: busy })) })
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(READ_BUFFER);
    let mut connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut stopped = pin!(stop.cancelled());
    let mut is_stopping = false;
    let served = std::future::poll_fn(|cx| {
        if !is_stopping && stopped.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    });
    let served = served.await;
    let parts = connection.into_parts();
    let mut stream = parts.io.into_inner();
    match served {
        // Whoever has not begun to ask is only shown out.
        Err(error) if error.is_timeout() && !parts.read_buf.is_empty() => {
            timeout(LAST_WORDS, say(&mut stream, TOO_SLOW)).await??;
            Ok(())
        }
        Err(error) if error.is_timeout() => Ok(()),
        served => {
            timeout(LAST_WORDS, stream.shutdown()).await??;
            Ok(served?)
        }
    }
}

/// A body with what has to live as long as it.
struct Held {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

async fn say(stream: &mut TcpStream, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// Everything that the server says to `request`, sent as it is, until it hangs up.
    async fn ask(request: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let api =
            Router::new().route("/", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string()));
        let client = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await.expect("it hangs up").unwrap();
            stop.cancel();
            answer
        };
        let serving = serve(listener, api, Blocks::default(), Duration::from_millis(200), stop.clone());
        let both = async { tokio::join!(serving, client) };
        let ((), answer) = timeout(Duration::from_secs(20), both).await.expect("it stops");
        answer
    }

    #[tokio::test]
    async fn a_head_that_does_not_end_is_answered() {
        let answer = ask("GET / HTTP/1.1\r\nHost: x\r\n").await;
        assert_eq!(answer, TOO_SLOW);
        let (head, body) = TOO_SLOW.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed_in_silence() {
        assert_eq!(ask("").await, "");
        let answer = ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("127.0.0.1"), "{answer}");
    }

    #[tokio::test]
    async fn a_head_beyond_the_buffer_is_refused() {
        let answer = ask(&format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(READ_BUFFER))).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}
