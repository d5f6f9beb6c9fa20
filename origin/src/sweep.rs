//! Objects without a row: nobody can see them, and they only cost room.
//!
//! A fill writes its object first and its row second, so an object without a row may be a fill's of
//! any origin on this store: only those are swept that are older than any commit takes. One that a
//! fill writes anew in the moment it is swept leaves a row without object, which the next pull heals.

use std::time::Duration;

use anyhow::Result;
use futures_util::{Stream, TryStreamExt as _, future, stream};
use oci::Digest;
use tracing::{info, warn};

use crate::db::Db;
use crate::db::audit::PAGE;
use crate::inject::{self, Point};
use crate::store::{Class, Name, Object, Store, Stored};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects without a row.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that a killed writer left half-written.
    pub unfinished: usize,
}

/// Removes what is at least this old and belongs to no row.
///
/// # Errors
/// The database or the store fails; what was removed until then is gone.
pub async fn sweep(db: &Db, store: &Store, grace: Duration) -> Result<Swept> {
    let mut swept = Swept { unfinished: store.remove_unfinished(grace).await?, ..Swept::default() };
    let mut found = Box::pin(orphans(db, store, grace));
    while let Some(orphan) = found.try_next().await? {
        if remove_orphan(db, store, &orphan).await? {
            swept.objects += 1;
            swept.bytes += orphan.seen.size;
        }
    }
    Ok(swept)
}

/// As [`sweep`]; what was done, or why not, goes to the log.
pub(crate) async fn sweep_and_log(db: &Db, store: &Store, grace: Duration) {
    match sweep(db, store, grace).await {
        Ok(swept) if swept == Swept::default() => {}
        Ok(Swept { objects, bytes, unfinished }) => {
            info!(objects, bytes, unfinished, "removed what no row speaks of");
        }
        Err(error) => warn!(error = format!("{error:#}"), "objects without a row stay for now"),
    }
}

/// An object that no row speaks of.
#[derive(Debug, Clone)]
pub(crate) struct Orphan {
    pub(crate) class: Class,
    pub(crate) digest: Digest,
    /// As it was then.
    pub(crate) seen: Stored,
}

impl Orphan {
    /// A listed object as it would be one; `None` for what this program did not write.
    fn of(Object { name, size, modified }: Object) -> Option<Self> {
        let (class, digest) = match name {
            Name::Blob(digest) => (Class::Blob, digest),
            Name::Manifest(digest) => (Class::Manifest, digest),
            Name::Foreign(_) => return None,
        };
        Some(Self { class, digest, seen: Stored { size, modified } })
    }
}

/// Objects of at least this age that no row speaks of.
pub(crate) fn orphans<'a>(
    db: &'a Db,
    store: &'a Store,
    grace: Duration,
) -> impl Stream<Item = Result<Orphan>> + 'a {
    store
        .list()
        .try_filter_map(|object| future::ready(Ok(Orphan::of(object))))
        .try_filter(move |object| future::ready(object.seen.age() >= grace))
        .try_chunks(PAGE)
        .map_err(|error| anyhow::Error::from(error.1))
        .and_then(move |page| without_row(db, page))
        .map_ok(|page| stream::iter(page.into_iter().map(Ok)))
        .try_flatten()
}

async fn without_row(db: &Db, mut page: Vec<Orphan>) -> Result<Vec<Orphan>> {
    for class in Class::ALL {
        let ours = page.iter().filter(|object| object.class == class);
        let digests: Vec<_> = ours.map(|object| object.digest.to_string()).collect();
        let rows = db.rows_among(class, &digests).await?;
        page.retain(|object| object.class != class || !rows.contains(&object.digest.to_string()));
    }
    Ok(page)
}

/// Removes an orphan that is still one. `false`: it is none any more.
pub(crate) async fn remove_orphan(db: &Db, store: &Store, orphan: &Orphan) -> Result<bool> {
    let Orphan { class, digest, seen } = orphan;
    let key = class.key(digest);
    let unchanged = store.stat(&key).await?.as_ref() == Some(seen);
    if !unchanged || db.audit_row(*class, &digest.to_string()).await?.is_some() {
        return Ok(false);
    }
    inject::at(Point::OrphanFound);
    store.delete(&key).await?;
    Ok(true)
}
