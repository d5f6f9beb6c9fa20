//! The origin's stores against real ones.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panic")]

use origin::store::Store;

/// The store that these lines of `[store]` name.
fn open(lines: &str) -> Store {
    let store = format!("{lines}\nspool = \"/tmp/spool\"\npart_size = 5242880\n");
    Store::open(&toml::from_str(&store).unwrap()).unwrap()
}

mod s3 {
    use std::sync::Arc;

    use e2e::seaweed::Seaweed;

    use super::*;

    async fn store() -> (Arc<Seaweed>, Store) {
        let server = Seaweed::shared().await.unwrap();
        let bucket = server.bucket();
        (server, open(&bucket.store_lines()))
    }

    origin::store_conformance!(store);
}
