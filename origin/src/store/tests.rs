use futures_util::TryStreamExt as _;
use oci::Digest;

use super::*;

async fn read_range(store: &Store, key: &Key<'_>, range: std::ops::Range<u64>) -> Vec<u8> {
    let pieces = store.stream(key, range).await.unwrap();
    let parts: Vec<Bytes> = body::bytes_of(pieces).try_collect().await.unwrap();
    parts.concat()
}

/// What every store must do, whatever it is made of.
async fn conforms(store: &Store) {
    reports_what_is_missing(store).await;
    gives_back_what_was_put(store).await;
}

async fn reports_what_is_missing(store: &Store) {
    let digest = Digest::of(b"missing");
    let key = Key::Blob(&digest);
    assert!(!store.contains(&key).await.unwrap());
    assert!(matches!(store.read(&key).await, Err(StoreError::Missing(_))));
    assert!(matches!(store.stream(&key, 0..1).await, Err(StoreError::Missing(_))));
}

async fn gives_back_what_was_put(store: &Store) {
    let bytes: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let digest = Digest::of(&bytes);
    let key = Key::Blob(&digest);
    let spool = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(spool.path(), &bytes).unwrap();
    store.promote(&key, spool.path()).await.unwrap();
    assert!(store.contains(&key).await.unwrap());
    assert_eq!(store.read(&key).await.unwrap(), bytes);
    assert_eq!(read_range(store, &key, 0..bytes.len() as u64).await, bytes);
    assert_eq!(read_range(store, &key, 7..300_000).await, bytes[7..300_000]);

    let manifest = Key::Manifest(&digest);
    assert!(!store.contains(&manifest).await.unwrap(), "a blob is not a manifest");
    store.put(&manifest, Bytes::from_static(b"{}")).await.unwrap();
    assert_eq!(store.read(&manifest).await.unwrap(), "{}");
}

#[tokio::test]
async fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let url = Url::from_directory_path(folder.path().join("objects")).unwrap();
    conforms(&Store::open(&url).unwrap()).await;
}

#[tokio::test]
async fn memory_conforms() {
    conforms(&Store::open(&Url::parse("memory:").unwrap()).unwrap()).await;
}

#[test]
fn a_scheme_that_is_not_offered_is_an_error() {
    assert!(Store::open(&Url::parse("https://x/").unwrap()).is_err());
}
