//! What a warm request costs, counted.

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use origin::config::Config;
use origin::store::Key;
use reqwest::{Client, Method, Response};
use serde_json::Value;

use super::{Pull, eventually};

/// A client with a JWT, as docker comes.
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
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let token = answer["token"].as_str().unwrap().to_owned();
        let root = format!("{}/v2/acme/dependency_proxy/containers/app", pull.cell.url());
        Self { client, root, token }
    }

    async fn ask(&self, method: Method, path: &str) -> Response {
        let request = self.client.request(method, format!("{}/{path}", self.root));
        let mut answer = request.bearer_auth(&self.token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        while answer.chunk().await.unwrap().is_some() {}
        answer
    }
}

/// The questions to the database that each such request costs.
async fn questions(pull: &Pull, docker: &Docker, method: Method, path: &str) -> u64 {
    const REQUESTS: u64 = 5;
    let before = pull.cell.database_uses();
    for _ in 0..REQUESTS {
        assert_eq!(docker.ask(method.clone(), path).await.headers()["x-cache"], "HIT", "{path}");
    }
    let asked = pull.cell.database_uses() - before;
    assert_eq!(asked % REQUESTS, 0, "{method} {path}: {asked} questions in {REQUESTS} requests");
    asked / REQUESTS
}

/// Pulls everything with these settings, so that the next pull is warm.
async fn warm(tune: impl FnOnce(&mut Config)) -> (Pull, Docker, [String; 3]) {
    let pull = Pull::tuned("", tune).await;
    let docker = Docker::log_in(&pull).await;
    let paths = [
        "manifests/latest".to_owned(),
        format!("manifests/{}", pull.image.top.digest()),
        format!("blobs/{}", pull.layer_digest()),
    ];
    for path in &paths {
        // A blob is stored after its last byte was sent.
        eventually(async || docker.ask(Method::GET, path).await.headers()["x-cache"] == "HIT")
            .await;
    }
    (pull, docker, paths)
}

/// Everything the database has written so far: its file and its write-ahead log.
fn written(pull: &Pull) -> Vec<Vec<u8>> {
    let objects = pull.cell.objects();
    let file = |name: &str| -> PathBuf { objects.with_file_name(name) };
    ["origin.db", "origin.db-wal"].map(|name| std::fs::read(file(name)).unwrap()).into()
}

#[tokio::test]
async fn a_warm_request_asks_the_database_nothing_and_writes_nothing() {
    let hour = Duration::from_secs(3600);
    let (pull, docker, paths) = warm(|config| {
        config.auth.membership_cache = hour;
        config.cache.memory_life = hour;
    })
    .await;
    let before = written(&pull);
    for method in [Method::GET, Method::HEAD] {
        for path in &paths {
            let asked = questions(&pull, &docker, method.clone(), path).await;
            assert_eq!(asked, 0, "{method} {path}");
        }
    }
    assert!(written(&pull) == before, "a warm request wrote to the database");
}

#[tokio::test]
async fn with_nothing_kept_in_memory_a_warm_request_asks_twice_and_writes_nothing() {
    let (pull, docker, paths) = warm(|config| {
        config.auth.membership_cache = Duration::ZERO;
        config.cache.memory = ByteSize::b(0);
    })
    .await;
    let before = written(&pull);
    for path in &paths {
        for method in [Method::GET, Method::HEAD] {
            let asked = questions(&pull, &docker, method.clone(), path).await;
            assert_eq!(asked, 2, "{method} {path}");
        }
    }
    assert!(written(&pull) == before, "a warm request wrote to the database");
}

#[tokio::test]
async fn a_blob_whose_object_is_gone_heals_though_memory_knows_it() {
    let (pull, docker, [.., blob]) = warm(|_| {}).await;
    let object = pull.cell.objects().join(Key::Blob(&pull.layer_digest()).path().to_string());
    std::fs::remove_file(object).unwrap();
    assert_eq!(docker.ask(Method::GET, &blob).await.headers()["x-cache"], "MISS");
    assert_eq!(pull.blob_gets(), 2);
}
