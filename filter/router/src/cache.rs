//! Answers of the Topology Service, kept for as long as it says and, for a Cell that was found,
//! beyond: the last good answer outlives an outage. Bounded; time is an argument.

mod generations;

use std::rc::Rc;

use crate::classify::{Answer, Cell};
use crate::config::CacheConfig;
use crate::decision::{Millis, RETRY_AFTER_SECONDS, Source};
use generations::Generations;

/// Found and not found are kept apart, so that a flood of unknown names cannot push out a Cell.
#[derive(Debug)]
pub(crate) struct Cache {
    found: Generations<Entry>,
    missing: Generations<Millis>,
    config: CacheConfig,
}

#[derive(Debug)]
struct Entry {
    cell: Rc<Cell>,
    fresh_until: Millis,
    source: Source,
}

impl Cache {
    pub(crate) fn new(config: CacheConfig) -> Self {
        Self {
            found: Generations::new(config.max_entries),
            missing: Generations::new(config.max_entries),
            config,
        }
    }

    /// A fresh answer, or a stale Cell within the time [`Self::last_good`] gave it.
    pub(crate) fn get(&mut self, question: &str, now: Millis) -> Option<(Answer, Source)> {
        if let Some(entry) = self.found.get(question)
            && now < entry.fresh_until
        {
            return Some((Answer::Found(Rc::clone(&entry.cell)), entry.source));
        }
        let fresh_until = self.missing.get(question)?;
        (now < *fresh_until).then_some((Answer::NotFound, Source::Cache))
    }

    /// Keeps an answer; `max_age` in seconds is the service's own word.
    pub(crate) fn put(
        &mut self,
        question: &str,
        answer: &Answer,
        max_age: Option<u32>,
        now: Millis,
    ) {
        let fresh_until = |default| jittered(question, now, max_age.unwrap_or(default));
        match answer {
            Answer::Found(cell) => {
                let fresh_until = fresh_until(self.config.positive_ttl_seconds);
                self.missing.remove(question);
                let cell = Rc::clone(cell);
                self.found.put(question, Entry { cell, fresh_until, source: Source::Cache });
            }
            Answer::NotFound => {
                let fresh_until = fresh_until(self.config.negative_ttl_seconds);
                self.found.remove(question);
                self.missing.put(question, fresh_until);
            }
        }
    }

    /// The Cell once found, however old. It then serves a while unasked, so that an outage costs
    /// one failed call per question and while, not one per request. A stale "not found" is no good
    /// answer: the name may have been claimed since.
    pub(crate) fn last_good(&mut self, question: &str, now: Millis) -> Option<Rc<Cell>> {
        let entry = self.found.get(question)?;
        entry.fresh_until = now.plus_seconds(RETRY_AFTER_SECONDS);
        entry.source = Source::Stale;
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

/// Seconds of `max-age` in a `Cache-Control` value; 0 where it may not be kept fresh at all.
pub(crate) fn max_age(cache_control: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(cache_control).ok()?.to_ascii_lowercase();
    let mut directives = text.split(',').map(str::trim);
    if directives.clone().any(|directive| matches!(directive, "no-store" | "no-cache")) {
        return Some(0);
    }
    directives.find_map(|directive| directive.strip_prefix("max-age=")?.parse().ok())
}

#[cfg(test)]
mod tests;
