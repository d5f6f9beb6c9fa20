//! An origin as its operator knows it: probes, metrics, limits, logs, and its end.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panic")]

use e2e::cell::Cell;
use e2e::client::{Login, Puller};
use e2e::fault::{FaultRegistry, Faults};
use e2e::image::{Image, noise};
use e2e::wait::until;
use oci::Digest;
use origin::config::Config;
use reqwest::{Client, Method, Response};
use serde_json::Value;

#[path = "server/limits.rs"]
mod limits;
#[path = "server/program.rs"]
mod program;
#[path = "server/stop.rs"]
mod stop;
#[path = "server/watch.rs"]
mod watch;

/// A cell, a member of `acme`, and `library/app` at the upstream, one layer.
struct Served {
    upstream: FaultRegistry,
    cell: Cell,
    login: Login,
}

impl Served {
    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let upstream = FaultRegistry::start().await.unwrap();
        upstream.add("library/app", "latest", &Image::single(&[layer()]));
        let cell = Cell::tuned(upstream.url(), "", change).await.unwrap();
        let login = cell.member_of("acme").await.unwrap();
        Self { upstream, cell, login }
    }

    fn client(&self) -> Puller {
        Puller::new(self.cell.url(), "acme", "app", Some(&self.login)).unwrap()
    }

    /// A pull that hangs until the upstream is released.
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

/// Each time over a connection of its own.
async fn get(url: &str) -> Option<(u16, Value)> {
    let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let answer = client.get(url).send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().await.unwrap_or_default()))
}
