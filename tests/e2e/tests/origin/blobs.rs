//! Blobs: one fetch each, whatever clients do and whatever fails.

use harness::fault::Faults;
use origin::metrics::AnswerLabels;
use reqwest::{Client, Method};

use super::{Pull, eventually, same_manifest};

#[tokio::test]
async fn cached_digests_and_blobs_need_no_upstream_request() {
    let pull = Pull::start().await;
    let top = pull.image.top.digest().to_string();
    pull.client().manifest(&top).await.unwrap();
    pull.client().blob(&pull.layer_digest()).await.unwrap();
    let requested = pull.upstream.requests().len();
    eventually(async || {
        pull.client().blob(&pull.layer_digest()).await.unwrap().header("x-cache") == "HIT"
    })
    .await;
    let requested_with_blobs = pull.upstream.requests().len();
    assert_eq!(requested, requested_with_blobs);
    same_manifest(&pull.client().manifest(&top).await.unwrap(), &pull.image.top);
    pull.client().request(Method::HEAD, &format!("manifests/{top}"), &[]).await.unwrap();
    assert_eq!(pull.upstream.requests().len(), requested);
}

#[tokio::test]
async fn headers_and_first_bytes_arrive_before_the_upstream_has_finished() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { hold_blobs_at: Some(1000), ..Faults::default() });
    let path = format!("blobs/{}", pull.layer_digest());
    let mut response = pull.client().open(Method::GET, &path, &[]).await.unwrap();
    assert_eq!(response.content_length(), Some(500_000));
    assert_eq!(response.chunk().await.unwrap().unwrap().len(), 1000);
    pull.upstream.release();
}

#[tokio::test]
async fn a_client_that_disconnects_does_not_end_the_fetch() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { hold_blobs_at: Some(1000), ..Faults::default() });
    let path = format!("blobs/{}", pull.layer_digest());
    let response = pull.client().open(Method::GET, &path, &[]).await.unwrap();
    drop(response);
    pull.upstream.release();
    eventually(async || {
        let head = pull.client().request(Method::HEAD, &path, &[]).await.unwrap();
        head.header("x-cache") == "HIT"
    })
    .await;
    assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
    assert_eq!(pull.blob_gets(), 1);
}

#[tokio::test]
async fn a_cut_or_corrupt_blob_ends_with_an_error_and_is_not_stored() {
    for faults in [
        Faults { cut_blobs_at: Some(0), ..Faults::default() },
        Faults { cut_blobs_at: Some(499_999), ..Faults::default() },
        Faults { corrupt: true, ..Faults::default() },
        Faults { corrupt: true, without_length: true, ..Faults::default() },
        Faults { cut_blobs_at: Some(100_000), without_length: true, ..Faults::default() },
    ] {
        let pull = Pull::start().await;
        pull.upstream.fail(faults.clone());
        let response = pull.client().blob(&pull.layer_digest()).await;
        assert!(response.is_err() || response.unwrap().status == 503, "{faults:?}");
        pull.upstream.fail(Faults::default());
        eventually(async || {
            let again = pull.client().blob(&pull.layer_digest()).await;
            again.is_ok_and(|again| again.body == pull.layer())
        })
        .await;
        assert!(pull.blob_gets() >= 2, "{faults:?}");
    }
}

#[tokio::test]
async fn ranges_are_served_from_a_stored_blob_and_from_a_growing_one() {
    let pull = Pull::start().await;
    let path = format!("blobs/{}", pull.layer_digest());
    for _ in 0..2 {
        let range = [("range", "bytes=1000-1999")];
        let part = pull.client().request(Method::GET, &path, &range).await.unwrap();
        assert_eq!((part.status, part.header("content-range")), (206, "bytes 1000-1999/500000"));
        assert!(part.body == pull.layer()[1000..2000]);
        eventually(async || {
            let head = pull.client().request(Method::HEAD, &path, &[]).await.unwrap();
            head.header("x-cache") == "HIT"
        })
        .await;
    }
    let outside = [("range", "bytes=500000-")];
    let refused = pull.client().request(Method::GET, &path, &outside).await.unwrap();
    assert_eq!((refused.status, refused.header("content-range")), (416, "bytes */500000"));
    assert_eq!(refused.code().as_deref(), Some("RANGE_INVALID"));
}

#[tokio::test]
async fn a_lost_object_is_fetched_again_by_the_same_pull() {
    let pull = Pull::start().await;
    pull.client().manifest("latest").await.unwrap();
    let path = format!("blobs/{}", pull.layer_digest());
    pull.client().blob(&pull.layer_digest()).await.unwrap();
    eventually(async || {
        let head = pull.client().request(Method::HEAD, &path, &[]).await.unwrap();
        head.header("x-cache") == "HIT"
    })
    .await;
    std::fs::remove_dir_all(pull.cell.objects()).unwrap();
    std::fs::create_dir(pull.cell.objects()).unwrap();
    same_manifest(&pull.client().manifest("latest").await.unwrap(), &pull.image.top);
    assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
    assert_eq!(pull.blob_gets(), 2);
}

#[tokio::test]
async fn responses_to_get_and_head_are_both_counted() {
    let pull = Pull::start().await;
    let path = format!("blobs/{}", pull.layer_digest());
    let missed = || {
        let missed = AnswerLabels { kind: "blob", cache: "miss" };
        pull.cell.metrics().answers.get_or_create(&missed).get()
    };
    for (method, responses) in [(Method::HEAD, 1), (Method::GET, 2)] {
        pull.client().request(method, &path, &[]).await.unwrap();
        assert_eq!(missed(), responses);
    }
}

#[tokio::test]
async fn a_stopping_origin_finishes_its_responses() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { hold_blobs_at: Some(1000), ..Faults::default() });
    let path = format!("blobs/{}", pull.layer_digest());
    let response = pull.client().open(Method::GET, &path, &[]).await.unwrap();
    let (layer, Pull { upstream, cell, .. }) = (pull.layer(), pull);
    let prober = Client::builder().no_proxy().build().unwrap();
    let readiness = format!("{}/-/readiness", cell.url());
    let stopping = tokio::spawn(cell.stop());
    eventually(async || match prober.get(&readiness).send().await {
        Ok(response) => response.status() == 503,
        Err(_) => true,
    })
    .await;
    upstream.release();
    assert!(response.bytes().await.unwrap() == layer);
    stopping.await.unwrap().unwrap();
}
