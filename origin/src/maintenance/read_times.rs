//! Records when groups last read what they have cached: in memory during a pull, and later in
//! batches in the database, so that no pull waits for a write.
//!
//! A process that is killed loses the read times it has not written. That only makes a link look
//! unread for longer than it was.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::sync::Cache;
use oci::{Digest, RepositoryName};

use crate::access::GroupId;
use crate::db::links::Link;
use crate::db::{Db, DbError, now_millis};

/// The resolution of a read time: a row is updated at most this often.
const GRANULARITY: Duration = Duration::from_secs(60 * 60);

/// The maximum number of pending read times, and of links remembered as recently recorded. Reads
/// beyond it are not recorded.
const CAPACITY: usize = 100_000;

/// The number of rows in one transaction, which bounds how long it blocks other writers.
const BATCH: usize = 1000;

/// The read times that are not written yet. Clones share them.
#[derive(Debug, Clone)]
pub struct ReadTimes {
    db: Db,
    pending: Arc<Pending>,
}

#[derive(Debug)]
struct Pending {
    /// Links that were recorded less than [`GRANULARITY`] ago.
    recent: Cache<Link, ()>,
    times: Mutex<BTreeMap<Link, i64>>,
}

impl ReadTimes {
    /// Creates an empty set of read times for the links of a database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, pending: Arc::default() }
    }

    /// Records that a group has read a blob.
    pub fn record_blob(&self, group: GroupId, digest: &Digest) {
        self.pending.record(Link::Blob(group, digest.clone()));
    }

    /// Records that a group has read a manifest.
    pub fn record_manifest(&self, group: GroupId, image: &RepositoryName, digest: &Digest) {
        self.pending.record(Link::Manifest(group, image.clone(), digest.clone()));
    }

    /// Writes the pending read times and returns how many there were.
    ///
    /// # Errors
    /// The database fails; the next call retries what was not written.
    pub async fn write(&self) -> Result<usize, DbError> {
        let times: Vec<_> = self.pending.take().into_iter().collect();
        let mut left = times.as_slice();
        while !left.is_empty() {
            let (batch, rest) = left.split_at(left.len().min(BATCH));
            if let Err(error) = self.db.set_read_times(batch, GRANULARITY).await {
                self.pending.restore(left);
                return Err(error);
            }
            left = rest;
        }
        Ok(times.len())
    }
}

impl Default for Pending {
    fn default() -> Self {
        let recent =
            Cache::builder().max_capacity(CAPACITY as u64).time_to_live(GRANULARITY).build();
        Self { recent, times: Mutex::default() }
    }
}

impl Pending {
    fn record(&self, link: Link) {
        if self.recent.contains_key(&link) {
            return;
        }
        let mut times = self.lock();
        if times.len() < CAPACITY {
            times.insert(link.clone(), now_millis());
            self.recent.insert(link, ());
        }
    }

    fn take(&self) -> BTreeMap<Link, i64> {
        std::mem::take(&mut *self.lock())
    }

    /// Makes read times pending again. One that no longer fits is dropped, and its link may be
    /// recorded again.
    fn restore(&self, unwritten: &[(Link, i64)]) {
        let mut times = self.lock();
        for (link, at) in unwritten {
            if times.len() < CAPACITY {
                times.entry(link.clone()).or_insert(*at);
            } else if !times.contains_key(link) {
                self.recent.invalidate(link);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Link, i64>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Visibility;
    use crate::db::manifests::StoredManifest;
    use crate::db::tests::database;

    struct Fixture {
        _folder: tempfile::TempDir,
        db: Db,
        read_times: ReadTimes,
        group: GroupId,
        image: RepositoryName,
        digest: Digest,
    }

    /// A group with a blob and a manifest that it read two hours ago.
    async fn fixture() -> Fixture {
        let (folder, db) = database().await;
        let group = db.create_group(&"acme".parse().unwrap(), Visibility::Private).await.unwrap();
        let (image, digest) = ("library/app".parse().unwrap(), Digest::of(b"x"));
        let media_type = "a/b".to_owned();
        let manifest = StoredManifest { digest: digest.clone(), size: 1, media_type };
        db.commit_blob(&digest, 1, &[group]).await.unwrap();
        db.commit_manifest(group, &image, &manifest).await.unwrap();
        let read_times = ReadTimes::new(db.clone());
        let fixture = Fixture { _folder: folder, db, read_times, group, image, digest };
        fixture.set(now_millis() - 2 * 60 * 60 * 1000).await;
        fixture
    }

    impl Fixture {
        async fn set(&self, at: i64) {
            for table in ["blob_links", "manifest_links"] {
                self.db.execute(format!("UPDATE {table} SET read_at = {at}")).await;
            }
        }

        fn record_both(&self) {
            let Self { read_times, group, image, digest, .. } = self;
            read_times.record_blob(*group, digest);
            read_times.record_manifest(*group, image, digest);
        }
    }

    #[tokio::test]
    async fn a_read_time_is_written_once_by_the_next_batch() {
        let fixture = fixture().await;
        let before = fixture.db.read_times().await;
        for _ in 0..100 {
            fixture.record_both();
        }
        assert_eq!(fixture.db.read_times().await, before, "recording does not write");
        assert_eq!(fixture.read_times.write().await.unwrap(), 2);
        let after = fixture.db.read_times().await;
        assert!(before.iter().zip(after).all(|(before, after)| *before < after));
        assert_eq!(fixture.read_times.write().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_row_is_updated_once_an_hour_even_if_several_origins_read_it() {
        let fixture = fixture().await;
        let recently = now_millis() - 59 * 60 * 1000;
        fixture.set(recently).await;
        fixture.record_both();
        fixture.read_times.write().await.unwrap();
        assert_eq!(fixture.db.read_times().await, [recently; 2]);
        fixture.record_both();
        let written = fixture.read_times.write().await.unwrap();
        assert_eq!(written, 0, "this origin has recorded both within the hour");
    }

    #[tokio::test]
    async fn a_failed_batch_is_retried() {
        let fixture = fixture().await;
        let before = fixture.db.read_times().await;
        fixture.record_both();
        fixture.db.execute("ALTER TABLE manifest_links RENAME TO away".to_owned()).await;
        fixture.read_times.write().await.unwrap_err();
        fixture.db.execute("ALTER TABLE away RENAME TO manifest_links".to_owned()).await;
        assert_eq!(fixture.db.read_times().await, before);
        assert_eq!(fixture.read_times.write().await.unwrap(), 2);
        let after = fixture.db.read_times().await;
        assert!(before.iter().zip(after).all(|(before, after)| *before < after));
    }

    #[test]
    fn a_dropped_read_time_may_be_recorded_again() {
        let (pending, digest) = (Pending::default(), Digest::of(b"x"));
        let link = |group| Link::Blob(GroupId(group), digest.clone());
        pending.record(link(-1));
        let unwritten: Vec<_> = pending.take().into_iter().collect();
        for group in 0..i64::try_from(CAPACITY).unwrap() {
            pending.record(link(group));
        }
        pending.restore(&unwritten);
        assert_eq!(pending.take().len(), CAPACITY);
        pending.record(link(-1));
        assert_eq!(pending.take().len(), 1);
    }

    #[test]
    fn the_number_of_pending_read_times_is_bounded() {
        let pending = Pending::default();
        let digest = Digest::of(b"x");
        for group in 0..i64::try_from(CAPACITY).unwrap() + 10 {
            pending.record(Link::Blob(GroupId(group), digest.clone()));
        }
        assert_eq!(pending.take().len(), CAPACITY);
    }
}
