//! The origin on a real PostgreSQL: the conformance tests of databases, TLS, a restart, a whole
//! Cell.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic")]

use std::sync::Arc;
use std::time::Duration;

use harness::cell::{Cell, CellOptions};
use harness::client::{Login, Puller};
use harness::fault::FaultRegistry;
use harness::image::{Image, noise};
use harness::postgres::Postgres;
use harness::seaweed::Seaweed;
use harness::wait::until;
use oci::Digest;
use origin::config::{Database, SecretString};
use origin::db::Db;
use reqwest::Method;

mod conforms {
    use super::{Arc, Database, Postgres, at};

    async fn database() -> (Arc<Postgres>, Database) {
        let server = Postgres::shared().await.unwrap();
        let url = server.database().unwrap();
        (server, at(&url))
    }

    origin::database_conformance!(database);
}

fn at(url: &str) -> Database {
    let acquire_timeout = Duration::from_secs(5);
    Database { url: SecretString::from(url.to_owned()), max_connections: 8, acquire_timeout }
}

/// Starts an upstream with `library/app:latest`, and returns its layer.
async fn upstream() -> (FaultRegistry, Vec<u8>) {
    let upstream = FaultRegistry::start().await.unwrap();
    let image = Image::multi(&[noise(1, 500_000)]);
    upstream.add("library/app", "latest", &image);
    (upstream, image.blobs.last().unwrap().clone())
}

fn client(cell: &Cell, login: &Login) -> Puller {
    Puller::new(cell.url(), "acme", "app", Some(login)).unwrap()
}

async fn until_stored(client: &Puller, layer: &[u8]) {
    let path = format!("blobs/{}", Digest::of(layer));
    until("the blob to be stored", async || {
        let head = client.request(Method::HEAD, &path, &[]).await.unwrap();
        (head.header("x-cache") == "HIT").then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_cell_on_postgresql_and_s3_serves_uncached_and_cached_pulls_and_survives_a_restart() {
    let (postgres, s3) = (Postgres::shared().await.unwrap(), Seaweed::shared().await.unwrap());
    let options = CellOptions {
        database: Some(postgres.database().unwrap()),
        store: Some(s3.bucket().store_lines()),
        own_external_url: true,
    };
    let (upstream, layer) = upstream().await;
    let cell = Cell::with_options(&options, upstream.url(), "").await.unwrap();
    let acme = cell.member_of("acme").await.unwrap();
    let puller = client(&cell, &acme);
    assert_eq!(puller.request_token().await.unwrap().status, 200);
    let manifest = puller.manifest("latest").await.unwrap();
    assert!(puller.blob(&Digest::of(&layer)).await.unwrap().body == layer);
    until_stored(&puller, &layer).await;
    cell.stop().await.unwrap();

    let requested = upstream.requests().len();
    let cell = Cell::with_options(&options, upstream.url(), "").await.unwrap();
    let puller = client(&cell, &acme);
    let digest = manifest.header("docker-content-digest");
    assert_eq!(puller.manifest(digest).await.unwrap().body, manifest.body);
    let warm = puller.blob(&Digest::of(&layer)).await.unwrap();
    assert!(warm.header("x-cache") == "HIT" && warm.body == layer);
    let path = format!("blobs/{}", Digest::of(&layer));
    let head = puller.request(Method::HEAD, &path, &[]).await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, "500000"));
    let part = puller.request(Method::GET, &path, &[("range", "bytes=7-99")]).await.unwrap();
    assert!(part.status == 206 && part.body == layer[7..100]);
    assert_eq!(upstream.requests().len(), requested, "everything was cached");
}

#[tokio::test]
async fn a_lost_database_is_a_503_until_it_is_back() {
    let mut postgres = Postgres::start().await.unwrap();
    let options =
        CellOptions { database: Some(postgres.database().unwrap()), ..CellOptions::default() };
    let (upstream, layer) = upstream().await;
    let cell = Cell::with_options(&options, upstream.url(), "").await.unwrap();
    let puller = client(&cell, &cell.member_of("acme").await.unwrap());
    let digest = Digest::of(&layer);
    puller.blob(&digest).await.unwrap();
    until_stored(&puller, &layer).await;

    postgres.crash().unwrap();
    let down = puller.blob(&digest).await.unwrap();
    assert_eq!((down.status, down.code().as_deref()), (503, Some("UNAVAILABLE")));
    assert!(!down.header("retry-after").is_empty());
    assert_eq!(down.header("content-type"), "application/json");

    postgres.start_again().await.unwrap();
    until("pulls to recover", async || {
        let response = puller.blob(&digest).await.unwrap();
        (response.status == 200 && response.body == layer).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn tls_to_postgresql_is_verified() {
    let (known, other) = (self_signed(), self_signed());
    let server = Postgres::with(|folder| {
        use std::os::unix::fs::PermissionsExt as _;
        let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
        std::fs::write(&certificate, known.cert.pem())?;
        std::fs::write(&key, known.signing_key.serialize_pem())?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
        let file = |path: std::path::PathBuf| path.display().to_string();
        Ok(vec![
            "ssl = on".to_owned(),
            format!("ssl_cert_file = '{}'", file(certificate)),
            format!("ssl_key_file = '{}'", file(key)),
        ])
    })
    .await
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let verified_by = |name: &str, pem: String| {
        let file = folder.path().join(name);
        std::fs::write(&file, pem).unwrap();
        let url = server.database().unwrap();
        at(&format!("{url}?sslmode=verify-full&sslrootcert={}", file.display()))
    };
    let db = Db::open(&verified_by("known", known.cert.pem())).await.unwrap();
    db.migrate().await.unwrap();
    let refused = Db::open(&verified_by("other", other.cert.pem())).await.unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
}

#[tokio::test]
async fn tls_that_is_required_and_not_offered_is_an_error() {
    let server = Postgres::shared().await.unwrap();
    let url = format!("{}?sslmode=require", server.database().unwrap());
    let refused = Db::open(&at(&url)).await.unwrap_err();
    assert!(refused.to_string().contains("TLS"), "{refused}");
}

fn self_signed() -> rcgen::CertifiedKey<rcgen::KeyPair> {
    rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap()
}
