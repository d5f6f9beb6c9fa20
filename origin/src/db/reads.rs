//! When links were last read: noted in memory on a pull's way, written in batches off it. What a
//! killed process did not write is lost, and only makes a link look unread for longer than it was.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use oci::{Digest, RepositoryName};
use sqlx::{Any, Transaction};

use super::groups::GroupId;
use super::{Db, DbError, now_millis};
use crate::inject::{self, Point};

/// A link's row is touched this often at most.
const GRANULARITY: Duration = Duration::from_secs(60 * 60);

/// Noted at most between two batches, and remembered as noted; what comes above is not noted.
const LIMIT: usize = 100_000;

/// How many rows one transaction holds, so that it stands in nobody's way for long.
const BATCH: usize = 1000;

/// A link that was read; its order keeps the batches of two origins from locking each other out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Link {
    Blob(GroupId, Digest),
    Manifest(GroupId, RepositoryName, Digest),
}

/// What was noted and not written yet.
#[derive(Debug)]
pub(super) struct Reads {
    recent: Cache<Link, ()>,
    noted: Mutex<BTreeMap<Link, i64>>,
}

impl Default for Reads {
    fn default() -> Self {
        let recent = Cache::builder().max_capacity(LIMIT as u64).time_to_live(GRANULARITY).build();
        Self { recent, noted: Mutex::default() }
    }
}

impl Reads {
    fn read(&self, link: Link) {
        if self.recent.contains_key(&link) {
            return;
        }
        let mut noted = self.lock();
        if noted.len() < LIMIT {
            noted.insert(link.clone(), now_millis());
            self.recent.insert(link, ());
        }
    }

    fn take(&self) -> BTreeMap<Link, i64> {
        std::mem::take(&mut *self.lock())
    }

    /// For the next batch; what does not fit may be noted again.
    fn give_back(&self, rows: &[(Link, i64)]) {
        let mut noted = self.lock();
        for (link, at) in rows {
            if noted.len() < LIMIT {
                noted.entry(link.clone()).or_insert(*at);
            } else if !noted.contains_key(link) {
                self.recent.invalidate(link);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Link, i64>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Db {
    /// Notes that a group read a blob; written by the next [`Db::write_reads`].
    pub fn note_blob_read(&self, group: GroupId, digest: &Digest) {
        self.reads.read(Link::Blob(group, digest.clone()));
    }

    /// Notes that a group read a manifest; written by the next [`Db::write_reads`].
    pub fn note_manifest_read(&self, group: GroupId, image: &RepositoryName, digest: &Digest) {
        self.reads.read(Link::Manifest(group, image.clone(), digest.clone()));
    }

    /// Writes what was noted, and says how many rows that concerned.
    ///
    /// # Errors
    /// The database fails; what was not written is tried again by the next call.
    pub async fn write_reads(&self) -> Result<usize, DbError> {
        let rows: Vec<_> = self.reads.take().into_iter().collect();
        let mut left = rows.as_slice();
        while !left.is_empty() {
            let (batch, rest) = left.split_at(left.len().min(BATCH));
            if let Err(error) = self.write_batch(batch).await {
                self.reads.give_back(left);
                return Err(error);
            }
            left = rest;
        }
        Ok(rows.len())
    }

    async fn write_batch(&self, batch: &[(Link, i64)]) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        for (link, at) in batch {
            link.touch(*at, &mut transaction).await?;
        }
        inject::at(Point::ReadsWritten);
        Ok(transaction.commit().await?)
    }
}

impl Link {
    async fn touch(
        &self,
        at: i64,
        transaction: &mut Transaction<'static, Any>,
    ) -> Result<(), DbError> {
        let granularity = i64::try_from(GRANULARITY.as_millis()).unwrap_or(i64::MAX);
        let query = match self {
            Self::Blob(group, digest) => sqlx::query(
                "UPDATE blob_links SET read_at = $1
                 WHERE read_at <= $2 AND group_id = $3 AND digest = $4",
            )
            .bind(at)
            .bind(at - granularity)
            .bind(group.0)
            .bind(digest.to_string()),
            Self::Manifest(group, image, digest) => sqlx::query(
                "UPDATE manifest_links SET read_at = $1
                 WHERE read_at <= $2 AND group_id = $3 AND image = $4 AND digest = $5",
            )
            .bind(at)
            .bind(at - granularity)
            .bind(group.0)
            .bind(image.as_str().to_owned())
            .bind(digest.to_string()),
        };
        query.execute(&mut **transaction).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::groups::Visibility;
    use crate::db::manifests::StoredManifest;
    use crate::db::tests::database;

    struct Linked {
        _folder: tempfile::TempDir,
        db: Db,
        group: GroupId,
        image: RepositoryName,
        digest: Digest,
    }

    /// A group with a blob and a manifest, read two hours ago.
    async fn linked() -> Linked {
        let (folder, db) = database().await;
        let group = db.create_group("acme", Visibility::Private).await.unwrap();
        let (image, digest) = ("library/app".parse().unwrap(), Digest::of(b"x"));
        let media_type = "a/b".to_owned();
        let manifest = StoredManifest { digest: digest.clone(), size: 1, media_type };
        db.commit_blob(&digest, 1, &[group]).await.unwrap();
        db.commit_manifest(group, &image, &manifest).await.unwrap();
        let linked = Linked { _folder: folder, db, group, image, digest };
        linked.set(now_millis() - 2 * 60 * 60 * 1000).await;
        linked
    }

    impl Linked {
        async fn set(&self, at: i64) {
            for table in ["blob_links", "manifest_links"] {
                self.db.execute(format!("UPDATE {table} SET read_at = {at}")).await;
            }
        }

        async fn times(&self) -> [i64; 2] {
            let sql = "SELECT b.read_at, m.read_at FROM blob_links b, manifest_links m";
            let row: (i64, i64) = sqlx::query_as(sql).fetch_one(&self.db.pool).await.unwrap();
            row.into()
        }

        fn note_both(&self) {
            let Self { db, group, image, digest, .. } = self;
            db.note_blob_read(*group, digest);
            db.note_manifest_read(*group, image, digest);
        }
    }

    #[tokio::test]
    async fn what_is_noted_is_written_by_the_next_batch_and_once() {
        let linked = linked().await;
        let before = linked.times().await;
        for _ in 0..100 {
            linked.note_both();
        }
        assert_eq!(linked.times().await, before, "nothing is written on a pull's way");
        assert_eq!(linked.db.write_reads().await.unwrap(), 2);
        let after = linked.times().await;
        assert!(before.iter().zip(after).all(|(before, after)| *before < after));
        assert_eq!(linked.db.write_reads().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_link_is_touched_once_an_hour_whichever_origin_read_it() {
        let linked = linked().await;
        let recently = now_millis() - 59 * 60 * 1000;
        linked.set(recently).await;
        linked.note_both();
        linked.db.write_reads().await.unwrap();
        assert_eq!(linked.times().await, [recently; 2]);
        linked.note_both();
        assert_eq!(linked.db.write_reads().await.unwrap(), 0, "this origin noted it just now");
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_written_later() {
        let linked = linked().await;
        let before = linked.times().await;
        linked.note_both();
        linked.db.execute("ALTER TABLE manifest_links RENAME TO away".to_owned()).await;
        linked.db.write_reads().await.unwrap_err();
        linked.db.execute("ALTER TABLE away RENAME TO manifest_links".to_owned()).await;
        assert_eq!(linked.times().await, before);
        assert_eq!(linked.db.write_reads().await.unwrap(), 2);
        assert!(before.iter().zip(linked.times().await).all(|(before, after)| *before < after));
    }

    #[test]
    fn what_does_not_fit_any_more_may_be_noted_again() {
        let (reads, digest) = (Reads::default(), Digest::of(b"x"));
        let link = |group| Link::Blob(GroupId(group), digest.clone());
        reads.read(link(-1));
        let unwritten: Vec<_> = reads.take().into_iter().collect();
        for group in 0..i64::try_from(LIMIT).unwrap() {
            reads.read(link(group));
        }
        reads.give_back(&unwritten);
        assert_eq!(reads.take().len(), LIMIT);
        reads.read(link(-1));
        assert_eq!(reads.take().len(), 1);
    }

    #[test]
    fn what_is_noted_is_bounded() {
        let reads = Reads::default();
        let digest = Digest::of(b"x");
        for group in 0..i64::try_from(LIMIT).unwrap() + 10 {
            reads.read(Link::Blob(GroupId(group), digest.clone()));
        }
        assert_eq!(reads.take().len(), LIMIT);
    }
}
