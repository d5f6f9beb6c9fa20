//! Answers kept beyond one worker's cache: what one worker was told, all may use, and a new
//! configuration begins with it. In an outage neither a second worker nor a reload loses a Cell.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::classify::Cell;
use crate::decision::Millis;

/// Values kept; nothing is ever removed from shared memory, so their number is fixed. A record
/// takes about a quarter of a kilobyte. There are more than a worker's cache holds by default, for
/// of two questions that fall on one place only the last is kept.
const SLOTS: u32 = 16_384;

/// Memory that the workers of a process share, and that outlives a configuration. What is there may
/// be lost at any time.
pub trait Shared: Debug {
    /// The value last set.
    fn get(&self, key: &str) -> Option<Vec<u8>>;

    /// Sets a value in place of what was there.
    fn set(&self, key: &str, value: &[u8]);
}

/// No memory beyond the worker's own.
#[derive(Debug)]
pub(crate) struct Unshared;

impl Shared for Unshared {
    fn get(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn set(&self, _: &str, _: &[u8]) {}
}

/// A Cell that was found for a question, and how long that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    question: String,
    pub(crate) cell: Cell,
    fresh_until: u64,
    revalidating_until: u64,
}

impl Record {
    pub(crate) fn new(
        question: &str,
        cell: &Cell,
        fresh_until: Millis,
        revalidating_until: Millis,
    ) -> Self {
        Self {
            question: question.to_owned(),
            cell: cell.clone(),
            fresh_until: fresh_until.0,
            revalidating_until: revalidating_until.0,
        }
    }

    pub(crate) fn fresh_until(&self) -> Millis {
        Millis(self.fresh_until)
    }

    pub(crate) fn revalidating_until(&self) -> Millis {
        Millis(self.revalidating_until)
    }

    pub(crate) fn write(&self, shared: &dyn Shared) {
        if let Ok(value) = serde_json::to_vec(self) {
            shared.set(&slot(&self.question), &value);
        }
    }

    /// What another worker, or an earlier configuration, found for this question. Two questions may
    /// have one slot.
    pub(crate) fn read(question: &str, shared: &dyn Shared) -> Option<Self> {
        let value = shared.get(&slot(question))?;
        let record: Self = serde_json::from_slice(&value).ok()?;
        (record.question == question && record.cell.is_valid()).then_some(record)
    }

    /// The question is answered otherwise now.
    pub(crate) fn erase(question: &str, shared: &dyn Shared) {
        if Self::read(question, shared).is_some() {
            shared.set(&slot(question), b"");
        }
    }
}

fn slot(question: &str) -> String {
    format!("cell-router.found.{}", crc32fast::hash(question.as_bytes()) % SLOTS)
}
