//! The directory: Cells and claims, indexed once; lookups do no I/O.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::cell::{Cell, CellId, Label};
use crate::claim::Claim;
use crate::request::{ClassifyRequest, LookupKey, Target};

/// The result of a lookup: the Cell, and the claim of the request that matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classified<'a> {
    /// The Cell that owns the request.
    pub cell: &'a Cell,
    /// The Cell's address for the requested target.
    pub address: &'a Label,
    /// The claim that matched, spelled as in the request; `None` for a lookup by type.
    pub matched_claim: Option<&'a Claim>,
}

/// No Cell matches (gRPC `NOT_FOUND`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No Cell with this prefix or number.
    #[error("cell not found: {0:?}")]
    Value(String),
    /// No Cell owns any of the claims; holds their number.
    #[error("cell not found: none of {0} claims is owned by a cell")]
    Claims(usize),
    /// The Cell has no registry.
    #[error("cell {0} has no registry")]
    Registry(CellId),
}

/// A Cell or a claim, by its position in the configuration, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryPosition {
    /// The n-th cell.
    Cell(usize),
    /// The n-th claim.
    Claim(usize),
}

/// Why Cells and claims do not make a valid directory; each message names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// No Cell: there must be a first one.
    #[error("cells: at least one cell is needed")]
    NoCells,
    /// Two Cells share a value that must identify one.
    #[error("{field}: {value} is given twice{}", between(*first, *second))]
    Duplicate {
        /// The second of the two.
        entry: EntryPosition,
        /// The field, such as `cells.address`.
        field: String,
        /// The value.
        value: String,
        /// The Cell of the first entry.
        first: CellId,
        /// The Cell of the second entry.
        second: CellId,
    },
    /// Two Cells may assign the same database ids.
    #[error(
        "cells.sequence_ranges: the ranges of cell {first} and cell {second} overlap at {at} \
         (a short-lived cell may set skip_range_validation)"
    )]
    Overlap {
        /// The second of the two.
        entry: EntryPosition,
        /// The Cell whose range begins first.
        first: CellId,
        /// The Cell whose range begins inside it.
        second: CellId,
        /// The lowest id they share.
        at: i64,
    },
    /// A claim for a Cell that is not in the list.
    #[error("claims: {claim} names cell {cell}, which is not among the cells")]
    UnknownCell {
        /// The claim.
        entry: EntryPosition,
        /// The claim, printed.
        claim: String,
        /// The number it names.
        cell: CellId,
    },
}

impl DirectoryError {
    /// Returns the entry at fault, if a single one is.
    #[must_use]
    pub const fn entry(&self) -> Option<EntryPosition> {
        match self {
            Self::NoCells => None,
            Self::Duplicate { entry, .. }
            | Self::Overlap { entry, .. }
            | Self::UnknownCell { entry, .. } => Some(*entry),
        }
    }
}

/// The Cells and what each of them owns. It is immutable: a changed configuration makes a new one.
#[derive(Debug)]
pub struct Directory {
    first: Arc<Cell>,
    cells: Vec<Arc<Cell>>,
    by_id: HashMap<CellId, Arc<Cell>>,
    by_session_prefix: HashMap<Label, Arc<Cell>>,
    by_claim: HashMap<Claim, Arc<Cell>>,
}

impl Directory {
    /// Indexes Cells and claims. The first Cell is `FIRST_CELL`.
    ///
    /// # Errors
    /// [`DirectoryError`], if a lookup could match two Cells, or a claim names an unknown one.
    pub fn new(cells: Vec<Cell>, claims: Vec<(CellId, Claim)>) -> Result<Self, DirectoryError> {
        let cells: Vec<Arc<Cell>> = cells.into_iter().map(Arc::new).collect();
        let first = Arc::clone(cells.first().ok_or(DirectoryError::NoCells)?);
        let by_id = index("cells.id", &cells, |cell| Some(cell.id))?;
        index("cells.address", &cells, |cell| Some(&cell.address))?;
        index("cells.registry_address", &cells, |cell| cell.registry_address.as_ref())?;
        let by_session_prefix =
            index("cells.session_prefix", &cells, |cell| cell.session_prefix.clone())?;
        reject_overlaps(&cells)?;
        let by_claim = index_claims(&by_id, claims)?;
        Ok(Self { first, cells, by_id, by_session_prefix, by_claim })
    }

    /// Returns all Cells, in the order of the configuration.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = &Cell> {
        self.cells.iter().map(Arc::as_ref)
    }

    /// Finds the Cell for a request. Of several claims, the first one that a Cell owns decides.
    ///
    /// # Errors
    /// [`NotFound`], if no Cell matches.
    pub fn classify<'a>(
        &'a self,
        request: &'a ClassifyRequest,
    ) -> Result<Classified<'a>, NotFound> {
        let (cell, matched_claim) = match &request.key {
            LookupKey::FirstCell => (self.first.as_ref(), None),
            LookupKey::CellId(id) => (found(self.cell_numbered(id), id)?, None),
            LookupKey::SessionPrefix(prefix) => {
                (found(self.cell_with_prefix(prefix), prefix)?, None)
            }
            LookupKey::Claims(claims) => self.first_owned(claims)?,
        };
        let address = match request.target {
            None | Some(Target::Web) => &cell.address,
            Some(Target::Registry) => {
                cell.registry_address.as_ref().ok_or(NotFound::Registry(cell.id))?
            }
        };
        Ok(Classified { cell, address, matched_claim })
    }

    /// Returns the Cell with this number.
    ///
    /// # Errors
    /// [`NotFound`], if there is none.
    pub fn cell(&self, id: CellId) -> Result<&Cell, NotFound> {
        self.by_id.get(&id).map(Arc::as_ref).ok_or_else(|| NotFound::Value(id.to_string()))
    }

    fn first_owned<'a>(
        &'a self,
        claims: &'a [Claim],
    ) -> Result<(&'a Cell, Option<&'a Claim>), NotFound> {
        claims
            .iter()
            .find_map(|claim| Some((self.by_claim.get(&claim.folded())?.as_ref(), Some(claim))))
            .ok_or(NotFound::Claims(claims.len()))
    }

    fn cell_numbered(&self, digits: &str) -> Option<&Arc<Cell>> {
        self.by_id.get(&digits.parse().ok()?)
    }

    fn cell_with_prefix(&self, prefix: &str) -> Option<&Arc<Cell>> {
        self.by_session_prefix.get(&Label::try_from(prefix.to_owned()).ok()?)
    }
}

fn found<'a>(cell: Option<&'a Arc<Cell>>, value: &str) -> Result<&'a Cell, NotFound> {
    cell.map(Arc::as_ref).ok_or_else(|| NotFound::Value(value.to_owned()))
}

fn index<'a, K: Hash + Eq + Clone + std::fmt::Display>(
    field: &str,
    cells: &'a [Arc<Cell>],
    key: impl Fn(&'a Cell) -> Option<K>,
) -> Result<HashMap<K, Arc<Cell>>, DirectoryError> {
    let mut index = HashMap::new();
    for (position, cell) in cells.iter().enumerate() {
        let Some(key) = key(cell) else { continue };
        if let Some(first) = index.insert(key.clone(), Arc::clone(cell)) {
            let entry = EntryPosition::Cell(position);
            return Err(duplicate(entry, field, key.to_string(), &first, cell));
        }
    }
    Ok(index)
}

fn index_claims(
    cells: &HashMap<CellId, Arc<Cell>>,
    claims: Vec<(CellId, Claim)>,
) -> Result<HashMap<Claim, Arc<Cell>>, DirectoryError> {
    let mut index = HashMap::with_capacity(claims.len());
    for (position, (id, claim)) in claims.into_iter().enumerate() {
        let entry = EntryPosition::Claim(position);
        let Some(cell) = cells.get(&id) else {
            return Err(DirectoryError::UnknownCell { entry, claim: claim.to_string(), cell: id });
        };
        if let Some(first) = index.insert(claim.folded(), Arc::clone(cell)) {
            return Err(duplicate(entry, "claims", claim.to_string(), &first, cell));
        }
    }
    Ok(index)
}

/// Names both Cells, unless they have the same number.
fn between(first: CellId, second: CellId) -> String {
    if first == second { String::new() } else { format!(", to cell {first} and to cell {second}") }
}

fn duplicate(
    entry: EntryPosition,
    field: &str,
    value: String,
    first: &Cell,
    second: &Cell,
) -> DirectoryError {
    let (first, second) = (first.id, second.id);
    DirectoryError::Duplicate { entry, field: field.to_owned(), value, first, second }
}

fn reject_overlaps(cells: &[Arc<Cell>]) -> Result<(), DirectoryError> {
    let mut ranges: Vec<_> = (0..)
        .zip(cells)
        .filter(|(_, cell)| !cell.skip_range_validation)
        .flat_map(|(position, cell)| {
            cell.sequence_ranges.iter().map(move |range| (range, position, cell.id))
        })
        .collect();
    ranges.sort_by_key(|(range, _, _)| range.minval());
    let clash = ranges.windows(2).find_map(|pair| match pair {
        [(low, _, first), (high, position, second)] if high.minval() <= low.maxval() => {
            Some(DirectoryError::Overlap {
                entry: EntryPosition::Cell(*position),
                first: *first,
                second: *second,
                at: high.minval(),
            })
        }
        _ => None,
    });
    clash.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
