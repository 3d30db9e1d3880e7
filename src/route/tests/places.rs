//! Who keeps a connection when there are too many.

use std::net::SocketAddr;

use http::StatusCode;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use super::support::{Running, soon};
use crate::route::RouterConfig;

async fn connect_from(address: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(address.parse().expect("an address"), 0)).expect("all of 127/8 is ours");
    socket.connect(to).await.expect("the router accepts")
}

#[tokio::test]
async fn an_address_has_a_quarter_of_the_connections_and_loses_its_oldest() {
    let router = Running::start_with(RouterConfig { max_connections: 16, ..RouterConfig::default() }, None).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(connect_from("127.0.0.2", router.address).await);
    }
    let newest = idle.split_off(16);
    for mut stream in idle {
        assert_eq!(soon("the oldest are closed", stream.read(&mut [0])).await.unwrap_or(0), 0);
    }
    assert_eq!(router.get("nobody.example.test", "/").await.status, StatusCode::NOT_FOUND);
    for stream in &newest {
        let read = stream.try_read(&mut [0]);
        assert!(read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "the newest stay");
    }
}

#[tokio::test]
async fn when_all_are_taken_the_idlest_goes() {
    let router = Running::start_with(RouterConfig { max_connections: 4, ..RouterConfig::default() }, None).await;
    let mut streams = Vec::new();
    for host in 2..7 {
        streams.push(connect_from(&format!("127.0.0.{host}"), router.address).await);
    }
    let first = streams.first_mut().expect("five were made");
    assert_eq!(soon("the first is closed", first.read(&mut [0])).await.unwrap_or(0), 0);
    assert_eq!(router.get("nobody.example.test", "/").await.status, StatusCode::NOT_FOUND);
}
