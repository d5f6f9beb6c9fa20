//! The origin on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panic")]

use e2e::cell::{Cell, Places};
use e2e::client::Puller;
use e2e::fault::FaultRegistry;
use e2e::image::{Image, noise};
use e2e::postgres::Postgres;

#[tokio::test]
async fn smoke() {
    let server = Postgres::shared().await.unwrap();
    let places = Places { database: Some(server.database().unwrap()), store: None };
    let upstream = FaultRegistry::start().await.unwrap();
    let image = Image::multi(&[noise(1, 500_000)]);
    upstream.add("library/app", "latest", &image);
    let cell = Cell::at(&places, upstream.url(), "").await.unwrap();
    let login = cell.member_of("acme").await.unwrap();
    let client = Puller::new(cell.url(), "acme", "app", Some(&login)).unwrap();
    assert_eq!(client.manifest("latest").await.unwrap().status, 200);
}
