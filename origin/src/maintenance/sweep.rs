//! Removes orphans: objects that have no database row. No pull can reach one, so it only takes space.
//!
//! A fill writes the object first and its row second. An object without a row may therefore belong to
//! a fill of any origin that shares the store, so only objects older than the grace period, which is
//! longer than any commit takes, are orphans. If a fill rewrites an orphan at the moment it is
//! removed, a row without its object remains; the next pull fetches that object again.

use std::time::Duration;

use anyhow::Result;
use futures_util::{Stream, TryStreamExt as _, future, stream};
use oci::Digest;
use strum::VariantArray as _;
use tracing::{info, warn};

use crate::db::Db;
use crate::db::audit::PAGE;
use crate::inject::{self, Point};
use crate::store::{ListedObject, ObjectInfo, ObjectKind, ObjectName, Store};

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// The number of orphans.
    pub objects: u64,
    /// Their total size in bytes.
    pub bytes: u64,
    /// The number of partial files of writers that were killed.
    pub partial_files: usize,
}

/// Removes orphans and partial files that are at least `grace` old.
///
/// # Errors
/// The database or the store fails; what was removed before that stays removed.
pub async fn sweep(db: &Db, store: &Store, grace: Duration) -> Result<Swept> {
    let partial_files = store.remove_partial_files(grace).await?;
    let mut swept = Swept { partial_files, ..Swept::default() };
    let mut found = Box::pin(orphans(db, store, grace));
    while let Some(orphan) = found.try_next().await? {
        if remove_orphan(db, store, &orphan).await? {
            swept.objects += 1;
            swept.bytes += orphan.info.size;
        }
    }
    Ok(swept)
}

/// Runs [`sweep`] and logs what it removed or why it failed.
pub(crate) async fn sweep_and_log(db: &Db, store: &Store, grace: Duration) {
    match sweep(db, store, grace).await {
        Ok(swept) if swept == Swept::default() => {}
        Ok(Swept { objects, bytes, partial_files }) => {
            info!(objects, bytes, partial_files, "removed objects without a database row");
        }
        Err(error) => {
            warn!(error = format!("{error:#}"), "sweep of the store failed; the next one retries");
        }
    }
}

/// An object without a database row.
#[derive(Debug, Clone)]
pub(crate) struct Orphan {
    pub(crate) kind: ObjectKind,
    pub(crate) digest: Digest,
    /// The object's state when it was listed.
    pub(crate) info: ObjectInfo,
}

impl Orphan {
    /// Treats a listed object as a possible orphan. `None`: this program did not write the object.
    fn candidate(ListedObject { name, info }: ListedObject) -> Option<Self> {
        match name {
            ObjectName::Known(kind, digest) => Some(Self { kind, digest, info }),
            ObjectName::Foreign(_) => None,
        }
    }
}

/// Lists the objects that are at least `grace` old and have no row.
pub(crate) fn orphans<'a>(
    db: &'a Db,
    store: &'a Store,
    grace: Duration,
) -> impl Stream<Item = Result<Orphan>> + 'a {
    store
        .list()
        .try_filter_map(|object| future::ready(Ok(Orphan::candidate(object))))
        .try_filter(move |object| future::ready(object.info.age() >= grace))
        .try_chunks(PAGE)
        .map_err(|error| anyhow::Error::from(error.1))
        .and_then(move |page| without_row(db, page))
        .map_ok(|page| stream::iter(page.into_iter().map(Ok)))
        .try_flatten()
}

async fn without_row(db: &Db, mut page: Vec<Orphan>) -> Result<Vec<Orphan>> {
    for &kind in ObjectKind::VARIANTS {
        let candidates = page.iter().filter(|object| object.kind == kind);
        let digests: Vec<_> = candidates.map(|object| object.digest.to_string()).collect();
        let rows = db.rows_among(kind, &digests).await?;
        page.retain(|object| object.kind != kind || !rows.contains(&object.digest.to_string()));
    }
    Ok(page)
}

/// Removes an orphan, unless it has changed or got a row since it was listed: then returns `false`.
pub(crate) async fn remove_orphan(db: &Db, store: &Store, orphan: &Orphan) -> Result<bool> {
    let Orphan { kind, digest, info } = orphan;
    let key = kind.key(digest);
    let unchanged = store.stat(&key).await?.as_ref() == Some(info);
    if !unchanged || db.audit_row(*kind, &digest.to_string()).await?.is_some() {
        return Ok(false);
    }
    inject::at(Point::OrphanFound);
    store.delete(&key).await?;
    Ok(true)
}
