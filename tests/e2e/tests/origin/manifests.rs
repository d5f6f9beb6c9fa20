//! Manifests: tags are revalidated by HEAD and digests never, and failures are reported by their
//! meaning.

use std::time::Duration;

use harness::client::Puller;
use harness::fault::Authentication::Token;
use harness::fault::Faults;
use harness::image::{Image, Manifest, noise};
use oci::Digest;
use oci::media_type::{OCI_INDEX, OCI_MANIFEST};
use origin::store::Key;
use reqwest::Method;

use super::{Pull, eventually, same_manifest};

const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// The numbers of upstream HEADs and GETs of a tag.
fn upstream_requests(pull: &Pull, tag: &str) -> (usize, usize) {
    let path = format!("/manifests/{tag}");
    (pull.upstream.count("HEAD", &path), pull.upstream.count("GET", &path))
}

#[tokio::test]
async fn a_tag_is_fetched_once_and_then_revalidated_by_head() {
    let pull = Pull::start().await;
    for status in ["MISS", "HIT", "HIT"] {
        let response = pull.client().manifest("latest").await.unwrap();
        same_manifest(&response, &pull.image.top);
        assert_eq!(response.header("x-cache"), status);
    }
    assert_eq!(pull.upstream.count("GET", "/manifests/latest"), 1);
    assert_eq!(pull.upstream.count("HEAD", "/manifests/latest"), 3);
}

#[tokio::test]
async fn a_tag_that_moved_is_fetched_again() {
    let pull = Pull::start().await;
    pull.client().manifest("latest").await.unwrap();
    let moved = Image::single(&[noise(7, 1000)]);
    pull.upstream.add("library/app", "latest", &moved);
    same_manifest(&pull.client().manifest("latest").await.unwrap(), &moved.top);
    let old = pull.image.top.digest().to_string();
    same_manifest(&pull.client().manifest(&old).await.unwrap(), &pull.image.top);
}

#[tokio::test]
async fn an_outage_of_any_kind_serves_the_cached_tag_as_stale() {
    let pull = Pull::start().await;
    pull.client().manifest("latest").await.unwrap();
    for status in [408, 429, 500, 502, 503, 504] {
        pull.upstream.fail(Faults { status: Some(status), ..Faults::default() });
        let response = pull.client().manifest("latest").await.unwrap();
        same_manifest(&response, &pull.image.top);
        assert_eq!(response.header("x-cache"), "STALE", "{status}");
        assert!(response.header("warning").starts_with("110"), "{status}");
    }
    pull.upstream.stop();
    let response = pull.client().manifest("latest").await.unwrap();
    assert_eq!(response.header("x-cache"), "STALE");
}

#[tokio::test]
async fn a_refusal_is_passed_on_unless_configured_otherwise() {
    let refusals = [(401, 403), (403, 403), (404, 404)];
    let honest = Pull::start().await;
    honest.client().manifest("latest").await.unwrap();
    for (upstream, seen) in refusals {
        honest.upstream.fail(Faults { status: Some(upstream), ..Faults::default() });
        assert_eq!(honest.client().manifest("latest").await.unwrap().status, seen, "{upstream}");
    }
    let lenient = Pull::with("[cache]\nwhen_refused = \"serve-stale\"\n").await;
    lenient.client().manifest("latest").await.unwrap();
    for (upstream, _) in refusals {
        lenient.upstream.fail(Faults { status: Some(upstream), ..Faults::default() });
        let response = lenient.client().manifest("latest").await.unwrap();
        assert_eq!((response.status, response.header("x-cache")), (200, "STALE"), "{upstream}");
    }
}

#[tokio::test]
async fn failures_without_a_cached_copy_are_registry_errors() {
    let pull = Pull::start().await;
    for (upstream, status, code) in [
        (401, 403, "DENIED"),
        (404, 404, "MANIFEST_UNKNOWN"),
        (500, 503, "UNAVAILABLE"),
        // The last case, because it opens the circuit.
        (429, 429, "TOOMANYREQUESTS"),
    ] {
        pull.upstream.fail(Faults { status: Some(upstream), ..Faults::default() });
        let response = pull.client().manifest("latest").await.unwrap();
        assert_eq!((response.status, response.code().as_deref()), (status, Some(code)));
        if matches!(status, 429 | 503) {
            assert_eq!(response.header("retry-after"), "7");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_head_is_queried_by_get() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { head_status: Some(405), ..Faults::default() });
    same_manifest(&pull.client().manifest("latest").await.unwrap(), &pull.image.top);
    pull.upstream.fail(Faults { without_digest: true, ..Faults::default() });
    same_manifest(&pull.client().manifest("latest").await.unwrap(), &pull.image.top);
}

#[tokio::test]
async fn head_describes_the_response_to_get_and_stores_nothing() {
    let pull = Pull::start().await;
    let head = pull.client().request(Method::HEAD, "manifests/latest", &[]).await.unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("docker-content-digest"), pull.image.top.digest().to_string());
    assert_eq!(head.header("content-length"), pull.image.top.bytes.len().to_string());
    assert_eq!(head.header("content-type"), pull.image.top.media_type);
    assert_eq!(pull.upstream.count("GET", "/manifests/latest"), 0);

    let path = format!("blobs/{}", pull.layer_digest());
    let head = pull.client().request(Method::HEAD, &path, &[]).await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, "500000"));
    assert_eq!(pull.blob_gets(), 0);
}

#[tokio::test]
async fn docker_media_types_are_preserved() {
    let pull = Pull::start().await;
    let mut image = Image::single(&[noise(3, 10)]);
    image.top.media_type = "application/vnd.docker.distribution.manifest.v2+json".into();
    pull.upstream.add("library/app", "docker", &image);
    image.top.media_type = "application/vnd.example.unknown+json; charset=utf-8".into();
    pull.upstream.add("library/app", "unknown", &image);
    for tag in ["docker", "unknown"] {
        let first = pull.client().manifest(tag).await.unwrap();
        let again = pull.client().manifest(tag).await.unwrap();
        assert_eq!(first.header("content-type"), again.header("content-type"));
        assert!(first.header("content-type").contains(tag), "{tag}");
    }
}

#[tokio::test]
async fn a_manifest_that_does_not_match_its_digest_is_never_served() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { corrupt: true, ..Faults::default() });
    let digest = pull.image.top.digest().to_string();
    for reference in ["latest", &digest] {
        let response = pull.client().manifest(reference).await.unwrap();
        assert_eq!((response.status, response.code().as_deref()), (502, Some("UNAVAILABLE")));
    }
    pull.upstream.fail(Faults::default());
    same_manifest(&pull.client().manifest(&digest).await.unwrap(), &pull.image.top);
}

#[tokio::test]
async fn a_short_name_that_moved_is_looked_up_again() {
    let pull = Pull::with("short_names = \"library-first\"\n").await;
    let image = Image::single(&[noise(6, 100)]);
    let puller = Puller::new(pull.cell.url(), "acme", "moving", Some(&pull.acme)).unwrap();
    pull.upstream.add("library/moving", "old", &image);
    same_manifest(&puller.manifest("old").await.unwrap(), &image.top);
    pull.upstream.add("moving", "new", &image);
    same_manifest(&puller.manifest("new").await.unwrap(), &image.top);
}

#[tokio::test]
async fn a_short_name_is_tried_in_the_library_first_where_configured() {
    let pull = Pull::with("short_names = \"library-first\"\n").await;
    let bare = Image::single(&[noise(5, 10_000)]);
    pull.upstream.add("bare", "latest", &bare);
    let puller = Puller::new(pull.cell.url(), "acme", "bare", Some(&pull.acme)).unwrap();
    same_manifest(&puller.manifest("latest").await.unwrap(), &bare.top);
    let layer = Digest::of(bare.blobs.last().unwrap());
    assert_eq!(puller.blob(&layer).await.unwrap().status, 200);
    assert_eq!(
        pull.upstream.count("GET", &format!("/blobs/{layer}")),
        1,
        "the repository is known"
    );
    same_manifest(&pull.client().manifest("latest").await.unwrap(), &pull.image.top);
}

#[tokio::test]
async fn a_rate_limited_head_is_not_followed_by_a_get() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { status: Some(429), ..Faults::default() });
    assert_eq!(pull.client().manifest("latest").await.unwrap().status, 429);
    assert_eq!(pull.upstream.count("GET", "/manifests/latest"), 0);
}

#[tokio::test]
async fn a_stored_manifest_that_was_corrupted_is_fetched_again() {
    let pull = Pull::with("[cache]\nmemory = 0\n").await;
    let digest = pull.image.top.digest();
    let object = pull.cell.objects().join(Key::Manifest(&digest).path().as_ref());
    pull.client().manifest("latest").await.unwrap();
    for reference in ["latest", &digest.to_string()] {
        std::fs::write(&object, "corrupt").unwrap();
        same_manifest(&pull.client().manifest(reference).await.unwrap(), &pull.image.top);
        assert_eq!(std::fs::read(&object).unwrap(), pull.image.top.bytes, "the object is repaired");
    }
}

#[tokio::test]
async fn a_client_that_disconnects_cancels_no_fetch() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { hold_manifests: true, ..Faults::default() });
    let digest = pull.image.top.digest().to_string();
    let (client, reference) = (pull.client(), digest.clone());
    let leaving = tokio::spawn(async move { client.manifest(&reference).await });
    eventually(async || upstream_requests(&pull, &digest).1 == 1).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    pull.upstream.release();
    let cached = pull.cell.objects().join(Key::Manifest(&pull.image.top.digest()).path().as_ref());
    eventually(async || cached.exists()).await;
    same_manifest(&pull.client().manifest(&digest).await.unwrap(), &pull.image.top);
    assert_eq!(upstream_requests(&pull, &digest), (0, 1));
}

#[tokio::test]
async fn if_the_method_head_is_refused_get_decides_even_with_a_cached_copy() {
    let pull = Pull::start().await;
    for (number, head_status) in [400, 403, 405, 501].into_iter().enumerate() {
        pull.upstream.fail(Faults { head_status: Some(head_status), ..Faults::default() });
        let moved = Image::single(&[noise(number as u64 + 20, 10)]);
        pull.upstream.add("library/app", "latest", &moved);
        let response = pull.client().manifest("latest").await.unwrap();
        same_manifest(&response, &moved.top);
        assert_eq!(response.header("x-cache"), "MISS", "{head_status}");
    }
    pull.upstream.fail(Faults { without_digest: true, ..Faults::default() });
    pull.upstream.add("library/app", "latest", &pull.image);
    same_manifest(&pull.client().manifest("latest").await.unwrap(), &pull.image.top);
}

#[tokio::test]
async fn a_manifest_that_arrives_too_slowly_is_served_stale_from_the_cache() {
    let pull = Pull::start().await;
    pull.client().manifest("latest").await.unwrap();
    pull.upstream.add("library/app", "latest", &Image::multi(&[noise(61, 10)]));
    let drip = Some((1, Duration::from_millis(200)));
    pull.upstream.fail(Faults { drip, ..Faults::default() });
    let response = pull.client().manifest("latest").await.unwrap();
    same_manifest(&response, &pull.image.top);
    assert_eq!(response.header("x-cache"), "STALE");
}

#[tokio::test]
async fn absence_can_be_handled_differently_from_refusal() {
    let lines = "[cache]\nwhen_absent = \"serve-stale\"\n";
    let pull = Pull::with(lines).await;
    pull.client().manifest("latest").await.unwrap();
    for (upstream, status) in [(404, 200), (403, 403), (401, 403)] {
        pull.upstream.fail(Faults { status: Some(upstream), ..Faults::default() });
        let response = pull.client().manifest("latest").await.unwrap();
        assert_eq!(response.status, status, "{upstream}");
    }
}

#[tokio::test]
async fn a_missing_content_type_is_read_from_the_manifest() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { without_type: true, ..Faults::default() });
    let head = pull.client().request(Method::HEAD, "manifests/latest", &[]).await.unwrap();
    assert_eq!(head.header("content-type"), OCI_INDEX);
    same_manifest(&pull.client().manifest("latest").await.unwrap(), &pull.image.top);
    let silent = Manifest { media_type: "a/b".into(), bytes: b"{}".to_vec() };
    pull.upstream.add_manifest("library/app", "silent", &silent);
    let response = pull.client().manifest("silent").await.unwrap();
    assert_eq!(response.status, 502);
    assert!(String::from_utf8_lossy(&response.body).contains("Content-Type"));
}

#[tokio::test]
async fn a_manifest_is_limited_to_4_mib() {
    let pull = Pull::start().await;
    let of = |length: usize| {
        let mut bytes = br#"{"schemaVersion": 2}"#.to_vec();
        bytes.resize(length, b' ');
        Manifest { media_type: OCI_MANIFEST.into(), bytes }
    };
    let (longest, longer) = (of(4 * 1024 * 1024), of(4 * 1024 * 1024 + 1));
    pull.upstream.add_manifest("library/app", "long", &longest);
    same_manifest(&pull.client().manifest("long").await.unwrap(), &longest);
    pull.upstream.add_manifest("library/app", "long", &longer);
    let stale = pull.client().manifest("long").await.unwrap();
    same_manifest(&stale, &longest);
    assert_eq!(stale.header("x-cache"), "STALE");
    let refused = pull.client().manifest(&longer.digest().to_string()).await.unwrap();
    assert_eq!((refused.status, refused.code().as_deref()), (502, Some("UNAVAILABLE")));
    assert!(String::from_utf8_lossy(&refused.body).contains("longer than 4 MiB"));
}

#[tokio::test]
async fn a_manifest_that_cannot_be_stored_is_still_served() {
    let pull = Pull::start().await;
    std::fs::remove_dir_all(pull.cell.objects()).unwrap();
    std::fs::write(pull.cell.objects(), "in the way").unwrap();
    for _ in 0..2 {
        let response = pull.client().manifest("latest").await.unwrap();
        same_manifest(&response, &pull.image.top);
        assert_eq!(response.header("x-cache"), "MISS");
    }
}

#[tokio::test]
async fn a_cached_digest_needs_no_token() {
    let pull = Pull::start().await;
    let digest = pull.image.top.digest().to_string();
    pull.client().manifest(&digest).await.unwrap();
    let requested = pull.upstream.requests().len();
    pull.upstream.fail(Faults { status: Some(500), requires: Some(Token), ..Faults::default() });
    for method in [Method::GET, Method::HEAD] {
        let path = format!("manifests/{digest}");
        let response = pull.client().request(method, &path, &[("accept", DOCKER)]).await.unwrap();
        assert_eq!((response.status, response.header("x-cache")), (200, "HIT"));
        assert_eq!(response.header("content-type"), OCI_INDEX, "whatever the client accepts");
    }
    assert_eq!(pull.upstream.requests().len(), requested);
}
