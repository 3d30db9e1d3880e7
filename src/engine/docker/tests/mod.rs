//! Every verb against the real engine of this machine.

mod build;
mod containers;
mod images;
mod networks;
mod node_labels;
mod streams;
mod support;

use super::Docker;
use crate::engine::{Engine, EngineError};

#[tokio::test]
async fn the_engine_tells_what_it_is() {
    let info = support::connect().await.info().await.unwrap();
    assert!(info.version.starts_with(|c: char| c.is_ascii_digit()), "{info:?}");
    assert!(info.has_buildkit && info.cpus > 0 && info.memory_bytes > 0, "{info:?}");
    assert!(info.root_dir.starts_with('/'), "{info:?}");
}

#[tokio::test]
async fn an_engine_that_is_down_is_named_with_the_way_out() {
    let error = |host: &'static str| async move { Docker::connect(host).await.err().expect("nothing is there") };

    let missing = error("unix:///nowhere/docker.sock").await;
    assert!(matches!(missing, EngineError::Unreachable(_)), "{missing:?}");
    assert!(missing.to_string().contains("/nowhere/docker.sock"), "{missing}");
    assert!(missing.to_string().contains("systemctl start docker"), "{missing}");

    let refused = error("tcp://127.0.0.1:1").await;
    assert!(matches!(refused, EngineError::Unreachable(_)), "{refused:?}");
    assert!(refused.to_string().contains("tcp://127.0.0.1:1"), "{refused}");

    let malformed = error("/var/run/docker.sock").await;
    assert!(malformed.to_string().contains("unix:///path/to/docker.sock"), "{malformed}");
}
