//! The directory: cells and claims indexed once, questions answered without I/O.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::cell::{Cell, CellId, Label};
use crate::claim::Claim;

/// What a question goes by when it names no claims; GitLab's `ClassifyType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClassifyType {
    /// The first Cell of the configuration, whatever the value.
    FirstCell,
    /// The Cell whose session prefix equals the value.
    SessionPrefix,
    /// The Cell whose number equals the value, in decimal digits.
    CellId,
}

impl ClassifyType {
    /// The name of the enum's value on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FirstCell => "FIRST_CELL",
            Self::SessionPrefix => "SESSION_PREFIX",
            Self::CellId => "CELL_ID",
        }
    }
}

/// A well-formed question: by type and value, or by claims in the order they are to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassifyRequest {
    key: Key,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    FirstCell,
    SessionPrefix(String),
    CellId(String),
    Claims(Vec<Claim>),
}

/// Why a question cannot be asked (gRPC `INVALID_ARGUMENT`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// Neither a type nor a claim.
    #[error("invalid type: \"UNSPECIFIED\"")]
    Unspecified,
    /// Both a type and claims: which one decides would be a guess.
    #[error("type {:?} and claims exclude each other", .0.as_str())]
    TypeAndClaims(ClassifyType),
    /// A type that needs a value, without one.
    #[error("type {:?} needs a value", .0.as_str())]
    NoValue(ClassifyType),
    /// A Cell number that is not written in decimal digits.
    #[error("invalid cell id {0:?}: expected decimal digits")]
    CellId(String),
}

impl ClassifyRequest {
    /// Reads the three fields of the message; `kind` is `None` for `UNSPECIFIED`.
    ///
    /// # Errors
    /// [`InvalidRequest`], when the fields ask nothing or contradict each other.
    pub fn new(
        kind: Option<ClassifyType>,
        value: String,
        claims: Vec<Claim>,
    ) -> Result<Self, InvalidRequest> {
        let key = match (kind, claims.is_empty()) {
            (None, true) => return Err(InvalidRequest::Unspecified),
            (None, false) => Key::Claims(claims),
            (Some(kind), false) => return Err(InvalidRequest::TypeAndClaims(kind)),
            (Some(kind), true) => Key::of_type(kind, value)?,
        };
        Ok(Self { key })
    }

    /// What the question goes by, for logs: never the value, which may be a secret's prefix.
    #[must_use]
    pub const fn by(&self) -> &'static str {
        match self.key {
            Key::FirstCell => ClassifyType::FirstCell.as_str(),
            Key::SessionPrefix(_) => ClassifyType::SessionPrefix.as_str(),
            Key::CellId(_) => ClassifyType::CellId.as_str(),
            Key::Claims(_) => "claims",
        }
    }
}

impl Key {
    fn of_type(kind: ClassifyType, value: String) -> Result<Self, InvalidRequest> {
        match kind {
            ClassifyType::FirstCell => Ok(Self::FirstCell),
            _ if value.is_empty() => Err(InvalidRequest::NoValue(kind)),
            ClassifyType::SessionPrefix => Ok(Self::SessionPrefix(value)),
            // A number too large for any Cell is well-formed, and simply not found.
            ClassifyType::CellId if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Self::CellId(value))
            }
            ClassifyType::CellId => Err(InvalidRequest::CellId(value)),
        }
    }
}

/// The answer: the Cell, and which of the question's claims led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classified<'a> {
    /// The Cell the request belongs to.
    pub cell: &'a Cell,
    /// The claim that was found, as the question spelled it; `None` when asked by type.
    pub matched_claim: Option<&'a Claim>,
}

/// No Cell has what was asked for (gRPC `NOT_FOUND`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// No Cell with this prefix or number.
    #[error("cell not found: {0:?}")]
    Value(String),
    /// None of the claims is owned; the number of claims tried.
    #[error("cell not found: none of {0} claims is owned by a cell")]
    Claims(usize),
}

/// Why cells and claims do not make a directory; each message names the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// There must be a first Cell.
    #[error("cells: at least one cell is needed")]
    NoCells,
    /// A value that must lead to one Cell leads to two.
    #[error("{field}: {value} is given twice, to cell {first} and to cell {second}")]
    Twice {
        /// Where it was found, such as `cells.address`.
        field: String,
        /// The value in question.
        value: String,
        /// The Cell that has it already.
        first: CellId,
        /// The Cell that asks for it too.
        second: CellId,
    },
    /// Two Cells may give out the same database ids.
    #[error(
        "cells.sequence_ranges: the ranges of cell {first} and cell {second} overlap at {at} \
         (a short-lived cell may set skip_range_validation)"
    )]
    Overlap {
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
        /// The claim, printed.
        claim: String,
        /// The number it names.
        cell: CellId,
    },
}

/// Cells and who owns what; immutable, so a change of configuration is a new directory.
#[derive(Debug)]
pub struct Directory {
    first: Arc<Cell>,
    cells: Vec<Arc<Cell>>,
    by_id: HashMap<CellId, Arc<Cell>>,
    by_session_prefix: HashMap<Label, Arc<Cell>>,
    by_claim: HashMap<Claim, Arc<Cell>>,
}

impl Directory {
    /// Indexes cells (in the order of the file: the first one is `FIRST_CELL`) and their claims.
    ///
    /// # Errors
    /// [`DirectoryError`], when a question could have two answers or a claim has no Cell.
    pub fn new(cells: Vec<Cell>, claims: Vec<(CellId, Claim)>) -> Result<Self, DirectoryError> {
        let cells: Vec<Arc<Cell>> = cells.into_iter().map(Arc::new).collect();
        let first = Arc::clone(cells.first().ok_or(DirectoryError::NoCells)?);
        let by_id = index("cells.id", &cells, |cell| Some(cell.id))?;
        index("cells.address", &cells, |cell| Some(&cell.address))?;
        index("cells.registry_address", &cells, |cell| cell.registry_address.as_ref())?;
        let by_session_prefix =
            index("cells.session_prefix", &cells, |cell| cell.session_prefix.clone())?;
        refuse_overlaps(&cells)?;
        let by_claim = index_claims(&by_id, claims)?;
        Ok(Self { first, cells, by_id, by_session_prefix, by_claim })
    }

    /// All cells, in the order of the configuration.
    pub fn cells(&self) -> impl ExactSizeIterator<Item = &Cell> {
        self.cells.iter().map(Arc::as_ref)
    }

    /// Finds the Cell a question is about; of several claims, the first that is owned.
    ///
    /// # Errors
    /// [`NotFound`], when no Cell has what was asked for.
    pub fn classify<'a>(
        &'a self,
        request: &'a ClassifyRequest,
    ) -> Result<Classified<'a>, NotFound> {
        let cell = match &request.key {
            Key::FirstCell => &self.first,
            Key::CellId(id) => found(self.cell_numbered(id), id)?,
            Key::SessionPrefix(prefix) => found(self.cell_with_prefix(prefix), prefix)?,
            Key::Claims(claims) => return self.first_owned(claims),
        };
        Ok(Classified { cell, matched_claim: None })
    }

    fn first_owned<'a>(&'a self, claims: &'a [Claim]) -> Result<Classified<'a>, NotFound> {
        claims
            .iter()
            .find_map(|claim| Some((claim, self.by_claim.get(&claim.folded())?)))
            .map(|(claim, cell)| Classified { cell, matched_claim: Some(claim) })
            .ok_or(NotFound::Claims(claims.len()))
    }

    fn cell_numbered(&self, digits: &str) -> Option<&Arc<Cell>> {
        self.by_id.get(&digits.parse().ok()?)
    }

    fn cell_with_prefix(&self, prefix: &str) -> Option<&Arc<Cell>> {
        self.by_session_prefix.get(&Label::try_from(prefix.to_owned()).ok()?)
    }
}

fn found<'a>(cell: Option<&'a Arc<Cell>>, value: &str) -> Result<&'a Arc<Cell>, NotFound> {
    cell.ok_or_else(|| NotFound::Value(value.to_owned()))
}

fn index<'a, K: Hash + Eq + Clone + std::fmt::Debug>(
    field: &str,
    cells: &'a [Arc<Cell>],
    key: impl Fn(&'a Cell) -> Option<K>,
) -> Result<HashMap<K, Arc<Cell>>, DirectoryError> {
    let mut index = HashMap::new();
    for cell in cells {
        let Some(key) = key(cell) else { continue };
        if let Some(first) = index.insert(key.clone(), Arc::clone(cell)) {
            return Err(twice(field, format!("{key:?}"), &first, cell));
        }
    }
    Ok(index)
}

fn index_claims(
    cells: &HashMap<CellId, Arc<Cell>>,
    claims: Vec<(CellId, Claim)>,
) -> Result<HashMap<Claim, Arc<Cell>>, DirectoryError> {
    let mut index = HashMap::with_capacity(claims.len());
    for (id, claim) in claims {
        let Some(cell) = cells.get(&id) else {
            return Err(DirectoryError::UnknownCell { claim: claim.to_string(), cell: id });
        };
        if let Some(first) = index.insert(claim.folded(), Arc::clone(cell)) {
            return Err(twice("claims", claim.to_string(), &first, cell));
        }
    }
    Ok(index)
}

fn twice(field: &str, value: String, first: &Cell, second: &Cell) -> DirectoryError {
    DirectoryError::Twice { field: field.to_owned(), value, first: first.id, second: second.id }
}

fn refuse_overlaps(cells: &[Arc<Cell>]) -> Result<(), DirectoryError> {
    let mut ranges: Vec<_> = cells
        .iter()
        .filter(|cell| !cell.skip_range_validation)
        .flat_map(|cell| cell.sequence_ranges.iter().map(|range| (range, cell.id)))
        .collect();
    ranges.sort_by_key(|(range, _)| range.minval());
    let clash = ranges.windows(2).find_map(|pair| match pair {
        [(low, first), (high, second)] if high.minval() <= low.maxval() => {
            Some(DirectoryError::Overlap { first: *first, second: *second, at: high.minval() })
        }
        _ => None,
    });
    clash.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests;
