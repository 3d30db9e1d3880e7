//! Dockerfile builds by both builders, and the bounds that hold them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::support::{Corner, until, within};
use crate::engine::docker::build::Builder;
use crate::engine::docker::limits::GROUPS;
use crate::engine::{
    ByteStream, ContainerSpec, Engine, EngineError, Image, ImageBuild, Resources, byte_stream, label, small_archive,
};

/// A build of `dockerfile` on the test image (`BASE` stands for it), and the lines it says.
struct Attempt {
    result: Result<Image, EngineError>,
    lines: Vec<String>,
}

fn context(corner: &Corner, dockerfile: &str) -> ByteStream {
    let dockerfile = dockerfile.replace("BASE", &corner.name("image"));
    let files = [("Dockerfile", dockerfile.as_str()), ("hello", "from the context\n")];
    let files = files.iter().map(|(path, contents)| (Path::new(*path), 0o644, contents.as_bytes()));
    byte_stream(small_archive(files, 0).unwrap())
}

fn order(corner: &Corner, tag: &str) -> ImageBuild {
    ImageBuild {
        tag: format!("{}:v1", corner.name(tag)),
        dockerfile: "Dockerfile".to_owned(),
        labels: corner.labels(),
        ..ImageBuild::default()
    }
}

async fn build_with(corner: &Corner, builder: Builder, build: &ImageBuild, dockerfile: &str) -> Attempt {
    let lines = Mutex::new(Vec::new());
    let sink = |line: &str| lines.lock().unwrap().push(line.to_owned());
    let context = context(corner, dockerfile);
    let result = within("the build ends", corner.docker.build(builder, build, context, &sink)).await;
    Attempt { result, lines: lines.into_inner().unwrap() }
}

async fn build(corner: &Corner, tag: &str, dockerfile: &str) -> Attempt {
    build_with(corner, Builder::BuildKit, &order(corner, tag), dockerfile).await
}

const GREETING: &str = "FROM BASE\nARG WHO\nCOPY hello /hello\nRUN cat /hello && echo $WHO >&2 && echo $WHO > /who\n\
                        EXPOSE 5000\nCMD [\"/bin/cat\", \"/hello\", \"/who\"]\n";

#[tokio::test]
async fn a_dockerfile_becomes_an_image_by_either_builder() {
    for builder in [Builder::BuildKit, Builder::Classic] {
        let corner = Corner::new().await;
        corner.image(&[]).await;
        let mut build = order(&corner, "greeting");
        build.args = BTreeMap::from([("WHO".to_owned(), "w\u{f6}rld & co".to_owned())]);
        build.labels.insert(label::BUILD.to_owned(), "7".to_owned());
        let attempt = build_with(&corner, builder, &build, GREETING).await;
        let image = attempt.result.unwrap_or_else(|error| panic!("{builder:?}: {error}\n{:?}", attempt.lines));
        assert_eq!(image.tags, [build.tag.as_str()]);
        assert_eq!((image.ports.as_slice(), image.labels[label::BUILD].as_str()), (&[5000][..], "7"));

        let once = |text: &str| attempt.lines.iter().filter(|line| *line == text).count();
        assert_eq!([once("from the context"), once("w\u{f6}rld & co")], [1, 1], "{builder:?} {:?}", attempt.lines);
        if builder == Builder::BuildKit {
            assert_eq!(once("Step [2/3] COPY hello /hello"), 1, "{:?}", attempt.lines);
            assert!(!attempt.lines.iter().any(|line| line.contains("[internal]")), "{:?}", attempt.lines);
        }
        let spec = ContainerSpec {
            name: corner.name("greets"),
            image: build.tag.clone(),
            labels: corner.labels(),
            ..ContainerSpec::default()
        };
        assert_eq!(corner.run(&spec).await.1, ["from the context", "w\u{f6}rld & co"]);
    }
}

#[tokio::test]
async fn what_is_cached_is_said_to_be_and_may_be_ignored() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let dockerfile = "FROM BASE\nRUN echo working\n";
    build(&corner, "first", dockerfile).await.result.unwrap();
    let again = build(&corner, "second", dockerfile).await;
    again.result.unwrap();
    assert!(again.lines.contains(&"Step [2/2] RUN echo working (cached)".to_owned()), "{:?}", again.lines);
    assert!(!again.lines.contains(&"working".to_owned()), "{:?}", again.lines);

    let order = ImageBuild { no_cache: true, ..order(&corner, "third") };
    let anew = build_with(&corner, Builder::BuildKit, &order, dockerfile).await;
    assert!(anew.lines.contains(&"working".to_owned()), "{:?}", anew.lines);
}

#[tokio::test]
async fn a_build_that_fails_says_why() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let check = async |builder, dockerfile: &str, expect: &[&str], said: Option<&str>| {
        let attempt = build_with(&corner, builder, &order(&corner, "fails"), dockerfile).await;
        let Err(EngineError::BuildFailed(message)) = &attempt.result else { panic!("{:?}", attempt.result) };
        assert!(expect.iter().all(|part| message.contains(part)), "{builder:?}: {message}");
        assert!(!message.contains("failed to solve") && !message.contains("rpc error"), "{message}");
        if let Some(said) = said {
            assert!(attempt.lines.iter().any(|line| line == said), "{:?}", attempt.lines);
        }
    };
    for builder in [Builder::BuildKit, Builder::Classic] {
        check(builder, "FROM BASE\nRUN echo no luck; exit 3\n", &["exit 3", "code: 3"], Some("no luck")).await;
        check(builder, "FROM BASE\nRUNN x\n", &["unknown instruction: RUNN"], None).await;
        check(builder, "FROM BASE\nCOPY nothing /\n", &["nothing"], None).await;
    }
}

#[tokio::test]
async fn a_context_that_breaks_off_is_not_the_engines_fault() {
    let corner = Corner::new().await;
    for builder in [Builder::BuildKit, Builder::Classic] {
        let broken = futures_util::stream::iter([
            Ok(bytes::Bytes::from_static(&[0; 100])),
            Err(std::io::Error::other("the producer broke")),
        ]);
        let order = order(&corner, "broken");
        let build = corner.docker.build(builder, &order, Box::pin(broken), &|_| {});
        let error = within("the build gives up", build).await.unwrap_err();
        assert!(error.to_string().contains("the producer broke"), "{builder:?} {error:?}");
    }
}

/// Processes of this machine with `marker` in their command line, apart from this one.
fn processes(marker: &str) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let own = std::process::id().to_string();
    all.filter(|pid| pid.starts_with(|c: char| c.is_ascii_digit()) && *pid != own)
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(marker)
        })
        .collect()
}

#[tokio::test]
async fn a_dropped_build_stops() {
    for builder in [Builder::BuildKit, Builder::Classic] {
        let corner = Corner::new().await;
        corner.image(&[]).await;
        let marker = format!("marker={}", corner.id);
        let dockerfile = format!("FROM BASE\nRUN {marker}; echo started; sleep 600; echo $marker\n");
        let order = order(&corner, "dropped");
        let (started, mut has_started) = tokio::sync::mpsc::unbounded_channel();
        let sink = |line: &str| {
            if line == "started" {
                started.send(()).unwrap();
            }
        };
        let build = corner.docker.build(builder, &order, context(&corner, &dockerfile), &sink);
        tokio::select! {
            result = build => panic!("it was to sleep: {result:?}"),
            _ = within("the step runs", has_started.recv()) => {}
        }
        let gone = until("the step is gone", || async {
            let left = processes(&marker);
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        });
        tokio::time::timeout(Duration::from_secs(15), gone).await.expect("a dropped build stops within seconds");
    }
}

/// The bounds that the machine's builds had before a test, put back when it ends.
struct Bounds(Vec<(PathBuf, String)>);

impl Bounds {
    fn now(group: &str) -> Self {
        let controllers =
            ["memory", "cpu", "pids", ""].map(|controller| Path::new(GROUPS).join(controller).join(group));
        // The limit with swap comes first and last: it must never be below the one without.
        let files = [
            "memory.memsw.limit_in_bytes",
            "memory.limit_in_bytes",
            "memory.memsw.limit_in_bytes",
            "cpu.shares",
            "memory.max",
            "memory.swap.max",
            "cpu.weight",
            "pids.max",
        ];
        let paths = files.iter().flat_map(|file| controllers.iter().map(move |folder| folder.join(file)));
        Self(paths.filter_map(|path| Some((path.clone(), std::fs::read_to_string(path).ok()?))).collect())
    }
}

impl Drop for Bounds {
    fn drop(&mut self) {
        for (path, value) in &self.0 {
            let _ = std::fs::write(path, value.trim());
        }
    }
}

#[tokio::test]
async fn builds_are_held_by_their_bounds() {
    let corner = Corner::new().await;
    corner.image(&[]).await;
    let group_name = corner.docker.build_group().await.unwrap().expect("the engine uses control groups directly");
    let _before = Bounds::now(&group_name);
    // Roomy: other builds of this machine are held by them, too. Other tests bound builds as well, so ours are set until
    // they are seen to stand.
    let bytes = 3_i64 << 30;
    let bounds = Resources { memory_bytes: Some(bytes), cpu_shares: Some(512), pids: Some(4096) };
    until("the bounds stand", || async {
        let group = corner.docker.limit_image_builds(&bounds).await.unwrap().expect("the engine is on this machine");
        let read = |file: &str| std::fs::read_to_string(group.join(file));
        let memory = read("memory.limit_in_bytes").or_else(|_| read("memory.max")).unwrap();
        if memory.trim() == bytes.to_string() { Ok(()) } else { Err(memory) }
    })
    .await;

    // The step tells what it sees (version 1 only) and stays, so that we see where it is.
    let marker = format!("marker={}", corner.id);
    let stat = "/sys/fs/cgroup/memory/memory.stat";
    let dockerfile = format!("FROM BASE\nRUN {marker}; cat {stat} || :; echo started; sleep 600; echo $marker\n");
    let seen = Mutex::new(Vec::new());
    let sink = |line: &str| seen.lock().unwrap().push(line.to_owned());
    let order = order(&corner, "held");
    let build = corner.docker.build(Builder::BuildKit, &order, context(&corner, &dockerfile), &sink);
    let look = until("the step runs", || async {
        let lines = seen.lock().unwrap().clone();
        let inside = processes(&marker).first().map(|pid| std::fs::read_to_string(format!("/proc/{pid}/cgroup")));
        match inside {
            Some(Ok(groups)) if lines.iter().any(|line| line == "started") => Ok((groups, lines)),
            _ => Err(format!("{lines:?}")),
        }
    });
    let (groups, lines) = tokio::select! {
        result = build => panic!("it was to sleep: {result:?}"),
        found = look => found,
    };
    assert!(groups.lines().any(|line| line.contains(&format!(":/{group_name}/"))), "{group_name}: {groups}");
    if let Some(effective) = lines.iter().find_map(|line| line.strip_prefix("hierarchical_memory_limit ")) {
        assert!(effective.parse::<i64>().unwrap() <= bytes, "{effective}");
    }
}
