//! What a check reports: defects, progress and a summary.

use std::fmt;

use strum::{Display, EnumIter};

use crate::store::ObjectKind;

/// The kinds of defect. Their names are part of the output of `origin check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter)]
#[strum(serialize_all = "kebab-case")]
pub enum DefectKind {
    /// A row whose object does not exist.
    MissingObject,
    /// An object whose length differs from the one in its row.
    WrongLength,
    /// An object whose bytes do not match its digest.
    WrongBytes,
    /// A row whose values no version of this program writes.
    UnreadableRow,
    /// An object without a row.
    Orphan,
    /// A link or tag that refers to a row that does not exist.
    DanglingLink,
}

/// One defect, displayed as one line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// What is wrong.
    pub kind: DefectKind,
    /// The kind of object concerned.
    pub object: ObjectKind,
    /// The digest of the object, or whatever an unreadable row contains in its place.
    pub digest: String,
    /// Whether the check has repaired it.
    pub repaired: bool,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, object, digest, repaired } = self;
        write!(f, "{kind} {object} {}", digest.escape_default())?;
        if *repaired { f.write_str(" repaired") } else { Ok(()) }
    }
}

/// The result of a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of rows checked.
    pub rows: u64,
    /// The number of defects found.
    pub found: u64,
    /// The number of defects repaired.
    pub repaired: u64,
}

impl Summary {
    /// Returns whether no unrepaired defect remains.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.found == self.repaired
    }

    pub(super) fn add(&mut self, defect: &Defect, observer: &dyn Observer) {
        self.found += 1;
        self.repaired += u64::from(defect.repaired);
        observer.defect(defect);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, found, repaired } = self;
        write!(f, "checked {rows} rows: {found} defects, {repaired} repaired")
    }
}

/// Receives the progress and the defects of a running check.
pub trait Observer {
    /// Adds to the total amount of work: rows to check and bytes to read.
    fn add_total(&self, rows: u64, bytes: u64);
    /// Reports that one row has been checked, which accounts for this many of the bytes to read.
    fn row_checked(&self, bytes: u64);
    /// Reports a defect.
    fn defect(&self, defect: &Defect);
}
