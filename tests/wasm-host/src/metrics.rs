//! The counters, gauges and histograms that a filter has defined.

use std::collections::HashMap;

use super::abi::Status;

/// Metrics by name. A name defined twice has two ids of one metric, as in Envoy.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    names: Vec<String>,
    metrics: HashMap<String, Metric>,
}

#[derive(Debug)]
enum Metric {
    Counter(u64),
    Gauge(u64),
    Histogram(Vec<u64>),
}

impl Metrics {
    pub(super) fn define(&mut self, kind: u32, name: String) -> Result<u32, Status> {
        let metric = match kind {
            0 => Metric::Counter(0),
            1 => Metric::Gauge(0),
            2 => Metric::Histogram(Vec::new()),
            _ => return Err(Status::BadArgument),
        };
        self.metrics.entry(name.clone()).or_insert(metric);
        self.names.push(name);
        u32::try_from(self.names.len()).map_err(|_| Status::InternalFailure)
    }

    pub(super) fn increment(&mut self, id: u32, offset: i64) -> Result<(), Status> {
        match self.metric(id)? {
            Metric::Counter(value) if offset >= 0 => *value = value.saturating_add_signed(offset),
            Metric::Gauge(value) => *value = value.saturating_add_signed(offset),
            Metric::Counter(_) | Metric::Histogram(_) => return Err(Status::BadArgument),
        }
        Ok(())
    }

    pub(super) fn record(&mut self, id: u32, sample: u64) -> Result<(), Status> {
        match self.metric(id)? {
            Metric::Counter(value) => *value = value.saturating_add(sample),
            Metric::Gauge(value) => *value = sample,
            Metric::Histogram(samples) => samples.push(sample),
        }
        Ok(())
    }

    pub(super) fn get(&mut self, id: u32) -> Result<u64, Status> {
        match self.metric(id)? {
            Metric::Counter(value) | Metric::Gauge(value) => Ok(*value),
            Metric::Histogram(_) => Err(Status::BadArgument),
        }
    }

    /// The value of a counter or gauge.
    pub(super) fn value(&self, name: &str) -> Option<u64> {
        match self.metrics.get(name)? {
            Metric::Counter(value) | Metric::Gauge(value) => Some(*value),
            Metric::Histogram(_) => None,
        }
    }

    /// All names, sorted.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.metrics.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The samples of a histogram, oldest first.
    pub(super) fn samples(&self, name: &str) -> Option<&[u64]> {
        match self.metrics.get(name)? {
            Metric::Histogram(samples) => Some(samples),
            Metric::Counter(_) | Metric::Gauge(_) => None,
        }
    }

    fn metric(&mut self, id: u32) -> Result<&mut Metric, Status> {
        let index = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        let name = index.and_then(|index| self.names.get(index)).ok_or(Status::NotFound)?;
        self.metrics.get_mut(name).ok_or(Status::NotFound)
    }
}
