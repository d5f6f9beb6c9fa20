//! What was served last, kept in memory so that a warm request asks neither database nor store.
//!
//! Every key holds the group: what one group pulled says nothing to another. Bytes that match their
//! digest cannot turn wrong; that a group may still see them is looked up again once they are
//! `memory_life` old: what a row lets in grows no older than the row would.

use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::Expiry;
use moka::sync::Cache;
use oci::{Digest, RepositoryName, Tag};

use crate::config;
use crate::db::groups::GroupId;
use crate::db::tags::TaggedManifest;

/// What an entry takes besides its content: keys, digests and the cache's own books.
const OVERHEAD: usize = 512;

/// A manifest as it is served.
#[derive(Debug, Clone)]
pub(super) struct WarmManifest {
    /// Its `Content-Type` for this group.
    pub(super) media_type: String,
    /// The bytes, which match the digest.
    pub(super) bytes: Bytes,
    /// When the row was read that lets this group have them.
    pub(super) read: Instant,
}

/// What rows said a tag points at.
#[derive(Debug, Clone)]
pub(super) struct WarmTag {
    pub(super) rows: Vec<TaggedManifest>,
    /// When they were read.
    pub(super) read: Instant,
}

/// A tag of an image in a group.
pub(super) type Place = (GroupId, RepositoryName, Tag);

/// Manifests, what tags point at, and the lengths of blobs, by the group that may see them.
#[derive(Debug, Clone)]
pub struct Warm {
    manifests: Cache<(GroupId, RepositoryName, Digest), WarmManifest>,
    tags: Cache<Place, WarmTag>,
    blobs: Cache<(GroupId, Digest), u64>,
}

impl Warm {
    /// Takes about `memory` bytes at most, half of them for manifests.
    #[must_use]
    pub fn new(config: &config::Cache) -> Self {
        let (memory, life) = (config.memory.as_u64(), config.memory_life);
        let quarter = memory / 4;
        let manifests = Cache::builder()
            .max_capacity(memory / 2)
            .weigher(|_, kept: &WarmManifest| weight(kept.bytes.len()))
            .expire_after(WithItsRow { life })
            .build();
        let tags = Cache::builder()
            .max_capacity(quarter)
            .weigher(|_, tag: &WarmTag| weight(tag.rows.len() * OVERHEAD))
            .time_to_live(life)
            .build();
        let blobs = Cache::builder()
            .max_capacity(quarter)
            .weigher(|_, _| weight(0))
            .time_to_live(life)
            .build();
        Self { manifests, tags, blobs }
    }

    pub(super) fn manifest(
        &self,
        group: GroupId,
        image: &RepositoryName,
        digest: &Digest,
    ) -> Option<WarmManifest> {
        self.manifests.get(&(group, image.clone(), digest.clone()))
    }

    /// Only for what a row links to this group, and bytes that match the digest.
    pub(super) fn keep_manifest(
        &self,
        group: GroupId,
        image: &RepositoryName,
        digest: &Digest,
        manifest: WarmManifest,
    ) {
        self.manifests.insert((group, image.clone(), digest.clone()), manifest);
    }

    /// The rows of a tag.
    pub(super) fn tag(&self, place: &Place) -> Option<WarmTag> {
        self.tags.get(place)
    }

    /// None are not kept: the next pull makes the first.
    pub(super) fn keep_tag(&self, place: &Place, tag: WarmTag) {
        if !tag.rows.is_empty() {
            self.tags.insert(place.clone(), tag);
        }
    }

    /// The rows changed.
    pub(super) fn forget_tag(&self, place: &Place) {
        self.tags.invalidate(place);
    }

    /// The length of a blob this group may see.
    pub(super) fn blob(&self, group: GroupId, digest: &Digest) -> Option<u64> {
        self.blobs.get(&(group, digest.clone()))
    }

    /// Only for what a row links to this group.
    pub(super) fn keep_blob(&self, group: GroupId, digest: &Digest, length: u64) {
        self.blobs.insert((group, digest.clone()), length);
    }

    /// The object turned out to be missing: rows are asked again.
    pub(super) fn forget_blob(&self, group: GroupId, digest: &Digest) {
        self.blobs.invalidate(&(group, digest.clone()));
    }
}

/// Rows of a tag are kept themselves, and a manifest may be loaded by them late in their life.
struct WithItsRow {
    life: Duration,
}

impl WithItsRow {
    fn left(&self, kept: &WarmManifest) -> Option<Duration> {
        Some(self.life.saturating_sub(kept.read.elapsed()))
    }
}

impl<K> Expiry<K, WarmManifest> for WithItsRow {
    fn expire_after_create(&self, _: &K, kept: &WarmManifest, _: Instant) -> Option<Duration> {
        self.left(kept)
    }

    fn expire_after_update(
        &self,
        _: &K,
        kept: &WarmManifest,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.left(kept)
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

    fn warm(memory: u64) -> Warm {
        Warm::new(&config::Cache { memory: ByteSize::b(memory), ..config::Cache::default() })
    }

    fn image(name: &str) -> RepositoryName {
        name.parse().unwrap()
    }

    fn manifest(length: usize) -> WarmManifest {
        let (media_type, bytes) = ("x/y".to_owned(), vec![b'x'; length].into());
        WarmManifest { media_type, bytes, read: Instant::now() }
    }

    #[test]
    fn what_one_group_pulled_is_not_anothers_nor_another_images() {
        let (warm, digest) = (warm(1 << 20), Digest::of(b"x"));
        warm.keep_manifest(ACME, &image("app"), &digest, manifest(1));
        warm.keep_blob(ACME, &digest, 1);
        assert!(warm.manifest(ACME, &image("app"), &digest).is_some());
        assert!(warm.manifest(GLOBEX, &image("app"), &digest).is_none());
        assert!(warm.manifest(ACME, &image("other"), &digest).is_none());
        assert_eq!(warm.blob(ACME, &digest), Some(1));
        assert_eq!(warm.blob(GLOBEX, &digest), None);
    }

    #[test]
    fn memory_is_bounded_by_bytes_and_may_be_none() {
        let (warm, none) = (warm(1 << 20), warm(0));
        for number in 0..200_u8 {
            let digest = Digest::of(&[number]);
            warm.keep_manifest(ACME, &image("app"), &digest, manifest(100_000));
            none.keep_manifest(ACME, &image("app"), &digest, manifest(1));
            none.keep_blob(ACME, &digest, 1);
            assert!(none.blob(ACME, &digest).is_none());
        }
        warm.manifests.run_pending_tasks();
        assert!(warm.manifests.weighted_size() <= 1 << 19, "{}", warm.manifests.weighted_size());
        none.manifests.run_pending_tasks();
        assert_eq!(none.manifests.entry_count(), 0);
    }

    #[test]
    fn a_manifest_is_kept_no_longer_than_the_row_that_let_it_in() {
        let (warm, digest) = (warm(1 << 20), Digest::of(b"x"));
        let life = config::Cache::default().memory_life;
        for (age, kept) in [(life / 2, true), (life, false), (life / 2, true), (2 * life, false)] {
            let read = Instant::now().checked_sub(age).unwrap();
            warm.keep_manifest(ACME, &image("app"), &digest, WarmManifest { read, ..manifest(1) });
            assert_eq!(warm.manifest(ACME, &image("app"), &digest).is_some(), kept, "{age:?}");
        }
    }

    #[test]
    fn a_forgotten_blob_is_looked_up_again() {
        let (warm, digest) = (warm(1 << 20), Digest::of(b"x"));
        warm.keep_blob(ACME, &digest, 1);
        warm.forget_blob(ACME, &digest);
        assert_eq!(warm.blob(ACME, &digest), None);
    }
}
