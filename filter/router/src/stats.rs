//! The counts of a worker, for the metrics of the host.

use crate::classify::CallOutcome;
use crate::decision::Source;
use crate::time::Millis;

/// The result of one cache lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheLookup {
    /// A fresh Cell.
    Fresh,
    /// A fresh "not found".
    Negative,
    /// An expired Cell that is served while it is revalidated.
    Revalidating,
    /// The last good Cell, because revalidation failed.
    Stale,
    /// No usable entry.
    Miss,
}

impl CacheLookup {
    /// All results, in order.
    pub const ALL: [Self; 5] =
        [Self::Fresh, Self::Negative, Self::Revalidating, Self::Stale, Self::Miss];

    /// Returns the result for a Cell that the cache returned from `source`.
    pub(crate) fn of_cell(source: Source) -> Self {
        match source {
            Source::Revalidating => Self::Revalidating,
            Source::Stale => Self::Stale,
            Source::Ruleset | Source::Cache | Source::Service => Self::Fresh,
        }
    }

    /// Returns the name used in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Negative => "negative",
            Self::Revalidating => "revalidating",
            Self::Stale => "stale",
            Self::Miss => "miss",
        }
    }
}

/// Whether the Topology Service responds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It responds again.
    Available,
    /// It does not respond.
    Unavailable,
}

impl Availability {
    /// Returns the name used in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Counts since the previous [`crate::Router::take_stats`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    lookups: [u32; CacheLookup::ALL.len()],
    calls: [u32; CallOutcome::ALL.len()],
    /// Retried calls.
    pub retries: u32,
    /// A change in the availability of the Topology Service.
    pub availability: Option<Availability>,
}

impl Stats {
    pub(crate) fn lookup(&mut self, lookup: CacheLookup) {
        self.lookups.iter_mut().skip(lookup as usize).take(1).for_each(|count| *count += 1);
    }

    pub(crate) fn call(&mut self, outcome: CallOutcome) {
        self.calls.iter_mut().skip(outcome as usize).take(1).for_each(|count| *count += 1);
    }

    /// Returns the results of cache lookups that occurred, with their counts.
    pub fn lookups(&self) -> impl Iterator<Item = (CacheLookup, u32)> {
        CacheLookup::ALL.into_iter().zip(self.lookups).filter(|(_, count)| *count > 0)
    }

    /// Returns the outcomes of calls that occurred, with their counts.
    pub fn calls(&self) -> impl Iterator<Item = (CallOutcome, u32)> {
        CallOutcome::ALL.into_iter().zip(self.calls).filter(|(_, count)| *count > 0)
    }
}

/// Detects when the Topology Service stops or starts to respond; reports at most once a second.
#[derive(Debug)]
pub(crate) struct AvailabilityWatch {
    reported: Availability,
    reported_at: Millis,
}

impl Default for AvailabilityWatch {
    fn default() -> Self {
        Self { reported: Availability::Available, reported_at: Millis(0) }
    }
}

impl AvailabilityWatch {
    /// Records the end of a call and returns a change in availability.
    pub(crate) fn record(&mut self, responded: bool, now: Millis) -> Option<Availability> {
        let now_is = if responded { Availability::Available } else { Availability::Unavailable };
        if now_is == self.reported || now.since(self.reported_at) < 1000 {
            return None;
        }
        *self = Self { reported: now_is, reported_at: now };
        Some(now_is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_and_its_end_are_reported_once() {
        let mut watch = AvailabilityWatch::default();
        let mut record = |responded, at| watch.record(responded, Millis(at));
        assert_eq!(record(true, 5_000), None);
        assert_eq!(record(false, 6_000), Some(Availability::Unavailable));
        assert_eq!(record(false, 9_000), None);
        assert_eq!(record(true, 9_001), Some(Availability::Available));
    }

    #[test]
    fn a_flapping_service_is_reported_once_a_second() {
        let mut watch = AvailabilityWatch::default();
        let reports = (0..3_000).filter(|n| watch.record(n % 2 == 0, Millis(10_000 + n)).is_some());
        assert_eq!(reports.count(), 3);
    }

    #[test]
    fn only_counts_above_zero_are_returned() {
        let mut stats = Stats::default();
        stats.lookup(CacheLookup::Miss);
        stats.lookup(CacheLookup::Miss);
        stats.call(CallOutcome::Garbage);
        assert_eq!(stats.lookups().collect::<Vec<_>>(), [(CacheLookup::Miss, 2)]);
        assert_eq!(stats.calls().collect::<Vec<_>>(), [(CallOutcome::Garbage, 1)]);
    }
}
