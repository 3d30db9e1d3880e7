//! One request on its way through: what it holds until its end, and what is told of it then.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use http::header::{HOST, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};

use super::app::{RoutedApp, Settings};
use super::observe::{Answered, Line};
use super::proxy::Visitor;
use super::refuse::Accept;
use super::respond::error;
use super::sticky::{self, Token};
use super::upload::UploadProgress;
use super::upstream::{Claim, UpgradedClaim, Upstream};
use crate::net::Busy;

/// What is told of a request whose client went away before it was told anything; nginx's number for it.
const CLIENT_GONE: u16 = 499;

/// Seconds of access lines count from here.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// One request, from its head to the last byte of its response.
///
/// Dropping it ends the request in every book: the observer is told, the app has room for another, the upstream is no more
/// claimed. So whatever ends a request, a client that hangs up included, ends it once and in full.
pub(crate) struct Passage {
    pub(crate) visitor: Arc<Visitor>,
    /// The client's connection keeps its place as long as this.
    _busy: Busy,
    app: Option<Arc<RoutedApp>>,
    hold: Hold,
    started: Instant,
    method: Method,
    line: Option<Line>,
    upload: Option<Arc<UploadProgress>>,
    tunnel: Option<Arc<Tunnelled>>,
    connect: Duration,
    bytes_out: u64,
    /// What the client was told; 0 until then.
    status: u16,
    error: Option<&'static str>,
    is_complete: bool,
    is_told: bool,
    accept: Accept,
    /// The instance that the client's cookie names.
    token: Option<Token>,
}

/// Bytes that went through an upgraded connection.
#[derive(Debug, Default)]
pub(crate) struct Tunnelled {
    /// From the client.
    pub(crate) inwards: AtomicU64,
    /// To the client.
    pub(crate) outwards: AtomicU64,
}

#[derive(Debug)]
enum Hold {
    Nothing,
    Request(Claim),
    Upgraded(UpgradedClaim),
}

impl fmt::Debug for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passage").field("app", &self.app).field("hold", &self.hold).finish_non_exhaustive()
    }
}

impl Passage {
    /// A request has come.
    pub(crate) fn begin<B>(visitor: Arc<Visitor>, request: &Request<B>) -> Box<Self> {
        Box::new(Self {
            _busy: visitor.place.busy(),
            visitor,
            app: None,
            hold: Hold::Nothing,
            started: Instant::now(),
            method: request.method().clone(),
            line: None,
            upload: None,
            tunnel: None,
            connect: Duration::ZERO,
            bytes_out: 0,
            status: 0,
            error: None,
            is_complete: false,
            is_told: true,
            accept: Accept::of(request.headers()),
            token: None,
        })
    }

    /// It is the platform's own: nobody is told.
    pub(crate) fn is_platforms(&mut self) {
        self.is_told = false;
    }

    /// It is for that app. Says whether the app has room for it.
    pub(crate) fn enter<B>(&mut self, app: Arc<RoutedApp>, request: &Request<B>, id: &HeaderValue) -> bool {
        let second = self.started.saturating_duration_since(*EPOCH).as_secs() as u32;
        if app.settings.leaves_lines && app.may_leave_line(second) {
            self.line = Some(Line {
                client: self.visitor.origin.client(),
                host: request.headers().get(HOST).cloned().unwrap_or(HeaderValue::from_static("")),
                path: request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
                request_id: id.clone(),
            });
        }
        if app.settings.is_sticky {
            self.token = sticky::tokens(request.headers()).next();
        }
        let has_room = app.enter();
        self.app = Some(app);
        has_room
    }

    /// How to treat it.
    pub(crate) fn settings(&self) -> &Settings {
        &self.app.as_ref().expect("a request that goes to an upstream is an app's").settings
    }

    /// What the client makes of an answer of Slipway's own.
    pub(crate) fn accept(&self) -> Accept {
        self.accept
    }

    /// It goes to that upstream from now on; an earlier one is given back.
    pub(crate) fn claim(&mut self, claim: Claim) {
        self.hold = Hold::Request(claim);
    }

    /// Where it goes.
    pub(crate) fn upstream(&self) -> Option<&Arc<Upstream>> {
        match &self.hold {
            Hold::Nothing => None,
            Hold::Request(claim) => Some(claim.upstream()),
            Hold::Upgraded(claim) => Some(claim.upstream()),
        }
    }

    /// A connection had to be opened; that took so long.
    pub(crate) fn connected(&mut self, took: Duration) {
        self.connect += took;
    }

    /// Its body goes out.
    pub(crate) fn uploads(&mut self, upload: Option<Arc<UploadProgress>>) {
        self.upload = upload;
    }

    /// How far its body has come; `None` when it has none.
    pub(crate) fn upload(&self) -> Option<&Arc<UploadProgress>> {
        self.upload.as_ref()
    }

    /// The client is told this.
    pub(crate) fn answers(&mut self, status: StatusCode) {
        self.status = status.as_u16();
        if let Some(upload) = &self.upload {
            upload.answered();
        }
    }

    /// Slipway itself answers, with so many bytes.
    pub(crate) fn answers_itself(&mut self, status: StatusCode, error: Option<&'static str>, bytes: u64) {
        self.status = status.as_u16();
        self.error = error;
        self.bytes_out = bytes;
        self.is_complete = true;
    }

    /// More of the response has gone to the client's connection.
    pub(crate) fn passed(&mut self, bytes: usize) {
        self.bytes_out += bytes as u64;
    }

    /// The response is whole.
    pub(crate) fn complete(&mut self) {
        self.is_complete = true;
    }

    /// The response will never be whole.
    pub(crate) fn broke(&mut self, error: &'static str) {
        self.error = Some(error);
    }

    /// It leaves HTTP and counts as an upgraded connection from now on. Yields where its bytes are counted.
    pub(crate) fn upgrades(&mut self) -> Arc<Tunnelled> {
        self.hold = match std::mem::replace(&mut self.hold, Hold::Nothing) {
            Hold::Request(claim) => Hold::Upgraded(claim.into_upgraded()),
            other => other,
        };
        self.is_complete = true;
        Arc::clone(self.tunnel.get_or_insert_default())
    }

    /// Puts on a response what the app's settings ask for.
    pub(crate) fn dress(&self, headers: &mut HeaderMap) {
        let Some(app) = &self.app else { return };
        if self.visitor.origin.is_tls()
            && let Some(hsts) = &app.settings.hsts
            && !headers.contains_key(STRICT_TRANSPORT_SECURITY)
        {
            headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        if app.settings.is_sticky
            && let Some(upstream) = self.upstream()
            && self.token != Some(upstream.token())
        {
            headers.append(SET_COOKIE, upstream.token().cookie(self.visitor.origin.is_tls()));
        }
    }

    fn tell(&self) {
        let (mut status, mut error) = (self.status, self.error);
        if status == 0 {
            status = CLIENT_GONE;
        }
        if !self.is_complete {
            error = error.or(Some(error::CLIENT_GONE));
        }
        let mut bytes_in = self.upload.as_ref().map_or(0, |upload| upload.bytes());
        let mut bytes_out = self.bytes_out;
        if let Some(tunnel) = &self.tunnel {
            bytes_in += tunnel.inwards.load(Ordering::Relaxed);
            bytes_out += tunnel.outwards.load(Ordering::Relaxed);
        }
        self.visitor.router.observer.answered(&Answered {
            app: self.app.as_ref(),
            instance: self.upstream().map(|upstream| (upstream.instance(), upstream.label())),
            method: &self.method,
            status,
            error,
            connect: self.connect,
            service: self.started.elapsed(),
            bytes_in,
            bytes_out,
            is_tls: self.visitor.origin.is_tls(),
            is_upgraded: self.tunnel.is_some(),
            line: self.line.as_ref(),
        });
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if self.is_told {
            self.tell();
        }
        if let Some(app) = &self.app {
            app.leave();
        }
    }
}
