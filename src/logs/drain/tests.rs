//! Drains to real receivers on this machine, which stall, hang up, refuse and come back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::super::LogLimits;
use super::connect::Pipe;
use super::*;
use crate::model::{AppId, LogLine};

const PATIENCE: Duration = Duration::from_secs(10);

/// A stream, and its drains.
struct World {
    store: LogStore,
    drains: LogDrains,
    app: AppId,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl World {
    fn new(settings: DrainSettings) -> Self {
        Self::with(settings, 1 << 20)
    }

    fn with(settings: DrainSettings, bytes_per_app: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let limits = LogLimits { bytes_per_app, lines_per_second: 0, min_free_bytes: 0, ..LogLimits::default() };
        let store = LogStore::new(folder.path().join("logs"), limits);
        let stop = CancellationToken::new();
        let drains = LogDrains::new(store.clone(), settings, stop.clone());
        Self { store, drains, app: AppId::new(), stop, _folder: folder }
    }

    /// Starts a drain.
    async fn drain(&self, url: &str) -> LogDrain {
        let (id, created_at) = (LogDrainId::new(), Timestamp::now());
        let drain = LogDrain { id, app_id: self.app, url: url.parse().unwrap(), created_at };
        self.drains.start(&drain, &"hello".parse().unwrap()).await.unwrap();
        drain
    }

    fn say(&self, text: &str) {
        self.store.append(self.app, &LogLine::now("api", text.to_owned()));
    }

    fn counts(&self, drain: &LogDrain) -> DrainCounts {
        self.drains.counts(drain.id).unwrap()
    }

    async fn until(&self, drain: &LogDrain, what: &str, is_true: impl Fn(&DrainCounts) -> bool) -> DrainCounts {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counts = self.counts(drain);
            if is_true(&counts) {
                return counts;
            }
            assert!(Instant::now() < deadline, "never came true: {what}: {counts:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn settings() -> DrainSettings {
    DrainSettings {
        outbound: Outbound::new("127.0.0.0/8,localhost".parse().unwrap()),
        connect: Duration::from_secs(5),
        deliver: Duration::from_millis(300),
        pause: (Duration::from_millis(10), Duration::from_millis(50)),
        ..DrainSettings::default()
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    timeout(PATIENCE, listener.accept()).await.expect("the drain connects").unwrap().0
}

/// The next message that is counted by octets; `None` at the end, also within one.
async fn message(pipe: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut length = 0;
    loop {
        match timeout(PATIENCE, pipe.read_u8()).await.expect("a message comes") {
            Ok(b' ') => break,
            Ok(digit) if digit.is_ascii_digit() => length = length * 10 + usize::from(digit - b'0'),
            Ok(other) => panic!("byte {other} where a length should be"),
            Err(_) => return None,
        }
    }
    let mut text = vec![0; length];
    timeout(PATIENCE, pipe.read_exact(&mut text)).await.expect("all of it comes").ok()?;
    Some(String::from_utf8(text).unwrap())
}

/// What a message says, behind its head.
fn said(message: &str) -> &str {
    message.split_once(" - - ").unwrap().1
}

/// A certificate for `localhost`, signed by itself, and what serves it.
fn tls() -> (CertificateDer<'static>, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) =
        (made.cert.der().clone(), PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    (certificate, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn lines_arrive_over_tcp_and_the_end_is_said() {
    let (world, (listener, address)) = (World::new(settings()), listen().await);
    world.say("before there was a drain");
    let drain = world.drain(&format!("syslog://{address}")).await;
    let mut receiver = accept(&listener).await;
    let counts = world.until(&drain, "it is connected", |counts| counts.connected_since.is_some()).await;
    assert_eq!((counts.delivered, counts.errors), (0, 0));
    for n in 0..3 {
        world.say(&format!("line {n}"));
    }
    for n in 0..3 {
        let message = message(&mut receiver).await.unwrap();
        assert!(message.starts_with("<134>1 20") && message.contains("Z hello slipway api - - "), "{message}");
        assert_eq!(said(&message), format!("line {n}"));
    }
    world.until(&drain, "all are counted", |counts| counts.delivered == 3).await;
    world.say("last words");
    world.stop.cancel();
    assert_eq!(said(&message(&mut receiver).await.unwrap()), "last words");
    assert_eq!(message(&mut receiver).await, None, "the connection ends");
    timeout(PATIENCE, world.drains.ended()).await.expect("it ends");
    assert_eq!(world.drains.counts(drain.id), None);
}

#[tokio::test]
async fn a_removed_drain_and_one_of_a_removed_app_end() {
    let (world, (listener, address)) = (World::new(settings()), listen().await);
    let drain = world.drain(&format!("syslog://{address}")).await;
    let mut receiver = accept(&listener).await;
    world.drains.stop(drain.id);
    assert_eq!(message(&mut receiver).await, None);
    let drain = world.drain(&format!("syslog://{address}")).await;
    let mut receiver = accept(&listener).await;
    world.until(&drain, "it is connected", |counts| counts.connected_since.is_some()).await;
    world.say("one");
    assert_eq!(said(&message(&mut receiver).await.unwrap()), "one");
    drop(listener);
    let hopeless = world.drain(&format!("syslog://{address}")).await;
    world.until(&hopeless, "it cannot connect", |counts| counts.errors > 0).await;
    world.store.remove(world.app).await;
    assert_eq!(message(&mut receiver).await, None);
    let deadline = Instant::now() + PATIENCE;
    while world.drains.counts(hopeless.id).is_some() {
        assert!(Instant::now() < deadline, "it goes on without an app");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_up_gets_the_next_line_over_a_new_connection() {
    let (world, (listener, address)) = (World::new(settings()), listen().await);
    let drain = world.drain(&format!("syslog://{address}")).await;
    for n in 0..3 {
        let mut receiver = accept(&listener).await;
        if n == 0 {
            world.until(&drain, "it is connected", |counts| counts.connected_since.is_some()).await;
            world.say("line 0");
        }
        assert_eq!(said(&message(&mut receiver).await.unwrap()), format!("line {n}"));
        world.until(&drain, "it is counted", |counts| counts.delivered == n + 1).await;
        drop(receiver);
        world.until(&drain, "the end is seen", |counts| counts.connected_since.is_none()).await;
        world.say(&format!("line {}", n + 1));
    }
}

#[tokio::test]
async fn a_receiver_that_is_away_and_comes_back_gets_everything() {
    let (world, (listener, address)) = (World::new(settings()), listen().await);
    drop(listener);
    let drain = world.drain(&format!("syslog://{address}")).await;
    let counts = world.until(&drain, "it is told", |counts| counts.errors >= TELLING).await;
    assert!(
        counts.last_error.as_ref().unwrap().contains("cannot connect to 127.0.0.1: it cannot be reached"),
        "{counts:?}"
    );
    assert_eq!(counts.connected_since, None);
    world.say("while away");
    let listener = TcpListener::bind(address).await.unwrap();
    let mut receiver = accept(&listener).await;
    let told = message(&mut receiver).await.unwrap();
    assert!(said(&told).contains(&format!("log drain syslog://{address} takes no lines: cannot connect")), "{told}");
    assert!(told.contains(" slipway drain - - "), "{told}");
    assert_eq!(said(&message(&mut receiver).await.unwrap()), "while away");
    let told = message(&mut receiver).await.unwrap();
    assert!(said(&told).ends_with("takes lines again"), "{told}");
}

/// As in the task: after so many failures the stream tells of them.
const TELLING: u64 = 3;

#[tokio::test]
async fn a_receiver_that_stalls_costs_only_its_own_lines_and_is_told_how_many() {
    let (world, (listener, address)) = (World::with(settings(), 256 << 10), listen().await);
    let drain = world.drain(&format!("syslog://{address}")).await;
    let stalled = accept(&listener).await;
    world.until(&drain, "it is connected", |counts| counts.connected_since.is_some()).await;
    let long = "x".repeat(8 << 10);
    let begin = Instant::now();
    // Far more than the buffers of a connection hold, and than the app's files.
    for _ in 0..3000 {
        world.say(&long);
    }
    let appended = begin.elapsed();
    assert!(appended < Duration::from_secs(10), "nobody waits for the receiver: {appended:?}");
    let deadline = Instant::now() + PATIENCE;
    while world.counts(&drain).errors == 0 {
        assert!(Instant::now() < deadline, "it does not give up waiting: {:?}", world.counts(&drain));
        world.say(&long);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let counts = world.counts(&drain);
    assert!(counts.last_error.as_ref().is_some_and(|why| why.contains("took nothing for 0.3 s")), "{counts:?}");
    // A batch that was sent in part comes again, so the same words may come twice.
    let mut told = HashMap::new();
    // What lies in the buffers of the stalled connection counts as sent, and can still be read.
    let mut receiver = BufReader::new(stalled);
    world.say("end");
    loop {
        let Some(message) = message(&mut receiver).await else {
            receiver = BufReader::new(accept(&listener).await);
            continue;
        };
        if let Some((count, _)) = said(&message).split_once(" lines dropped: this log drain takes lines slower") {
            told.insert(message.clone(), count.parse::<u64>().unwrap());
        }
        if said(&message) == "end" {
            break;
        }
    }
    let counts = world.until(&drain, "all is counted", |counts| counts.delivered > 0).await;
    assert!(counts.dropped > 1000, "{counts:?}");
    assert_eq!(counts.dropped, told.values().sum::<u64>(), "what is counted is what was told");
}

#[tokio::test]
async fn lines_arrive_over_tls_from_whom_the_drain_trusts() {
    let (certificate, acceptor) = tls();
    let world = World::new(DrainSettings { trusted: vec![certificate], ..settings() });
    let (listener, address) = listen().await;
    let drain = world.drain(&format!("syslog+tls://localhost:{}", address.port())).await;
    let mut receiver = acceptor.accept(accept(&listener).await).await.unwrap();
    world.until(&drain, "it is connected", |counts| counts.connected_since.is_some()).await;
    world.say("secret");
    assert_eq!(said(&message(&mut receiver).await.unwrap()), "secret");
    // Another receiver with a certificate that nobody vouches for.
    let ((_, acceptor), (listener, address)) = (tls(), listen().await);
    let drain = world.drain(&format!("syslog+tls://localhost:{}", address.port())).await;
    assert!(acceptor.accept(accept(&listener).await).await.is_err());
    let counts = world.until(&drain, "it refuses", |counts| counts.errors > 0).await;
    let why = counts.last_error.unwrap();
    assert!(why.starts_with("TLS with localhost fails") && why.contains("certificate"), "{why}");
}

/// A request as it came: head in lower case, body.
struct Posted {
    head: String,
    body: Vec<u8>,
}

/// Reads one request and answers it.
async fn serve_one(pipe: &mut BufReader<Box<dyn Pipe>>, status: u16) -> Option<Posted> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if timeout(PATIENCE, pipe.read_line(&mut head)).await.expect("a request comes").unwrap() == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    timeout(PATIENCE, pipe.read_exact(&mut body)).await.expect("all of it comes").unwrap();
    let answer = format!("HTTP/1.1 {status} X\r\nlocation: /x\r\ncontent-length: 2\r\n\r\nok");
    pipe.write_all(answer.as_bytes()).await.unwrap();
    Some(Posted { head, body })
}

async fn messages(posted: &Posted) -> Vec<String> {
    let (mut body, mut found) = (posted.body.as_slice(), Vec::new());
    while let Some(message) = message(&mut body).await {
        found.push(said(&message).to_owned());
    }
    found
}

fn header<'a>(posted: &'a Posted, name: &str) -> &'a str {
    posted.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
}

#[tokio::test]
async fn lines_are_posted_over_https_and_again_until_they_are_taken() {
    let (certificate, acceptor) = tls();
    let world = World::new(DrainSettings { trusted: vec![certificate], deliver: PATIENCE, ..settings() });
    let (listener, address) = listen().await;
    let url = format!("https://bob:hunter22@localhost:{}/logs?key=abc", address.port());
    let drain = world.drain(&url).await;
    world.say("one");
    let stream = accept(&listener).await;
    let mut pipe = BufReader::new(Box::new(acceptor.accept(stream).await.unwrap()) as Box<dyn Pipe>);
    let first = serve_one(&mut pipe, 500).await.unwrap();
    assert!(first.head.starts_with("post /logs?key=abc http/1.1\r\n"), "{}", first.head);
    assert_eq!(header(&first, "authorization"), "basic ym9iomh1bnrlcjiy");
    assert_eq!(header(&first, "content-type"), "application/logplex-1");
    assert_eq!((messages(&first).await, header(&first, "logplex-msg-count")), (vec!["one\n".to_owned()], "1"));
    let counts = world.until(&drain, "the failure is counted", |counts| counts.errors == 1).await;
    assert_eq!(counts.last_error.as_deref(), Some("the receiver answers 500 Internal Server Error"));
    assert_eq!((counts.delivered, counts.connected_since), (0, None));
    let mut pipe = BufReader::new(Box::new(acceptor.accept(accept(&listener).await).await.unwrap()) as Box<dyn Pipe>);
    let again = serve_one(&mut pipe, 204).await.unwrap();
    assert_eq!(header(&again, "logplex-frame-id"), header(&first, "logplex-frame-id"), "the same batch");
    assert_eq!(again.body, first.body);
    let counts = world.until(&drain, "it is taken", |counts| counts.delivered > 0).await;
    assert!(counts.connected_since.is_some() && counts.dropped == 0, "{counts:?}");
    world.drains.stop(drain.id);
}

#[tokio::test]
async fn what_a_receiver_refuses_for_good_is_counted_and_holds_nothing_up() {
    let (world, (listener, address)) = (World::new(settings()), listen().await);
    let drain = world.drain(&format!("http://u:hunter22@{address}/")).await;
    world.say("bad");
    let stream = accept(&listener).await;
    let mut pipe = BufReader::new(Box::new(stream) as Box<dyn Pipe>);
    serve_one(&mut pipe, 413).await.unwrap();
    world.until(&drain, "it is dropped", |counts| counts.dropped > 0).await;
    world.say("good");
    let mut lines = Vec::new();
    while !lines.contains(&"good\n".to_owned()) {
        let mut pipe = BufReader::new(Box::new(accept(&listener).await) as Box<dyn Pipe>);
        while let Some(posted) = serve_one(&mut pipe, 200).await {
            lines.extend(messages(&posted).await);
            if lines.contains(&"good\n".to_owned()) {
                break;
            }
        }
    }
    assert!(lines[0].contains("lines dropped: this log drain takes lines slower than they come"), "{lines:?}");
    let counts = world.counts(&drain);
    assert!(!format!("{counts:?}").contains("hunter22"), "{counts:?}");
}

#[tokio::test]
async fn an_answer_that_never_comes_and_a_redirect_are_failures() {
    let (world, (listener, address)) = (World::new(settings()), listen().await);
    let drain = world.drain(&format!("http://{address}/")).await;
    world.say("x");
    let silent = accept(&listener).await;
    let is_silent = |counts: &DrainCounts| counts.last_error.as_deref() == Some("no answer within 0.3 s");
    world.until(&drain, "it gives up waiting", is_silent).await;
    drop(silent);
    let mut pipe = BufReader::new(Box::new(accept(&listener).await) as Box<dyn Pipe>);
    serve_one(&mut pipe, 301).await.unwrap();
    let is_redirect = |counts: &DrainCounts| counts.last_error.as_ref().is_some_and(|why| why.contains("redirects"));
    assert_eq!(world.until(&drain, "it does not follow", is_redirect).await.delivered, 0);
}

#[tokio::test]
async fn this_very_machine_is_no_receiver() {
    let world = World::new(DrainSettings { outbound: Outbound::default(), ..settings() });
    for url in [
        "syslog://127.0.0.1:514",
        "syslog+tls://localhost",
        "http://[::1]/",
        "https://0.0.0.0/",
        "http://169.254.169.254/latest",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "syslog://10.0.0.1",
        "syslog://192.0.2.1",
        "https://[64:ff9b::7f00:1]/",
    ] {
        let why = world.drains.check(&url.parse().unwrap()).await.unwrap_err();
        assert!(why.contains("is not found at a public address"), "{url}: {why}");
        let (listener, address) = listen().await;
        let drain = world.drain(&format!("syslog://{address}")).await;
        world.until(&drain, "it is refused", |counts| counts.errors > 0).await;
        assert!(listener.accept().now_or_never_is_none(), "nobody connected");
        world.drains.stop(drain.id);
    }
    let why = world.drains.check(&"syslog://nowhere.invalid".parse().unwrap()).await.unwrap_err();
    assert!(why.contains("'nowhere.invalid' is not found at a public address"), "{why}");
    assert!(world.drains.check(&"syslog://8.8.8.8".parse().unwrap()).await.is_ok());
}

/// Whether a future is not ready.
trait NotReady: Future + Sized {
    fn now_or_never_is_none(self) -> bool {
        futures_util::FutureExt::now_or_never(self).is_none()
    }
}

impl<T: Future> NotReady for T {}
