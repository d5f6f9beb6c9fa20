//! The classification state of a worker: cached classifications, pending refreshes, the retry budget,
//! and counts.

use std::mem;

use super::retry_budget::{self, RetryBudget};
use super::weigh::QueryState;
use crate::cache::{Cache, Lifetime, SharedStore};
use crate::classify::{self, CallOutcome, CallResult, Classification};
use crate::config::{CacheConfig, TopologyService};
use crate::decision::Source;
use crate::stats::{AvailabilityWatch, CacheLookup, Stats};
use crate::time::Millis;

/// The number of queued refreshes. Other expired entries are refreshed by a later request.
const MAX_REFRESHES: usize = 64;

/// The milliseconds after its timeout until a refresh may be repeated.
const GRACE_MS: u64 = 500;

/// What a worker knows from the Topology Service.
#[derive(Debug)]
pub(super) struct ClassificationState {
    cache: Cache,
    budget: RetryBudget,
    watch: AvailabilityWatch,
    stats: Stats,
    refreshes: Vec<String>,
    refresh_ms: u64,
}

impl ClassificationState {
    pub(super) fn new(cache: CacheConfig, topology: &TopologyService) -> Self {
        Self {
            cache: Cache::new(cache),
            budget: RetryBudget::default(),
            watch: AvailabilityWatch::default(),
            stats: Stats::default(),
            refreshes: Vec::new(),
            refresh_ms: topology.timeout_ms.saturating_add(GRACE_MS),
        }
    }

    pub(super) fn use_store(&mut self, store: Box<dyn SharedStore>) {
        self.cache.use_store(store);
    }

    pub(super) fn entries(&self) -> usize {
        self.cache.len()
    }

    pub(super) fn take_stats(&mut self) -> Stats {
        mem::take(&mut self.stats)
    }

    pub(super) fn take_refreshes(&mut self) -> Vec<String> {
        mem::take(&mut self.refreshes)
    }

    pub(super) fn has_refreshes(&self) -> bool {
        !self.refreshes.is_empty()
    }

    /// Looks a query up in the cache, and queues a refresh if the entry has expired.
    pub(super) fn recall(&mut self, query: &str, now: Millis) -> QueryState {
        let Some((classification, source)) = self.cache.get(query, now) else {
            self.stats.lookup(CacheLookup::Miss);
            return QueryState::Unresolved { query: query.to_owned(), wait_ms: 0 };
        };
        self.stats.lookup(match classification {
            Classification::Found(_) => CacheLookup::of_cell(source),
            Classification::NotFound => CacheLookup::Negative,
        });
        if source == Source::Revalidating
            && self.refreshes.len() < MAX_REFRESHES
            && self.cache.claim_refresh(query, self.refresh_ms, now)
        {
            self.refreshes.push(query.to_owned());
        }
        QueryState::Known(classification, source)
    }

    /// Stores the result of a call. After a failure, the last good classification is preferred to a
    /// retry.
    pub(super) fn record(&mut self, query: String, result: &CallResult, now: Millis) -> QueryState {
        let read = classify::read(result);
        self.stats.call(CallOutcome::of(&read));
        if let Some(change) = self.watch.record(read.is_ok(), now) {
            self.stats.availability = Some(change);
        }
        match read {
            Ok(classification) => {
                let control = result.as_ref().ok().and_then(|http| http.cache_control.as_deref());
                let lifetime = control.map(Lifetime::parse).unwrap_or_default();
                self.cache.put(&query, &classification, lifetime, now);
                QueryState::Known(classification, Source::Service)
            }
            Err(failure) => match self.cache.last_good(&query, now) {
                Some(cell) => QueryState::Known(Classification::Found(cell), Source::Stale),
                None if failure.is_transient() => {
                    QueryState::Unresolved { query, wait_ms: retry_budget::retry_after_ms(result) }
                }
                None => QueryState::Unavailable,
            },
        }
    }

    /// Returns the state of a query for which no time is left.
    pub(super) fn give_up(&mut self, query: &str, now: Millis) -> QueryState {
        match self.cache.last_good(query, now) {
            Some(cell) => QueryState::Known(Classification::Found(cell), Source::Stale),
            None => QueryState::Unavailable,
        }
    }

    pub(super) fn record_calls(&mut self, calls: usize) {
        self.budget.earn(calls);
    }

    /// Returns whether the retry budget allows these retries, and charges it for them.
    pub(super) fn pay_retries(&mut self, calls: usize, now: Millis) -> bool {
        let paid = self.budget.pay(calls, now);
        if paid {
            self.stats.retries += u32::try_from(calls).unwrap_or(u32::MAX);
        }
        paid
    }
}
