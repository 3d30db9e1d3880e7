//! Bounds of the router that no app can change.

use std::time::Duration;

/// Time limits and sizes that hold for every request; those that an app chooses are in
/// [`Routing`](crate::model::Routing). [`Default`] gives the values named with each field.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// To open a connection to one upstream. 5 s; then the next upstream is tried.
    pub connect_timeout: Duration,
    /// For a client to send the head of a request, and for a kept-alive connection to stay idle. 30 s.
    pub header_read_timeout: Duration,
    /// For a client to take anything of what is sent to it. 5 min, as a paused video; then its connection is closed.
    pub stall_timeout: Duration,
    /// Largest request head in bytes, and read buffer of a connection. 64 KiB; then 431.
    pub max_header_bytes: usize,
    /// Most lines in the head of a request, and in that of an upstream's answer. 1000; then 431, or 502. Lists that hold them
    /// are made for each message, so that a larger number costs every request.
    pub max_header_lines: usize,
    /// How long a connection to an upstream may be idle and still be used again. 50 s; less where the upstream says so
    /// in `Keep-Alive`.
    pub pool_idle_timeout: Duration,
    /// Idle connections kept for each upstream. 512.
    pub pool_size: usize,
    /// Client connections open at once on one listener, a quarter of them of one address. When there are as many, the idlest
    /// is closed for the next; while all are at work, more wait in the kernel's queue. 16384.
    pub max_connections: usize,
    /// Where clients reach HTTPS; redirects name it. 443.
    pub https_port: u16,
    /// How long requests may take to finish once the router is told to stop. 30 s.
    pub drain: Duration,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            header_read_timeout: Duration::from_secs(30),
            stall_timeout: Duration::from_secs(300),
            max_header_bytes: 64 * 1024,
            max_header_lines: 1000,
            pool_idle_timeout: Duration::from_secs(50),
            pool_size: 512,
            max_connections: 16_384,
            https_port: 443,
            drain: Duration::from_secs(30),
        }
    }
}
