//! Every metric: name, labels and help, in one place. No value of a request is ever a label.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use reqwest::Method;

use crate::cache::CacheStatus;

/// What the parts of an origin count; cloned by reference.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Answers to clients, by what was asked and where it came from.
    pub answers: Family<Answered, Counter>,
    /// Requests sent to an upstream, by their outcome.
    pub upstream_requests: Family<Asked, Counter>,
    /// How long a registry took to begin its answer.
    pub upstream_seconds: Latencies,
    /// What clients' requests had to ask of upstreams, blobs aside, before the same became one request.
    pub questions: Counter,
    /// Tokens asked of registries' token endpoints.
    pub upstream_tokens: Family<Outcome, Counter>,
    /// What a registry says its rate limit is.
    pub rate_limit: Family<RegistryLabel, Gauge>,
    /// What a registry says is left of its rate limit.
    pub rate_limit_remaining: Family<RegistryLabel, Gauge>,
    /// 1 where a registry is left alone because it keeps failing.
    pub upstream_circuit_open: Family<RegistryLabel, Gauge>,
    /// Readings of the configuration's upstreams after the first.
    pub upstream_reloads: Family<Outcome, Counter>,
    /// Questions to the database and transactions on it.
    pub database_uses: Counter,
    /// Fetches of blobs under way.
    pub flights: Gauge,
    /// Fetches of blobs that ended, by how.
    pub flights_ended: Family<FlightEnd, Counter>,
    /// Bytes of blobs that upstreams sent.
    pub blob_bytes_fetched: Counter,
    /// Attempts to go on with a blob whose connection broke.
    pub blob_resumes: Counter,
    /// Blobs that were streamed without being kept, by the reason.
    pub blobs_passed_through: Family<PassedThrough, Counter>,
    /// What of the spool is taken.
    pub spool_bytes: Gauge,
    /// Requests whose answers have ended, by how.
    pub requests: Family<Ended, Counter>,
    /// From a request's head to its answer's.
    pub request_head_seconds: Seconds,
    /// From a request's head to its answer's end.
    pub request_seconds: Seconds,
    /// Bytes of bodies that went to clients.
    pub sent_bytes: Counter,
    /// Connections of clients.
    pub connections: Gauge,
    /// Connections beyond `max_connections`.
    pub connections_refused: Counter,
}

/// One more in a gauge until it is dropped, by a panic too.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    /// Counts one from now on.
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

/// Labels of a fetch that ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FlightEnd {
    /// `stored`, `unstored`, `uncached`, `moot` or `failed`.
    pub outcome: &'static str,
}

/// Labels of a blob that was not kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PassedThrough {
    /// `limit`, `disk` or `contended`.
    pub reason: &'static str,
}

/// Labels of a request that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ended {
    /// `2xx` and so on; `none` where there was no answer.
    pub status: &'static str,
    /// `complete`, `cut`, `stalled` or `gone`.
    pub end: &'static str,
}

/// Durations from half a millisecond to minutes, which is what a layer takes.
#[derive(Debug, Clone)]
pub struct Seconds(Histogram);

impl Default for Seconds {
    fn default() -> Self {
        let buckets = [0.0005, 0.002, 0.005, 0.02, 0.05, 0.2, 0.5, 2.0, 5.0, 20.0, 60.0, 300.0];
        Self(Histogram::new(buckets))
    }
}

impl Seconds {
    /// Counts one, in seconds.
    pub fn observe(&self, seconds: f64) {
        self.0.observe(seconds);
    }
}

/// Labels of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// `manifest`, `blob`, `tags` or `referrers`.
    pub kind: &'static str,
    /// [`CacheStatus::label`].
    pub cache: &'static str,
}

/// Labels of a request to an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Asked {
    /// The upstream's name in the configuration.
    pub upstream: Arc<str>,
    /// The host that was asked: the registry's or a mirror's.
    pub host: Arc<str>,
    /// `manifest`, `blob`, `tags` or `referrers`.
    pub kind: &'static str,
    /// `HEAD` or `GET`.
    pub method: &'static str,
    /// `ok`, or [`UpstreamError::outcome`](crate::upstream::UpstreamError::outcome).
    pub outcome: &'static str,
}

/// Labels of how long a request took.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AskedKind {
    /// The upstream's name in the configuration.
    pub upstream: Arc<str>,
    /// `manifest`, `blob`, `tags` or `referrers`.
    pub kind: &'static str,
}

/// Histograms in seconds, from milliseconds to half a minute.
#[derive(Debug)]
pub struct Latencies(Family<AskedKind, Histogram, fn() -> Histogram>);

impl Default for Latencies {
    fn default() -> Self {
        let buckets = || Histogram::new(exponential_buckets(0.004, 2.0, 14));
        Self(Family::new_with_constructor(buckets))
    }
}

/// The registry or mirror a value is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RegistryLabel {
    /// The upstream's name in the configuration.
    pub upstream: Arc<str>,
    /// Its host, with the port where it is an unusual one.
    pub host: Arc<str>,
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// `ok`, or why not.
    pub outcome: &'static str,
}

impl Metrics {
    /// Counts an answer to a client.
    pub fn answered(&self, kind: &'static str, cache: CacheStatus) {
        let cache = cache.label();
        self.answers.get_or_create(&Answered { kind, cache }).inc();
    }

    /// Counts a request to a registry, and how long it took until the answer began.
    pub fn asked(
        &self,
        registry: &RegistryLabel,
        kind: &'static str,
        method: &Method,
        outcome: &'static str,
        took: Duration,
    ) {
        let RegistryLabel { upstream, host } = registry.clone();
        let method = if *method == Method::HEAD { "HEAD" } else { "GET" };
        let seconds = AskedKind { upstream: Arc::clone(&upstream), kind };
        self.upstream_seconds.0.get_or_create(&seconds).observe(took.as_secs_f64());
        let asked = Asked { upstream, host, kind, method, outcome };
        self.upstream_requests.get_or_create(&asked).inc();
    }

    /// Counts what a token endpoint was asked for.
    pub fn token_fetched(&self, outcome: &'static str) {
        self.upstream_tokens.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a reading of the upstreams' configuration.
    pub fn reloaded(&self, outcome: &'static str) {
        self.upstream_reloads.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a fetch of a blob that ended.
    pub fn flight_ended(&self, outcome: &'static str) {
        self.flights_ended.get_or_create(&FlightEnd { outcome }).inc();
    }

    /// Counts a blob that was streamed without being kept.
    pub fn passed_through(&self, reason: &'static str) {
        self.blobs_passed_through.get_or_create(&PassedThrough { reason }).inc();
    }

    /// All of them under their names, for a scraper.
    #[must_use]
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("dependency_proxy");
        registry.register("answers", "Answers to clients", self.answers.clone());
        let help = "Requests sent to upstream registries";
        registry.register("upstream_requests", help, self.upstream_requests.clone());
        let help = "Seconds until an upstream registry began to answer";
        registry.register("upstream_request_seconds", help, self.upstream_seconds.0.clone());
        let help = "Questions about manifests and lists, before those that are the same became one";
        registry.register("questions", help, self.questions.clone());
        let help = "Tokens asked of upstream registries' token endpoints";
        registry.register("upstream_tokens", help, self.upstream_tokens.clone());
        let help = "What an upstream registry says its rate limit is";
        registry.register("upstream_rate_limit", help, self.rate_limit.clone());
        let help = "What an upstream registry says is left of its rate limit";
        registry.register("upstream_rate_limit_remaining", help, self.rate_limit_remaining.clone());
        let help = "1 where an upstream registry is left alone because it keeps failing";
        registry.register("upstream_circuit_open", help, self.upstream_circuit_open.clone());
        let help = "Readings of the upstreams' configuration after the first";
        registry.register("upstream_reloads", help, self.upstream_reloads.clone());
        let help = "Questions to the database and transactions on it";
        registry.register("database_uses", help, self.database_uses.clone());
        registry.register("flights", "Fetches of blobs under way", self.flights.clone());
        let help = "Fetches of blobs that ended";
        registry.register("flights_ended", help, self.flights_ended.clone());
        let help = "Bytes of blobs received from upstream registries";
        registry.register("blob_bytes_fetched", help, self.blob_bytes_fetched.clone());
        let help = "Attempts to go on with a blob whose connection broke";
        registry.register("blob_resumes", help, self.blob_resumes.clone());
        let help = "Blobs streamed without being kept";
        registry.register("blobs_passed_through", help, self.blobs_passed_through.clone());
        registry.register("spool_bytes", "Bytes of the spool in use", self.spool_bytes.clone());
        self.register_requests(&mut registry);
        registry
    }

    fn register_requests(&self, registry: &mut Registry) {
        let help = "Requests whose answers have ended, by status and by how they ended";
        registry.register("requests", help, self.requests.clone());
        let (help, head) = ("From a request's head to its answer's", &self.request_head_seconds);
        registry.register_with_unit("request_head", help, Unit::Seconds, head.0.clone());
        let (help, all) = ("From a request's head to its answer's end", &self.request_seconds);
        registry.register_with_unit("request", help, Unit::Seconds, all.0.clone());
        let (help, sent) = ("Bytes of bodies that went to clients", self.sent_bytes.clone());
        registry.register_with_unit("sent", help, Unit::Bytes, sent);
        registry.register("connections", "Connections of clients", self.connections.clone());
        let help = "Connections that were refused, as there were too many";
        registry.register("connections_refused", help, self.connections_refused.clone());
    }
}
