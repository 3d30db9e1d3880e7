//! Labels of the node, from an engine of the test's own that has some.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::engine::Engine;
use crate::engine::docker::Docker;

/// Long enough for anything on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine without networks and with a folder of its own. Dropped, it is stopped.
struct OwnEngine(Child);

impl OwnEngine {
    fn start(folder: &Path, labels: &[&str]) -> Self {
        let at = |name: &str| folder.join(name);
        let log = std::fs::File::create(at("log")).unwrap();
        // Without networks it removes docker0, which is the bridge of this machine's engine: it gets a network namespace of
        // its own.
        let mut command = Command::new("unshare");
        command.args(["--net", "dockerd"]).arg("--host").arg(format!("unix://{}", at("sock").display()));
        command.arg("--data-root").arg(at("data")).arg("--exec-root").arg(at("exec")).arg("--pidfile").arg(at("pid"));
        command.args(["--bridge", "none", "--iptables=false", "--ip6tables=false", "--storage-driver", "vfs"]);
        for label in labels {
            command.args(["--label", label]);
        }
        let command = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().expect("these tests need dockerd"))
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        let pid = Pid::from_raw(self.0.id().cast_signed()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        // It ends its own containerd before itself.
        let _ = kill_process(pid, Signal::TERM);
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn node_labels_are_those_that_the_engine_was_started_with() {
    let folder = tempfile::tempdir().unwrap();
    let _engine = OwnEngine::start(folder.path(), &["ssd=true", "rack=a=b"]);
    let host = format!("unix://{}", folder.path().join("sock").display());
    let deadline = Instant::now() + PATIENCE;
    let docker = loop {
        match Docker::connect(&host).await {
            Ok(docker) => break docker,
            Err(error) => {
                let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                assert!(Instant::now() < deadline, "{error}\n{log}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    let labels = docker.info().await.unwrap().node_labels;
    let expect = [("ssd", "true"), ("rack", "a=b")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(labels, expect.into());
}
