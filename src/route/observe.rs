//! What is told of each request once it is over: for access lines and for metrics.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};

use super::app::RoutedApp;
use crate::model::InstanceId;

/// Hears of every request that the router answered for an app, or in place of one.
pub trait Observer: Send + Sync {
    /// A request is over: the last byte of its response has been handed to the client's connection, or the exchange broke.
    ///
    /// Called on the way of traffic, so it neither blocks nor waits. Requests for the platform's own host are not told of.
    fn answered(&self, request: &Answered<'_>);
}

/// One request that is over.
#[derive(Debug)]
pub struct Answered<'a> {
    /// Whose; `None` when the request names no app.
    pub app: Option<&'a Arc<RoutedApp>>,
    /// Which instance it was sent to last, with its label (`web.1`).
    pub instance: Option<(InstanceId, &'a Arc<str>)>,
    /// How it was asked.
    pub method: &'a Method,
    /// What the client was told; 499 when it went away before it was told anything.
    pub status: u16,
    /// Why Slipway answered in place of the app, one of [`error`](super::error), or what cut the app's answer short.
    pub error: Option<&'static str>,
    /// To open a connection to the instance; zero when one was kept.
    pub connect: Duration,
    /// From the head of the request to the end of the response.
    pub service: Duration,
    /// Bytes of the request's body, or what the client sent over an upgraded connection.
    pub bytes_in: u64,
    /// Bytes of the response's body, or what the instance sent over an upgraded connection.
    pub bytes_out: u64,
    /// Whether it came by HTTPS.
    pub is_tls: bool,
    /// Whether it left HTTP (websockets); then this is told at the end of the connection.
    pub is_upgraded: bool,
    /// What an access line needs beyond; `None` when the request leaves none.
    pub line: Option<&'a Line>,
}

/// Names in an access line. Cheap to clone: parts of what the client sent.
#[derive(Debug, Clone)]
pub struct Line {
    /// The client's address as the router sees it.
    pub client: IpAddr,
    /// As the client wrote it.
    pub host: HeaderValue,
    /// As the client wrote it, query included.
    pub path: PathAndQuery,
    /// See `X-Request-Id`.
    pub request_id: HeaderValue,
}

/// Nobody listens.
#[derive(Debug, Default)]
pub struct Silence;

impl Observer for Silence {
    fn answered(&self, _request: &Answered<'_>) {}
}
