//! Uploads through the edge.

use harness::client::Login;
use harness::image::{Image, noise};
use oci::Digest;
use reqwest::Method;

use super::{Edge, image, send};

const MEGABYTE: usize = 1_000_000;

#[tokio::test]
async fn a_large_layer_is_pushed_and_pulled() {
    let edge = Edge::start().await;
    let image = Image::single(&[noise(7, 64 * MEGABYTE)]);
    let alice = edge.login("acme");
    edge.push_successfully(&image, "acme/large", &alice).await;
    edge.pull_same(&image, "acme/large", Some(&alice), "large").await;
}

/// The edge looks up the Cell while the body arrives: it applies backpressure, and neither buffers
/// the body in memory nor refuses it as too large.
#[tokio::test]
async fn an_upload_waits_for_the_first_response_of_the_topology_service() {
    let edge = Edge::start().await;
    let (blob, login) = (noise(8, 16 * MEGABYTE), edge.login("globex"));
    let token = edge.token(&["repository:globex/app:pull,push"], Some(&login)).await;
    let start = edge.request_past_the_edge(2, Method::POST, "/v2/globex/app/blobs/uploads/");
    let started = send(start.bearer_auth(&token)).await;
    assert_eq!(started.status, 202);

    let location = started.header("location");
    let request = edge.request(Method::PATCH, location).bearer_auth(&token);
    let request = request.header("content-type", "application/octet-stream");
    let sent = send(request.body(blob.clone())).await;
    assert_eq!((sent.status, sent.header("x-cell")), (202, "registry-cell-2"));
    let location = sent.header("location");
    assert!(
        location.starts_with("/v2/globex/app/"),
        "the upload continues at the edge: {location}"
    );

    let path = format!("{location}&digest={}", Digest::of(&blob));
    let done = send(edge.request(Method::PUT, &path).bearer_auth(&token)).await;
    assert_eq!(done.status, 201);
    let path = format!("/v2/globex/app/blobs/{}", Digest::of(&blob));
    let back = send(edge.request(Method::GET, &path).bearer_auth(&token)).await;
    assert!(back.body == blob);
}

#[tokio::test]
async fn a_layer_is_mounted_from_another_repository_of_the_same_cell_only() {
    let edge = Edge::start().await;
    let (image, alice) = (image(1), edge.login("acme"));
    edge.push_successfully(&image, "acme/app", &alice).await;
    edge.push_successfully(&image, "globex/app", &edge.login("globex")).await;
    let layer = Digest::of(image.blobs.last().unwrap());
    let mount = async |from: &str, login: &Login| {
        let scopes = [&format!("repository:{from}:pull"), "repository:acme/team/copy:pull,push"];
        let token = edge.token(&scopes, Some(login)).await;
        let path = format!("/v2/acme/team/copy/blobs/uploads/?mount={layer}&from={from}");
        send(edge.request(Method::POST, &path).bearer_auth(token)).await.status
    };
    assert_eq!(mount("acme/app", &alice).await, 201);
    assert_eq!(mount("acme/app", &edge.login("acme/team")).await, 401, "not a member of acme");
    assert_eq!(mount("globex/app", &alice).await, 401);
}
