//! The requirements on every kind of store, as one list of test cases that runs against each kind.

#![allow(clippy::indexing_slicing, clippy::missing_panics_doc, clippy::unwrap_used)]

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::ObjectStoreExt as _;
use oci::Digest;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, ReadBuf};

use super::{Bytes, Key, ObjectKind, ObjectName, Store, StoreError, body, upload};

/// Creates one test for each case, each with its own store: `store_conformance!(store)`, where
/// `async fn store()` returns a guard that keeps the store alive, and an empty [`Store`].
#[macro_export]
macro_rules! store_conformance {
    ($store:path) => {
        $crate::store_conformance! { $store:
            a_missing_object_is_reported
            a_small_object_is_read_back
            a_blob_one_byte_shorter_than_a_part_is_read_back
            a_blob_of_whole_parts_is_read_back
            a_blob_that_ends_in_a_shorter_part_is_read_back
            an_empty_blob_is_read_back
            storing_an_object_again_changes_nothing
            concurrent_writers_may_store_the_same_object
            a_failed_upload_leaves_no_object
            an_object_of_the_wrong_length_is_reported
            a_deleted_object_no_longer_exists
            a_listing_contains_every_object
            a_store_belongs_to_one_cell
        }
    };
    ($store:path: $($case:ident)*) => { $(
        #[tokio::test]
        async fn $case() {
            let (_alive, store) = $store().await;
            $crate::store::conformance::$case(&store).await;
        }
    )* };
}

/// Every operation reports that the object does not exist.
pub async fn a_missing_object_is_reported(store: &Store) {
    let digest = Digest::of(b"missing");
    for key in [Key::Blob(&digest), Key::Manifest(&digest)] {
        assert!(!holds(store, &key).await);
        assert!(matches!(store.read(&key).await, Err(StoreError::Missing(_))));
        assert!(matches!(store.stream(&key, 1, 0..1).await, Err(StoreError::Missing(_))));
    }
}

/// A manifest is stored in one request; a blob with the same digest is a different object.
pub async fn a_small_object_is_read_back(store: &Store) {
    let digest = Digest::of(b"{}");
    store.put(&Key::Manifest(&digest), Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!(store.read(&Key::Manifest(&digest)).await.unwrap(), "{}");
    assert!(!holds(store, &Key::Blob(&digest)).await);
}

/// This is the longest blob that is uploaded in one request.
pub async fn a_blob_one_byte_shorter_than_a_part_is_read_back(store: &Store) {
    blob_is_read_back(store, store.part_size - 1).await;
}

/// The upload ends without an empty part.
pub async fn a_blob_of_whole_parts_is_read_back(store: &Store) {
    blob_is_read_back(store, 2 * store.part_size).await;
}

/// The blob has more parts than are uploaded concurrently.
pub async fn a_blob_that_ends_in_a_shorter_part_is_read_back(store: &Store) {
    blob_is_read_back(store, 5 * store.part_size + 12_345).await;
}

/// Some images have empty layers.
pub async fn an_empty_blob_is_read_back(store: &Store) {
    let digest = promoted(store, b"").await;
    assert!(holds(store, &Key::Blob(&digest)).await);
    assert_eq!(read(store, &Key::Blob(&digest), 0..0).await, b"");
}

/// Content with the same digest is identical.
pub async fn storing_an_object_again_changes_nothing(store: &Store) {
    let content = noise(2 * store.part_size);
    for _ in 0..2 {
        let digest = promoted(store, &content).await;
        store.put(&Key::Manifest(&digest), Bytes::from_static(b"{}")).await.unwrap();
        assert!(store.read(&Key::Blob(&digest)).await.unwrap() == content);
        assert_eq!(store.read(&Key::Manifest(&digest)).await.unwrap(), "{}");
    }
}

/// The origins of a Cell do not coordinate their writes.
pub async fn concurrent_writers_may_store_the_same_object(store: &Store) {
    let content = noise(store.part_size + 1);
    let digest = Digest::of(&content);
    join_all((0..6).map(|_| promoted(store, &content))).await;
    let manifest = Key::Manifest(&digest);
    let puts = (0..6).map(|_| store.put(&manifest, Bytes::from_static(b"{}")));
    assert!(join_all(puts).await.into_iter().all(|put| put.is_ok()));
    assert!(store.read(&Key::Blob(&digest)).await.unwrap() == content);
    assert_eq!(store.read(&manifest).await.unwrap(), "{}");
}

/// The disk fails after two and a half parts.
pub async fn a_failed_upload_leaves_no_object(store: &Store) {
    let digest = Digest::of(b"never complete");
    let path = Key::Blob(&digest).path();
    let mut file = FailingFile { left: 2 * store.part_size + store.part_size / 2 };
    let sent = upload::send(&store.objects, &path, &mut file, store.part_size).await;
    assert!(matches!(sent, Err(StoreError::File(_))), "{sent:?}");
    assert!(!holds(store, &Key::Blob(&digest)).await);
    assert!(listed(store).await.is_empty());
}

/// The error occurs before any byte is returned, whichever range is requested.
pub async fn an_object_of_the_wrong_length_is_reported(store: &Store) {
    let digest = promoted(store, b"short").await;
    for range in [0..9, 0..2, 4..9, 7..9] {
        let found = store.stream(&Key::Blob(&digest), 9, range.clone()).await;
        assert!(matches!(found, Err(StoreError::WrongLength(_))), "{range:?}");
    }
}

/// Deleting it again succeeds.
pub async fn a_deleted_object_no_longer_exists(store: &Store) {
    let (kept, gone) = (promoted(store, b"kept").await, promoted(store, b"gone").await);
    for _ in 0..2 {
        store.delete(&Key::Blob(&gone)).await.unwrap();
        assert!(!holds(store, &Key::Blob(&gone)).await);
    }
    assert!(holds(store, &Key::Blob(&kept)).await);
}

/// It reports sizes and ages, and distinguishes objects that the origin did not write.
pub async fn a_listing_contains_every_object(store: &Store) {
    let before = SystemTime::now();
    let blobs = [promoted(store, b"a").await, promoted(store, b"bc").await];
    let manifest = Digest::of(b"{}");
    store.put(&Key::Manifest(&manifest), Bytes::from_static(b"{ }")).await.unwrap();
    let stray = format!("blobs/sha256/zz/{}", manifest.hex());
    store.objects.put(&stray.as_str().into(), Bytes::from_static(b"????").into()).await.unwrap();

    let found = listed(store).await;
    let [a, bc] = blobs.map(|digest| ObjectName::Known(ObjectKind::Blob, digest));
    let sizes = [
        (a, 1),
        (bc, 2),
        (ObjectName::Known(ObjectKind::Manifest, manifest), 3),
        (ObjectName::Foreign(stray), 4),
    ];
    assert_eq!(found.len(), sizes.len(), "{found:?}");
    for (name, size) in sizes {
        let object = &found[&format!("{name:?}")];
        assert_eq!((&object.name, object.info.size), (&name, size));
        // Stores report whole seconds, by their own clocks.
        let age =
            object.info.modified.duration_since(before).unwrap_or_else(|early| early.duration());
        assert!(age.as_secs() < 60, "{name:?} is from {:?}", object.info.modified);
    }
}

/// Any origin of the Cell may claim it first; an origin of another Cell is rejected.
pub async fn a_store_belongs_to_one_cell(store: &Store) {
    let claims = join_all((0..4).map(|_| store.claim(7))).await;
    assert!(claims.into_iter().all(|claim| claim.is_ok()));
    let rejected = store.claim(8).await.unwrap_err().to_string();
    assert!(rejected.contains("this store belongs to Cell 7, but this is Cell 8"), "{rejected}");
    store.claim(7).await.unwrap();
}

async fn blob_is_read_back(store: &Store, size: usize) {
    let content = noise(size);
    let digest = promoted(store, &content).await;
    let (key, end, part) = (Key::Blob(&digest), size as u64, store.part_size as u64);
    assert!(holds(store, &key).await);
    for range in [0..end, 0..1, 7..end - 3, end - 1..end, part - 2..end.min(part + 2)] {
        let bytes = read(store, &key, range.clone()).await;
        let slice = range.start.try_into().unwrap()..range.end.try_into().unwrap();
        assert!(bytes == content[slice], "{range:?} of {size}");
    }
}

/// Stores content from a file, as a fetched blob is.
async fn promoted(store: &Store, content: &[u8]) -> Digest {
    let digest = Digest::of(content);
    let spool = NamedTempFile::new().unwrap();
    std::fs::write(spool.path(), content).unwrap();
    store.promote(&Key::Blob(&digest), spool.path()).await.unwrap();
    digest
}

async fn holds(store: &Store, key: &Key<'_>) -> bool {
    store.stat(key).await.unwrap().is_some()
}

async fn read(store: &Store, key: &Key<'_>, range: Range<u64>) -> Vec<u8> {
    let size = store.stat(key).await.unwrap().unwrap().size;
    let pieces = store.stream(key, size, range).await.unwrap();
    let parts: Vec<Bytes> = body::bytes_of(pieces).try_collect().await.unwrap();
    parts.concat()
}

async fn listed(store: &Store) -> HashMap<String, super::ListedObject> {
    let objects: Vec<_> = store.list().map(Result::unwrap).collect().await;
    objects.into_iter().map(|object| (format!("{:?}", object.name), object)).collect()
}

/// Returns bytes that do not repeat with the period of a part or a page.
fn noise(size: usize) -> Vec<u8> {
    let steps =
        std::iter::successors(Some(1_u32), |x| Some(x.wrapping_mul(1_664_525).wrapping_add(1013)));
    steps.map(|x| x.to_be_bytes()[0]).take(size).collect()
}

/// A file on a disk that fails.
struct FailingFile {
    left: usize,
}

impl AsyncRead for FailingFile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("the disk fails")));
        }
        let count = self.left.min(into.remaining()).min(1 << 16);
        into.put_slice(&[0; 1 << 16][..count]);
        self.left -= count;
        Poll::Ready(Ok(()))
    }
}
