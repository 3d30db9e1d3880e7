//! What the router knows of an app beside its upstreams: how to treat its requests, and how busy it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use crate::model::{AppId, AppName, HttpsMode, Routing};

/// Access lines that one app may leave in a second. More would push what the app itself says out of its bounded stream.
pub(crate) const LINES_PER_SECOND: u32 = 500;

/// An app as the router knows it. An immutable snapshot: a change of its settings makes another one, with the same counters.
#[derive(Debug)]
pub struct RoutedApp {
    name: AppName,
    id: Option<AppId>,
    pub(crate) settings: Settings,
    traffic: Arc<Traffic>,
}

/// [`Routing`] as requests need it: nothing is computed or allocated for each of them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) is_in_maintenance: bool,
    pub(crate) maintenance_page: Option<Bytes>,
    pub(crate) redirects_to_https: bool,
    pub(crate) hsts: Option<HeaderValue>,
    pub(crate) is_sticky: bool,
    pub(crate) max_body_bytes: u64,
    /// From the last byte of the request that went to the upstream to the head of its response; then 504.
    pub(crate) response_timeout: Duration,
    /// Between two pieces of a body, in either direction.
    pub(crate) idle_timeout: Duration,
    pub(crate) max_requests: usize,
    pub(crate) leaves_lines: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self::from(&Routing::default())
    }
}

impl From<&Routing> for Settings {
    fn from(routing: &Routing) -> Self {
        let below = if routing.hsts_subdomains { "; includeSubDomains" } else { "" };
        let hsts = (routing.hsts_seconds > 0).then(|| format!("max-age={}{below}", routing.hsts_seconds));
        Self {
            is_in_maintenance: routing.maintenance,
            maintenance_page: routing.maintenance_page.clone().map(Bytes::from),
            redirects_to_https: routing.https == HttpsMode::Redirect,
            hsts: hsts.map(|text| HeaderValue::from_str(&text).expect("digits and words are a header value")),
            is_sticky: routing.sticky,
            max_body_bytes: routing.max_body_bytes,
            response_timeout: Duration::from_secs(routing.request_timeout_seconds.into()),
            idle_timeout: Duration::from_secs(routing.idle_timeout_seconds.into()),
            max_requests: usize::try_from(routing.max_connections).unwrap_or(usize::MAX),
            leaves_lines: routing.access_log,
        }
    }
}

/// Counters that outlive a change of settings.
#[derive(Debug, Default)]
struct Traffic {
    /// Requests and upgraded connections at this moment.
    present: AtomicUsize,
    /// The second (upper half) and how many lines were let through in it (lower half).
    lines: AtomicU64,
    /// Lines that were left out since one last got through.
    left_out: AtomicUsize,
}

impl RoutedApp {
    /// One that has chosen nothing, and whose id is not known yet.
    pub(crate) fn new(name: AppName) -> Arc<Self> {
        Arc::new(Self { name, id: None, settings: Settings::default(), traffic: Arc::default() })
    }

    /// One that has chosen nothing.
    pub fn introduced(name: AppName, id: AppId) -> Arc<Self> {
        Self::new(name).with(Some(id), Settings::default())
    }

    /// The same app under other settings.
    pub(crate) fn with(&self, id: Option<AppId>, settings: Settings) -> Arc<Self> {
        Arc::new(Self { name: self.name.clone(), id, settings, traffic: Arc::clone(&self.traffic) })
    }

    /// Its name.
    pub fn name(&self) -> &AppName {
        &self.name
    }

    /// Its id; `None` only in the moment between its creation and its introduction.
    pub fn id(&self) -> Option<AppId> {
        self.id
    }

    /// Counts one more access line that was left out.
    pub fn leave_out(&self) {
        self.traffic.left_out.fetch_add(1, Ordering::Relaxed);
    }

    /// How many access lines were left out since this was last asked.
    pub fn left_out(&self) -> usize {
        // A look first: it is nearly always zero, and reading disturbs nobody.
        match self.traffic.left_out.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.traffic.left_out.swap(0, Ordering::Relaxed),
        }
    }

    /// Whether a request at that second may leave a line. What may not is counted.
    pub(crate) fn may_leave_line(&self, second: u32) -> bool {
        let next = |word: u64| match ((word >> 32) as u32, word as u32) {
            (of, count) if of == second => (count < LINES_PER_SECOND).then_some(word + 1),
            _ => Some(u64::from(second) << 32 | 1),
        };
        let is_let = self.traffic.lines.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok();
        if !is_let {
            self.leave_out();
        }
        is_let
    }

    /// Counts one more request; says whether there is room for it. Each call is paired with one [`RoutedApp::leave`].
    pub(crate) fn enter(&self) -> bool {
        self.traffic.present.fetch_add(1, Ordering::AcqRel) < self.settings.max_requests
    }

    /// A request is over.
    pub(crate) fn leave(&self) {
        self.traffic.present.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(routing: &Routing) -> Arc<RoutedApp> {
        RoutedApp::new("a".parse().expect("a name")).with(None, Settings::from(routing))
    }

    #[test]
    fn counters_outlive_a_change_of_settings() {
        let one = app(&Routing { max_connections: 2, ..Routing::default() });
        assert!(one.enter() && one.enter() && !one.enter());
        let other = one.with(None, Settings::from(&Routing { max_connections: 4, ..Routing::default() }));
        assert!(other.enter() && !other.enter());
        (0..5).for_each(|_| one.leave());
        assert!(one.enter());
    }

    #[test]
    fn lines_are_bounded_per_second_and_the_rest_is_counted() {
        let app = app(&Routing::default());
        for second in [7, 8] {
            let let_through = (0..LINES_PER_SECOND + 30).filter(|_| app.may_leave_line(second)).count();
            assert_eq!(let_through, LINES_PER_SECOND as usize);
        }
        assert_eq!(app.left_out(), 60);
        assert_eq!(app.left_out(), 0);
    }

    #[test]
    fn the_hsts_header_names_subdomains_only_when_asked() {
        let hsts = |seconds, below| {
            let routing = Routing { hsts_seconds: seconds, hsts_subdomains: below, ..Routing::default() };
            Settings::from(&routing).hsts
        };
        assert_eq!(hsts(0, true), None);
        assert_eq!(hsts(60, false).expect("a header"), "max-age=60");
        assert_eq!(hsts(60, true).expect("a header"), "max-age=60; includeSubDomains");
    }
}
