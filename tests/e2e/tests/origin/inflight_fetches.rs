//! In-flight fetches: their requesters, and upstream connections that break.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytesize::ByteSize;
use futures_util::{StreamExt as _, stream};
use harness::client::{HttpResponse, Puller};
use harness::fault::{Break, FaultRegistry, Faults, RangeLie};
use harness::image::{Image, noise};
use oci::Digest;
use origin::metrics::FetchLabels;
use reqwest::Method;

use super::{Pull, eventually};

/// The first breaks of each blob.
fn breaks<'b>(
    of: impl IntoIterator<Item = (&'b [u8], Vec<Break>)>,
) -> HashMap<String, VecDeque<Break>> {
    of.into_iter().map(|(blob, breaks)| (Digest::of(blob).to_string(), breaks.into())).collect()
}

impl Pull {
    fn fail(&self, faults: Faults) {
        self.upstream.fail(faults);
    }

    /// Sets the breaks of the layer's next GETs, one each, and the other faults.
    fn break_layer(&self, planned: Vec<Break>, others: Faults) {
        let breaks = breaks([(self.layer().as_slice(), planned)]);
        self.fail(Faults { breaks, ..others });
    }

    fn layer_path(&self) -> String {
        format!("blobs/{}", self.layer_digest())
    }

    fn layer_ranges(&self) -> Vec<Option<String>> {
        self.upstream.ranges(&self.layer_path())
    }

    async fn pull_layer(&self, range: Option<&str>) -> anyhow::Result<HttpResponse> {
        let headers: Vec<_> = range.map(|range| ("range", range)).into_iter().collect();
        self.client().request(Method::GET, &self.layer_path(), &headers).await
    }

    async fn is_stored(&self) -> bool {
        let head = self.client().request(Method::HEAD, &self.layer_path(), &[]).await.unwrap();
        head.header("x-cache") == "HIT"
    }

    /// The number of files in the spool folders of all origins.
    fn spooled_files(&self) -> usize {
        let folders = std::fs::read_dir(self.cell.spool()).unwrap();
        folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
    }

    fn stored(&self) -> u64 {
        let outcome = FetchLabels { outcome: "stored" };
        self.cell.metrics().fetches.get_or_create(&outcome).get()
    }

    /// The number of in-flight fetches, and the bytes they have spooled.
    fn in_flight(&self) -> (i64, i64) {
        let metrics = self.cell.metrics();
        (metrics.inflight_fetches.get(), metrics.spool_bytes.get())
    }

    /// Pulls after a failed fetch: the pull must fetch again and store the blob.
    async fn recovers(&self) {
        self.fail(Faults::default());
        let gets = self.blob_gets();
        eventually(async || {
            let again = self.client().blob(&self.layer_digest()).await;
            again.is_ok_and(|again| again.body == self.layer())
        })
        .await;
        assert!(self.blob_gets() > gets, "the failed fetch must not have stored anything");
        eventually(async || self.is_stored().await).await;
    }
}

#[tokio::test]
async fn fifty_clients_share_one_growing_blob_at_any_offset() {
    let pull = Pull::start().await;
    pull.fail(Faults { hold_blobs_at: Some(100_000), ..Faults::default() });
    let wishes = [
        (None, 0..500_000),
        (Some("bytes=0-99"), 0..100),
        (Some("bytes=99990-100009"), 99_990..100_010),
        (Some("bytes=400000-400999"), 400_000..401_000),
        (Some("bytes=-1000"), 499_000..500_000),
        (Some("bytes=250000-"), 250_000..500_000),
    ];
    let opened = (0..50).map(|n| {
        let (range, expected) = wishes[n % wishes.len()].clone();
        let (client, path) = (pull.client(), pull.layer_path());
        async move {
            let headers: Vec<_> = range.map(|range| ("range", range)).into_iter().collect();
            (client.open(Method::GET, &path, &headers).await.unwrap(), expected)
        }
    });
    let opened: Vec<_> = stream::iter(opened).buffer_unordered(50).collect().await;
    let outside = pull.pull_layer(Some("bytes=500000-")).await.unwrap();
    assert_eq!((outside.status, outside.header("content-range")), (416, "bytes */500000"));
    assert_eq!(pull.in_flight(), (1, 500_000));
    pull.upstream.release();
    for (response, expected) in opened {
        let status = if expected.len() == 500_000 { 200 } else { 206 };
        assert_eq!(response.status(), status, "{expected:?}");
        assert!(response.bytes().await.unwrap() == pull.layer()[expected.clone()], "{expected:?}");
    }
    assert_eq!(pull.layer_ranges(), [None]);
    assert_eq!(pull.upstream.count("HEAD", &pull.layer_path()), 0);
    eventually(async || pull.stored() == 1 && pull.in_flight() == (0, 0)).await;
    assert_eq!(pull.cell.metrics().blob_fetched_bytes.get(), 500_000);
}

#[tokio::test]
async fn head_is_served_from_a_fetch_of_the_same_group_only() {
    let pull = Pull::start().await;
    let globex = pull.cell.member_of("globex").await.unwrap();
    pull.fail(Faults { hold_blobs_at: Some(1000), ..Faults::default() });
    let first = pull.client().open(Method::GET, &pull.layer_path(), &[]).await.unwrap();
    let own = pull.client().request(Method::HEAD, &pull.layer_path(), &[]).await.unwrap();
    assert_eq!((own.status, own.header("content-length")), (200, "500000"));
    assert_eq!(own.header("x-cache"), "COALESCED");
    assert_eq!(pull.upstream.count("HEAD", &pull.layer_path()), 0);
    let foreign = pull.client_of("globex", &globex);
    let foreign = foreign.request(Method::HEAD, &pull.layer_path(), &[]).await.unwrap();
    assert_eq!((foreign.status, foreign.header("x-cache")), (200, "MISS"));
    assert_eq!(pull.upstream.count("HEAD", &pull.layer_path()), 1);
    pull.upstream.release();
    assert!(first.bytes().await.unwrap() == pull.layer());
}

#[tokio::test]
async fn a_client_that_does_not_read_does_not_delay_others() {
    let pull = Pull::start().await;
    let large = noise(7, 20_000_000);
    pull.upstream.add("library/large", "latest", &Image::single(std::slice::from_ref(&large)));
    let client = Puller::new(pull.cell.url(), "acme", "large", Some(&pull.acme)).unwrap();
    let path = format!("blobs/{}", Digest::of(&large));
    let idle = client.open(Method::GET, &path, &[]).await.unwrap();
    assert!(client.blob(&Digest::of(&large)).await.unwrap().body == large);
    eventually(async || {
        let head = client.request(Method::HEAD, &path, &[]).await.unwrap();
        head.header("x-cache") == "HIT"
    })
    .await;
    assert!(idle.bytes().await.unwrap() == large, "the idle client can still read everything");
    assert_eq!(pull.upstream.count("GET", &path), 1);
}

#[tokio::test]
async fn a_blob_cut_at_any_byte_is_resumed_at_that_byte() {
    let pull = Pull::start().await;
    let layers: Vec<_> = (0..=200).map(|n| noise(1000 + n, 200)).collect();
    pull.upstream.add("library/small", "latest", &Image::single(&layers));
    let cuts =
        layers.iter().enumerate().map(|(at, layer)| (layer.as_slice(), vec![Break::Cut(at)]));
    pull.fail(Faults { breaks: breaks(cuts), ..Faults::default() });
    let client = Puller::new(pull.cell.url(), "acme", "small", Some(&pull.acme)).unwrap();
    let pulls = layers.iter().map(|layer| async { client.blob(&Digest::of(layer)).await.unwrap() });
    let responses: Vec<_> = stream::iter(pulls).buffered(25).collect().await;
    for (at, (response, layer)) in responses.iter().zip(&layers).enumerate() {
        assert!(response.body == layer, "cut at {at}");
        let requested = match at {
            0 => vec![None, None],
            200 => vec![None],
            at => vec![None, Some(format!("bytes={at}-"))],
        };
        assert_eq!(pull.upstream.ranges(&format!("blobs/{}", Digest::of(layer))), requested);
    }
}

#[tokio::test]
async fn a_fetch_resumes_without_limit_as_long_as_it_makes_progress() {
    let edges = [1, 16_383, 16_384, 65_537, 262_143, 262_144, 262_145, 499_999];
    for refuse_ranges in [false, true] {
        let pull = Pull::start().await;
        let cuts = edges.iter().map(|at| Break::Cut(*at)).collect();
        pull.break_layer(cuts, Faults { refuse_ranges, ..Faults::default() });
        let (whole, part) =
            tokio::join!(pull.pull_layer(None), pull.pull_layer(Some("bytes=16000-300000")));
        assert!(whole.unwrap().body == pull.layer());
        assert!(part.unwrap().body == pull.layer()[16_000..300_001]);
        let resumed = edges.iter().map(|at| Some(format!("bytes={at}-")));
        let requested: Vec<_> = std::iter::once(None).chain(resumed).collect();
        assert_eq!(pull.layer_ranges(), requested);
        assert_eq!(pull.cell.metrics().blob_resumes.get(), 8);
        eventually(async || pull.is_stored().await).await;
    }
}

#[tokio::test]
async fn a_stall_and_an_early_end_are_resumed_as_well() {
    let pull = Pull::start().await;
    pull.break_layer(vec![Break::Stall(1000), Break::End(2000)], Faults::default());
    assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
    let requested = [None, Some("bytes=1000-".to_owned()), Some("bytes=2000-".to_owned())];
    assert_eq!(pull.layer_ranges(), requested);
}

#[tokio::test]
async fn a_broken_response_frees_its_connection_for_the_next_one() {
    let pull = Pull::with("max_connections = 2\nqueue_timeout = \"1s\"\n").await;
    pull.break_layer(vec![Break::Cut(1000), Break::Cut(2000)], Faults::default());
    assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
    assert_eq!(pull.blob_gets(), 3);
}

#[tokio::test]
async fn a_mirror_that_sent_a_corrupt_blob_is_skipped() {
    let mirror = FaultRegistry::start().await.unwrap();
    let pull = Pull::with(&format!("mirrors = [\"{}\"]\n", mirror.url())).await;
    mirror.add("library/app", "latest", &pull.image);
    mirror.fail(Faults { corrupt: true, ..Faults::default() });
    assert!(pull.pull_layer(None).await.is_err());
    assert_eq!(pull.blob_gets(), 0);
    assert!(pull.pull_layer(None).await.unwrap().body == pull.layer());
    assert_eq!((mirror.count("GET", &pull.layer_path()), pull.blob_gets()), (1, 1));
}

#[tokio::test]
async fn a_blob_that_always_breaks_at_the_same_byte_fails() {
    let pull = Pull::start().await;
    pull.fail(Faults { cut_blobs_at: Some(1000), ..Faults::default() });
    let (first, second) = tokio::join!(pull.pull_layer(None), pull.pull_layer(Some("bytes=500-")));
    assert!(first.is_err() && second.is_err(), "both downloads end with an error");
    assert_eq!(pull.blob_gets(), 6, "one fetch and five attempts to resume");
    pull.recovers().await;
}

#[tokio::test]
async fn an_upstream_that_misreports_a_range_is_rejected() {
    let lie = |lie| Faults { range_lie: Some(lie), ..Faults::default() };
    for faults in [
        lie(RangeLie::Shifted),
        lie(RangeLie::OtherTotal),
        lie(RangeLie::MoreBytes),
        Faults { range_status: Some(404), ..Faults::default() },
        Faults { range_status: Some(416), ..Faults::default() },
    ] {
        let pull = Pull::start().await;
        pull.break_layer(vec![Break::Cut(499_990)], faults.clone());
        assert!(pull.pull_layer(None).await.is_err(), "{faults:?}");
        pull.recovers().await;
    }
}

#[tokio::test]
async fn an_unrequested_encoding_is_not_stored_as_the_blob() {
    let pull = Pull::start().await;
    pull.fail(Faults { encoded: true, corrupt: true, ..Faults::default() });
    assert!(pull.pull_layer(None).await.is_err());
    pull.recovers().await;
}

#[tokio::test]
async fn a_slow_blob_is_passed_on_as_it_arrives() {
    let pull = Pull::start().await;
    let drip = Some((25_000, Duration::from_millis(10)));
    pull.fail(Faults { drip, hold_blobs_at: Some(100_000), ..Faults::default() });
    let mut response = pull.client().open(Method::GET, &pull.layer_path(), &[]).await.unwrap();
    let mut early = 0;
    while early < 100_000 {
        early += response.chunk().await.unwrap().unwrap().len();
    }
    pull.upstream.release();
    assert_eq!(early + response.bytes().await.unwrap().len(), 500_000);
}

#[tokio::test]
async fn a_refusal_of_one_group_does_not_fail_another() {
    let pull = Pull::start().await;
    let globex = pull.cell.member_of("globex").await.unwrap();
    pull.break_layer(vec![Break::Refuse(404)], Faults::default());
    let (acme, foreign) = (pull.client(), pull.client_of("globex", &globex));
    let digest = pull.layer_digest();
    let leading = tokio::spawn(async move { acme.blob(&digest).await.unwrap() });
    eventually(async || pull.blob_gets() == 1).await;
    let digest = pull.layer_digest();
    let joined = tokio::spawn(async move { foreign.blob(&digest).await.unwrap() });
    eventually(async || pull.upstream.count("HEAD", &pull.layer_path()) == 1).await;
    pull.upstream.release();
    assert_eq!(leading.await.unwrap().code().as_deref(), Some("BLOB_UNKNOWN"));
    assert!(joined.await.unwrap().body == pull.layer());
    assert_eq!(pull.blob_gets(), 2);
}

#[tokio::test]
async fn a_group_receives_no_byte_of_a_fetch_that_the_upstream_refuses_it() {
    let pull = Pull::start().await;
    let globex = pull.cell.member_of("globex").await.unwrap();
    let faults = Faults { hold_blobs_at: Some(1000), head_status: Some(403), ..Faults::default() };
    pull.fail(faults);
    let first = pull.client().open(Method::GET, &pull.layer_path(), &[]).await.unwrap();
    let foreign = pull.client_of("globex", &globex);
    let range = [("range", "bytes=0-99")];
    let refused = foreign.request(Method::GET, &pull.layer_path(), &range).await.unwrap();
    assert_eq!((refused.status, refused.code().as_deref()), (403, Some("DENIED")));
    pull.upstream.release();
    assert!(first.bytes().await.unwrap() == pull.layer());
}

#[tokio::test]
async fn a_group_with_its_own_fetch_needs_one_connection_for_a_range_as_well() {
    let pull = Pull::with("max_connections = 3\nqueue_timeout = \"300ms\"\n").await;
    let globex = pull.cell.member_of("globex").await.unwrap();
    let faults = Faults { hold_blobs_at: Some(1000), head_status: Some(405), ..Faults::default() };
    pull.fail(faults.clone());
    let first = pull.client().open(Method::GET, &pull.layer_path(), &[]).await.unwrap();
    let (foreign, range) = (pull.client_of("globex", &globex), [("range", "bytes=2000-2999")]);
    let part = foreign.request(Method::GET, &pull.layer_path(), &range).await.unwrap();
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 2000-2999/500000"));
    assert!(part.body == pull.layer()[2000..3000]);

    pull.fail(Faults { range_status: Some(404), ..faults });
    let refused = foreign.request(Method::GET, &pull.layer_path(), &range).await.unwrap();
    assert_eq!((refused.status, refused.code().as_deref()), (404, Some("BLOB_UNKNOWN")));
    pull.upstream.release();
    assert!(first.bytes().await.unwrap() == pull.layer());
}

#[tokio::test]
async fn without_a_spool_a_range_needs_one_connection() {
    let few = "max_connections = 2\nqueue_timeout = \"300ms\"\n";
    let pull =
        Pull::with_config(few, |config| config.store.spool_limit = Some(ByteSize::b(0))).await;
    let range = [("range", "bytes=2000-2999")];
    let part = pull.client().request(Method::GET, &pull.layer_path(), &range).await.unwrap();
    assert!(part.status == 206 && part.body == pull.layer()[2000..3000]);
}

#[tokio::test]
async fn if_the_store_fails_at_the_commit_the_client_is_served_and_nothing_is_stored() {
    let pull = Pull::start().await;
    std::fs::remove_dir_all(pull.cell.objects()).unwrap();
    std::fs::write(pull.cell.objects(), "not a folder").unwrap();
    for fetches in 1..=2 {
        assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
        eventually(async || pull.spooled_files() == 0).await;
        assert!(!pull.is_stored().await);
        assert_eq!(pull.blob_gets(), fetches);
    }
    std::fs::remove_file(pull.cell.objects()).unwrap();
    std::fs::create_dir(pull.cell.objects()).unwrap();
    pull.recovers().await;
}
