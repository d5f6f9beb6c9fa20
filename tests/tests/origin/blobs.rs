//! One fetch a blob, whoever comes, goes or fails.

use e2e::fault::Faults;
use origin::metrics::AnswerLabels;
use reqwest::{Client, Method};

use super::{Pull, eventually, same_manifest};

#[tokio::test]
async fn cached_digests_and_blobs_never_touch_the_upstream() {
    let pull = Pull::start().await;
    let top = pull.image.top.digest().to_string();
    pull.client().manifest(&top).await.unwrap();
    pull.client().blob(&pull.layer_digest()).await.unwrap();
    let asked = pull.upstream.seen().len();
    eventually(async || {
        pull.client().blob(&pull.layer_digest()).await.unwrap().header("x-cache") == "HIT"
    })
    .await;
    let asked_for_blobs = pull.upstream.seen().len();
    assert_eq!(asked, asked_for_blobs);
    same_manifest(&pull.client().manifest(&top).await.unwrap(), &pull.image.top);
    pull.client().ask(Method::HEAD, &format!("manifests/{top}"), &[]).await.unwrap();
    assert_eq!(pull.upstream.seen().len(), asked);
}

#[tokio::test]
async fn headers_and_first_bytes_arrive_before_the_upstream_is_done() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { hold_blobs_at: Some(1000), ..Faults::default() });
    let path = format!("blobs/{}", pull.layer_digest());
    let mut response = pull.client().open(Method::GET, &path, &[]).await.unwrap();
    assert_eq!(response.content_length(), Some(500_000));
    assert_eq!(response.chunk().await.unwrap().unwrap().len(), 1000);
    pull.upstream.release();
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_end_the_fetch() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { hold_blobs_at: Some(1000), ..Faults::default() });
    let path = format!("blobs/{}", pull.layer_digest());
    let response = pull.client().open(Method::GET, &path, &[]).await.unwrap();
    drop(response);
    pull.upstream.release();
    eventually(async || {
        let head = pull.client().ask(Method::HEAD, &path, &[]).await.unwrap();
        head.header("x-cache") == "HIT"
    })
    .await;
    assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
    assert_eq!(pull.blob_gets(), 1);
}

#[tokio::test]
async fn a_cut_or_wrong_blob_never_ends_cleanly_and_is_not_kept() {
    for faults in [
        Faults { cut_blobs_at: Some(0), ..Faults::default() },
        Faults { cut_blobs_at: Some(499_999), ..Faults::default() },
        Faults { corrupt: true, ..Faults::default() },
        Faults { corrupt: true, without_length: true, ..Faults::default() },
        Faults { cut_blobs_at: Some(100_000), without_length: true, ..Faults::default() },
    ] {
        let pull = Pull::start().await;
        pull.upstream.fail(faults.clone());
        let answer = pull.client().blob(&pull.layer_digest()).await;
        assert!(answer.is_err() || answer.unwrap().status == 503, "{faults:?}");
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
async fn ranges_are_answered_on_a_hit_and_out_of_a_growing_blob() {
    let pull = Pull::start().await;
    let path = format!("blobs/{}", pull.layer_digest());
    for _ in 0..2 {
        let range = [("range", "bytes=1000-1999")];
        let part = pull.client().ask(Method::GET, &path, &range).await.unwrap();
        assert_eq!((part.status, part.header("content-range")), (206, "bytes 1000-1999/500000"));
        assert!(part.body == pull.layer()[1000..2000]);
        eventually(async || {
            let head = pull.client().ask(Method::HEAD, &path, &[]).await.unwrap();
            head.header("x-cache") == "HIT"
        })
        .await;
    }
    let outside = [("range", "bytes=500000-")];
    let refused = pull.client().ask(Method::GET, &path, &outside).await.unwrap();
    assert_eq!((refused.status, refused.header("content-range")), (416, "bytes */500000"));
    assert_eq!(refused.code().as_deref(), Some("RANGE_INVALID"));
}

#[tokio::test]
async fn an_object_that_is_gone_is_fetched_again_in_the_same_pull() {
    let pull = Pull::start().await;
    pull.client().manifest("latest").await.unwrap();
    let path = format!("blobs/{}", pull.layer_digest());
    pull.client().blob(&pull.layer_digest()).await.unwrap();
    eventually(async || {
        let head = pull.client().ask(Method::HEAD, &path, &[]).await.unwrap();
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
async fn an_answer_is_counted_whether_or_not_its_body_was_asked_for() {
    let pull = Pull::start().await;
    let path = format!("blobs/{}", pull.layer_digest());
    let missed = || {
        let missed = AnswerLabels { kind: "blob", cache: "miss" };
        pull.cell.metrics().answers.get_or_create(&missed).get()
    };
    for (method, answers) in [(Method::HEAD, 1), (Method::GET, 2)] {
        pull.client().ask(method, &path, &[]).await.unwrap();
        assert_eq!(missed(), answers);
    }
}

#[tokio::test]
async fn a_stopping_origin_lets_a_stream_end() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { hold_blobs_at: Some(1000), ..Faults::default() });
    let path = format!("blobs/{}", pull.layer_digest());
    let response = pull.client().open(Method::GET, &path, &[]).await.unwrap();
    let (layer, Pull { upstream, cell, .. }) = (pull.layer(), pull);
    let prober = Client::builder().no_proxy().build().unwrap();
    let readiness = format!("{}/-/readiness", cell.url());
    let stopping = tokio::spawn(cell.stop());
    eventually(async || match prober.get(&readiness).send().await {
        Ok(answer) => answer.status() == 503,
        Err(_) => true,
    })
    .await;
    upstream.release();
    assert!(response.bytes().await.unwrap() == layer);
    stopping.await.unwrap().unwrap();
}
