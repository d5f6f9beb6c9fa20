//! Every metric: name, labels and help, in one place. No value of a request is ever a label.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::cache::CacheStatus;

/// What the parts of an origin count; cloned by reference.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Answers to clients, by what was asked and where it came from.
    pub answers: Family<Answered, Counter>,
    /// Requests sent to an upstream, by their outcome.
    pub upstream_requests: Family<Asked, Counter>,
    /// What an upstream says is left of its rate limit.
    pub rate_limit_remaining: Family<UpstreamLabel, Gauge>,
    /// Fetches of blobs under way.
    pub flights: Gauge,
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
    /// `manifest`, `blob`, `tags`, `referrers` or `token`.
    pub kind: &'static str,
    /// `HEAD` or `GET`.
    pub method: &'static str,
    /// `ok`, or the failure's class.
    pub outcome: &'static str,
}

/// The upstream a value is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct UpstreamLabel {
    /// The upstream's name in the configuration.
    pub upstream: Arc<str>,
}

impl Metrics {
    /// Counts an answer to a client.
    pub fn answered(&self, kind: &'static str, cache: CacheStatus) {
        let cache = cache.label();
        self.answers.get_or_create(&Answered { kind, cache }).inc();
    }

    /// All of them under their names, for a scraper.
    #[must_use]
    pub fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("dependency_proxy");
        registry.register("answers", "Answers to clients", self.answers.clone());
        let help = "Requests sent to upstream registries";
        registry.register("upstream_requests", help, self.upstream_requests.clone());
        let help = "What an upstream says is left of its rate limit";
        registry.register("upstream_rate_limit_remaining", help, self.rate_limit_remaining.clone());
        registry.register("flights", "Fetches of blobs under way", self.flights.clone());
        registry
    }
}
