//! The metrics: their names here and nowhere else, their ids asked for at first use. Each name says
//! `.LABEL.VALUE` for Envoy's `stats_tags` to make labels of; values are few and never a tenant's.

use std::cell::Cell;

use router::{CallOutcome, Decision, Lookup, Refusal, Source};

use crate::host::{Host, Metric};
use crate::log::Trouble;

/// One metric; Envoy shows it as `wasmcustom.NAME`.
#[derive(Debug)]
struct Named {
    metric: Metric,
    name: String,
    id: Cell<Option<u32>>,
}

impl Named {
    fn new(metric: Metric, name: &str) -> Self {
        Self { metric, name: format!("cell_router.{name}"), id: Cell::new(None) }
    }

    fn counter(name: &str) -> Self {
        Self::new(Metric::Counter, name)
    }

    fn id(&self, host: &impl Host) -> Option<u32> {
        if self.id.get().is_none() {
            self.id.set(host.define(self.metric, &self.name).ok());
        }
        self.id.get()
    }

    fn add(&self, host: &impl Host, by: i64) {
        if by != 0
            && let Some(id) = self.id(host)
        {
            host.increment(id, by);
        }
    }
}

/// A gauge that shows the sum of all workers: each adds and takes away its own share.
#[derive(Debug)]
struct Share {
    of: Named,
    share: Cell<i64>,
}

impl Share {
    fn new(name: &str) -> Self {
        Self { of: Named::new(Metric::Gauge, name), share: Cell::new(0) }
    }

    fn set(&self, host: &impl Host, value: u64) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        self.of.add(host, value - self.share.replace(value));
    }
}

/// All metrics of one worker and configuration.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// By rule, then by source.
    requests: Vec<[Named; Source::ALL.len()]>,
    refusals: [Named; Refusal::ALL.len()],
    lookups: [Named; Lookup::ALL.len()],
    calls: [Named; CallOutcome::ALL.len()],
    troubles: [Named; Trouble::ALL.len()],
    retries: Named,
    refreshes: Named,
    milliseconds: Named,
    entries: Share,
    memory: Share,
}

impl Metrics {
    /// For rules of these ids and actions, in order.
    pub(crate) fn new<'r>(rules: impl Iterator<Item = (&'r str, &'r str)>) -> Self {
        let of_rule = |(rule, action): (&str, &str)| {
            // A dot would end the label.
            let rule = rule.replace('.', "_");
            Source::ALL.map(|source| {
                let source = source.as_str();
                Named::counter(&format!("requests.decision.{action}.rule.{rule}.source.{source}"))
            })
        };
        let by = |name: &str, value: &str| Named::counter(&format!("{name}.{value}"));
        Self {
            requests: rules.map(of_rule).collect(),
            refusals: Refusal::ALL.map(|refusal| by("refusals.reason", refusal.as_str())),
            lookups: Lookup::ALL.map(|lookup| by("cache_lookups.state", lookup.as_str())),
            calls: CallOutcome::ALL.map(|call| by("classify.outcome", call.as_str())),
            troubles: Trouble::ALL.map(|trouble| by("errors.kind", trouble.as_str())),
            retries: Named::counter("retries"),
            refreshes: Named::counter("refreshes"),
            milliseconds: Named::new(Metric::Histogram, "classify_milliseconds"),
            entries: Share::new("cache_entries"),
            memory: Share::new("memory_bytes"),
        }
    }

    /// A configuration was taken or refused.
    pub(crate) fn configuration(host: &impl Host, accepted: bool) {
        let verdict = if accepted { "accepted" } else { "refused" };
        Named::counter(&format!("configurations.verdict.{verdict}")).add(host, 1);
    }

    pub(crate) fn request(&self, host: &impl Host, decision: &Decision) {
        let of_rule = self.requests.get(decision.rule_number);
        add(host, of_rule.into_iter().flatten(), decision.source as usize, 1);
    }

    pub(crate) fn refusal(&self, host: &impl Host, refusal: Refusal) {
        add(host, self.refusals.iter(), refusal as usize, 1);
    }

    pub(crate) fn lookup(&self, host: &impl Host, lookup: Lookup, count: u32) {
        add(host, self.lookups.iter(), lookup as usize, count);
    }

    pub(crate) fn call(&self, host: &impl Host, outcome: CallOutcome, count: u32) {
        add(host, self.calls.iter(), outcome as usize, count);
    }

    pub(crate) fn trouble(&self, host: &impl Host, trouble: Trouble) {
        add(host, self.troubles.iter(), trouble as usize, 1);
    }

    pub(crate) fn retries(&self, host: &impl Host, count: u32) {
        self.retries.add(host, i64::from(count));
    }

    pub(crate) fn refresh(&self, host: &impl Host) {
        self.refreshes.add(host, 1);
    }

    pub(crate) fn answered_after(&self, host: &impl Host, milliseconds: u64) {
        if let Some(id) = self.milliseconds.id(host) {
            host.record(id, milliseconds);
        }
    }

    pub(crate) fn entries(&self, host: &impl Host, entries: usize) {
        self.entries.set(host, u64::try_from(entries).unwrap_or(u64::MAX));
    }

    pub(crate) fn memory(&self, host: &impl Host, bytes: u64) {
        self.memory.set(host, bytes);
    }

    /// Takes this worker's shares out of the gauges.
    pub(crate) fn retire(&self, host: &impl Host) {
        self.entries.set(host, 0);
        self.memory.set(host, 0);
    }
}

fn add<'n>(
    host: &impl Host,
    mut counters: impl Iterator<Item = &'n Named>,
    number: usize,
    by: u32,
) {
    if let Some(counter) = counters.nth(number) {
        counter.add(host, i64::from(by));
    }
}
