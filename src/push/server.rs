//! The listener: accepts SSH connections, bounds how many and how long, and stops in order.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg, PrivateKey};
use russh::server::{RunningSession, run_stream};
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, kex};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::PushBackend;
use super::connection::{Connection, Peer};
use super::gate::{Gate, Keeper};
use super::install;
use super::running::{GitPlace, RunningGit};
use super::session::Sessions;
use super::threads::Threads;
use crate::model::{AppName, Username};
use crate::net::{self, Bounds, Place, Places};

/// Connections at a time. Before its key is proven a connection costs a key exchange, so those have bounds of their own, as
/// OpenSSH's `MaxStartups` and `PerSourceMaxStartups`; instead of the newcomer the idlest is closed.
const BOUNDS: Bounds = Bounds { total: 512, per_address: 128, starting: 256, starting_per_address: 64 };
/// How long a client may take to prove a key (OpenSSH's `LoginGraceTime` is 120 s).
const LOGIN_LIMIT: Duration = Duration::from_secs(30);
/// How long the platform may take to look up a key or an app.
const LOOKUP_LIMIT: Duration = Duration::from_secs(10);
/// Between two looks whether somebody whom git works for may still have it. It ends within five seconds otherwise.
const ACCESS_LOOK: Duration = Duration::from_secs(2);
/// How long a client has to leave by itself once the server stops and nothing runs for it any more.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);
/// How long a connection may take to end once its socket is cut.
const END_LIMIT: Duration = Duration::from_secs(5);
/// Keys that a client may try: agents offer all they hold, and OpenSSH's 6 locks out people with many.
const MAX_KEYS: usize = 20;

/// How pushes are taken.
#[derive(Debug, Clone)]
pub struct PushConfig {
    /// The git program, by path or name.
    pub git_bin: PathBuf,
    /// A folder of Slipway's own for the pre-receive hook; made when missing.
    pub hook_dir: PathBuf,
    /// The program whose `hook` command is the hook: Slipway itself.
    pub hook_program: PathBuf,
    /// Where the hook reaches the server. A path too long for a unix socket is replaced by one in a temporary folder.
    pub hook_socket: PathBuf,
    /// Largest pack of one push, in bytes; 0 = no bound.
    pub max_push_bytes: u64,
    /// `HOST:PORT` as pushers type it, for the line that says how to push.
    pub address: String,
}

/// What every connection shares.
pub(super) struct Door {
    pub(super) config: PushConfig,
    pub(super) hook_socket: PathBuf,
    pub(super) sessions: Sessions,
    pub(super) stop: CancellationToken,
    pub(super) tracker: TaskTracker,
    pub(super) running: RunningGit,
    /// Where the platform is called and git is run: connections live on threads of their own, and what they began may
    /// outlive these.
    pub(super) platform: Handle,
    backend: Arc<dyn PushBackend>,
}

/// Serves git over SSH until `stop` fires and everything begun has ended.
///
/// From `stop` on no connection, channel or push is begun; running pushes are cancelled, and git is killed half a minute
/// later under a platform that does not return. Work of the platform itself runs on `tracker` and may outlive this.
///
/// # Errors
/// When the hook cannot be installed or run, or its socket not be bound; nothing is served then.
pub async fn serve(
    listener: TcpListener,
    host_key: PrivateKey,
    backend: Arc<dyn PushBackend>,
    config: PushConfig,
    tracker: TaskTracker,
    stop: CancellationToken,
) -> io::Result<()> {
    let config = PushConfig { hook_dir: std::path::absolute(&config.hook_dir)?, ..config };
    install::check(&install::pre_receive(&config.hook_dir, &config.hook_program)?).await?;
    let gate = Gate::bind(&config.hook_socket)?;
    let sessions = Sessions::default();
    let keeper =
        Keeper { sessions: sessions.clone(), backend: backend.clone(), tracker: tracker.clone(), stop: stop.clone() };
    let hook_socket = gate.path().to_owned();
    let door = Arc::new(Door {
        config,
        hook_socket,
        sessions,
        stop: stop.clone(),
        tracker: tracker.clone(),
        running: RunningGit::default(),
        platform: Handle::current(),
        backend,
    });
    let threads = Threads::start()?;
    let closed = CancellationToken::new();
    let gate = tracker.spawn(gate.run(keeper, closed.clone()));
    let connections = TaskTracker::new();
    accept(listener, Arc::new(ssh_config(host_key)), &door, &connections, threads.handle()).await;
    connections.close();
    connections.wait().await;
    closed.cancel();
    gate.await.map_err(io::Error::other)
}

async fn accept(
    listener: TcpListener,
    ssh: Arc<russh::server::Config>,
    door: &Arc<Door>,
    connections: &TaskTracker,
    threads: &Handle,
) {
    let places = Places::new(BOUNDS);
    loop {
        let (stream, address, place) = tokio::select! {
            () = door.stop.cancelled() => return,
            accepted = net::accept(&listener, "ssh", &places) => accepted,
        };
        connections.spawn_on(connect(ssh.clone(), door.clone(), stream, address, place), threads);
    }
}

async fn connect(
    ssh: Arc<russh::server::Config>,
    door: Arc<Door>,
    stream: TcpStream,
    address: SocketAddr,
    place: Place,
) {
    if let Err(error) = converse(ssh, door, stream, address, Arc::new(place)).await {
        // Port scanners, wrong keys, clients that hang up: nothing an operator needs to act on.
        tracing::debug!(peer = %address, %error, "ssh connection ended");
    }
}

/// Runs one connection and everything in it to the end.
async fn converse(
    ssh: Arc<russh::server::Config>,
    door: Arc<Door>,
    stream: TcpStream,
    address: SocketAddr,
    place: Arc<Place>,
) -> Result<(), russh::Error> {
    stream.set_nodelay(true)?;
    // It was accepted on other threads, whose reactor it leaves here.
    let stream = stream.into_std()?;
    let peer = Arc::new(Peer { address, user: OnceLock::new(), socket: stream.try_clone()?, place });
    let stream = TcpStream::from_std(stream)?;
    let channels = TaskTracker::new();
    let handler = Connection { door: door.clone(), peer: peer.clone(), channels: channels.clone() };
    let login = tokio::time::Instant::now() + LOGIN_LIMIT;
    let session = tokio::time::timeout_at(login, run_stream(ssh, stream, handler));
    let mut session = tokio::select! {
        () = door.stop.cancelled() => return Ok(()),
        () = peer.place.evicted() => return Err(russh::Error::Disconnect),
        session = session => session.map_err(|_| russh::Error::ConnectionTimeout)??,
    };
    let ended = follow(&mut session, &door, &peer, &channels, login).await;
    // russh's own task is not ours to abort; without a socket it ends.
    peer.cut();
    let ended = match ended {
        Some(ended) => ended,
        None => tokio::time::timeout(END_LIMIT, session).await.unwrap_or(Err(russh::Error::ConnectionTimeout)),
    };
    // Each knows that its client is gone, and has its own limits.
    channels.close();
    channels.wait().await;
    ended
}

/// Waits for a reason to end a connection; yields the session's result if that was it.
async fn follow(
    session: &mut RunningSession<Connection>,
    door: &Door,
    peer: &Peer,
    channels: &TaskTracker,
    login: tokio::time::Instant,
) -> Option<Result<(), russh::Error>> {
    let late = async {
        tokio::time::sleep_until(login).await;
        if peer.user.get().is_some() {
            std::future::pending::<()>().await;
        }
    };
    let stopped = async {
        door.stop.cancelled().await;
        channels.close();
        channels.wait().await;
    };
    tokio::select! {
        ended = &mut *session => return Some(ended),
        () = late => {}
        () = peer.place.evicted() => {}
        // No disconnect message: read along with the end of a channel, it would hide a push's success from its client.
        () = stopped => return tokio::time::timeout(LEAVE_LIMIT, session).await.ok(),
    }
    None
}

/// With what git was started for somebody.
#[derive(Clone, Copy)]
pub(super) struct Access<'a> {
    pub user: &'a Username,
    pub fingerprint: &'a str,
    pub app: &'a AppName,
    /// The repository that the app had then.
    pub repository: &'a Path,
}

impl Door {
    /// Whose key this is, as the platform says within its limit; failures are logged and nobody's.
    pub(super) async fn user_for_key(&self, fingerprint: &str) -> Option<Username> {
        let (backend, fingerprint) = (Arc::clone(&self.backend), fingerprint.to_owned());
        let found = async move { backend.user_for_key(&fingerprint).await };
        let found = self.tracker.spawn_on(tokio::time::timeout(LOOKUP_LIMIT, found), &self.platform);
        match found.await.ok()? {
            Ok(Ok(user)) => user,
            Ok(Err(error)) => {
                tracing::error!(error, "cannot look up an ssh key");
                None
            }
            Err(_) => {
                tracing::error!("looking up an ssh key took longer than {} s", LOOKUP_LIMIT.as_secs());
                None
            }
        }
    }

    /// Fires `revoked` once the access is gone; never returns. A platform that does not answer takes nothing away.
    pub(super) async fn watch(&self, access: Access<'_>, revoked: &CancellationToken) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(ACCESS_LOOK).await;
            if self.is_lost(access).await {
                revoked.cancel();
                return std::future::pending().await;
            }
        }
    }

    async fn is_lost(&self, Access { user, fingerprint, app, repository }: Access<'_>) -> bool {
        let has_key = tokio::time::timeout(LOOKUP_LIMIT, self.backend.user_for_key(fingerprint)).await;
        if matches!(has_key, Ok(Ok(found)) if found.as_ref() != Some(user)) {
            return true;
        }
        let found = self.repository(user, app.as_str()).await;
        matches!(found, Ok(found) if found.as_ref().is_none_or(|(_, path)| path != repository))
    }

    /// A place among the git processes of the user; the error is a line for the pusher.
    pub(super) async fn place(&self, user: &Username) -> Result<GitPlace, String> {
        let quota = tokio::time::timeout(LOOKUP_LIMIT, self.backend.git_quota(user)).await;
        let late = |_| format!("looking up the quotas of {user} took longer than {} s", LOOKUP_LIMIT.as_secs());
        self.running.enter(user, quota.map_err(late)??).map_err(|exceeded| exceeded.to_string())
    }

    /// An app's repository; the error is a line for the pusher.
    pub(super) async fn repository(&self, user: &Username, app: &str) -> Result<Option<(AppName, PathBuf)>, String> {
        let found = tokio::time::timeout(LOOKUP_LIMIT, self.backend.repository(user, app)).await;
        let late = |_| format!("looking up app '{app}' took longer than {} s; push again", LOOKUP_LIMIT.as_secs());
        let (name, path) = match found.map_err(late)?? {
            Some(found) => found,
            None => return Ok(None),
        };
        let absolute = std::path::absolute(path).map_err(|error| error.to_string())?;
        Ok(Some((name, absolute)))
    }
}

fn ssh_config(host_key: PrivateKey) -> russh::server::Config {
    russh::server::Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Slipway")),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        keys: vec![host_key],
        // OpenSSH tries "none" first, and then every key of its agent: neither shall be slow.
        auth_rejection_time: Duration::from_millis(30),
        auth_rejection_time_initial: Some(Duration::ZERO),
        max_auth_attempts: MAX_KEYS,
        // A quiet build is no reason to hang up; a client that is gone is noticed by its missing answers.
        inactivity_timeout: None,
        keepalive_interval: Some(Duration::from_secs(15)),
        keepalive_max: 3,
        nodelay: true,
        preferred: Preferred {
            kex: Cow::Borrowed(&KEY_EXCHANGES),
            key: Cow::Borrowed(&KEYS),
            cipher: Cow::Borrowed(ciphers()),
            ..Preferred::DEFAULT
        },
        ..Default::default()
    }
}

/// How keys are exchanged, at first and again later. NIST's curve is for clients of before 2014. No finite field: there a
/// client that computes nothing makes the server compute for up to a second.
const KEY_EXCHANGES: [kex::Name; 6] = [
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// Signatures that are taken and announced: everything in use but RSA with SHA-1.
const KEYS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// The client's order decides, and OpenSSH's begins with ChaCha20. With AES in hardware, AES-GCM moves a push in four
/// fifths of the time, so ChaCha20 is not offered there at all: every client of the last ten years has AES-GCM or AES-CTR.
fn ciphers() -> &'static [cipher::Name] {
    const AES: &[cipher::Name] =
        &[cipher::AES_128_GCM, cipher::AES_256_GCM, cipher::AES_256_CTR, cipher::AES_192_CTR, cipher::AES_128_CTR];
    const ALL: &[cipher::Name] = &[
        cipher::CHACHA20_POLY1305,
        cipher::AES_128_GCM,
        cipher::AES_256_GCM,
        cipher::AES_256_CTR,
        cipher::AES_192_CTR,
        cipher::AES_128_CTR,
    ];
    #[cfg(target_arch = "x86_64")]
    let has_aes = std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    let has_aes = std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has_aes = false;
    if has_aes { AES } else { ALL }
}
