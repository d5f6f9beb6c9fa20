//! Tags: shared lookups, content negotiation, and how long a tag stays fresh.

use std::time::Duration;

use harness::client::HttpResponse;
use harness::fault::Faults;
use harness::image::{Image, Manifest, noise};
use oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use reqwest::Method;

use super::{Pull, eventually, same_manifest};

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The numbers of upstream HEADs and GETs of a tag.
fn upstream_requests(pull: &Pull, tag: &str) -> (usize, usize) {
    let path = format!("/manifests/{tag}");
    (pull.upstream.count("HEAD", &path), pull.upstream.count("GET", &path))
}

async fn accepting(pull: &Pull, accept: &[&str]) -> HttpResponse {
    let accept: Vec<_> = accept.iter().map(|&line| ("accept", line)).collect();
    pull.client().request(Method::GET, "manifests/latest", &accept).await.unwrap()
}

/// `latest` is an index, and a single image to clients that do not accept indexes.
async fn negotiating(lines: &str) -> (Pull, Manifest) {
    let pull = Pull::with(lines).await;
    let mut single = Image::single(&[noise(8, 10)]).top;
    single.media_type = DOCKER.into();
    pull.upstream.add_narrow("library/app", "latest", &single);
    (pull, single)
}

#[tokio::test]
async fn fifty_clients_of_an_uncached_tag_cost_one_head_and_one_get_across_groups() {
    let pull = Pull::start().await;
    let globex = pull.cell.member_of("globex").await.unwrap();
    pull.upstream.fail(Faults { hold_manifests: true, ..Faults::default() });
    let clients: Vec<_> = (0..50)
        .map(|number| {
            let other = pull.client_of("globex", &globex);
            let client = if number % 2 == 0 { pull.client() } else { other };
            tokio::spawn(async move { client.manifest("latest").await.unwrap() })
        })
        .collect();
    for (lookups, requested_so_far) in [(50, (1, 0)), (100, (1, 1))] {
        eventually(async || pull.cell.metrics().lookups.get() == lookups).await;
        eventually(async || upstream_requests(&pull, "latest") == requested_so_far).await;
        pull.upstream.release();
    }
    let mut responses = Vec::new();
    for client in clients {
        let response = client.await.unwrap();
        same_manifest(&response, &pull.image.top);
        responses.push(response.header("x-cache").to_owned());
    }
    assert_eq!(upstream_requests(&pull, "latest"), (1, 1));
    let misses = responses.iter().filter(|status| *status == "MISS").count();
    assert_eq!(misses, 2, "one for each group, so that neither learns of the other: {responses:?}");
    pull.upstream.stop();
    for client in [pull.client(), pull.client_of("globex", &globex)] {
        assert_eq!(client.manifest("latest").await.unwrap().header("x-cache"), "STALE");
    }
}

#[tokio::test]
async fn a_fresh_tag_is_served_without_an_upstream_request() {
    let pull = Pull::with("[cache]\nrecheck_interval = \"1h\"\n").await;
    pull.client().manifest("latest").await.unwrap();
    pull.upstream.add("library/app", "latest", &Image::single(&[noise(7, 10)]));
    for _ in 0..2 {
        let response = pull.client().manifest("latest").await.unwrap();
        same_manifest(&response, &pull.image.top);
        assert_eq!(response.header("x-cache"), "HIT");
    }
    assert_eq!(upstream_requests(&pull, "latest"), (1, 1));
    let globex = pull.cell.member_of("globex").await.unwrap();
    pull.client_of("globex", &globex).manifest("latest").await.unwrap();
    assert_eq!(
        upstream_requests(&pull, "latest"),
        (2, 2),
        "each group queries the upstream itself"
    );
}

#[tokio::test]
async fn a_tag_is_revalidated_after_the_interval() {
    let pull = Pull::with("[cache]\nrecheck_interval = \"1ms\"\n").await;
    for heads in 1..4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        pull.client().manifest("latest").await.unwrap();
        assert_eq!(upstream_requests(&pull, "latest"), (heads, 1));
    }
}

#[tokio::test]
async fn an_immutable_tag_is_fetched_only_once() {
    let pull = Pull::with("[cache]\nimmutable_tags = [\"v*.*.*\", \"rel-?\"]\n").await;
    for tag in ["v1.2.3", "rel-1", "V1.2.3"] {
        pull.upstream.add("library/app", tag, &pull.image);
        pull.client().manifest(tag).await.unwrap();
    }
    pull.upstream.stop();
    for (tag, status) in [("v1.2.3", "HIT"), ("rel-1", "HIT"), ("V1.2.3", "STALE")] {
        for method in [Method::HEAD, Method::GET] {
            let path = format!("manifests/{tag}");
            let response = pull.client().request(method, &path, &[]).await.unwrap();
            assert_eq!((response.status, response.header("x-cache")), (200, status), "{tag}");
        }
    }
    assert_eq!(upstream_requests(&pull, "v1.2.3"), (1, 1));
}

#[tokio::test]
async fn each_client_receives_a_type_it_accepts_even_in_an_outage() {
    let (pull, single) = negotiating("").await;
    let (docker, any) = ([DOCKER, "application/json;q=0.5"], [OCI_INDEX, DOCKER]);
    for _ in 0..2 {
        same_manifest(&accepting(&pull, &docker).await, &single);
        same_manifest(&accepting(&pull, &any).await, &pull.image.top);
        same_manifest(&accepting(&pull, &[]).await, &pull.image.top);
    }
    assert_eq!(upstream_requests(&pull, "latest").1, 2, "one GET for each manifest");
    let sent: Vec<_> =
        pull.upstream.requests().into_iter().filter_map(|seen| seen.accept).collect();
    assert!(sent.contains(&docker.join(", ")) && sent.contains(&any.join(", ")), "{sent:?}");
    pull.upstream.stop();
    for (accept, expected) in [
        (&docker[..], Some(&single)),
        (&any[..], Some(&pull.image.top)),
        (&[DOCKER, "text/html"][..], Some(&single)),
        (&["*/*"][..], Some(&pull.image.top)),
        (&[OCI_MANIFEST][..], None),
    ] {
        let response = accepting(&pull, accept).await;
        match expected {
            Some(expected) => {
                same_manifest(&response, expected);
                assert_eq!(response.header("x-cache"), "STALE");
            }
            None => assert_eq!(response.status, 503, "{accept:?}"),
        }
    }
}

#[tokio::test]
async fn a_cached_single_image_does_not_replace_an_index_without_revalidation() {
    let (pull, single) = negotiating("[cache]\nimmutable_tags = [\"*\"]\n").await;
    same_manifest(&accepting(&pull, &[DOCKER]).await, &single);
    same_manifest(&accepting(&pull, &[DOCKER, OCI_INDEX]).await, &pull.image.top);
    pull.upstream.stop();
    same_manifest(&accepting(&pull, &[DOCKER]).await, &single);
    let index = accepting(&pull, &[DOCKER, OCI_INDEX]).await;
    same_manifest(&index, &pull.image.top);
    assert_eq!(index.header("x-cache"), "HIT");
}

#[tokio::test]
async fn a_single_image_served_to_a_client_of_indexes_is_valid_for_all_clients() {
    let pull = Pull::with("[cache]\nimmutable_tags = [\"*\"]\n").await;
    let mut image = Image::single(&[noise(4, 10)]);
    image.top.media_type = DOCKER.into();
    pull.upstream.add("library/app", "latest", &image);
    same_manifest(&accepting(&pull, &[DOCKER]).await, &image.top);
    same_manifest(&accepting(&pull, &[DOCKER, OCI_INDEX]).await, &image.top);
    eventually(async || {
        let heads = upstream_requests(&pull, "latest").0;
        accepting(&pull, &[DOCKER, OCI_INDEX]).await;
        upstream_requests(&pull, "latest").0 == heads
    })
    .await;
    assert_eq!(upstream_requests(&pull, "latest").1, 1, "HEAD is sufficient");
}

#[tokio::test]
async fn a_pull_by_head_and_digest_caches_the_tag() {
    let pull = Pull::start().await;
    pull.client().request(Method::HEAD, "manifests/latest", &[]).await.unwrap();
    pull.client().manifest(&pull.image.top.digest().to_string()).await.unwrap();
    assert_eq!(upstream_requests(&pull, "latest"), (1, 0), "as containerd pulls");
    pull.upstream.stop();
    let response = pull.client().manifest("latest").await.unwrap();
    same_manifest(&response, &pull.image.top);
    assert_eq!(response.header("x-cache"), "STALE");
}

#[tokio::test]
async fn a_tag_that_moves_to_a_cached_manifest_is_not_fetched() {
    let pull = Pull::start().await;
    let other = Image::single(&[noise(7, 1000)]);
    pull.upstream.add("library/app", "other", &other);
    for tag in ["latest", "other"] {
        pull.client().manifest(tag).await.unwrap();
    }
    pull.upstream.add("library/app", "latest", &other);
    let moved = pull.client().manifest("latest").await.unwrap();
    same_manifest(&moved, &other.top);
    assert_eq!((moved.header("x-cache"), upstream_requests(&pull, "latest")), ("HIT", (2, 1)));
    pull.upstream.stop();
    same_manifest(&pull.client().manifest("latest").await.unwrap(), &other.top);
}

#[tokio::test]
async fn a_manifest_cached_for_one_group_is_not_served_to_another() {
    let pull = Pull::start().await;
    pull.client().manifest("latest").await.unwrap();
    let globex = pull.cell.member_of("globex").await.unwrap();
    pull.upstream.stop();
    for reference in ["latest", &pull.image.top.digest().to_string()] {
        for method in [Method::GET, Method::HEAD] {
            let path = format!("manifests/{reference}");
            let response =
                pull.client_of("globex", &globex).request(method, &path, &[]).await.unwrap();
            assert_eq!(response.status, 503, "{path}");
        }
    }
}

#[tokio::test]
async fn a_tag_whose_new_manifest_cannot_be_fetched_is_served_stale() {
    let pull = Pull::start().await;
    pull.client().manifest("latest").await.unwrap();
    let moved = Image::single(&[noise(7, 1000)]);
    pull.upstream.add("library/app", "latest", &moved);
    // The last one is 429: afterwards the upstream is left alone for a while.
    for status in [500, 503, 401, 403, 404, 429] {
        pull.upstream.fail(Faults { get_status: Some(status), ..Faults::default() });
        let response = pull.client().manifest("latest").await.unwrap();
        same_manifest(&response, &pull.image.top);
        assert_eq!(response.header("x-cache"), "STALE", "{status}");
        assert!(response.header("warning").starts_with("110"), "{status}");
    }
    assert_eq!(upstream_requests(&pull, "latest"), (7, 7), "each HEAD was followed by a GET");
}

#[tokio::test]
async fn a_moved_tag_is_fetched_once_the_upstream_serves_its_manifest_again() {
    let pull = Pull::start().await;
    pull.client().manifest("latest").await.unwrap();
    let moved = Image::single(&[noise(7, 1000)]);
    pull.upstream.add("library/app", "latest", &moved);
    pull.upstream.fail(Faults { get_status: Some(403), ..Faults::default() });
    let stale = pull.client().manifest("latest").await.unwrap();
    same_manifest(&stale, &pull.image.top);
    pull.upstream.fail(Faults::default());
    let fresh = pull.client().manifest("latest").await.unwrap();
    same_manifest(&fresh, &moved.top);
    assert_eq!(fresh.header("x-cache"), "MISS");
}

#[tokio::test]
async fn without_a_cached_copy_the_failure_of_the_get_is_returned() {
    let pull = Pull::start().await;
    for (upstream, status, code) in [
        (500, 503, "UNAVAILABLE"),
        (403, 403, "DENIED"),
        (404, 404, "MANIFEST_UNKNOWN"),
        (429, 429, "TOOMANYREQUESTS"),
    ] {
        pull.upstream.fail(Faults { get_status: Some(upstream), ..Faults::default() });
        let response = pull.client().manifest("latest").await.unwrap();
        assert_eq!((response.status, response.code().as_deref()), (status, Some(code)));
    }
}
