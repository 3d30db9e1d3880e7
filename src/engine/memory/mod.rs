//! A stateful engine in memory, for fault tests.
//!
//! It keeps what the real one keeps (images, containers, networks, volumes) and obeys the contract of [`Engine`]. A test
//! says how images behave and which verbs fail or hang, acts, and then looks at the world that is left. A container gets
//! a loopback address of its own, so one that serves is reached by real connections.

mod tests;
mod verbs;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use super::{
    ByteStream, Container, ContainerEvent, ContainerLog, ContainerSpec, ContainerState, EngineError, Executed,
    ExitStatus, Image, Labels, LogOutput,
};
use crate::model::{GroupPort, Protocol};

/// What containers of an image do once started.
#[derive(Debug, Clone, Default)]
struct Behaviour {
    /// Ends at once with this status; runs on when `None`.
    exit: Option<ExitStatus>,
    /// Answers HTTP on the port in `PORT` (5000 without one), with status 200 and its own name unless told otherwise.
    serves: bool,
    answer: Option<(u16, String)>,
    /// What every command in a running container comes to.
    executed: Option<Executed>,
    output: Vec<String>,
    /// Files that there are without an upload.
    files: Vec<String>,
}

/// How a verb misbehaves.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// From the call of this number on, the first being 1, for as many calls.
    Fail {
        first: usize,
        count: usize,
    },
    Hang {
        first: usize,
    },
    /// The call of this number is done, and yet fails.
    Lie {
        nth: usize,
    },
}

struct Entry {
    spec: ContainerSpec,
    container: Container,
    logs: Vec<ContainerLog>,
    /// Archives by the path they were unpacked at.
    uploads: BTreeMap<String, Vec<u8>>,
    /// The server of one that serves; it ends with this.
    server: JoinSet<()>,
    listens: Option<SocketAddr>,
    answer: Arc<Mutex<(u16, String)>>,
}

#[derive(Default)]
struct World {
    images: BTreeMap<String, (Image, Behaviour)>,
    containers: BTreeMap<String, Entry>,
    networks: BTreeMap<String, Labels>,
    volumes: BTreeMap<String, Labels>,
    volume_sizes: BTreeMap<String, u64>,
    /// Bytes by name of container.
    written: BTreeMap<String, u64>,
    faults: BTreeMap<String, Fault>,
    calls: BTreeMap<String, usize>,
    node_labels: Labels,
    memory_available: Option<i64>,
    tells_twice: bool,
    is_away: bool,
    /// Most containers that ran at once, since that was last asked.
    most_running: usize,
    next_id: u64,
}

/// The engine. Verbs are named for faults as in the trait, `"start_container"`.
pub struct Memory {
    world: Mutex<World>,
    changes: watch::Sender<()>,
    events: broadcast::Sender<ContainerEvent>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { world: Mutex::default(), changes: watch::Sender::new(()), events: broadcast::Sender::new(1024) }
    }
}

/// What a test says and sees.
impl Memory {
    /// Has an image, whose containers run silently until something stops them.
    pub fn add_image(&self, reference: &str, ports: &[u16]) -> Image {
        self.world().put_image(reference, ports.to_vec(), Labels::new(), Behaviour::default())
    }

    /// Has an image with these labels, made from the image `base`, if any; without a name when `reference` is empty.
    pub fn add_labelled_image(&self, reference: &str, labels: Labels, base: Option<&Image>) -> Image {
        let mut world = self.world();
        let key = if reference.is_empty() { format!("nameless-{}", world.next_id) } else { reference.to_owned() };
        let made = world.put_image(&key, Vec::new(), labels, Behaviour::default());
        let (mut image, behaviour) = world.images.remove(&key).expect("it was just put there");
        image.layers = base.into_iter().flat_map(|base| base.layers.clone()).chain(made.layers).collect();
        image.size_bytes = 1 << 20;
        if reference.is_empty() {
            image.tags.clear();
        }
        let key = if reference.is_empty() { image.id.clone() } else { key };
        world.images.insert(key, (image.clone(), behaviour));
        image
    }

    /// What a volume holds.
    pub fn size_volume(&self, name: &str, bytes: u64) {
        self.world().volume_sizes.insert(name.to_owned(), bytes);
    }

    /// Names of all volumes, sorted.
    pub fn volumes_now(&self) -> Vec<String> {
        self.world().volumes.keys().cloned().collect()
    }

    /// Containers of the image end right after their start.
    pub fn exit_on_start(&self, image: &str, code: i64) {
        self.behave(image, |it| it.exit = Some(ExitStatus { code, out_of_memory: code == 137 }));
    }

    /// Containers of the image answer HTTP with 200 and their name on their `PORT`.
    pub fn serve_on_start(&self, image: &str) {
        self.behave(image, |it| it.serves = true);
    }

    /// Containers of the image that are started from now on answer so.
    pub fn answer_on_start(&self, image: &str, status: u16, body: &str) {
        self.behave(image, |it| it.answer = Some((status, body.to_owned())));
    }

    /// A container answers so from now on.
    pub fn answer(&self, container: &str, status: u16, body: &str) {
        let answer = self.world().entry(container).map(|entry| Arc::clone(&entry.answer));
        *answer.expect("the container exists").lock().unwrap_or_else(PoisonError::into_inner) =
            (status, body.to_owned());
    }

    /// Commands in containers of the image end so from now on.
    pub fn execute_as(&self, image: &str, status: i64, output: &str) {
        self.behave(image, |it| it.executed = Some(Executed { status, output: output.to_owned() }));
    }

    /// New containers could have so much memory.
    pub fn has_memory(&self, bytes: i64) {
        self.world().memory_available = Some(bytes);
    }

    /// Every event is told twice from now on.
    pub fn tell_twice(&self) {
        self.world().tells_twice = true;
    }

    /// Containers of the image say these lines when started.
    pub fn say_on_start(&self, image: &str, lines: &[&str]) {
        self.behave(image, |it| it.output = lines.iter().map(|&line| line.to_owned()).collect());
    }

    /// The node has this label from now on.
    pub fn label_node(&self, name: &str, value: &str) {
        self.world().node_labels.insert(name.to_owned(), value.to_owned());
    }

    /// The next call of `verb` fails.
    pub fn fail_next(&self, verb: &str) {
        let first = self.calls(verb) + 1;
        self.world().faults.insert(verb.to_owned(), Fault::Fail { first, count: 1 });
    }

    /// From its `nth` call in all (the first is 1), `verb` fails every time.
    pub fn fail_from(&self, verb: &str, nth: usize) {
        self.world().faults.insert(verb.to_owned(), Fault::Fail { first: nth, count: usize::MAX });
    }

    /// The `nth` call of `verb` in all (the first is 1) is done, and yet says that it failed.
    pub fn lie_at(&self, verb: &str, nth: usize) {
        self.world().faults.insert(verb.to_owned(), Fault::Lie { nth });
    }

    /// `verb` never answers.
    pub fn hang(&self, verb: &str) {
        self.hang_from(verb, 1);
    }

    /// From its `nth` call in all (the first is 1), `verb` never answers.
    pub fn hang_from(&self, verb: &str, nth: usize) {
        self.world().faults.insert(verb.to_owned(), Fault::Hang { first: nth });
    }

    /// Every verb works again. Calls that hang go on hanging.
    pub fn heal(&self) {
        self.world().faults.clear();
    }

    /// How often `verb` has been called.
    pub fn calls(&self, verb: &str) -> usize {
        self.world().calls.get(verb).copied().unwrap_or_default()
    }

    /// Ends a container as a crash would.
    pub fn crash(&self, container: &str, code: i64) {
        let status = ExitStatus { code, out_of_memory: code == 137 };
        let entry = self.world().entry(container).map(|entry| entry.end(status));
        entry.expect("the container to crash exists");
        self.tell(container, "die");
    }

    /// The engine ends, and its containers with it.
    pub fn go_away(&self) {
        let mut world = self.world();
        world.is_away = true;
        // As the real one does, it closes its streams before it ends its containers.
        let gone = ContainerEvent { container: String::new(), action: GONE.to_owned(), labels: Labels::new() };
        let _ = self.events.send(gone);
        for entry in world.containers.values_mut().filter(|it| it.container.state == ContainerState::Running) {
            entry.end(ExitStatus { code: 137, out_of_memory: false });
        }
    }

    /// The engine is back, its containers are not.
    pub fn be_back(&self) {
        self.world().is_away = false;
    }

    /// All containers there are, by id in order of creation.
    pub fn containers_now(&self) -> Vec<Container> {
        self.world().containers.values().map(|entry| entry.container.clone()).collect()
    }

    /// Has a container of that name hold so many bytes of its own.
    pub fn set_written(&self, container: &str, bytes: u64) {
        self.world().written.insert(container.to_owned(), bytes);
    }

    /// Names of the containers that run, sorted.
    pub fn running_now(&self) -> Vec<String> {
        let all = self.containers_now().into_iter();
        let mut names = all.filter(|it| it.state == ContainerState::Running).map(|it| it.name).collect::<Vec<_>>();
        names.sort();
        names
    }

    /// Most containers that ran at once since this was last called; it begins anew with those that run now.
    pub fn most_running(&self) -> usize {
        let now = self.running_now().len();
        std::mem::replace(&mut self.world().most_running, now)
    }

    /// References of all images, sorted.
    pub fn images_now(&self) -> Vec<String> {
        self.world().images.keys().cloned().collect()
    }

    /// What a container was created with.
    pub fn spec(&self, container: &str) -> ContainerSpec {
        self.world().entry(container).map(|entry| entry.spec.clone()).expect("the container exists")
    }

    /// The image has these files.
    pub fn have_files(&self, image: &str, paths: &[&str]) {
        self.behave(image, |it| it.files = paths.iter().map(|&path| path.to_owned()).collect());
    }

    fn behave(&self, image: &str, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.world().images.get_mut(image).expect("add_image comes first").1);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Counts a call and lets it go wrong if it is to.
    async fn enter(&self, verb: &str) -> Result<(), EngineError> {
        let fault = {
            let mut world = self.world();
            let calls = world.calls.entry(verb.to_owned()).or_default();
            *calls += 1;
            let number = *calls;
            if world.is_away {
                return Err(away());
            }
            world.faults.get(verb).copied().filter(|fault| match *fault {
                Fault::Fail { first, count } => number >= first && number - first < count,
                Fault::Hang { first } => number >= first,
                Fault::Lie { .. } => false,
            })
        };
        match fault {
            None | Some(Fault::Lie { .. }) => Ok(()),
            Some(Fault::Hang { .. }) => std::future::pending().await,
            Some(Fault::Fail { .. }) => Err(unwanted(verb)),
        }
    }

    /// Ends a call that was done, unless it is to lie about it.
    fn leave(&self, verb: &str) -> Result<(), EngineError> {
        let world = self.world();
        let lies = matches!(world.faults.get(verb), Some(Fault::Lie { nth }) if world.calls.get(verb) == Some(nth));
        if lies { Err(unwanted(verb)) } else { Ok(()) }
    }

    /// Wakes whoever waits, and tells of the event. Nobody may be listening.
    fn tell(&self, container: &str, action: &str) {
        let mut world = self.world();
        let times = if world.tells_twice { 2 } else { 1 };
        if let Ok(entry) = world.entry(container) {
            let (container, labels) = (entry.container.id.clone(), entry.container.labels.clone());
            let event = ContainerEvent { container, action: action.to_owned(), labels };
            for _ in 0..times {
                let _ = self.events.send(event.clone());
            }
        }
        drop(world);
        self.changes.send_replace(());
    }
}

impl World {
    fn put_image(&mut self, reference: &str, ports: Vec<u16>, labels: Labels, behaviour: Behaviour) -> Image {
        self.next_id += 1;
        let id = format!("sha256:{:064x}", self.next_id);
        let layers = vec![id.clone()];
        let tags = vec![reference.to_owned()];
        let exposed = ports.iter().map(|&inner| GroupPort { inner, protocol: Protocol::Tcp, outer: None }).collect();
        let command = vec!["serve".to_owned()];
        let image = Image { id, tags, ports, exposed, command, labels, size_bytes: 1, layers, ..Image::default() };
        self.images.insert(reference.to_owned(), (image.clone(), behaviour));
        image
    }

    fn image(&self, reference: &str) -> Result<&(Image, Behaviour), EngineError> {
        let by_id = || self.images.values().find(|(image, _)| image.id == reference);
        self.images.get(reference).or_else(by_id).ok_or_else(|| missing("image", reference))
    }

    fn entry(&mut self, container: &str) -> Result<&mut Entry, EngineError> {
        let found =
            self.containers.values_mut().find(|it| it.container.id == container || it.container.name == container);
        found.ok_or_else(|| missing("container", container))
    }
}

impl Entry {
    fn end(&mut self, status: ExitStatus) {
        self.container.state = ContainerState::Exited(status);
        self.container.ip = None;
        self.listens = None;
        self.server.abort_all();
    }

    fn say(&mut self, text: &str) {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as i64;
        self.logs.push(ContainerLog { nanos, output: LogOutput::Stdout, text: text.to_owned() });
    }

    /// Binds the real port and answers on it until the container ends.
    fn serve(&mut self, ip: IpAddr) {
        let port = self.spec.env.get("PORT").and_then(|port| port.parse().ok()).unwrap_or(5000);
        let listener = std::net::TcpListener::bind((ip, port)).expect("every container has its own address");
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        self.listens = Some(SocketAddr::new(ip, port));
        let answers = Arc::clone(&self.answer);
        self.server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut connection, _)) = listener.accept().await {
                let (status, body) = answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
                connections.spawn(async move {
                    // One read holds the head of any request a test sends; a probe sends nothing at all.
                    if connection.read(&mut [0; 8192]).await.is_ok_and(|count| count > 0) {
                        let _ = connection.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
    }
}

/// The event that no container has: the engine ends.
const GONE: &str = "gone";

fn away() -> EngineError {
    EngineError::Unreachable("the test sent it away".to_owned())
}

fn unwanted(verb: &str) -> EngineError {
    EngineError::Refused { action: verb.to_owned(), message: "the test wants it to fail".to_owned() }
}

fn missing(kind: &str, name: &str) -> EngineError {
    EngineError::NotFound { what: format!("{kind} {name}") }
}

fn matches(labels: &Labels, wanted: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key).is_some_and(|has| value.is_empty() || has == value))
}

/// A loopback address that no other container has, nor one of another test process that runs beside this one.
fn next_ip() -> IpAddr {
    static LAST: AtomicU32 = AtomicU32::new(0);
    let [_, _, high, low] = (LAST.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes();
    Ipv4Addr::new(127, 64 + (std::process::id() % 128) as u8, high, low).into()
}

async fn collect(mut stream: ByteStream) -> Result<Vec<u8>, EngineError> {
    let mut bytes = Vec::new();
    while let Some(chunk) =
        stream.try_next().await.map_err(|source| EngineError::Io { action: "reading an archive".to_owned(), source })?
    {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
