//! Answers of the Topology Service, kept for as long as it says and, for a Cell that was found,
//! beyond: the last good answer outlives an outage. Bounded; time is an argument.

use std::rc::Rc;

use crate::classify::{Answer, Cell};
use crate::config::CacheConfig;
use crate::decision::{Millis, RETRY_AFTER_SECONDS, Source};
use crate::generations::Generations;
use crate::shared::{Record, Shared, Unshared};

/// Found and not found are kept apart, so that a flood of unknown names cannot push out a Cell.
#[derive(Debug)]
pub(crate) struct Cache {
    found: Generations<Entry>,
    missing: Generations<Millis>,
    config: CacheConfig,
    shared: Box<dyn Shared>,
}

#[derive(Debug)]
struct Entry {
    cell: Rc<Cell>,
    fresh_until: Millis,
    /// Until then it serves while it is asked for anew.
    revalidating_until: Millis,
    /// Until then it serves unasked, for asking failed.
    stale_until: Millis,
    /// Until then nobody else need ask for it anew.
    asked_until: Millis,
}

impl From<Record> for Entry {
    fn from(record: Record) -> Self {
        let (fresh_until, revalidating_until) = (record.fresh_until(), record.revalidating_until());
        let (stale_until, asked_until) = (Millis(0), Millis(0));
        let cell = Rc::new(record.cell);
        Self { cell, fresh_until, revalidating_until, stale_until, asked_until }
    }
}

impl Entry {
    fn source(&self, now: Millis) -> Option<Source> {
        if now < self.fresh_until {
            Some(Source::Cache)
        } else if now < self.stale_until {
            Some(Source::Stale)
        } else if now < self.revalidating_until {
            Some(Source::Revalidating)
        } else {
            None
        }
    }
}

impl Cache {
    pub(crate) fn new(config: CacheConfig) -> Self {
        Self {
            found: Generations::new(config.max_entries),
            missing: Generations::new(config.max_entries),
            config,
            shared: Box::new(Unshared),
        }
    }

    /// Keeps what it finds in `shared` too, and looks there for what it does not have.
    pub(crate) fn share(&mut self, shared: Box<dyn Shared>) {
        self.shared = shared;
    }

    /// Answers kept, of both kinds.
    pub(crate) fn len(&self) -> usize {
        self.found.len() + self.missing.len()
    }

    /// An answer that may serve now.
    pub(crate) fn get(&mut self, question: &str, now: Millis) -> Option<(Answer, Source)> {
        if let Some(found) = self.serving(question, now) {
            return Some(found);
        }
        if self.missing.get(question).is_some_and(|fresh_until| now < *fresh_until) {
            return Some((Answer::NotFound, Source::Cache));
        }
        self.adopt(question);
        self.serving(question, now)
    }

    fn serving(&mut self, question: &str, now: Millis) -> Option<(Answer, Source)> {
        let entry = self.found.get(question)?;
        let source = entry.source(now)?;
        Some((Answer::Found(Rc::clone(&entry.cell)), source))
    }

    /// Takes over what another worker or an earlier configuration found later than this one.
    fn adopt(&mut self, question: &str) {
        let Some(record) = Record::read(question, &*self.shared) else { return };
        let known = self.found.get(question).map(|entry| entry.fresh_until);
        if known.is_none_or(|known| known < record.fresh_until()) {
            self.found.put(question, Entry::from(record));
        }
    }

    /// Whether the caller is to ask a question anew; if so, nobody else is for `pause_ms`.
    pub(crate) fn claim_refresh(&mut self, question: &str, pause_ms: u64, now: Millis) -> bool {
        let Some(entry) = self.found.get(question) else { return false };
        let due = now >= entry.asked_until;
        if due {
            entry.asked_until = now.plus(pause_ms);
        }
        due
    }

    /// Keeps an answer; `lifetime` is the service's own word.
    pub(crate) fn put(&mut self, question: &str, answer: &Answer, lifetime: Lifetime, now: Millis) {
        let config = &self.config;
        let fresh_until =
            |default| jittered(question, now, lifetime.fresh_seconds.unwrap_or(default));
        match answer {
            Answer::Found(cell) => {
                let fresh_until = fresh_until(config.positive_ttl_seconds);
                let beyond =
                    lifetime.stale_seconds.unwrap_or(config.stale_while_revalidate_seconds);
                self.missing.remove(question);
                let revalidating_until = fresh_until.plus_seconds(beyond);
                let record = Record::new(question, cell, fresh_until, revalidating_until);
                record.write(&*self.shared);
                self.found.put(question, Entry::from(record));
            }
            Answer::NotFound => {
                let fresh_until = fresh_until(config.negative_ttl_seconds);
                self.found.remove(question);
                Record::erase(question, &*self.shared);
                self.missing.put(question, fresh_until);
            }
        }
    }

    /// The Cell once found, however old. It then serves a while unasked, so that an outage costs
    /// one failed call per question and while, not one per request. A stale "not found" is no good
    /// answer: the name may have been claimed since.
    pub(crate) fn last_good(&mut self, question: &str, now: Millis) -> Option<Rc<Cell>> {
        let entry = self.found.get(question)?;
        entry.stale_until = now.plus_seconds(RETRY_AFTER_SECONDS);
        entry.asked_until = entry.stale_until;
        Some(Rc::clone(&entry.cell))
    }
}

/// Up to a tenth early, differently for each question and moment: workers that filled their caches
/// together do not ask again together.
fn jittered(question: &str, now: Millis, seconds: u32) -> Millis {
    let span = u64::from(seconds) * 100;
    let moment = now.0.to_le_bytes();
    let noise = u64::from(crc32fast::hash(&[question.as_bytes(), &moment].concat()));
    let early = noise.checked_rem(span).unwrap_or_default();
    Millis(now.plus_seconds(seconds).0.saturating_sub(early))
}

/// What a `Cache-Control` value says of an answer's life, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// `max-age`; 0 where it may not be kept fresh at all.
    pub(crate) fresh_seconds: Option<u32>,
    /// `stale-while-revalidate` (RFC 5861); 0 where it may not serve stale.
    pub(crate) stale_seconds: Option<u32>,
}

impl Lifetime {
    pub(crate) fn of(cache_control: &[u8]) -> Self {
        let text = std::str::from_utf8(cache_control).unwrap_or_default().to_ascii_lowercase();
        let directives = || text.split(',').map(str::trim);
        if directives().any(|directive| matches!(directive, "no-store" | "no-cache")) {
            return Self { fresh_seconds: Some(0), stale_seconds: Some(0) };
        }
        let seconds = |name: &str| directives().find_map(|d| d.strip_prefix(name)?.parse().ok());
        Self {
            fresh_seconds: seconds("max-age="),
            stale_seconds: seconds("stale-while-revalidate="),
        }
    }
}

#[cfg(test)]
mod tests;
