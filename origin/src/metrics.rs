//! Every metric of the origin: name, labels and help, in one place.
//!
//! No value that a client sends is ever a label, so the number of series is bounded.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use reqwest::Method;

/// The metrics of one origin, shared by all its parts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Responses to pulls, by kind of content and cache status.
    pub answers: Family<AnswerLabels, Counter>,
    /// Requests sent to upstream registries, by outcome.
    pub upstream_requests: Family<UpstreamRequestLabels, Counter>,
    /// Time until an upstream registry began its response.
    pub upstream_seconds: UpstreamLatency,
    /// Manifest and list lookups that needed an upstream, counted before identical ones are merged.
    pub lookups: Counter,
    /// Requests to the token endpoints of upstream registries.
    pub upstream_tokens: Family<OutcomeLabel, Counter>,
    /// The rate limit that a registry announces.
    pub rate_limit: Family<RegistryLabel, Gauge>,
    /// What a registry reports as left of its rate limit.
    pub rate_limit_remaining: Family<RegistryLabel, Gauge>,
    /// 1 while the circuit breaker of a registry is open.
    pub upstream_circuit_open: Family<RegistryLabel, Gauge>,
    /// Reloads of the upstreams' configuration.
    pub upstream_reloads: Family<OutcomeLabel, Counter>,
    /// Database queries and transactions.
    pub database_uses: Counter,
    /// In-flight fetches of blobs.
    pub inflight_fetches: Gauge,
    /// Finished fetches of blobs, by outcome.
    pub fetches: Family<FetchLabels, Counter>,
    /// Bytes of blobs received from upstreams.
    pub blob_fetched_bytes: Counter,
    /// Attempts to resume a blob whose upstream connection broke.
    pub blob_resumes: Counter,
    /// Blobs that were streamed without being stored, by reason.
    pub blobs_passed_through: Family<PassThroughLabels, Counter>,
    /// Bytes in use in the spool.
    pub spool_bytes: Gauge,
    /// Finished requests, by status class and by how the response ended.
    pub requests: Family<RequestLabels, Counter>,
    /// Time from the head of a request to the head of its response.
    pub request_head_seconds: Seconds,
    /// Time from the head of a request to the end of its response.
    pub request_seconds: Seconds,
    /// Bytes of response bodies sent to clients.
    pub sent_bytes: Counter,
    /// Open client connections.
    pub connections: Gauge,
    /// Client connections rejected because of `max_connections`.
    pub connections_refused: Counter,
}

/// Holds a gauge one higher until it is dropped, which a panic does too.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// Increments the gauge.
    #[must_use]
    pub fn in_gauge(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Labels of a finished fetch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FetchLabels {
    /// `stored`, `store_failed`, `uncached`, `superseded` or `failed`.
    pub outcome: &'static str,
}

/// Labels of a blob that was not stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PassThroughLabels {
    /// `limit`, `disk` or `contended`.
    pub reason: &'static str,
}

/// Labels of a finished request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// The class of the status, such as `2xx`; `none` if there was no response.
    pub status: &'static str,
    /// `complete`, `cut`, `stalled` or `gone`.
    pub end: &'static str,
}

/// A histogram from half a millisecond to five minutes, the time a layer may take.
#[derive(Debug, Clone)]
pub struct Seconds(Histogram);

impl Default for Seconds {
    fn default() -> Self {
        let buckets = [0.0005, 0.002, 0.005, 0.02, 0.05, 0.2, 0.5, 2.0, 5.0, 20.0, 60.0, 300.0];
        Self(Histogram::new(buckets))
    }
}

impl Seconds {
    /// Records one duration.
    pub fn observe(&self, seconds: f64) {
        self.0.observe(seconds);
    }
}

/// Labels of a response to a pull.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AnswerLabels {
    /// `manifest`, `blob`, `tags` or `referrers`.
    pub kind: &'static str,
    /// `hit`, `miss`, `shared` or `stale`.
    pub cache: &'static str,
}

/// Labels of a request to an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamRequestLabels {
    /// The name of the upstream in the configuration.
    pub upstream: Arc<str>,
    /// The host the request went to: the registry or a mirror.
    pub host: Arc<str>,
    /// `manifest`, `blob`, `tags` or `referrers`.
    pub kind: &'static str,
    /// `HEAD` or `GET`.
    pub method: &'static str,
    /// `ok`, or the kind of failure.
    pub outcome: &'static str,
}

/// Labels of the time a request to an upstream took.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLatencyLabels {
    /// The name of the upstream in the configuration.
    pub upstream: Arc<str>,
    /// `manifest`, `blob`, `tags` or `referrers`.
    pub kind: &'static str,
}

/// Histograms from four milliseconds to half a minute.
#[derive(Debug)]
pub struct UpstreamLatency(Family<UpstreamLatencyLabels, Histogram, fn() -> Histogram>);

impl Default for UpstreamLatency {
    fn default() -> Self {
        let buckets = || Histogram::new(exponential_buckets(0.004, 2.0, 14));
        Self(Family::new_with_constructor(buckets))
    }
}

/// The registry or mirror that a value describes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RegistryLabel {
    /// The name of the upstream in the configuration.
    pub upstream: Arc<str>,
    /// Its host, with the port unless that is the scheme's default.
    pub host: Arc<str>,
}

/// The outcome of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// `ok`, or the kind of failure.
    pub outcome: &'static str,
}

impl Metrics {
    /// Counts a response to a pull.
    pub fn answered(&self, kind: &'static str, cache: &'static str) {
        self.answers.get_or_create(&AnswerLabels { kind, cache }).inc();
    }

    /// Counts a request to a registry, and records the time until its response began.
    pub fn upstream_request(
        &self,
        registry: &RegistryLabel,
        kind: &'static str,
        method: &Method,
        outcome: &'static str,
        took: Duration,
    ) {
        let RegistryLabel { upstream, host } = registry.clone();
        let method = if *method == Method::HEAD { "HEAD" } else { "GET" };
        let latency = UpstreamLatencyLabels { upstream: Arc::clone(&upstream), kind };
        self.upstream_seconds.0.get_or_create(&latency).observe(took.as_secs_f64());
        let labels = UpstreamRequestLabels { upstream, host, kind, method, outcome };
        self.upstream_requests.get_or_create(&labels).inc();
    }

    /// Counts a request to a token endpoint.
    pub fn token_fetched(&self, outcome: &'static str) {
        self.upstream_tokens.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a reload of the upstreams' configuration.
    pub fn reloaded(&self, outcome: &'static str) {
        self.upstream_reloads.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a finished fetch of a blob.
    pub fn fetch_ended(&self, outcome: &'static str) {
        self.fetches.get_or_create(&FetchLabels { outcome }).inc();
    }

    /// Counts a blob that was streamed without being stored.
    pub fn passed_through(&self, reason: &'static str) {
        self.blobs_passed_through.get_or_create(&PassThroughLabels { reason }).inc();
    }

    /// Registers all metrics under their names, which have the prefix of `registry`.
    pub fn register(&self, registry: &mut Registry) {
        self.register_requests(registry);
        self.register_cache(registry);
        self.register_upstreams(registry);
    }

    fn register_requests(&self, registry: &mut Registry) {
        let help = "Finished requests by status class and by how the response ended";
        registry.register("requests", help, self.requests.clone());
        let help = "Time from the head of a request to the head of its response";
        let histogram = self.request_head_seconds.0.clone();
        registry.register_with_unit("request_head", help, Unit::Seconds, histogram);
        let help = "Time from the head of a request to the end of its response";
        let histogram = self.request_seconds.0.clone();
        registry.register_with_unit("request", help, Unit::Seconds, histogram);
        let help = "Bytes of response bodies sent to clients";
        registry.register_with_unit("sent", help, Unit::Bytes, self.sent_bytes.clone());
        registry.register("connections", "Open client connections", self.connections.clone());
        let help = "Client connections rejected because max_connections was reached";
        registry.register("connections_refused", help, self.connections_refused.clone());
    }

    fn register_cache(&self, registry: &mut Registry) {
        let help = "Responses to pulls by kind of content and cache status";
        registry.register("answers", help, self.answers.clone());
        let help = "Manifest and list lookups that needed an upstream, \
                    counted before identical ones are merged";
        registry.register("lookups", help, self.lookups.clone());
        let help = "Database queries and transactions";
        registry.register("database_uses", help, self.database_uses.clone());
        let help = "Fetches of blobs in flight";
        registry.register("inflight_fetches", help, self.inflight_fetches.clone());
        let help = "Finished fetches of blobs by outcome";
        registry.register("fetches", help, self.fetches.clone());
        let help = "Bytes of blobs received from upstream registries";
        let bytes = self.blob_fetched_bytes.clone();
        registry.register_with_unit("blob_fetched", help, Unit::Bytes, bytes);
        let help = "Attempts to resume a blob whose upstream connection broke";
        registry.register("blob_resumes", help, self.blob_resumes.clone());
        let help = "Blobs streamed without being stored, by reason";
        registry.register("blobs_passed_through", help, self.blobs_passed_through.clone());
        let help = "Bytes in use in the spool";
        registry.register_with_unit("spool", help, Unit::Bytes, self.spool_bytes.clone());
    }

    fn register_upstreams(&self, registry: &mut Registry) {
        let help = "Requests sent to upstream registries by outcome";
        registry.register("upstream_requests", help, self.upstream_requests.clone());
        let help = "Time until an upstream registry began its response";
        let histograms = self.upstream_seconds.0.clone();
        registry.register_with_unit("upstream_request", help, Unit::Seconds, histograms);
        let help = "Requests to the token endpoints of upstream registries by outcome";
        registry.register("upstream_tokens", help, self.upstream_tokens.clone());
        let help = "Rate limit that an upstream registry announces";
        registry.register("upstream_rate_limit", help, self.rate_limit.clone());
        let help = "What an upstream registry reports as left of its rate limit";
        registry.register("upstream_rate_limit_remaining", help, self.rate_limit_remaining.clone());
        let help = "1 while the circuit breaker of an upstream registry is open";
        registry.register("upstream_circuit_open", help, self.upstream_circuit_open.clone());
        let help = "Reloads of the upstreams' configuration by outcome";
        registry.register("upstream_reloads", help, self.upstream_reloads.clone());
    }
}
