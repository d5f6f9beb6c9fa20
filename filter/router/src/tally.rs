//! What a worker counted since it was last asked, for the metrics of whoever runs the router.

use crate::classify::CallOutcome;
use crate::decision::{Millis, Source};

/// What the cache had for one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// A Cell, within its time.
    Fresh,
    /// "Not found", within its time.
    Negative,
    /// A Cell beyond its time, while it is asked for anew.
    Revalidating,
    /// The last good Cell, for asking failed.
    Stale,
    /// Nothing that may serve.
    Miss,
}

impl Lookup {
    /// Each of them, in order.
    pub const ALL: [Self; 5] =
        [Self::Fresh, Self::Negative, Self::Revalidating, Self::Stale, Self::Miss];

    /// Of a Cell that was found in the cache.
    pub(crate) fn of_cell(source: Source) -> Self {
        match source {
            Source::Revalidating => Self::Revalidating,
            Source::Stale => Self::Stale,
            Source::Ruleset | Source::Cache | Source::Service => Self::Fresh,
        }
    }

    /// For metrics.
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

/// Whether the Topology Service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// It does, again.
    Available,
    /// It does not.
    Unavailable,
}

impl Availability {
    /// For logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Counts of one stretch of work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    lookups: [u32; Lookup::ALL.len()],
    calls: [u32; CallOutcome::ALL.len()],
    /// Questions that were asked again.
    pub retries: u32,
    /// A change to tell people about.
    pub availability: Option<Availability>,
}

impl Tally {
    pub(crate) fn lookup(&mut self, lookup: Lookup) {
        self.lookups.iter_mut().skip(lookup as usize).take(1).for_each(|count| *count += 1);
    }

    pub(crate) fn call(&mut self, outcome: CallOutcome) {
        self.calls.iter_mut().skip(outcome as usize).take(1).for_each(|count| *count += 1);
    }

    /// Lookups in the cache, of those that happened.
    pub fn lookups(&self) -> impl Iterator<Item = (Lookup, u32)> {
        Lookup::ALL.into_iter().zip(self.lookups).filter(|(_, count)| *count > 0)
    }

    /// Calls that ended, of those that happened.
    pub fn calls(&self) -> impl Iterator<Item = (CallOutcome, u32)> {
        CallOutcome::ALL.into_iter().zip(self.calls).filter(|(_, count)| *count > 0)
    }
}

/// Notices when the Topology Service stops or begins to answer; tells it once a second at most.
#[derive(Debug)]
pub(crate) struct Watch {
    told: Availability,
    told_at: Millis,
}

impl Default for Watch {
    fn default() -> Self {
        Self { told: Availability::Available, told_at: Millis(0) }
    }
}

impl Watch {
    /// Takes note of a call's end; says what is news.
    pub(crate) fn note(&mut self, answered: bool, now: Millis) -> Option<Availability> {
        let is = if answered { Availability::Available } else { Availability::Unavailable };
        if is == self.told || now.since(self.told_at) < 1000 {
            return None;
        }
        *self = Self { told: is, told_at: now };
        Some(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_once_and_so_is_its_end() {
        let mut watch = Watch::default();
        let mut note = |answered, at| watch.note(answered, Millis(at));
        assert_eq!(note(true, 5_000), None);
        assert_eq!(note(false, 6_000), Some(Availability::Unavailable));
        assert_eq!(note(false, 9_000), None);
        assert_eq!(note(true, 9_001), Some(Availability::Available));
    }

    #[test]
    fn a_service_that_comes_and_goes_is_told_once_a_second() {
        let mut watch = Watch::default();
        let told = (0..3_000).filter(|n| watch.note(n % 2 == 0, Millis(10_000 + n)).is_some());
        assert_eq!(told.count(), 3);
    }

    #[test]
    fn only_what_happened_is_told() {
        let mut tally = Tally::default();
        tally.lookup(Lookup::Miss);
        tally.lookup(Lookup::Miss);
        tally.call(CallOutcome::Garbage);
        assert_eq!(tally.lookups().collect::<Vec<_>>(), [(Lookup::Miss, 2)]);
        assert_eq!(tally.calls().collect::<Vec<_>>(), [(CallOutcome::Garbage, 1)]);
    }
}
