//! When each tag was last checked. A check is recorded in memory at once and in the database later,
//! so that no pull waits for a write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gitlab::redact::redacted;
use oci::{Digest, RepositoryName, Tag};
use tokio::sync::Semaphore;
use tracing::warn;

use crate::access::GroupId;
use crate::cache::memory::{CachedTag, MemoryCache, TagKey};
use crate::db::now_millis;
use crate::db::tags::{TagCheck, TaggedManifest};
use crate::db::{Db, DbError};

/// The number of checks kept in memory.
const CAPACITY: u64 = 100_000;

/// How far the time in a row may lag behind. Rows only order the copies of a tag and outlive a
/// restart, so a minute is precise enough.
const ROW_LAG_MILLIS: i64 = 60_000;

/// The number of rows updated at the same time. A check that finds no free writer leaves the update
/// to a later check.
const WRITERS: usize = 4;

/// How long a HEAD is remembered: its client requests the manifest by digest soon afterwards.
const ANNOUNCEMENT_LIFE: Duration = Duration::from_secs(5 * 60);

/// The most tags remembered for one digest.
const TAGS_PER_DIGEST: usize = 8;

/// A tag whose HEAD named a digest, and whether the response is [`TaggedManifest::general`].
type AnnouncedTag = (Tag, bool);

/// The checks of all tags.
#[derive(Debug, Clone)]
pub(super) struct TagChecks {
    db: Db,
    memory: MemoryCache,
    latest: moka::sync::Cache<(TagKey, Digest), i64>,
    announced: moka::sync::Cache<(GroupId, RepositoryName, Digest), Vec<AnnouncedTag>>,
    writers: Arc<Semaphore>,
}

impl TagChecks {
    pub(super) fn new(db: Db, memory: MemoryCache) -> Self {
        let announced =
            moka::sync::Cache::builder().max_capacity(10_000).time_to_live(ANNOUNCEMENT_LIFE);
        Self {
            db,
            memory,
            latest: moka::sync::Cache::new(CAPACITY),
            announced: announced.build(),
            writers: Arc::new(Semaphore::new(WRITERS)),
        }
    }

    /// Returns the manifests a tag pointed at, the latest check first.
    pub(super) async fn known(&self, key: &TagKey) -> Result<CachedTag, DbError> {
        let mut tag = match self.memory.tag(key) {
            Some(cached) => cached,
            None => {
                let (group, image, tag) = key;
                let read = Instant::now();
                let rows = self.db.tagged_manifests(*group, image, tag).await?;
                let tag = CachedTag { rows, read };
                self.memory.insert_tag(key, tag.clone());
                tag
            }
        };
        self.apply_checks(key, &mut tag.rows);
        Ok(tag)
    }

    /// Applies checks that are not in the rows yet, and sorts the latest first.
    fn apply_checks(&self, key: &TagKey, rows: &mut [TaggedManifest]) {
        for row in rows.iter_mut() {
            let check = (key.clone(), row.manifest.digest.clone());
            let checked_at = self.latest.get(&check).unwrap_or_default();
            row.checked_at = row.checked_at.max(checked_at);
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.checked_at));
    }

    /// Records that the upstream has just confirmed this row; `general` if it did so to a client
    /// that accepts indexes.
    pub(super) fn confirm(&self, key: TagKey, row: &TaggedManifest, general: bool) {
        let at = now_millis();
        let lags = at.saturating_sub(row.checked_at) > ROW_LAG_MILLIS;
        let became_general = general && !row.general;
        let manifest = &row.manifest;
        self.latest.insert((key.clone(), manifest.digest.clone()), at);
        if !(lags || became_general) {
            return;
        }
        let Ok(permit) = Arc::clone(&self.writers).try_acquire_owned() else { return };
        let (db, memory, manifest) = (self.db.clone(), self.memory.clone(), manifest.clone());
        let general = general || row.general;
        tokio::spawn(async move {
            let (group, image, tag) = &key;
            let (digest, media_type) = (&manifest.digest, manifest.media_type.as_str());
            let check = TagCheck { group: *group, image, tag, digest, media_type, general, at };
            match db.point_tag(check).await {
                Ok(()) => memory.evict_tag(&key),
                Err(error) => {
                    let (image, tag) = (redacted(image.as_str()), redacted(tag.as_str()));
                    warn!(image, tag, %error, "recording the check of a tag failed");
                }
            }
            drop(permit);
        });
    }

    /// Remembers which digest a HEAD named for a tag. Clients such as containerd send a HEAD for the
    /// tag and then a GET for the digest; the tag is linked when that GET stores the manifest.
    pub(super) fn announce(&self, key: TagKey, digest: Digest, general: bool) {
        let (group, image, tag) = key;
        let entry = self.announced.entry((group, image, digest));
        entry.and_upsert_with(|found| {
            let mut tags = found.map(|found| found.into_value()).unwrap_or_default();
            tags.retain(|(other, _)| *other != tag);
            tags.truncate(TAGS_PER_DIGEST - 1);
            tags.push((tag, general));
            tags
        });
    }

    /// Removes and returns the tags whose HEAD named this digest.
    pub(super) fn take_announced(
        &self,
        group: GroupId,
        image: &RepositoryName,
        digest: &Digest,
    ) -> Vec<AnnouncedTag> {
        self.announced.remove(&(group, image.clone(), digest.clone())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Visibility;
    use crate::db::manifests::StoredManifest;
    use crate::db::tests::database;

    /// Creates a tag that was checked long ago, for a client that accepts no indexes.
    async fn old_tag(db: &Db) -> (TagKey, Vec<TaggedManifest>) {
        let group = db.create_group(&"acme".parse().unwrap(), Visibility::Private).await.unwrap();
        let key = (group, "library/app".parse().unwrap(), "latest".parse().unwrap());
        let (digest, media_type) = (Digest::of(b"x"), "a/b".to_owned());
        let manifest = StoredManifest { digest, size: 1, media_type };
        db.commit_manifest(group, &key.1, &manifest).await.unwrap();
        let (image, tag, digest) = (&key.1, &key.2, &manifest.digest);
        let media_type = manifest.media_type.as_str();
        let check = TagCheck { group, image, tag, digest, media_type, general: false, at: 1 };
        db.point_tag(check).await.unwrap();
        let rows = rows(db, &key).await;
        (key, rows)
    }

    fn checks_over(db: &Db) -> TagChecks {
        TagChecks::new(db.clone(), MemoryCache::new(&crate::config::Cache::default()))
    }

    async fn rows(db: &Db, key: &TagKey) -> Vec<TaggedManifest> {
        db.tagged_manifests(key.0, &key.1, &key.2).await.unwrap()
    }

    #[tokio::test]
    async fn a_check_takes_effect_at_once_and_is_written_to_its_row_later() {
        let (_folder, db) = database().await;
        let (key, mut known) = old_tag(&db).await;
        let checks = checks_over(&db);
        let before = now_millis();
        checks.confirm(key.clone(), &known[0], false);
        checks.apply_checks(&key, &mut known);
        assert!(known[0].checked_at >= before);
        while rows(&db, &key).await[0].checked_at < before {
            tokio::task::yield_now().await;
        }
        assert!(!rows(&db, &key).await[0].general);
    }

    #[tokio::test]
    async fn a_row_is_written_only_if_it_lags_or_became_general() {
        let (_folder, db) = database().await;
        let (key, mut known) = old_tag(&db).await;
        let checks = checks_over(&db);
        known[0].checked_at = now_millis();
        checks.confirm(key.clone(), &known[0], false);
        assert_eq!(checks.writers.available_permits(), WRITERS, "it lags by less than a minute");
        checks.confirm(key.clone(), &known[0], true);
        assert_eq!(checks.writers.available_permits(), WRITERS - 1);
        while !rows(&db, &key).await[0].general {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn tags_named_by_a_head_are_returned_once_for_their_digest() {
        let (_folder, db) = database().await;
        let (key, known) = old_tag(&db).await;
        let (checks, digest) = (checks_over(&db), &known[0].manifest.digest);
        for general in [false, true] {
            checks.announce(key.clone(), digest.clone(), general);
        }
        let (group, image, tag) = key;
        assert!(checks.take_announced(GroupId(group.0 + 1), &image, digest).is_empty());
        assert_eq!(checks.take_announced(group, &image, digest), [(tag, true)]);
        assert!(checks.take_announced(group, &image, digest).is_empty());
    }
}
