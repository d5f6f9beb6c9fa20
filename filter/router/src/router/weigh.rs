//! Combines the states of an entry's queries into one result.

use std::rc::Rc;

use crate::classify::{CellAddresses, Classification};
use crate::config::{RegistryDesign, Target};
use crate::decision::Source;

/// What is known about one query.
#[derive(Debug)]
pub(super) enum QueryState {
    /// A call is required; for a retry, not before the wait that the service requested.
    Unresolved {
        query: String,
        wait_ms: u64,
    },
    Known(Classification, Source),
    Unavailable,
}

impl QueryState {
    pub(super) fn is_unresolved(&self) -> bool {
        matches!(self, Self::Unresolved { .. })
    }
}

/// The result of an entry whose queries have all been made.
pub(super) enum EntryResult {
    Cell { address: String, matched_claim: Option<String>, source: Source },
    SeveralCells,
    Unavailable,
    NotFound,
}

/// Combines the states. If one query is unavailable, so is the entry: the query might have named
/// another Cell.
pub(super) fn weigh(queries: &[QueryState], target: Target, design: RegistryDesign) -> EntryResult {
    let mut chosen: Option<(&str, &Rc<CellAddresses>, Source)> = None;
    let mut unavailable = false;
    for query in queries {
        let QueryState::Known(classification, source) = query else {
            unavailable = true;
            continue;
        };
        let Classification::Found(cell) = classification else { continue };
        let address = cell.for_target(target, design);
        chosen = match (chosen, address) {
            (chosen, None) => chosen,
            (None, Some(address)) => Some((address, cell, *source)),
            (Some((known, cell, so_far)), Some(address)) if known == address => {
                Some((known, cell, so_far.max(*source)))
            }
            (Some(_), Some(_)) => return EntryResult::SeveralCells,
        };
    }
    match chosen {
        _ if unavailable => EntryResult::Unavailable,
        None => EntryResult::NotFound,
        Some((address, cell, source)) => EntryResult::Cell {
            address: address.to_owned(),
            matched_claim: cell.matched_claim.clone(),
            source,
        },
    }
}
