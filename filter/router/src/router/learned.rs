//! What a worker learned from the Topology Service, and what it owes and counts on the way.

use std::mem;

use crate::cache::{Cache, Lifetime};
use crate::classify::{self, Answer, CallOutcome, CallResult};
use crate::config::{CacheConfig, TopologyService};
use crate::decision::{Millis, Source};
use crate::router::retries::{self, RetryBudget};
use crate::router::verdict::Verdict;
use crate::shared::Shared;
use crate::tally::{Lookup, Tally, Watch};

/// Expired answers that are asked for anew at one time; the rest wait for their next reader.
const MAX_REFRESHES: usize = 64;

/// Milliseconds beyond its timeout after which a call's answer is no longer waited for.
const GRACE_MS: u64 = 500;

#[derive(Debug)]
pub(super) struct Learned {
    cache: Cache,
    budget: RetryBudget,
    watch: Watch,
    tally: Tally,
    refreshes: Vec<String>,
    refresh_ms: u64,
}

impl Learned {
    pub(super) fn new(cache: CacheConfig, topology: &TopologyService) -> Self {
        Self {
            cache: Cache::new(cache),
            budget: RetryBudget::default(),
            watch: Watch::default(),
            tally: Tally::default(),
            refreshes: Vec::new(),
            refresh_ms: topology.timeout_ms.saturating_add(GRACE_MS),
        }
    }

    pub(super) fn share(&mut self, shared: Box<dyn Shared>) {
        self.cache.share(shared);
    }

    pub(super) fn entries(&self) -> usize {
        self.cache.len()
    }

    pub(super) fn take_tally(&mut self) -> Tally {
        mem::take(&mut self.tally)
    }

    pub(super) fn take_refreshes(&mut self) -> Vec<String> {
        mem::take(&mut self.refreshes)
    }

    pub(super) fn wants_refreshes(&self) -> bool {
        !self.refreshes.is_empty()
    }

    /// What the cache says of a question, or that it is to be asked.
    pub(super) fn recall(&mut self, question: &str, now: Millis) -> Verdict {
        let Some((answer, source)) = self.cache.get(question, now) else {
            self.tally.lookup(Lookup::Miss);
            return Verdict::Asked { question: question.to_owned(), wait_ms: 0 };
        };
        self.tally.lookup(match answer {
            Answer::Found(_) => Lookup::of_cell(source),
            Answer::NotFound => Lookup::Negative,
        });
        if source == Source::Revalidating
            && self.refreshes.len() < MAX_REFRESHES
            && self.cache.claim_refresh(question, self.refresh_ms, now)
        {
            self.refreshes.push(question.to_owned());
        }
        Verdict::Known(answer, source)
    }

    /// What an answer, or its absence, says of a question; the last good answer spares a retry.
    pub(super) fn learn(&mut self, question: String, result: &CallResult, now: Millis) -> Verdict {
        let read = classify::read(result);
        self.tally.call(CallOutcome::of(&read));
        if let Some(news) = self.watch.note(read.is_ok(), now) {
            self.tally.availability = Some(news);
        }
        match read {
            Ok(answer) => {
                let control = result.as_ref().ok().and_then(|http| http.cache_control.as_deref());
                let lifetime = control.map(Lifetime::of).unwrap_or_default();
                self.cache.put(&question, &answer, lifetime, now);
                Verdict::Known(answer, Source::Service)
            }
            Err(failure) => match self.cache.last_good(&question, now) {
                Some(cell) => Verdict::Known(Answer::Found(cell), Source::Stale),
                None if failure.is_transient() => {
                    Verdict::Asked { question, wait_ms: retries::asked_to_wait(result) }
                }
                None => Verdict::Unavailable,
            },
        }
    }

    /// A question there is no time left for.
    pub(super) fn give_up(&mut self, question: &str, now: Millis) -> Verdict {
        match self.cache.last_good(question, now) {
            Some(cell) => Verdict::Known(Answer::Found(cell), Source::Stale),
            None => Verdict::Unavailable,
        }
    }

    pub(super) fn note_calls(&mut self, calls: usize) {
        self.budget.earn(calls);
    }

    /// Whether so many questions may be asked again.
    pub(super) fn pay_retries(&mut self, calls: usize, now: Millis) -> bool {
        let paid = self.budget.pay(calls, now);
        if paid {
            self.tally.retries += u32::try_from(calls).unwrap_or(u32::MAX);
        }
        paid
    }
}
