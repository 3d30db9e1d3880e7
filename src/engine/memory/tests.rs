//! The pretend engine keeps the contract that the real one keeps.

use futures_util::{StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use std::time::Duration;

use super::*;
use crate::engine::{Engine, label, labels};

fn spec(name: &str) -> ContainerSpec {
    let labels = labels([(label::SERVER, "s"), (label::INSTANCE, name)]);
    ContainerSpec { name: name.to_owned(), image: "blog:v1".to_owned(), labels, ..ContainerSpec::default() }
}

async fn engine() -> Memory {
    let engine = Memory::default();
    engine.add_image("blog:v1", &[]);
    engine
}

#[tokio::test]
async fn a_container_serves_at_an_address_of_its_own_until_it_stops() {
    let engine = engine().await;
    engine.serve_on_start("blog:v1");
    let ids = [
        engine.create_container(&spec("web.1")).await.unwrap(),
        engine.create_container(&spec("web.2")).await.unwrap(),
    ];
    assert_eq!(engine.create_container(&spec("web.1")).await.unwrap(), ids[0]);
    for (id, name) in ids.iter().zip(["web.1", "web.2"]) {
        engine.start_container(id).await.unwrap();
        let port = engine.listening_ports(id).await.unwrap()[0].0.port();
        let address = (engine.container(id).await.unwrap().ip.unwrap(), port);
        let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
        connection.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(name), "{answer}");
    }
    let address = (engine.container(&ids[0]).await.unwrap().ip.unwrap(), 5000);
    let wait = engine.wait_container(&ids[0]);
    let (status, stopped) = tokio::join!(wait, engine.stop_container(&ids[0], Duration::from_secs(1)));
    stopped.unwrap();
    assert_eq!(status.unwrap().code, 143);
    assert_eq!(engine.running_now(), ["web.2"]);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn faults_come_as_ordered() {
    let engine = engine().await;
    engine.fail_next("create_container");
    assert!(engine.create_container(&spec("web.1")).await.is_err());
    assert!(engine.containers_now().is_empty());
    engine.create_container(&spec("web.1")).await.unwrap();
    engine.fail_from("start_container", 2);
    engine.start_container("web.1").await.unwrap();
    assert!(engine.start_container("web.1").await.is_err());
    assert!(engine.start_container("web.1").await.is_err());
    engine.hang("stop_container");
    let stop = engine.stop_container("web.1", Duration::ZERO);
    assert!(tokio::time::timeout(Duration::from_millis(20), stop).await.is_err());
    assert_eq!(engine.running_now(), ["web.1"]);
    engine.heal();
    engine.stop_container("web.1", Duration::ZERO).await.unwrap();
    assert_eq!((engine.calls("stop_container"), engine.running_now().len()), (2, 0));
}

#[tokio::test]
async fn an_end_is_seen_by_all_who_look() {
    let engine = engine().await;
    engine.say_on_start("blog:v1", &["one", "two"]);
    let events = engine.events(&labels([(label::SERVER, "")]));
    let id = engine.create_container(&spec("web.1")).await.unwrap();
    engine.start_container(&id).await.unwrap();
    let followed = engine.logs("web.1", 0, true);
    engine.crash("web.1", 137);
    let lines = followed.map_ok(|line| line.text).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(lines, ["one", "two"]);
    let status = ExitStatus { code: 137, out_of_memory: true };
    assert_eq!(engine.wait_container(&id).await.unwrap(), status);
    engine.exit_on_start("blog:v1", 3);
    engine.start_container(&id).await.unwrap();
    assert_eq!(engine.wait_container(&id).await.unwrap().code, 3);
    engine.remove_container(&id).await.unwrap();
    assert!(engine.container(&id).await.is_err());
    let actions = events.take(5).map_ok(|event| event.action).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(actions, ["start", "die", "start", "die", "destroy"]);
}
