//! Tags are checked by HEAD, digests never; failures are told by what they mean.

use e2e::client::Puller;
use e2e::fault::Faults;
use e2e::image::{Image, noise};
use oci::Digest;
use origin::store::Key;
use reqwest::Method;

use super::{Pull, same_manifest};

#[tokio::test]
async fn a_tag_is_fetched_once_and_then_checked_by_head() {
    let pull = Pull::start().await;
    for status in ["MISS", "HIT", "HIT"] {
        let answer = pull.client().manifest("latest").await.unwrap();
        same_manifest(&answer, &pull.image.top);
        assert_eq!(answer.header("x-cache"), status);
    }
    assert_eq!(pull.upstream.count("GET", "/manifests/latest"), 1);
    assert_eq!(pull.upstream.count("HEAD", "/manifests/latest"), 3);
}

#[tokio::test]
async fn a_tag_that_moved_is_fetched_anew() {
    let pull = Pull::start().await;
    pull.client().manifest("latest").await.unwrap();
    let moved = Image::single(&[noise(7, 1000)]);
    pull.upstream.add("library/app", "latest", &moved);
    same_manifest(&pull.client().manifest("latest").await.unwrap(), &moved.top);
    let old = pull.image.top.digest().to_string();
    same_manifest(&pull.client().manifest(&old).await.unwrap(), &pull.image.top);
}

#[tokio::test]
async fn an_outage_of_any_kind_serves_the_cached_tag_marked_stale() {
    let pull = Pull::start().await;
    pull.client().manifest("latest").await.unwrap();
    for status in [408, 429, 500, 502, 503, 504] {
        pull.upstream.fail(Faults { status: Some(status), ..Faults::default() });
        let answer = pull.client().manifest("latest").await.unwrap();
        same_manifest(&answer, &pull.image.top);
        assert_eq!(answer.header("x-cache"), "STALE", "{status}");
        assert!(answer.header("warning").starts_with("110"), "{status}");
    }
    pull.upstream.stop();
    let answer = pull.client().manifest("latest").await.unwrap();
    assert_eq!(answer.header("x-cache"), "STALE");
}

#[tokio::test]
async fn a_refusal_is_told_honestly_unless_configured_otherwise() {
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
        let answer = lenient.client().manifest("latest").await.unwrap();
        assert_eq!((answer.status, answer.header("x-cache")), (200, "STALE"), "{upstream}");
    }
}

#[tokio::test]
async fn failures_without_a_cached_copy_are_registry_errors() {
    let pull = Pull::start().await;
    for (upstream, status, code) in [
        (401, 403, "DENIED"),
        (404, 404, "MANIFEST_UNKNOWN"),
        (429, 429, "TOOMANYREQUESTS"),
        (500, 503, "UNAVAILABLE"),
    ] {
        pull.upstream.fail(Faults { status: Some(upstream), ..Faults::default() });
        let answer = pull.client().manifest("latest").await.unwrap();
        assert_eq!((answer.status, answer.code().as_deref()), (status, Some(code)));
        if matches!(status, 429 | 503) {
            assert_eq!(answer.header("retry-after"), "7");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_head_is_asked_by_get() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { head_status: Some(405), ..Faults::default() });
    same_manifest(&pull.client().manifest("latest").await.unwrap(), &pull.image.top);
    pull.upstream.fail(Faults { without_digest: true, ..Faults::default() });
    same_manifest(&pull.client().manifest("latest").await.unwrap(), &pull.image.top);
}

#[tokio::test]
async fn head_tells_what_get_would_send_and_stores_nothing() {
    let pull = Pull::start().await;
    let head = pull.client().ask(Method::HEAD, "manifests/latest", &[]).await.unwrap();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("docker-content-digest"), pull.image.top.digest().to_string());
    assert_eq!(head.header("content-length"), pull.image.top.bytes.len().to_string());
    assert_eq!(head.header("content-type"), pull.image.top.media_type);
    assert_eq!(pull.upstream.count("GET", "/manifests/latest"), 0);

    let path = format!("blobs/{}", pull.layer_digest());
    let head = pull.client().ask(Method::HEAD, &path, &[]).await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, "500000"));
    assert_eq!(pull.blob_gets(), 0);
}

#[tokio::test]
async fn docker_media_types_are_kept_to_the_letter() {
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
async fn a_manifest_that_is_not_its_digest_is_never_served() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { corrupt: true, ..Faults::default() });
    let digest = pull.image.top.digest().to_string();
    for reference in ["latest", &digest] {
        let answer = pull.client().manifest(reference).await.unwrap();
        assert_eq!((answer.status, answer.code().as_deref()), (502, Some("UNAVAILABLE")));
    }
    pull.upstream.fail(Faults::default());
    same_manifest(&pull.client().manifest(&digest).await.unwrap(), &pull.image.top);
}

#[tokio::test]
async fn a_short_name_that_moved_is_found_again() {
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
    assert_eq!(pull.upstream.count("GET", &format!("/blobs/{layer}")), 1, "the place is known");
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
async fn a_stored_manifest_that_was_spoilt_is_fetched_again() {
    let pull = Pull::start().await;
    let digest = pull.image.top.digest();
    let object = pull.cell.objects().join(Key::Manifest(&digest).path().as_ref());
    pull.client().manifest("latest").await.unwrap();
    for reference in ["latest", &digest.to_string()] {
        std::fs::write(&object, "spoilt").unwrap();
        same_manifest(&pull.client().manifest(reference).await.unwrap(), &pull.image.top);
        assert_eq!(std::fs::read(&object).unwrap(), pull.image.top.bytes, "and healed");
    }
}
