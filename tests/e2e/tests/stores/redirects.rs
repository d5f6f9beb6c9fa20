//! `[store] redirect`: clients download cached blobs from the bucket.

use std::sync::Arc;

use harness::cell::{Cell, CellOptions};
use harness::client::{HttpResponse, Login, Puller};
use harness::fault::{FaultRegistry, Faults};
use harness::image::{Image, noise};
use harness::seaweed::Seaweed;
use harness::skopeo;
use harness::wait::until;
use oci::Digest;
use reqwest::{Client, Method, redirect};

struct Redirecting {
    server: Arc<Seaweed>,
    upstream: FaultRegistry,
    cell: Cell,
    acme: Login,
    layer: Vec<u8>,
}

impl Redirecting {
    async fn start(life: &str) -> Self {
        let server = Seaweed::shared().await.unwrap();
        let lines = server.bucket().store_lines();
        let store = Some(format!("{lines}redirect = true\nredirect_life = \"{life}\"\n"));
        let upstream = FaultRegistry::start().await.unwrap();
        let image = Image::multi(&[noise(1, 500_000)]);
        upstream.add("library/app", "latest", &image);
        let options = CellOptions { store, own_external_url: true, ..CellOptions::default() };
        let cell = Cell::with_options(&options, upstream.url(), "").await.unwrap();
        let acme = cell.member_of("acme").await.unwrap();
        let layer = image.blobs.last().unwrap().clone();
        Self { server, upstream, cell, acme, layer }
    }

    fn client(&self) -> Puller {
        Puller::new(self.cell.url(), "acme", "app", Some(&self.acme)).unwrap()
    }

    fn path(&self) -> String {
        format!("blobs/{}", Digest::of(&self.layer))
    }

    /// Sends a request without following redirects.
    async fn unfollowed(&self, method: Method) -> HttpResponse {
        let client = Client::builder().no_proxy().redirect(redirect::Policy::none());
        let path = self.path();
        let url = format!("{}/v2/acme/dependency_proxy/containers/app/{path}", self.cell.url());
        let request = client.build().unwrap().request(method, url);
        let request = request.basic_auth(&self.acme.username, Some(&self.acme.password));
        HttpResponse::read(request.send().await.unwrap()).await.unwrap()
    }

    /// The redirect of a stored blob.
    async fn location(&self) -> String {
        let client = self.client();
        client.request(Method::GET, &self.path(), &[]).await.unwrap();
        until("a redirect", async || {
            let response = self.unfollowed(Method::GET).await;
            (response.status == 307).then(|| response.header("location").to_owned())
        })
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn get_of_a_cached_blob_and_nothing_else_is_redirected_to_the_bucket() {
    let site = Redirecting::start("1m").await;
    let first = site.unfollowed(Method::GET).await;
    assert_eq!(
        (first.status, first.body.len()),
        (200, 500_000),
        "not stored yet, so served by the origin"
    );
    let location = site.location().await;
    assert!(location.starts_with(&site.server.bucket().endpoint), "{location}");

    let sent = site.unfollowed(Method::GET).await;
    assert_eq!((sent.status, sent.header("cache-control")), (307, "no-store"));
    assert_eq!(sent.header("x-cache"), "HIT");
    let head = site.unfollowed(Method::HEAD).await;
    assert_eq!((head.status, head.header("content-length")), (200, "500000"));

    let followed = site.client().request(Method::GET, &site.path(), &[]).await.unwrap();
    assert!(followed.status == 200 && followed.body == site.layer);
    let range = [("range", "bytes=1000-1999")];
    let part = site.client().request(Method::GET, &site.path(), &range).await.unwrap();
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 1000-1999/500000"));
    assert!(part.body == site.layer[1000..2000]);
}

#[tokio::test]
async fn a_client_without_access_is_not_redirected() {
    let site = Redirecting::start("1m").await;
    site.location().await;
    let stranger = site.cell.member_of("globex").await.unwrap();
    let client = Puller::new(site.cell.url(), "acme", "app", Some(&stranger)).unwrap();
    assert_eq!(client.request(Method::GET, &site.path(), &[]).await.unwrap().status, 404);
    site.upstream.fail(Faults { status: Some(404), ..Faults::default() });
    let other = Puller::new(site.cell.url(), "globex", "app", Some(&stranger)).unwrap();
    assert_eq!(other.request(Method::GET, &site.path(), &[]).await.unwrap().status, 404);
}

#[tokio::test]
async fn the_bucket_refuses_an_expired_url_and_one_of_another_object() {
    let site = Redirecting::start("2s").await;
    let location = site.location().await;
    let client = Client::builder().no_proxy().build().unwrap();
    let status = async |url: &str| client.get(url).send().await.unwrap().status().as_u16();
    let other = location.replacen("/blobs/", "/manifests/", 1);
    assert_eq!(status(&other).await, 403);
    until("the URL to expire", async || (status(&location).await == 403).then_some(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn skopeo_follows_the_redirect() {
    let site = Redirecting::start("1m").await;
    site.location().await;
    let host = site.cell.url().trim_start_matches("http://");
    let image = format!("{host}/acme/dependency_proxy/containers/app:latest");
    let folder = tempfile::tempdir().unwrap();
    let pulled = skopeo::pull(&image, &site.acme, &folder.path().join("app")).await.unwrap();
    assert!(pulled.success, "{}", pulled.output);
}
