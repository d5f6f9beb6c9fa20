//! A Cell of several origins in their own processes, on one real PostgreSQL and one real S3, behind
//! real Envoy with the compiled filter.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use harness::client::{HttpResponse, Login, Puller};
use harness::fault::{FaultRegistry, Faults};
use harness::image::{Image, noise};
use harness::postgres::Postgres;
use harness::process::free_port;
use harness::seaweed::Seaweed;
use harness::stack::{Fleet, Ports, Settings, Stack};
use oci::Digest;
use reqwest::{Client, Method, Response};
use tempfile::TempDir;

const ORIGINS: usize = 3;

/// With this number of layers each of three origins receives one.
const LAYERS: usize = 24;

/// How often docker retries a layer that broke off.
const RETRIES: usize = 5;

struct Cell {
    upstream: FaultRegistry,
    image: Image,
    ports: Vec<u16>,
    stack: Stack,
    _postgres: Arc<Postgres>,
    _seaweed: Arc<Seaweed>,
    _folder: TempDir,
}

impl Cell {
    /// Starts a Cell with an empty cache, whose upstream has `library/app`.
    async fn start() -> Self {
        let (postgres, seaweed) =
            (Postgres::shared().await.unwrap(), Seaweed::shared().await.unwrap());
        let (folder, upstream) = (TempDir::new().unwrap(), FaultRegistry::start().await.unwrap());
        let layers: Vec<_> = (0..LAYERS).map(|layer| noise(layer as u64, 100_000)).collect();
        let image = Image::single(&layers);
        upstream.add("library/app", "latest", &image);
        let further: Vec<_> = (1..ORIGINS).map(|_| free_port().unwrap()).collect();
        let fleet = Fleet {
            database: postgres.database().unwrap(),
            store: seaweed.bucket().store_lines(),
            further: further.clone(),
        };
        let settings = Settings {
            upstream: Some(upstream.url().to_owned()),
            fleet: Some(fleet),
            ..Settings::new(Ports::free().unwrap(), folder.path().join("state"))
        };
        let stack = Stack::start(&settings).await.unwrap();
        let ports = [vec![stack.ports.origins[0]], further].concat();
        Self {
            upstream,
            image,
            ports,
            stack,
            _postgres: postgres,
            _seaweed: seaweed,
            _folder: folder,
        }
    }

    fn login(&self) -> Login {
        let group = self.stack.group("acme").unwrap();
        Login { username: group.username.clone(), password: group.password.clone() }
    }

    /// A new client with its own connections.
    fn puller(&self) -> Puller {
        Puller::new(&self.stack.edge(), "acme", "app", Some(&self.login())).unwrap()
    }

    fn layers(&self) -> BTreeMap<Digest, Bytes> {
        let layers = self.image.blobs.iter().skip(1);
        layers.map(|layer| (Digest::of(layer), Bytes::copy_from_slice(layer))).collect()
    }

    /// The number of upstream fetches of each layer.
    fn fetches(&self) -> BTreeMap<Digest, usize> {
        let fetches = |digest: &Digest| self.upstream.count("GET", &format!("/blobs/{digest}"));
        self.layers().into_keys().map(|digest| (digest.clone(), fetches(&digest))).collect()
    }

    /// Lets `clients` clients request each of `layers` layers and receive their first bytes. The
    /// upstream holds the rest until it is released.
    async fn start_downloads(&self, clients: usize, layers: usize) -> Vec<Download> {
        self.upstream.fail(Faults { hold_blobs_at: Some(1_000), ..Faults::default() });
        let downloads = self.request(clients, layers).await;
        self.upstream.fail(Faults::default());
        downloads
    }

    async fn request(&self, clients: usize, layers: usize) -> Vec<Download> {
        let layers: Vec<_> = self.layers().into_iter().take(layers).collect();
        let all = (0..clients).flat_map(|_| {
            let puller = self.puller();
            layers.clone().into_iter().map(move |layer| Download::request(puller.clone(), layer))
        });
        join_all(all).await
    }
}

/// A layer that a client is downloading.
struct Download {
    puller: Puller,
    layer: (Digest, Bytes),
    response: Response,
}

impl Download {
    async fn request(puller: Puller, layer: (Digest, Bytes)) -> Self {
        let path = format!("blobs/{}", layer.0);
        let response = puller.open(Method::GET, &path, &[]).await.unwrap();
        assert_eq!(response.status(), 200);
        Self { puller, layer, response }
    }

    /// Reads to the end, and retries what breaks off as docker does, but sooner. Returns the digest
    /// if the first attempt broke off.
    async fn finish(self) -> Option<Digest> {
        let (digest, bytes) = self.layer;
        if let Ok(whole) = HttpResponse::read(self.response).await {
            assert!(whole.body == bytes, "{digest} differs");
            return None;
        }
        for _ in 0..RETRIES {
            tokio::time::sleep(Duration::from_millis(100)).await;
            match self.puller.blob(&digest).await {
                Ok(whole) if whole.status == 200 && whole.body == bytes => return Some(digest),
                Ok(other) => assert_eq!(other.status, 503, "{:?}", other.body),
                Err(_) => {}
            }
        }
        panic!("{digest} does not arrive")
    }
}

/// Finishes all downloads, and returns the digests that broke off for a client.
async fn finish(all: Vec<Download>) -> BTreeSet<Digest> {
    join_all(all.into_iter().map(Download::finish)).await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_cause_one_fetch_of_each_digest_if_envoy_hashes() {
    let cell = Cell::start().await;
    let downloads = cell.start_downloads(50, 6).await;
    cell.upstream.release();
    assert!(finish(downloads).await.is_empty(), "no download broke off");
    let fetched: Vec<_> = cell.fetches().into_values().filter(|times| *times > 0).collect();
    assert_eq!(fetched, [1; 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_hashing_each_origin_fetches_each_digest_at_most_once() {
    let cell = Cell::start().await;
    let scatter = |clusters: &str| clusters.replace("RING_HASH", "ROUND_ROBIN");
    cell.stack.change_clusters(scatter).await.unwrap();
    let downloads = cell.start_downloads(50, 6).await;
    cell.upstream.release();
    assert!(finish(downloads).await.is_empty(), "no download broke off");
    let fetched = cell.fetches();
    assert!(fetched.values().all(|times| *times <= ORIGINS), "{fetched:?}");
    assert!(
        fetched.values().sum::<usize>() > 6,
        "the requests were not spread over the origins: {fetched:?}"
    );

    assert!(finish(cell.request(6, 6).await).await.is_empty());
    assert_eq!(cell.fetches(), fetched, "all origins serve what one has stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_origin_moves_its_digests_and_fails_no_retried_pull() {
    let mut cell = Cell::start().await;
    let downloads = cell.start_downloads(5, LAYERS).await;
    cell.stack.kill_origin("origin-1-2").unwrap();
    cell.upstream.release();
    let broken = finish(downloads).await;
    assert!(!broken.is_empty() && broken.len() < LAYERS, "{} broke off", broken.len());
    let fetched = cell.fetches();
    for (digest, times) in &fetched {
        let expected = if broken.contains(digest) { 2..=ORIGINS } else { 1..=1 };
        assert!(expected.contains(times), "{digest} was fetched {times} times");
    }

    cell.stack.restart_origin("origin-1-2", cell.ports[1]).await.unwrap();
    assert!(finish(cell.request(5, LAYERS).await).await.is_empty());
    assert_eq!(cell.fetches(), fetched, "the restarted origin serves what the others have stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_cached_content_of_one_origin_are_valid_at_all_origins() {
    let cell = Cell::start().await;
    let [first, ..] = cell.ports[..] else { unreachable!("a cell has an origin") };
    let client = Client::builder().no_proxy().build().unwrap();
    let login = cell.login();
    let url = format!("http://127.0.0.1:{first}/jwt/auth?service=dependency_proxy");
    let request = client.get(url).basic_auth(&login.username, Some(&login.password));
    let response: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
    let token = response["token"].as_str().unwrap();

    let pull = async |port: u16| {
        let url = format!("http://127.0.0.1:{port}/v2/acme/dependency_proxy/containers/app");
        let manifest = client.get(format!("{url}/manifests/latest")).bearer_auth(token);
        let manifest = HttpResponse::read(manifest.send().await.unwrap()).await.unwrap();
        assert_eq!((manifest.status, &manifest.body[..]), (200, &cell.image.top.bytes[..]));
        for (digest, bytes) in cell.layers() {
            let blob = client.get(format!("{url}/blobs/{digest}")).bearer_auth(token);
            let blob = HttpResponse::read(blob.send().await.unwrap()).await.unwrap();
            assert!(blob.status == 200 && blob.body == bytes, "{digest} at {port}");
        }
    };
    pull(first).await;
    cell.upstream.stop();
    for port in &cell.ports {
        pull(*port).await;
    }
    assert!(cell.fetches().into_values().all(|times| times == 1));
}
