//! A cell's pull-through cache against an upstream that counts and fails on demand.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail by panic")]

use e2e::cell::Cell;
use e2e::client::{Answer, Login, Puller};
use e2e::fault::FaultRegistry;
use e2e::image::{Image, Manifest, noise};
use e2e::wait::until;
use oci::Digest;
use origin::config::Config;

#[path = "origin/access.rs"]
mod access;
#[path = "origin/blobs.rs"]
mod blobs;
#[path = "origin/catalog.rs"]
mod catalog;
#[path = "origin/conformance.rs"]
mod conformance;
#[path = "origin/cost.rs"]
mod cost;
#[path = "origin/flights.rs"]
mod flights;
#[path = "origin/full_disk.rs"]
mod full_disk;
#[path = "origin/isolation.rs"]
mod isolation;
#[path = "origin/manifests.rs"]
mod manifests;
#[path = "origin/odd_registries.rs"]
mod odd_registries;
#[path = "origin/patience.rs"]
mod patience;
#[path = "origin/tags.rs"]
mod tags;
#[path = "origin/tokens.rs"]
mod tokens;
#[path = "origin/upstreams.rs"]
mod upstreams;

struct Pull {
    upstream: FaultRegistry,
    cell: Cell,
    acme: Login,
    image: Image,
}

impl Pull {
    /// A cell, a member of `acme`, and `library/app:latest` at the upstream.
    async fn start() -> Self {
        Self::with("").await
    }

    async fn with(lines: &str) -> Self {
        Self::tuned(lines, |_| {}).await
    }

    async fn tuned(lines: &str, tune: impl FnOnce(&mut Config)) -> Self {
        let upstream = FaultRegistry::start().await.unwrap();
        let image = Image::multi(&[noise(1, 500_000)]);
        upstream.add("library/app", "latest", &image);
        let cell = Cell::tuned(upstream.url(), lines, tune).await.unwrap();
        let acme = cell.member_of("acme").await.unwrap();
        Self { upstream, cell, acme, image }
    }

    fn client(&self) -> Puller {
        self.client_of("acme", &self.acme)
    }

    fn client_of(&self, group: &str, login: &Login) -> Puller {
        Puller::new(self.cell.url(), group, "app", Some(login)).unwrap()
    }

    fn layer(&self) -> Vec<u8> {
        self.image.blobs.last().unwrap().clone()
    }

    fn layer_digest(&self) -> Digest {
        Digest::of(&self.layer())
    }

    fn blob_gets(&self) -> usize {
        self.upstream.count("GET", &format!("/blobs/{}", self.layer_digest()))
    }
}

/// Waits for what a detached task does.
async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    until("a detached task", async || holds().await.then_some(())).await.unwrap();
}

fn same_manifest(answer: &Answer, manifest: &Manifest) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, manifest.bytes);
    let digest = manifest.digest().to_string();
    for (name, value) in [
        ("content-type", manifest.media_type.as_str()),
        ("docker-content-digest", &digest),
        ("etag", &format!("\"{digest}\"")),
        ("content-length", &manifest.bytes.len().to_string()),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
}
