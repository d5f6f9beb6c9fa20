//! `origin check`: whether rows, objects and bytes are what they say of each other.
//!
//! It may run beside origins that serve, and be interrupted: a defect counts only where a second
//! look sees it too, and each repair is a step after which every pull is right. A repair removes
//! what is wrong and what leads to it; the next pull fetches it again through the upstream's check.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{Digest, Hasher};

use crate::body::bytes_of;
use crate::db::Db;
use crate::db::audit::AuditRow;
use crate::inject::{self, Point};
use crate::store::{Class, Store, StoreError, Stored};
use crate::sweep;

pub use progress::Progress;

mod progress;

/// Objects that are read at the same time.
const PARALLEL: usize = 8;

/// How thorough a check is, and whether it mends.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Mend what is found.
    pub repair: bool,
    /// Compare lengths only, and read no object.
    pub quick: bool,
    /// Objects without a row are defects from this age on; younger ones may be a fill's.
    pub grace: Duration,
}

/// What can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A row without its object.
    MissingObject,
    /// An object of another length than its row says.
    WrongLength,
    /// An object whose bytes are not its digest's.
    WrongBytes,
    /// A row that no version of this program wrote.
    UnreadableRow,
    /// An object without a row.
    Orphan,
    /// A link or tag that leads nowhere.
    DanglingLink,
}

impl Kind {
    /// Its name in the report.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingObject => "missing-object",
            Self::WrongLength => "wrong-length",
            Self::WrongBytes => "wrong-bytes",
            Self::UnreadableRow => "unreadable-row",
            Self::Orphan => "orphan",
            Self::DanglingLink => "dangling-link",
        }
    }
}

/// Something wrong: a line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// What is wrong.
    pub kind: Kind,
    /// With what.
    pub class: Class,
    /// With which; a digest where the row has one.
    pub digest: String,
    /// Whether it was mended.
    pub repaired: bool,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, class) = (self.kind.as_str(), self.class.as_str());
        write!(f, "{kind} {class} {}", self.digest.escape_default())?;
        if self.repaired { f.write_str(" repaired") } else { Ok(()) }
    }
}

/// What a check came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows that were looked at.
    pub rows: u64,
    /// Defects found.
    pub found: u64,
    /// Of these, mended.
    pub repaired: u64,
}

impl Summary {
    /// Whether nothing is wrong any more.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.found == self.repaired
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, found, repaired } = self;
        write!(f, "checked {rows} rows: {found} defects, {repaired} repaired")
    }
}

/// Who is told of a check as it goes on.
pub trait Observer {
    /// So many more rows are to be looked at, and bytes to be read.
    fn expect(&self, rows: u64, bytes: u64);
    /// A row was looked at, for which so many bytes were to be read.
    fn advance(&self, bytes: u64);
    /// Something is wrong.
    fn tell(&self, defect: &Defect);
}

/// Checks everything.
///
/// # Errors
/// The database or the store fails; what was found until then was told.
pub async fn run(
    db: Db,
    store: Store,
    options: Options,
    observer: &dyn Observer,
) -> Result<Summary> {
    let check = Check { db, store, options };
    let mut summary = Summary::default();
    for class in Class::ALL {
        let (rows, bytes) = check.db.audit_totals(class).await?;
        observer.expect(rows, if options.quick { 0 } else { bytes });
    }
    for class in Class::ALL {
        check.rows(class, &mut summary, observer).await?;
        check.links(class, &mut summary, observer).await?;
    }
    check.orphans(&mut summary, observer).await?;
    if options.repair {
        check.store.remove_unfinished(options.grace).await?;
    }
    Ok(summary)
}

#[derive(Debug, Clone)]
struct Check {
    db: Db,
    store: Store,
    options: Options,
}

/// A defect of a row, and the object as it was then.
type Finding = (Kind, Option<Stored>);

impl Summary {
    fn add(&mut self, defect: &Defect, observer: &dyn Observer) {
        self.found += 1;
        self.repaired += u64::from(defect.repaired);
        observer.tell(defect);
    }
}

impl Check {
    async fn rows(
        &self,
        class: Class,
        summary: &mut Summary,
        observer: &dyn Observer,
    ) -> Result<()> {
        let mut after = String::new();
        loop {
            let page = self.db.audit_page(class, &after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.digest);
            let looks = page.into_iter().map(|row| {
                let bytes = self.bytes_of(&row);
                let look = tokio::spawn(self.clone().row(class, row));
                async move { anyhow::Ok((bytes, look.await??)) }
            });
            let mut looks = stream::iter(looks).buffer_unordered(PARALLEL);
            while let Some((bytes, defect)) = looks.try_next().await? {
                summary.rows += 1;
                observer.advance(bytes);
                if let Some(defect) = defect {
                    summary.add(&defect, observer);
                }
            }
        }
    }

    fn bytes_of(&self, row: &AuditRow) -> u64 {
        if self.options.quick { 0 } else { row.size.try_into().unwrap_or_default() }
    }

    /// Looks, looks again where something is wrong, and mends what still is.
    async fn row(self, class: Class, row: AuditRow) -> Result<Option<Defect>> {
        let digest = &row.digest;
        let found = self.look(class, &row).await.with_context(|| format!("{class:?} {digest}"))?;
        if found.is_none() {
            return Ok(None);
        }
        let Some(row) = self.db.audit_row(class, digest).await? else { return Ok(None) };
        let Some((kind, object)) = self.look(class, &row).await? else { return Ok(None) };
        let repaired = self.options.repair && self.mend(class, &row, object).await?;
        Ok(Some(Defect { kind, class, digest: row.digest, repaired }))
    }

    async fn look(&self, class: Class, row: &AuditRow) -> Result<Option<Finding>> {
        let (Ok(digest), Ok(size)) = (row.digest.parse(), u64::try_from(row.size)) else {
            return Ok(Some((Kind::UnreadableRow, None)));
        };
        let Some(object) = self.store.stat(&class.key(&digest)).await? else {
            return Ok(Some((Kind::MissingObject, None)));
        };
        if object.size != size {
            return Ok(Some((Kind::WrongLength, Some(object))));
        }
        let right = self.options.quick || self.has_right_bytes(class, &digest, size).await?;
        Ok((!right).then_some((Kind::WrongBytes, Some(object))))
    }

    async fn has_right_bytes(&self, class: Class, digest: &Digest, size: u64) -> Result<bool> {
        let bytes = match self.store.stream(&class.key(digest), size, 0..size).await {
            Err(StoreError::Missing(_) | StoreError::Spoilt(_)) => return Ok(false),
            opened => opened?,
        };
        let mut hasher = Hasher::new(digest.algorithm());
        let mut bytes = Box::pin(bytes_of(bytes));
        while let Some(chunk) = bytes.try_next().await? {
            hasher.update(&chunk);
        }
        Ok(hasher.finish() == *digest)
    }

    /// Object first: a row without one heals by itself, whoever ends this half-way.
    async fn mend(&self, class: Class, row: &AuditRow, object: Option<Stored>) -> Result<bool> {
        if let (Some(seen), Ok(digest)) = (object, row.digest.parse()) {
            let key = class.key(&digest);
            if self.store.stat(&key).await? != Some(seen) {
                return Ok(false);
            }
            self.store.delete(&key).await?;
            inject::at(Point::RepairHalfDone);
        }
        match self.db.forget(class, &row.digest).await {
            // A pull linked it anew: that one fetched it, or the next check finds what is left.
            Err(error) if error.is_conflict() => Ok(false),
            forgotten => Ok(forgotten.map(|()| true)?),
        }
    }

    async fn links(
        &self,
        class: Class,
        summary: &mut Summary,
        observer: &dyn Observer,
    ) -> Result<()> {
        for digest in self.db.dangling(class).await? {
            if self.options.repair {
                self.db.forget_dangling(class, &digest).await?;
            }
            let repaired = self.options.repair;
            summary.add(&Defect { kind: Kind::DanglingLink, class, digest, repaired }, observer);
        }
        Ok(())
    }

    async fn orphans(&self, summary: &mut Summary, observer: &dyn Observer) -> Result<()> {
        let Self { db, store, options } = self;
        let mut orphans = Box::pin(sweep::orphans(db, store, options.grace));
        while let Some(orphan) = orphans.try_next().await? {
            let repaired = options.repair && sweep::remove_orphan(db, store, &orphan).await?;
            let (kind, class, digest) = (Kind::Orphan, orphan.class, orphan.digest.to_string());
            summary.add(&Defect { kind, class, digest, repaired }, observer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
