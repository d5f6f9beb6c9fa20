//! The memory cache: manifests, tag rows and blob lengths served last, so that a repeated request
//! needs neither the database nor the store.
//!
//! Every key contains the group, so nothing that one group pulled is visible to another. Bytes that
//! match their digest never become wrong, but a group's right to see them may end; an entry
//! therefore expires when the database row that allowed it is `memory_life` old.

use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::Expiry;
use moka::sync::Cache;
use oci::{Digest, RepositoryName, Tag};

use crate::access::GroupId;
use crate::config;
use crate::db::tags::TaggedManifest;

/// The estimated bytes an entry takes in addition to its content: keys, digests and bookkeeping.
const OVERHEAD: usize = 512;

/// A manifest as it is served.
#[derive(Debug, Clone)]
pub(super) struct CachedManifest {
    /// Its `Content-Type` for this group.
    pub(super) media_type: String,
    /// The bytes, which match the digest.
    pub(super) bytes: Bytes,
    /// When the row was read that allows this group to see the manifest.
    pub(super) read: Instant,
}

/// The manifests a tag points at, according to the database.
#[derive(Debug, Clone)]
pub(super) struct CachedTag {
    pub(super) rows: Vec<TaggedManifest>,
    /// When the rows were read.
    pub(super) read: Instant,
}

/// A tag of an image in a group.
pub(super) type TagKey = (GroupId, RepositoryName, Tag);

/// Manifests, tag rows and blob lengths, by the group that may see them.
#[derive(Debug, Clone)]
pub struct MemoryCache {
    manifests: Cache<(GroupId, RepositoryName, Digest), CachedManifest>,
    tags: Cache<TagKey, CachedTag>,
    blobs: Cache<(GroupId, Digest), u64>,
}

impl MemoryCache {
    /// Creates a cache of at most about `memory` bytes, half of them for manifests.
    #[must_use]
    pub fn new(config: &config::Cache) -> Self {
        let (memory, life) = (config.memory.as_u64(), config.memory_life);
        let quarter = memory / 4;
        let manifests = Cache::builder()
            .max_capacity(memory / 2)
            .weigher(|_, cached: &CachedManifest| weight(cached.bytes.len()))
            .expire_after(ExpireWithRow { life })
            .build();
        let tags = Cache::builder()
            .max_capacity(quarter)
            .weigher(|_, tag: &CachedTag| weight(tag.rows.len() * OVERHEAD))
            .time_to_live(life)
            .build();
        let blobs = Cache::builder()
            .max_capacity(quarter)
            .weigher(|_, _| weight(0))
            .time_to_live(life)
            .build();
        Self { manifests, tags, blobs }
    }

    /// Returns a manifest of an image of this group.
    pub(super) fn manifest(
        &self,
        group: GroupId,
        image: &RepositoryName,
        digest: &Digest,
    ) -> Option<CachedManifest> {
        self.manifests.get(&(group, image.clone(), digest.clone()))
    }

    /// Caches a manifest that a row links to this group; the bytes must match the digest.
    pub(super) fn insert_manifest(
        &self,
        group: GroupId,
        image: &RepositoryName,
        digest: &Digest,
        manifest: CachedManifest,
    ) {
        self.manifests.insert((group, image.clone(), digest.clone()), manifest);
    }

    /// Returns the rows of a tag.
    pub(super) fn tag(&self, key: &TagKey) -> Option<CachedTag> {
        self.tags.get(key)
    }

    /// Caches the rows of a tag. An empty list is not cached, because the next pull adds a row.
    pub(super) fn insert_tag(&self, key: &TagKey, tag: CachedTag) {
        if !tag.rows.is_empty() {
            self.tags.insert(key.clone(), tag);
        }
    }

    /// Evicts the rows of a tag after they changed.
    pub(super) fn evict_tag(&self, key: &TagKey) {
        self.tags.invalidate(key);
    }

    /// Returns the length of a blob this group may see.
    pub(super) fn blob(&self, group: GroupId, digest: &Digest) -> Option<u64> {
        self.blobs.get(&(group, digest.clone()))
    }

    /// Caches the length of a blob that a row links to this group.
    pub(super) fn insert_blob(&self, group: GroupId, digest: &Digest, length: u64) {
        self.blobs.insert((group, digest.clone()), length);
    }

    /// Evicts a blob whose object turned out to be missing, so that its row is read again.
    pub(super) fn evict_blob(&self, group: GroupId, digest: &Digest) {
        self.blobs.invalidate(&(group, digest.clone()));
    }
}

/// Expires a manifest with the row that allowed it. Tag rows are cached too, so a manifest may be
/// loaded from a row that is already old.
struct ExpireWithRow {
    life: Duration,
}

impl ExpireWithRow {
    fn remaining(&self, cached: &CachedManifest) -> Option<Duration> {
        Some(self.life.saturating_sub(cached.read.elapsed()))
    }
}

impl<K> Expiry<K, CachedManifest> for ExpireWithRow {
    fn expire_after_create(&self, _: &K, cached: &CachedManifest, _: Instant) -> Option<Duration> {
        self.remaining(cached)
    }

    fn expire_after_update(
        &self,
        _: &K,
        cached: &CachedManifest,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.remaining(cached)
    }
}

fn weight(content: usize) -> u32 {
    u32::try_from(content.saturating_add(OVERHEAD)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use bytesize::ByteSize;

    use super::*;

    const ACME: GroupId = GroupId(1);
    const GLOBEX: GroupId = GroupId(2);

    fn cache_of(memory: u64) -> MemoryCache {
        MemoryCache::new(&config::Cache { memory: ByteSize::b(memory), ..config::Cache::default() })
    }

    fn image(name: &str) -> RepositoryName {
        name.parse().unwrap()
    }

    fn manifest(length: usize) -> CachedManifest {
        let (media_type, bytes) = ("x/y".to_owned(), vec![b'x'; length].into());
        CachedManifest { media_type, bytes, read: Instant::now() }
    }

    #[test]
    fn entries_are_separate_for_each_group_and_image() {
        let (cache, digest) = (cache_of(1 << 20), Digest::of(b"x"));
        cache.insert_manifest(ACME, &image("app"), &digest, manifest(1));
        cache.insert_blob(ACME, &digest, 1);
        assert!(cache.manifest(ACME, &image("app"), &digest).is_some());
        assert!(cache.manifest(GLOBEX, &image("app"), &digest).is_none());
        assert!(cache.manifest(ACME, &image("other"), &digest).is_none());
        assert_eq!(cache.blob(ACME, &digest), Some(1));
        assert_eq!(cache.blob(GLOBEX, &digest), None);
    }

    #[test]
    fn memory_is_bounded_by_bytes_and_can_be_disabled() {
        let (cache, disabled) = (cache_of(1 << 20), cache_of(0));
        for number in 0..200_u8 {
            let digest = Digest::of(&[number]);
            cache.insert_manifest(ACME, &image("app"), &digest, manifest(100_000));
            disabled.insert_manifest(ACME, &image("app"), &digest, manifest(1));
            disabled.insert_blob(ACME, &digest, 1);
            assert!(disabled.blob(ACME, &digest).is_none());
        }
        cache.manifests.run_pending_tasks();
        assert!(cache.manifests.weighted_size() <= 1 << 19, "{}", cache.manifests.weighted_size());
        disabled.manifests.run_pending_tasks();
        assert_eq!(disabled.manifests.entry_count(), 0);
    }

    #[test]
    fn a_manifest_expires_with_the_row_that_allowed_it() {
        let (cache, digest) = (cache_of(1 << 20), Digest::of(b"x"));
        let life = config::Cache::default().memory_life;
        for (age, expected) in
            [(life / 2, true), (life, false), (life / 2, true), (2 * life, false)]
        {
            let read = Instant::now().checked_sub(age).unwrap();
            cache.insert_manifest(
                ACME,
                &image("app"),
                &digest,
                CachedManifest { read, ..manifest(1) },
            );
            assert_eq!(cache.manifest(ACME, &image("app"), &digest).is_some(), expected, "{age:?}");
        }
    }

    #[test]
    fn an_evicted_blob_is_looked_up_again() {
        let (cache, digest) = (cache_of(1 << 20), Digest::of(b"x"));
        cache.insert_blob(ACME, &digest, 1);
        cache.evict_blob(ACME, &digest);
        assert_eq!(cache.blob(ACME, &digest), None);
    }
}
