//! Caches the classifications of the Topology Service for as long as it allows. A Cell that was
//! found is kept beyond that, so that the last good classification survives an outage. The cache is
//! bounded, and the time is an argument.

mod lifetime;
mod shared;
mod two_generation;

use std::rc::Rc;

use crate::classify::{CellAddresses, Classification};
use crate::config::CacheConfig;
use crate::decision::Source;
use crate::reply::RETRY_AFTER_SECONDS;
use crate::time::Millis;
pub(crate) use lifetime::Lifetime;
pub use shared::SharedStore;
use shared::{NoSharedStore, SharedRecord};
pub(crate) use two_generation::TwoGenerationCache;

/// The cache of one worker. Keys are queries, that is, the bodies of classify requests.
///
/// Cells and "not found" are kept apart, so that a flood of unknown names cannot evict a Cell.
#[derive(Debug)]
pub(crate) struct Cache {
    found: TwoGenerationCache<CachedCell>,
    /// The end of the freshness of each "not found".
    missing: TwoGenerationCache<Millis>,
    config: CacheConfig,
    store: Box<dyn SharedStore>,
}

#[derive(Debug)]
struct CachedCell {
    cell: Rc<CellAddresses>,
    fresh_until: Millis,
    /// Until then the Cell is served while it is revalidated.
    revalidating_until: Millis,
    /// Until then the Cell is served without revalidation, because revalidation failed.
    stale_until: Millis,
    /// Until then no other request starts a revalidation.
    refresh_paused_until: Millis,
}

impl From<SharedRecord> for CachedCell {
    fn from(record: SharedRecord) -> Self {
        let (fresh_until, revalidating_until) = (record.fresh_until(), record.revalidating_until());
        let (stale_until, refresh_paused_until) = (Millis(0), Millis(0));
        let cell = Rc::new(record.cell);
        Self { cell, fresh_until, revalidating_until, stale_until, refresh_paused_until }
    }
}

impl CachedCell {
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
            found: TwoGenerationCache::new(config.max_entries),
            missing: TwoGenerationCache::new(config.max_entries),
            config,
            store: Box::new(NoSharedStore),
        }
    }

    /// Also writes Cells to `store`, and reads those that this cache does not have.
    pub(crate) fn use_store(&mut self, store: Box<dyn SharedStore>) {
        self.store = store;
    }

    /// Returns the number of entries of both kinds.
    pub(crate) fn len(&self) -> usize {
        self.found.len() + self.missing.len()
    }

    /// Returns a classification that may be served now.
    pub(crate) fn get(&mut self, query: &str, now: Millis) -> Option<(Classification, Source)> {
        if let Some(found) = self.servable(query, now) {
            return Some(found);
        }
        if self.missing.get(query).is_some_and(|fresh_until| now < *fresh_until) {
            return Some((Classification::NotFound, Source::Cache));
        }
        self.load(query);
        self.servable(query, now)
    }

    fn servable(&mut self, query: &str, now: Millis) -> Option<(Classification, Source)> {
        let cached = self.found.get(query)?;
        let source = cached.source(now)?;
        Some((Classification::Found(Rc::clone(&cached.cell)), source))
    }

    /// Loads a record from the store if it is newer than this worker's.
    fn load(&mut self, query: &str) {
        let Some(record) = SharedRecord::read(query, &*self.store) else { return };
        let known = self.found.get(query).map(|cached| cached.fresh_until);
        if known.is_none_or(|known| known < record.fresh_until()) {
            self.found.put(query, CachedCell::from(record));
        }
    }

    /// Returns whether the caller should revalidate a query. If so, no other caller does within
    /// `pause_ms`.
    pub(crate) fn claim_refresh(&mut self, query: &str, pause_ms: u64, now: Millis) -> bool {
        let Some(cached) = self.found.get(query) else { return false };
        let due = now >= cached.refresh_paused_until;
        if due {
            cached.refresh_paused_until = now.plus(pause_ms);
        }
        due
    }

    /// Stores a classification. `lifetime` is what the service allows.
    pub(crate) fn put(
        &mut self,
        query: &str,
        classification: &Classification,
        lifetime: Lifetime,
        now: Millis,
    ) {
        let config = &self.config;
        let fresh_until = |default| jittered(query, now, lifetime.fresh_seconds.unwrap_or(default));
        match classification {
            Classification::Found(cell) => {
                let fresh_until = fresh_until(config.positive_ttl_seconds);
                let beyond =
                    lifetime.stale_seconds.unwrap_or(config.stale_while_revalidate_seconds);
                self.missing.remove(query);
                let revalidating_until = fresh_until.plus_seconds(beyond);
                let record = SharedRecord::new(query, cell, fresh_until, revalidating_until);
                record.write(&*self.store);
                self.found.put(query, CachedCell::from(record));
            }
            Classification::NotFound => {
                let fresh_until = fresh_until(config.negative_ttl_seconds);
                self.found.remove(query);
                SharedRecord::erase(query, &*self.store);
                self.missing.put(query, fresh_until);
            }
        }
    }

    /// Returns the last Cell found, however old. It is then served without revalidation for a
    /// while, so that an outage costs one failed call per query and interval instead of one per
    /// request. A stale "not found" is never served: the name may have been claimed since.
    pub(crate) fn last_good(&mut self, query: &str, now: Millis) -> Option<Rc<CellAddresses>> {
        let cached = self.found.get(query)?;
        cached.stale_until = now.plus_seconds(RETRY_AFTER_SECONDS);
        cached.refresh_paused_until = cached.stale_until;
        Some(Rc::clone(&cached.cell))
    }
}

/// Returns the end of a lifetime, up to a tenth early. The jitter depends on query and time, so that
/// workers that filled their caches together do not revalidate together.
fn jittered(query: &str, now: Millis, seconds: u32) -> Millis {
    let span = u64::from(seconds) * 100;
    let moment = now.0.to_le_bytes();
    let noise = u64::from(crc32fast::hash(&[query.as_bytes(), &moment].concat()));
    let early = noise.checked_rem(span).unwrap_or_default();
    Millis(now.plus_seconds(seconds).0.saturating_sub(early))
}

#[cfg(test)]
mod tests;
