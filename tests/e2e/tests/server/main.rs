//! An origin as its operator sees it: probes, metrics, limits, logs and shutdown.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic")]

use harness::cell::Cell;
use harness::client::{Login, Puller};
use harness::fault::{FaultRegistry, Faults};
use harness::image::{Image, noise};
use harness::wait::until;
use oci::Digest;
use origin::config::Config;
use reqwest::{Client, Method, Response};
use serde_json::Value;

mod limits;
mod metrics;
mod program;
mod stop;
mod watch;

/// A Cell with a member of `acme`, and an upstream with `library/app`, which has one layer.
struct Served {
    upstream: FaultRegistry,
    cell: Cell,
    login: Login,
}

impl Served {
    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let upstream = FaultRegistry::start().await.unwrap();
        upstream.add("library/app", "latest", &Image::single(&[layer()]));
        let cell = Cell::with_config(upstream.url(), "", change).await.unwrap();
        let login = cell.member_of("acme").await.unwrap();
        Self { upstream, cell, login }
    }

    fn client(&self) -> Puller {
        Puller::new(self.cell.url(), "acme", "app", Some(&self.login)).unwrap()
    }

    /// Starts a download that is held until the upstream is released.
    async fn hanging(&self) -> Response {
        hang(&self.upstream, &self.client()).await
    }
}

async fn hang(upstream: &FaultRegistry, client: &Puller) -> Response {
    upstream.fail(Faults { hold_blobs_at: Some(1000), ..Faults::default() });
    client.open(Method::GET, &format!("blobs/{}", digest()), &[]).await.unwrap()
}

fn layer() -> Vec<u8> {
    noise(1, 500_000)
}

fn digest() -> Digest {
    Digest::of(&layer())
}

/// Sends a GET on its own connection.
async fn get(url: &str) -> Option<(u16, Value)> {
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let response = client.get(url).send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.json().await.unwrap_or_default()))
}
