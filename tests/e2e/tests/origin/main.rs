//! A Cell's pull-through cache, in front of an upstream that records requests and fails on demand.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests panic")]

use harness::cell::Cell;
use harness::client::{HttpResponse, Login, Puller};
use harness::fault::FaultRegistry;
use harness::image::{Image, Manifest, noise};
use harness::wait::until;
use oci::Digest;
use origin::config::Config;

mod access;
mod blobs;
mod conformance;
mod cost;
mod full_disk;
mod inflight_fetches;
mod isolation;
mod listings;
mod manifests;
mod odd_registries;
mod tags;
mod tokens;
mod upstream_health;
mod upstreams;

struct Pull {
    upstream: FaultRegistry,
    cell: Cell,
    acme: Login,
    image: Image,
}

impl Pull {
    /// Starts a Cell with a member of `acme`, and an upstream with `library/app:latest`.
    async fn start() -> Self {
        Self::with("").await
    }

    async fn with(lines: &str) -> Self {
        Self::with_config(lines, |_| {}).await
    }

    async fn with_config(lines: &str, change: impl FnOnce(&mut Config)) -> Self {
        let upstream = FaultRegistry::start().await.unwrap();
        let image = Image::multi(&[noise(1, 500_000)]);
        upstream.add("library/app", "latest", &image);
        let cell = Cell::with_config(upstream.url(), lines, change).await.unwrap();
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

/// Waits for the effect of a background task.
async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    until("a background task", async || holds().await.then_some(())).await.unwrap();
}

fn same_manifest(response: &HttpResponse, manifest: &Manifest) {
    assert_eq!(response.status, 200);
    assert_eq!(response.body, manifest.bytes);
    let digest = manifest.digest().to_string();
    for (name, value) in [
        ("content-type", manifest.media_type.as_str()),
        ("docker-content-digest", &digest),
        ("etag", &format!("\"{digest}\"")),
        ("content-length", &manifest.bytes.len().to_string()),
    ] {
        assert_eq!(response.header(name), value, "{name}");
    }
}
