//! Bounds of the router.

use std::time::Duration;

/// Time limits and sizes that hold for every request. [`Default`] gives the values named with each field.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// To open a connection to one upstream. 5 s; then the next upstream is tried.
    pub connect_timeout: Duration,
    /// From the last byte of the request that went to the upstream to the head of its response. 60 s; then 504.
    pub response_timeout: Duration,
    /// Between two pieces of a body, in either direction. 5 min, so that a quiet event stream lives.
    pub body_idle_timeout: Duration,
    /// For a client to send the head of a request, and for a kept-alive connection to stay idle. 30 s.
    pub header_read_timeout: Duration,
    /// Largest request head in bytes, and read buffer of a connection. 64 KiB; then 431.
    pub max_header_bytes: usize,
    /// How long a connection to an upstream may be idle and still be used again. 50 s; less where the upstream says so
    /// in `Keep-Alive`.
    pub pool_idle_timeout: Duration,
    /// Idle connections kept for each upstream. 512.
    pub pool_size: usize,
    /// Client connections open at once on one listener; more wait in the kernel's queue. 16384.
    pub max_connections: usize,
    /// How long requests may take to finish once the router is told to stop. 30 s.
    pub drain: Duration,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
            body_idle_timeout: Duration::from_secs(300),
            header_read_timeout: Duration::from_secs(30),
            max_header_bytes: 64 * 1024,
            pool_idle_timeout: Duration::from_secs(50),
            pool_size: 512,
            max_connections: 16_384,
            drain: Duration::from_secs(30),
        }
    }
}
