//! `origin check`: verifies that database rows, objects and their bytes agree.
//!
//! Origins may serve while a check runs. Two rules make that safe:
//!
//! * A row is a defect only if it is still defective when read again: between the first read of the
//!   row and that of its object, a fill may have replaced either.
//! * A repair removes what is wrong and everything that refers to it; it never writes content. The
//!   next pull fetches the content again, after the upstream has authorised it. Every intermediate
//!   state is one that pulls handle, so a repair may be interrupted at any point.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use oci::{Digest, Hasher};
use strum::VariantArray as _;

use super::sweep;
use crate::body::bytes_of;
use crate::db::Db;
use crate::db::audit::AuditRow;
use crate::inject::{self, Point};
use crate::store::{ObjectInfo, ObjectKind, Store, StoreError};

pub use report::{Defect, DefectKind, Observer, Summary};

mod report;

/// The number of objects that are read concurrently.
const CONCURRENCY: usize = 8;

/// How thorough a check is, and whether it repairs defects.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Repair defects.
    pub repair: bool,
    /// Compare lengths only, without reading objects.
    pub quick: bool,
    /// The minimum age of an orphan. A younger object may belong to a fill that is about to commit its
    /// row.
    pub grace: Duration,
}

/// Checks all rows, links and objects of a Cell.
///
/// # Errors
/// The database or the store fails. The observer has received the defects found before.
pub async fn run(
    db: Db,
    store: Store,
    options: Options,
    observer: &dyn Observer,
) -> Result<Summary> {
    let check = Check { db, store, options };
    let mut summary = Summary::default();
    for &kind in ObjectKind::VARIANTS {
        let (rows, bytes) = check.db.audit_totals(kind).await?;
        observer.add_total(rows, if options.quick { 0 } else { bytes });
    }
    for &kind in ObjectKind::VARIANTS {
        check.rows(kind, &mut summary, observer).await?;
        check.links(kind, &mut summary, observer).await?;
    }
    check.orphans(&mut summary, observer).await?;
    if options.repair {
        check.store.remove_partial_files(options.grace).await?;
    }
    Ok(summary)
}

#[derive(Debug, Clone)]
struct Check {
    db: Db,
    store: Store,
    options: Options,
}

/// A defect of a row, with the object's state when it was found.
type Finding = (DefectKind, Option<ObjectInfo>);

impl Check {
    async fn rows(
        &self,
        kind: ObjectKind,
        summary: &mut Summary,
        observer: &dyn Observer,
    ) -> Result<()> {
        let mut after = String::new();
        loop {
            let page = self.db.audit_page(kind, &after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.digest);
            let checks = page.into_iter().map(|row| {
                let bytes = self.bytes_to_read(&row);
                let check = tokio::spawn(self.clone().row(kind, row));
                async move { anyhow::Ok((bytes, check.await??)) }
            });
            let mut checks = stream::iter(checks).buffer_unordered(CONCURRENCY);
            while let Some((bytes, defect)) = checks.try_next().await? {
                summary.rows += 1;
                observer.row_checked(bytes);
                if let Some(defect) = defect {
                    summary.add(&defect, observer);
                }
            }
        }
    }

    fn bytes_to_read(&self, row: &AuditRow) -> u64 {
        if self.options.quick { 0 } else { row.size.try_into().unwrap_or_default() }
    }

    /// Inspects a row, confirms a defect with a second read of the row, and repairs it.
    async fn row(self, kind: ObjectKind, row: AuditRow) -> Result<Option<Defect>> {
        let digest = &row.digest;
        let found = self.inspect(kind, &row).await.with_context(|| format!("{kind} {digest}"))?;
        if found.is_none() {
            return Ok(None);
        }
        let Some(row) = self.db.audit_row(kind, digest).await? else { return Ok(None) };
        let Some((defect, object)) = self.inspect(kind, &row).await? else { return Ok(None) };
        let repaired = self.options.repair && self.repair(kind, &row, object).await?;
        Ok(Some(Defect { kind: defect, object: kind, digest: row.digest, repaired }))
    }

    async fn inspect(&self, kind: ObjectKind, row: &AuditRow) -> Result<Option<Finding>> {
        let (Ok(digest), Ok(size)) = (row.digest.parse(), u64::try_from(row.size)) else {
            return Ok(Some((DefectKind::UnreadableRow, None)));
        };
        let Some(object) = self.store.stat(&kind.key(&digest)).await? else {
            return Ok(Some((DefectKind::MissingObject, None)));
        };
        if object.size != size {
            return Ok(Some((DefectKind::WrongLength, Some(object))));
        }
        let right = self.options.quick || self.has_right_bytes(kind, &digest, size).await?;
        Ok((!right).then_some((DefectKind::WrongBytes, Some(object))))
    }

    async fn has_right_bytes(&self, kind: ObjectKind, digest: &Digest, size: u64) -> Result<bool> {
        let bytes = match self.store.stream(&kind.key(digest), size, 0..size).await {
            Err(StoreError::Missing(_) | StoreError::WrongLength(_)) => return Ok(false),
            opened => opened?,
        };
        let mut hasher = Hasher::new(digest.algorithm());
        let mut bytes = Box::pin(bytes_of(bytes));
        while let Some(chunk) = bytes.try_next().await? {
            hasher.update(&chunk);
        }
        Ok(hasher.finish() == *digest)
    }

    /// Removes the object, and then the row with its links and tags. Returns `false` if a pull changed
    /// either of them meanwhile.
    ///
    /// The order allows the check to be killed in between: a row without its object is a state that the
    /// next pull repairs.
    async fn repair(
        &self,
        kind: ObjectKind,
        row: &AuditRow,
        object: Option<ObjectInfo>,
    ) -> Result<bool> {
        if let (Some(seen), Ok(digest)) = (object, row.digest.parse()) {
            let key = kind.key(&digest);
            // A different time or length means that a fill has replaced the object; do not remove it.
            if self.store.stat(&key).await? != Some(seen) {
                return Ok(false);
            }
            self.store.delete(&key).await?;
            inject::at(Point::RepairHalfDone);
        }
        match self.db.forget(kind, &row.digest).await {
            // A pull has just linked the row. Either it fetched the content, or the next check finds
            // what remains.
            Err(error) if error.is_conflict() => Ok(false),
            forgotten => Ok(forgotten.map(|()| true)?),
        }
    }

    async fn links(
        &self,
        object: ObjectKind,
        summary: &mut Summary,
        observer: &dyn Observer,
    ) -> Result<()> {
        for digest in self.db.dangling(object).await? {
            if self.options.repair {
                self.db.forget_dangling(object, &digest).await?;
            }
            let (kind, repaired) = (DefectKind::DanglingLink, self.options.repair);
            summary.add(&Defect { kind, object, digest, repaired }, observer);
        }
        Ok(())
    }

    async fn orphans(&self, summary: &mut Summary, observer: &dyn Observer) -> Result<()> {
        let Self { db, store, options } = self;
        let mut orphans = Box::pin(sweep::orphans(db, store, options.grace));
        while let Some(orphan) = orphans.try_next().await? {
            let repaired = options.repair && sweep::remove_orphan(db, store, &orphan).await?;
            let (object, digest) = (orphan.kind, orphan.digest.to_string());
            summary.add(&Defect { kind: DefectKind::Orphan, object, digest, repaired }, observer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
