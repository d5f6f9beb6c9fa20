//! The metrics. They are defined at first use. Names contain `.LABEL.VALUE`, from which Envoy's
//! `stats_tags` extract labels; label values are few and never identify a tenant.

use std::cell::Cell;

use router::{CacheLookup, CallOutcome, Decision, Rejection, Source};

use crate::host::{Host, MetricKind};
use crate::log::RequestError;

/// A metric, which Envoy exports as `wasmcustom.NAME`.
#[derive(Debug)]
struct Metric {
    kind: MetricKind,
    name: String,
    id: Cell<Option<u32>>,
}

impl Metric {
    fn new(kind: MetricKind, name: &str) -> Self {
        Self { kind, name: format!("cell_router.{name}"), id: Cell::new(None) }
    }

    fn counter(name: &str) -> Self {
        Self::new(MetricKind::Counter, name)
    }

    fn id(&self, host: &impl Host) -> Option<u32> {
        if self.id.get().is_none() {
            self.id.set(host.define_metric(self.kind, &self.name).ok());
        }
        self.id.get()
    }

    fn add(&self, host: &impl Host, by: i64) {
        if by != 0
            && let Some(id) = self.id(host)
        {
            host.increment_metric(id, by);
        }
    }
}

/// A gauge that is the sum of all workers' values: each worker adds the change of its own.
#[derive(Debug)]
struct SummedGauge {
    metric: Metric,
    own: Cell<i64>,
}

impl SummedGauge {
    fn new(name: &str) -> Self {
        Self { metric: Metric::new(MetricKind::Gauge, name), own: Cell::new(0) }
    }

    fn set(&self, host: &impl Host, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.metric.add(host, value - self.own.replace(value));
    }
}

/// All metrics of one worker and configuration.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// By rule, then by source.
    requests: Vec<[Metric; Source::ALL.len()]>,
    rejections: [Metric; Rejection::ALL.len()],
    lookups: [Metric; CacheLookup::ALL.len()],
    calls: [Metric; CallOutcome::ALL.len()],
    errors: [Metric; RequestError::ALL.len()],
    retries: Metric,
    refreshes: Metric,
    call_duration: Metric,
    entries: SummedGauge,
    memory: SummedGauge,
}

impl Metrics {
    /// Creates the metrics for rules with these ids and actions, in order.
    pub(crate) fn new<'r>(rules: impl Iterator<Item = (&'r str, &'r str)>) -> Self {
        let of_rule = |(rule, action): (&str, &str)| {
            // A dot would end the label's value.
            let rule = rule.replace('.', "_");
            Source::ALL.map(|source| {
                let source = source.as_str();
                Metric::counter(&format!(
                    "requests_total.decision.{action}.rule.{rule}.source.{source}"
                ))
            })
        };
        let by = |name: &str, value: &str| Metric::counter(&format!("{name}.{value}"));
        Self {
            requests: rules.map(of_rule).collect(),
            rejections: Rejection::ALL.map(|reason| by("refusals_total.reason", reason.as_str())),
            lookups: CacheLookup::ALL
                .map(|lookup| by("cache_lookups_total.state", lookup.as_str())),
            calls: CallOutcome::ALL.map(|call| by("classify_total.outcome", call.as_str())),
            errors: RequestError::ALL.map(|error| by("errors_total.kind", error.as_str())),
            retries: Metric::counter("retries_total"),
            refreshes: Metric::counter("refreshes_total"),
            call_duration: Metric::new(MetricKind::Histogram, "classify_milliseconds"),
            entries: SummedGauge::new("cache_entries"),
            memory: SummedGauge::new("memory_bytes"),
        }
    }

    /// Counts a configuration that was accepted or rejected.
    pub(crate) fn configuration(host: &impl Host, accepted: bool) {
        let verdict = if accepted { "accepted" } else { "refused" };
        Metric::counter(&format!("configurations_total.verdict.{verdict}")).add(host, 1);
    }

    pub(crate) fn request(&self, host: &impl Host, decision: &Decision) {
        let of_rule = self.requests.get(decision.rule_number);
        add(host, of_rule.into_iter().flatten(), decision.source as usize, 1);
    }

    pub(crate) fn rejection(&self, host: &impl Host, rejection: Rejection) {
        add(host, self.rejections.iter(), rejection as usize, 1);
    }

    pub(crate) fn lookup(&self, host: &impl Host, lookup: CacheLookup, count: u32) {
        add(host, self.lookups.iter(), lookup as usize, count);
    }

    pub(crate) fn call(&self, host: &impl Host, outcome: CallOutcome, count: u32) {
        add(host, self.calls.iter(), outcome as usize, count);
    }

    pub(crate) fn error(&self, host: &impl Host, error: RequestError) {
        add(host, self.errors.iter(), error as usize, 1);
    }

    pub(crate) fn retries(&self, host: &impl Host, count: u32) {
        self.retries.add(host, i64::from(count));
    }

    pub(crate) fn refresh(&self, host: &impl Host) {
        self.refreshes.add(host, 1);
    }

    pub(crate) fn call_duration(&self, host: &impl Host, milliseconds: u64) {
        if let Some(id) = self.call_duration.id(host) {
            host.record_metric(id, milliseconds);
        }
    }

    pub(crate) fn entries(&self, host: &impl Host, entries: usize) {
        self.entries.set(host, u64::try_from(entries).unwrap_or(u64::MAX));
    }

    pub(crate) fn memory(&self, host: &impl Host, bytes: u64) {
        self.memory.set(host, bytes);
    }

    /// Removes this worker's part from the gauges.
    pub(crate) fn retire(&self, host: &impl Host) {
        self.entries.set(host, 0);
        self.memory.set(host, 0);
    }
}

fn add<'n>(
    host: &impl Host,
    mut counters: impl Iterator<Item = &'n Metric>,
    number: usize,
    by: u32,
) {
    if let Some(counter) = counters.nth(number) {
        counter.add(host, i64::from(by));
    }
}
