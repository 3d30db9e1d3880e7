//! What is counted, for Prometheus (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! One set for the process, like the log: whoever does something counts it there. Label values come from closed sets, but for
//! the names of apps, of which the first [`APPS_MAX`] get series of their own and all others share the empty name.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Most apps that have series of their own.
pub const APPS_MAX: usize = 1000;

/// Upper bounds in seconds: of what a person waits for at a keyboard, and of what takes a machine minutes.
const QUICK: [f64; 12] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
const SLOW: [f64; 11] = [0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 450.0, 900.0];

/// The label that names an app.
const APP: &str = "app";

/// The process's one set.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);
    &METRICS
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    request_bytes: IntCounterVec,
    router_errors: IntCounterVec,
    operations: IntCounterVec,
    operation_seconds: HistogramVec,
    builds: IntCounterVec,
    build_seconds: HistogramVec,
    rollouts: IntCounterVec,
    rollout_seconds: HistogramVec,
    restarts: IntCounterVec,
    engine_errors: IntCounterVec,
    access_lines_dropped: IntCounter,
    apps: IntGaugeVec,
    instances: IntGaugeVec,
    builds_now: IntGaugeVec,
    operations_now: IntGauge,
    /// Apps that have series of their own, and what is looked up for each of their requests.
    named: RwLock<HashMap<String, Arc<Traffic>>>,
    /// What all others share.
    nameless: Arc<Traffic>,
}

/// The series of one app's requests: found once, counted on without a lock.
struct Traffic {
    /// In the order of [`CLASSES`].
    requests: [IntCounter; CLASSES.len()],
    seconds: Histogram,
    received: IntCounter,
    sent: IntCounter,
}

/// Classes of status codes.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What the router did with one request.
#[derive(Debug, Clone, Copy)]
pub struct RequestCount<'a> {
    /// The app's name; empty for a host that no app has.
    pub app: &'a str,
    /// The status that the client got.
    pub status: u16,
    /// Why the router answered itself, if it did: one of the values of `X-Slipway-Error`.
    pub error: Option<&'static str>,
    /// From the request's head to the end of the answer.
    pub took: Duration,
    /// Bytes of the request's body.
    pub received: u64,
    /// Bytes of the answer's body.
    pub sent: u64,
}

/// How things stand at this moment.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Apps; `None` when nobody knows.
    pub apps: Option<i64>,
    /// State of instances -> how many.
    pub instances: Vec<(String, i64)>,
    /// Builds at work.
    pub building: i64,
    /// Builds that wait for their turn.
    pub waiting: i64,
    /// Operations that hold their app's lock.
    pub operations: i64,
}

impl Metrics {
    fn new() -> Self {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let made = IntCounterVec::new(Opts::new(format!("slipway_{name}"), help), labels);
            registered(&registry, made)
        };
        let gauge = |name: &str, help: &str| registered(&registry, IntGauge::new(format!("slipway_{name}"), help));
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            registered(&registry, IntGaugeVec::new(Opts::new(format!("slipway_{name}"), help), labels))
        };
        let seconds = |name: &str, help: &str, labels: &[&str], bounds: &[f64]| {
            let options = HistogramOpts::new(format!("slipway_{name}_seconds"), help).buckets(bounds.to_vec());
            registered(&registry, HistogramVec::new(options, labels))
        };
        let process = ProcessCollector::for_self();
        registry.register(Box::new(process)).expect("these names are the library's own");
        let info = gauges("build_info", "1, with the version of Slipway.", &["version"]);
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let requests = counter("http_requests_total", "Requests to apps, by class of status.", &[APP, "status"]);
        let request_seconds =
            seconds("http_request", "From the head of a request to the end of its answer.", &[APP], &QUICK);
        let request_bytes = counter(
            "http_body_bytes_total",
            "Bytes of bodies, received from clients and sent to them.",
            &[APP, "direction"],
        );
        Self {
            nameless: Arc::new(Traffic::of("", &requests, &request_seconds, &request_bytes)),
            requests,
            request_seconds,
            request_bytes,
            router_errors: counter(
                "http_router_errors_total",
                "Requests that the router answered itself, by reason.",
                &[APP, "reason"],
            ),
            operations: counter("operations_total", "Operations that ended, by outcome.", &["kind", "status"]),
            operation_seconds: seconds("operation", "How long operations took.", &["kind"], &SLOW),
            builds: counter("builds_total", "Attempts to build, by what was built and outcome.", &["source", "status"]),
            build_seconds: seconds("build", "How long attempts to build took, with their rollout.", &["source"], &SLOW),
            rollouts: counter("rollouts_total", "Rollouts, by outcome.", &["status"]),
            rollout_seconds: seconds("rollout", "From the first new instance to the last old one gone.", &[], &SLOW),
            restarts: counter("instance_restarts_total", "Instances that the supervisor started again.", &[APP]),
            engine_errors: counter("engine_errors_total", "Calls that the container engine failed.", &["error"]),
            access_lines_dropped: registered(
                &registry,
                IntCounter::new("slipway_access_lines_dropped_total", "Access lines that no log took in time."),
            ),
            apps: gauges("apps", "Apps.", &[]),
            instances: gauges("instances", "Instances, by recorded state.", &["state"]),
            builds_now: gauges("builds", "Builds at work and waiting for their turn.", &["state"]),
            operations_now: gauge("operations", "Operations at work."),
            named: RwLock::default(),
            registry,
        }
    }

    /// A request to an app is over.
    pub fn request(&self, request: &RequestCount<'_>) {
        let traffic = self.traffic(request.app);
        traffic.requests[class(request.status)].inc();
        traffic.seconds.observe(request.took.as_secs_f64());
        traffic.received.inc_by(request.received);
        traffic.sent.inc_by(request.sent);
        if let Some(reason) = request.error {
            self.router_errors.with_label_values(&[self.label(request.app), reason]).inc();
        }
    }

    /// Access lines were given up because their writer could not keep up.
    pub fn access_lines_dropped(&self, lines: u64) {
        self.access_lines_dropped.inc_by(lines);
    }

    /// An operation ended.
    pub fn operation(&self, kind: impl Display, status: impl Display, took: Duration) {
        let kind = kind.to_string();
        self.operations.with_label_values(&[kind.as_str(), &status.to_string()]).inc();
        self.operation_seconds.with_label_values(&[kind]).observe(took.as_secs_f64());
    }

    /// An attempt to build ended.
    pub fn build(&self, source: impl Display, status: impl Display, took: Duration) {
        let source = source.to_string();
        self.builds.with_label_values(&[source.as_str(), &status.to_string()]).inc();
        self.build_seconds.with_label_values(&[source]).observe(took.as_secs_f64());
    }

    /// A rollout ended, or was undone.
    pub fn rollout(&self, is_success: bool, took: Duration) {
        self.rollouts.with_label_values(&[if is_success { "succeeded" } else { "failed" }]).inc();
        self.rollout_seconds.with_label_values::<&str>(&[]).observe(took.as_secs_f64());
    }

    /// The supervisor started an instance again.
    pub fn restart(&self, app: &str) {
        self.restarts.with_label_values(&[self.label(app)]).inc();
    }

    /// The engine failed a call; `error` is the kind of failure, from a closed set.
    pub fn engine_error(&self, error: &'static str) {
        self.engine_errors.with_label_values(&[error]).inc();
    }

    /// Forgets the series of an app that is gone.
    pub fn forget_app(&self, app: &str) {
        let is_named = self.named.write().unwrap_or_else(PoisonError::into_inner).remove(app).is_some();
        if !is_named {
            return;
        }
        forget(&self.requests, app);
        forget(&self.request_seconds, app);
        forget(&self.request_bytes, app);
        forget(&self.router_errors, app);
        forget(&self.restarts, app);
    }

    /// Everything in Prometheus's text format, with how things stand.
    pub fn text(&self, standing: &Standing) -> Vec<u8> {
        self.apps.reset();
        if let Some(apps) = standing.apps {
            self.apps.with_label_values::<&str>(&[]).set(apps);
        }
        self.instances.reset();
        for (state, count) in &standing.instances {
            self.instances.with_label_values(&[state]).set(*count);
        }
        self.builds_now.with_label_values(&["building"]).set(standing.building);
        self.builds_now.with_label_values(&["waiting"]).set(standing.waiting);
        self.operations_now.set(standing.operations);
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("the names were checked when they were made");
        text
    }

    /// The app's name, or the empty one when too many have series already.
    fn label<'a>(&self, app: &'a str) -> &'a str {
        if Arc::ptr_eq(&self.traffic(app), &self.nameless) { "" } else { app }
    }

    fn traffic(&self, app: &str) -> Arc<Traffic> {
        if app.is_empty() {
            return Arc::clone(&self.nameless);
        }
        if let Some(traffic) = self.named.read().unwrap_or_else(PoisonError::into_inner).get(app) {
            return Arc::clone(traffic);
        }
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= APPS_MAX && !named.contains_key(app) {
            return Arc::clone(&self.nameless);
        }
        let of = || Arc::new(Traffic::of(app, &self.requests, &self.request_seconds, &self.request_bytes));
        Arc::clone(named.entry(app.to_owned()).or_insert_with(of))
    }
}

impl Traffic {
    fn of(app: &str, requests: &IntCounterVec, seconds: &HistogramVec, bytes: &IntCounterVec) -> Self {
        Self {
            requests: CLASSES.map(|class| requests.with_label_values(&[app, class])),
            seconds: seconds.with_label_values(&[app]),
            received: bytes.with_label_values(&[app, "received"]),
            sent: bytes.with_label_values(&[app, "sent"]),
        }
    }
}

/// The metric, known to the registry.
///
/// # Panics
/// When a name breaks Prometheus's rules or is there twice: names are ours, and any use of [`metrics`] shows it.
fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let metric = made.expect("a valid name");
    registry.register(Box::new(metric.clone())).expect("a name of its own");
    metric
}

/// Removes every series of an app.
fn forget<B: MetricVecBuilder>(series: &MetricVec<B>, app: &str) {
    for family in series.collect() {
        for metric in family.get_metric() {
            let labels: HashMap<&str, &str> =
                metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
            if labels.get(APP) == Some(&app) {
                // Gone already when two forget at once.
                let _was_there = series.remove(&labels);
            }
        }
    }
}

/// Where a status counts in [`CLASSES`].
fn class(status: u16) -> usize {
    usize::from(status / 100).clamp(1, CLASSES.len()) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(metrics: &Metrics, standing: &Standing) -> String {
        String::from_utf8(metrics.text(standing)).expect("Prometheus reads UTF-8")
    }

    fn request<'a>(app: &'a str, status: u16, error: Option<&'static str>) -> RequestCount<'a> {
        RequestCount { app, status, error, took: Duration::from_millis(7), received: 3, sent: 5 }
    }

    #[test]
    fn what_was_counted_is_told() {
        let metrics = Metrics::new();
        metrics.request(&request("hello", 204, None));
        metrics.request(&request("hello", 503, Some("no-upstream")));
        metrics.request(&request("", 404, Some("unknown-host")));
        metrics.operation("push", "succeeded", Duration::from_secs(3));
        metrics.engine_error("timed-out");
        let instances = vec![("live".to_owned(), 2)];
        let told = text(&metrics, &Standing { apps: Some(4), instances, building: 1, waiting: 6, operations: 2 });
        for line in [
            "slipway_http_requests_total{app=\"hello\",status=\"2xx\"} 1",
            "slipway_http_router_errors_total{app=\"hello\",reason=\"no-upstream\"} 1",
            "slipway_http_router_errors_total{app=\"\",reason=\"unknown-host\"} 1",
            "slipway_http_request_seconds_bucket{app=\"hello\",le=\"0.005\"} 0",
            "slipway_http_request_seconds_bucket{app=\"hello\",le=\"0.01\"} 2",
            "slipway_http_body_bytes_total{app=\"hello\",direction=\"sent\"} 10",
            "slipway_operations_total{kind=\"push\",status=\"succeeded\"} 1",
            "slipway_operation_seconds_bucket{kind=\"push\",le=\"2.5\"} 0",
            "slipway_engine_errors_total{error=\"timed-out\"} 1",
            "slipway_apps 4",
            "slipway_instances{state=\"live\"} 2",
            "slipway_builds{state=\"waiting\"} 6",
        ] {
            assert!(told.lines().any(|found| found == line), "{line} is not in\n{told}");
        }
        assert!(told.contains("process_resident_memory_bytes"), "{told}");
        let gone = text(&metrics, &Standing::default());
        assert!(!gone.contains("slipway_instances{"), "a state that nothing is in has no series: {gone}");
    }

    #[test]
    fn an_app_that_is_gone_leaves_no_series() {
        let metrics = Metrics::new();
        for app in ["hello", "other"] {
            metrics.request(&request(app, 502, Some("upstream-refused")));
            metrics.restart(app);
        }
        metrics.forget_app("hello");
        metrics.forget_app("never-there");
        let told = text(&metrics, &Standing::default());
        assert!(!told.contains("\"hello\""), "{told}");
        assert!(told.contains("slipway_instance_restarts_total{app=\"other\"} 1"), "{told}");
    }

    #[test]
    fn series_are_bounded_however_many_apps_there_are() {
        let metrics = Metrics::new();
        for number in 0..APPS_MAX + 20 {
            metrics.request(&request(&format!("app-{number}"), 200, None));
        }
        let told = text(&metrics, &Standing::default());
        let series = told.lines().filter(|line| line.contains("requests_total{") && line.contains("\"2xx\"")).count();
        assert_eq!(series, APPS_MAX + 1);
        assert!(told.contains("slipway_http_requests_total{app=\"\",status=\"2xx\"} 20"));
        metrics.forget_app("app-0");
        metrics.request(&request("another", 200, None));
        assert!(text(&metrics, &Standing::default()).contains("{app=\"another\",status=\"2xx\"} 1"));
    }
}
