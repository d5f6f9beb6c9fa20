//! The cost of a request for cached content, counted.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use origin::config::Config;
use origin::store::Key;
use reqwest::{Client, Method, Response};
use serde_json::Value;

use super::{Pull, eventually};

/// A client with a token, as docker sends it.
struct Docker {
    client: Client,
    root: String,
    token: String,
}

impl Docker {
    async fn log_in(pull: &Pull) -> Self {
        let client = Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/jwt/auth?service=dependency_proxy", pull.cell.url());
        let request = client.get(url).basic_auth(&pull.acme.username, Some(&pull.acme.password));
        let response: Value = request.send().await.unwrap().json().await.unwrap();
        let token = response["token"].as_str().unwrap().to_owned();
        let root = format!("{}/v2/acme/dependency_proxy/containers/app", pull.cell.url());
        Self { client, root, token }
    }

    async fn request(&self, method: Method, path: &str) -> Response {
        let request = self.client.request(method, format!("{}/{path}", self.root));
        let mut response = request.bearer_auth(&self.token).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        while response.chunk().await.unwrap().is_some() {}
        response
    }
}

/// The number of database queries that each such request costs.
async fn queries(pull: &Pull, docker: &Docker, method: Method, path: &str) -> u64 {
    const REQUESTS: u64 = 5;
    let before = pull.cell.database_uses();
    for _ in 0..REQUESTS {
        assert_eq!(
            docker.request(method.clone(), path).await.headers()["x-cache"],
            "HIT",
            "{path}"
        );
    }
    let requested = pull.cell.database_uses() - before;
    assert_eq!(
        requested % REQUESTS,
        0,
        "{method} {path}: {requested} queries in {REQUESTS} requests"
    );
    requested / REQUESTS
}

/// Pulls everything with these settings, so that the next pull finds it cached.
async fn cached(tune: impl FnOnce(&mut Config)) -> (Pull, Docker, [String; 3]) {
    let pull = Pull::with_config("", tune).await;
    let docker = Docker::log_in(&pull).await;
    let paths = [
        "manifests/latest".to_owned(),
        format!("manifests/{}", pull.image.top.digest()),
        format!("blobs/{}", pull.layer_digest()),
    ];
    for path in &paths {
        // A blob is stored after its last byte has been sent.
        eventually(async || docker.request(Method::GET, path).await.headers()["x-cache"] == "HIT")
            .await;
    }
    (pull, docker, paths)
}

/// The database's file and its write-ahead log.
fn written(pull: &Pull) -> Vec<Vec<u8>> {
    let objects = pull.cell.objects();
    let file = |name: &str| -> PathBuf { objects.with_file_name(name) };
    ["origin.db", "origin.db-wal"].map(|name| std::fs::read(file(name)).unwrap()).into()
}

#[tokio::test]
async fn a_request_for_cached_content_neither_reads_nor_writes_the_database() {
    let hour = Duration::from_secs(3600);
    let (pull, docker, paths) = cached(|config| {
        config.auth.membership_cache = hour;
        config.cache.memory_life = hour;
    })
    .await;
    let before = written(&pull);
    for method in [Method::GET, Method::HEAD] {
        for path in &paths {
            let requested = queries(&pull, &docker, method.clone(), path).await;
            assert_eq!(requested, 0, "{method} {path}");
        }
    }
    assert!(written(&pull) == before, "a request for cached content wrote to the database");
}

#[tokio::test]
async fn without_the_memory_cache_such_a_request_costs_two_queries_and_no_write() {
    let (pull, docker, paths) = cached(|config| {
        config.auth.membership_cache = Duration::ZERO;
        config.cache.memory = ByteSize::b(0);
    })
    .await;
    let before = written(&pull);
    for path in &paths {
        for method in [Method::GET, Method::HEAD] {
            let requested = queries(&pull, &docker, method.clone(), path).await;
            assert_eq!(requested, 2, "{method} {path}");
        }
    }
    assert!(written(&pull) == before, "a request for cached content wrote to the database");
}

#[tokio::test]
async fn a_blob_whose_object_is_lost_is_fetched_again_despite_the_memory_cache() {
    let (pull, docker, [.., blob]) = cached(|_| {}).await;
    let object = pull.cell.objects().join(Key::Blob(&pull.layer_digest()).path().to_string());
    std::fs::remove_file(object).unwrap();
    assert_eq!(docker.request(Method::GET, &blob).await.headers()["x-cache"], "MISS");
    assert_eq!(pull.blob_gets(), 2);
}
