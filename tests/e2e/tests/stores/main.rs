//! The origin's stores against real servers, and redirects to them.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic")]

use origin::store::Store;

mod redirects;

/// Opens the store that these lines of `[store]` configure.
fn open(lines: &str) -> Store {
    let store = format!("{lines}\nspool = \"/tmp/spool\"\npart_size = 5242880\n");
    Store::open(&toml::from_str(&store).unwrap()).unwrap()
}

mod s3 {
    use std::sync::Arc;

    use harness::seaweed::Seaweed;
    use origin::store::conformance;

    use super::*;

    async fn store() -> (Arc<Seaweed>, Store) {
        let server = Seaweed::shared().await.unwrap();
        let store = open(&server.bucket().store_lines());
        (server, store)
    }

    origin::store_conformance!(store);

    #[tokio::test]
    async fn a_failed_upload_leaves_no_parts_in_the_bucket() {
        let server = Seaweed::start().await.unwrap();
        let store = open(&server.bucket().store_lines());
        conformance::a_failed_upload_leaves_no_object(&store).await;
        assert_eq!(server.uploads().await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_wrong_key_is_refused_and_not_printed() {
        let server = Seaweed::shared().await.unwrap();
        let lines = server.bucket().store_lines().replace("testsecret", "hunter2");
        let digest = oci::Digest::of(b"{}");
        let key = origin::store::Key::Manifest(&digest);
        let refused = open(&lines).put(&key, "{}".into()).await.unwrap_err();
        let shown = format!("{refused} {refused:?}");
        assert!(shown.contains("403") && !shown.contains("hunter2"), "{shown}");
    }
}

mod azure {
    use std::sync::Arc;

    use harness::azurite::Azurite;

    use super::*;

    async fn store() -> (Arc<Azurite>, Store) {
        let server = Azurite::shared().await.unwrap();
        let store = open(&server.store_lines());
        (server, store)
    }

    origin::store_conformance!(store);
}

mod google {
    use harness::gcs::Gcs;
    use origin::store::conformance;

    use super::*;

    async fn store() -> (Gcs, Store) {
        let server = Gcs::start().await.unwrap();
        let store = open(&server.store_lines());
        (server, store)
    }

    origin::store_conformance!(store);

    #[tokio::test]
    async fn a_failed_upload_is_aborted() {
        let (server, store) = store().await;
        conformance::a_failed_upload_leaves_no_object(&store).await;
        assert_eq!(server.uploads(), (1, 0), "uploads started and left");
    }
}
