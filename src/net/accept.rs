//! The accept loop's one step.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::places::{Admission, Place, Places};

/// Pause after a failed accept, which is most often a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection that found every place busy waits before it looks for one that has become idle.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The next connection that finds a place.
///
/// One beyond the share of its address is closed when all of that address are busy. When the whole listener is full of busy
/// connections, it waits, and those behind it in the kernel's queue. `listener` names the listener in the log. Cancel-safe,
/// but for the one connection that waits.
pub async fn accept(socket: &TcpListener, listener: &str, places: &Arc<Places>) -> (TcpStream, SocketAddr, Place) {
    loop {
        let (stream, peer) = match socket.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                after_failed_accept(listener, &error).await;
                continue;
            }
        };
        loop {
            match places.admit(peer.ip()) {
                Admission::Admitted(place) => return (stream, peer, place),
                Admission::Refused => {
                    tracing::debug!(listener, client = %peer, "too many connections of one address");
                    break;
                }
                Admission::Full => drop(timeout(LOOK_AGAIN, places.freed()).await),
            }
        }
    }
}

/// Logs and pauses, so that a lasting lack of file descriptors does not spin.
pub async fn after_failed_accept(listener: &str, error: &io::Error) {
    tracing::warn!(listener, %error, "cannot accept a connection");
    sleep(ACCEPT_PAUSE).await;
}
