//! HTTP by hand, for what client libraries smooth over.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::SHORT;

/// Sends `head` (request line and headers, without `Connection` and `Content-Length`) and `body`; yields the answer's head
/// and body as they came.
pub async fn raw_request(address: SocketAddr, head: &str, body: &str) -> (String, String) {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let length = body.len();
        let request = format!("{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = timeout(SHORT, exchange).await.expect("an answer comes in time").expect("the connection holds");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {answer}"));
    (head.to_owned(), body.to_owned())
}
