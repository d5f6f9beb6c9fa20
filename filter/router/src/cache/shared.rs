//! Classifications shared by all workers of a process. A new worker or a new configuration starts
//! with them, so that neither loses a Cell during an outage of the Topology Service.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::classify::CellAddresses;
use crate::time::Millis;

/// The number of values in the store. It is fixed because shared memory never frees a key. A record
/// takes about 250 bytes. There are more slots than entries in a worker's cache by default, because
/// of two queries with the same slot only the last is kept.
const SLOTS: u32 = 16_384;

/// Memory that the workers of a process share and that outlives a configuration. Its values may
/// disappear at any time.
pub trait SharedStore: Debug {
    /// Returns the value that was set last.
    fn get(&self, key: &str) -> Option<Vec<u8>>;

    /// Replaces the value.
    fn set(&self, key: &str, value: &[u8]);
}

/// A store that keeps nothing.
#[derive(Debug)]
pub(crate) struct NoSharedStore;

impl SharedStore for NoSharedStore {
    fn get(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn set(&self, _: &str, _: &[u8]) {}
}

/// The Cell found for a query, and how long it may be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SharedRecord {
    query: String,
    pub(crate) cell: CellAddresses,
    fresh_until: u64,
    revalidating_until: u64,
}

impl SharedRecord {
    pub(crate) fn new(
        query: &str,
        cell: &CellAddresses,
        fresh_until: Millis,
        revalidating_until: Millis,
    ) -> Self {
        Self {
            query: query.to_owned(),
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

    pub(crate) fn write(&self, store: &dyn SharedStore) {
        if let Ok(value) = serde_json::to_vec(self) {
            store.set(&slot(&self.query), &value);
        }
    }

    /// Reads what another worker or a previous configuration stored for this query. The slot may
    /// hold the record of another query.
    pub(crate) fn read(query: &str, store: &dyn SharedStore) -> Option<Self> {
        let value = store.get(&slot(query))?;
        let record: Self = serde_json::from_slice(&value).ok()?;
        (record.query == query && record.cell.is_valid()).then_some(record)
    }

    /// Removes the record of this query, which no longer has a Cell.
    pub(crate) fn erase(query: &str, store: &dyn SharedStore) {
        if Self::read(query, store).is_some() {
            store.set(&slot(query), b"");
        }
    }
}

fn slot(query: &str) -> String {
    format!("cell-router.found.{}", crc32fast::hash(query.as_bytes()) % SLOTS)
}
