//! A fetch under way: who reads it, where it breaks, and what becomes of its readers.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytesize::ByteSize;
use e2e::client::{Answer, Puller};
use e2e::fault::{Break, FaultRegistry, Faults, RangeLie};
use e2e::image::{Image, noise};
use futures_util::{StreamExt as _, stream};
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

    /// The layer breaks like this, once each, and else behaves like that.
    fn break_layer(&self, planned: Vec<Break>, else_: Faults) {
        let breaks = breaks([(self.layer().as_slice(), planned)]);
        self.fail(Faults { breaks, ..else_ });
    }

    fn layer_path(&self) -> String {
        format!("blobs/{}", self.layer_digest())
    }

    fn layer_ranges(&self) -> Vec<Option<String>> {
        self.upstream.ranges(&self.layer_path())
    }

    async fn pull_layer(&self, range: Option<&str>) -> anyhow::Result<Answer> {
        let headers: Vec<_> = range.map(|range| ("range", range)).into_iter().collect();
        self.client().ask(Method::GET, &self.layer_path(), &headers).await
    }

    async fn is_kept(&self) -> bool {
        let head = self.client().ask(Method::HEAD, &self.layer_path(), &[]).await.unwrap();
        head.header("x-cache") == "HIT"
    }

    /// What lies in the folders that origins spool to.
    fn spooled_files(&self) -> usize {
        let folders = std::fs::read_dir(self.cell.spool()).unwrap();
        folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count()).sum()
    }

    fn stored(&self) -> u64 {
        let outcome = FetchLabels { outcome: "stored" };
        self.cell.metrics().fetches.get_or_create(&outcome).get()
    }

    /// Fetches under way, and what they take of the spool.
    fn flying(&self) -> (i64, i64) {
        let metrics = self.cell.metrics();
        (metrics.inflight_fetches.get(), metrics.spool_bytes.get())
    }

    /// The first pull after a failed one, which must fetch anew and keep what it gets.
    async fn recovers(&self) {
        self.fail(Faults::default());
        let gets = self.blob_gets();
        eventually(async || {
            let again = self.client().blob(&self.layer_digest()).await;
            again.is_ok_and(|again| again.body == self.layer())
        })
        .await;
        assert!(self.blob_gets() > gets, "nothing of the failed fetch may have been kept");
        eventually(async || self.is_kept().await).await;
    }
}

#[tokio::test]
async fn fifty_clients_at_any_offset_read_one_growing_blob() {
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
    assert_eq!(pull.flying(), (1, 500_000));
    pull.upstream.release();
    for (response, expected) in opened {
        let status = if expected.len() == 500_000 { 200 } else { 206 };
        assert_eq!(response.status(), status, "{expected:?}");
        assert!(response.bytes().await.unwrap() == pull.layer()[expected.clone()], "{expected:?}");
    }
    assert_eq!(pull.layer_ranges(), [None]);
    assert_eq!(pull.upstream.count("HEAD", &pull.layer_path()), 0);
    eventually(async || pull.stored() == 1 && pull.flying() == (0, 0)).await;
    assert_eq!(pull.cell.metrics().blob_fetched_bytes.get(), 500_000);
}

#[tokio::test]
async fn a_head_is_answered_from_the_groups_own_fetch_and_from_no_other() {
    let pull = Pull::start().await;
    let globex = pull.cell.member_of("globex").await.unwrap();
    pull.fail(Faults { hold_blobs_at: Some(1000), ..Faults::default() });
    let first = pull.client().open(Method::GET, &pull.layer_path(), &[]).await.unwrap();
    let own = pull.client().ask(Method::HEAD, &pull.layer_path(), &[]).await.unwrap();
    assert_eq!((own.status, own.header("content-length")), (200, "500000"));
    assert_eq!(own.header("x-cache"), "COALESCED");
    assert_eq!(pull.upstream.count("HEAD", &pull.layer_path()), 0);
    let foreign = pull.client_of("globex", &globex);
    let foreign = foreign.ask(Method::HEAD, &pull.layer_path(), &[]).await.unwrap();
    assert_eq!((foreign.status, foreign.header("x-cache")), (200, "MISS"));
    assert_eq!(pull.upstream.count("HEAD", &pull.layer_path()), 1);
    pull.upstream.release();
    assert!(first.bytes().await.unwrap() == pull.layer());
}

#[tokio::test]
async fn a_client_that_reads_nothing_keeps_nobody_waiting() {
    let pull = Pull::start().await;
    let large = noise(7, 20_000_000);
    pull.upstream.add("library/large", "latest", &Image::single(std::slice::from_ref(&large)));
    let client = Puller::new(pull.cell.url(), "acme", "large", Some(&pull.acme)).unwrap();
    let path = format!("blobs/{}", Digest::of(&large));
    let idle = client.open(Method::GET, &path, &[]).await.unwrap();
    assert!(client.blob(&Digest::of(&large)).await.unwrap().body == large);
    eventually(async || {
        let head = client.ask(Method::HEAD, &path, &[]).await.unwrap();
        head.header("x-cache") == "HIT"
    })
    .await;
    assert!(idle.bytes().await.unwrap() == large, "it may still read everything");
    assert_eq!(pull.upstream.count("GET", &path), 1);
}

#[tokio::test]
async fn a_blob_cut_at_any_byte_is_resumed_there() {
    let pull = Pull::start().await;
    let layers: Vec<_> = (0..=200).map(|n| noise(1000 + n, 200)).collect();
    pull.upstream.add("library/small", "latest", &Image::single(&layers));
    let cuts =
        layers.iter().enumerate().map(|(at, layer)| (layer.as_slice(), vec![Break::Cut(at)]));
    pull.fail(Faults { breaks: breaks(cuts), ..Faults::default() });
    let client = Puller::new(pull.cell.url(), "acme", "small", Some(&pull.acme)).unwrap();
    let pulls = layers.iter().map(|layer| async { client.blob(&Digest::of(layer)).await.unwrap() });
    let answers: Vec<_> = stream::iter(pulls).buffered(25).collect().await;
    for (at, (answer, layer)) in answers.iter().zip(&layers).enumerate() {
        assert!(answer.body == layer, "cut at {at}");
        let asked = match at {
            0 => vec![None, None],
            200 => vec![None],
            at => vec![None, Some(format!("bytes={at}-"))],
        };
        assert_eq!(pull.upstream.ranges(&format!("blobs/{}", Digest::of(layer))), asked);
    }
}

#[tokio::test]
async fn however_often_a_blob_breaks_it_goes_on_while_bytes_come() {
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
        let asked: Vec<_> = std::iter::once(None).chain(resumed).collect();
        assert_eq!(pull.layer_ranges(), asked);
        assert_eq!(pull.cell.metrics().blob_resumes.get(), 8);
        eventually(async || pull.is_kept().await).await;
    }
}

#[tokio::test]
async fn silence_and_an_early_end_are_breaks_too() {
    let pull = Pull::start().await;
    pull.break_layer(vec![Break::Stall(1000), Break::End(2000)], Faults::default());
    assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
    let asked = [None, Some("bytes=1000-".to_owned()), Some("bytes=2000-".to_owned())];
    assert_eq!(pull.layer_ranges(), asked);
}

#[tokio::test]
async fn a_broken_answer_takes_no_place_from_the_one_that_follows() {
    let pull = Pull::with("max_connections = 2\nqueue_timeout = \"1s\"\n").await;
    pull.break_layer(vec![Break::Cut(1000), Break::Cut(2000)], Faults::default());
    assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
    assert_eq!(pull.blob_gets(), 3);
}

#[tokio::test]
async fn a_mirror_that_sent_a_wrong_blob_is_passed_by() {
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
async fn a_blob_that_always_breaks_at_the_same_byte_is_given_up() {
    let pull = Pull::start().await;
    pull.fail(Faults { cut_blobs_at: Some(1000), ..Faults::default() });
    let (first, second) = tokio::join!(pull.pull_layer(None), pull.pull_layer(Some("bytes=500-")));
    assert!(first.is_err() && second.is_err(), "never a clean end");
    assert_eq!(pull.blob_gets(), 6, "one fetch and five attempts to go on");
    pull.recovers().await;
}

#[tokio::test]
async fn an_upstream_that_lies_about_a_range_is_not_believed() {
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
async fn an_encoding_nobody_asked_for_does_not_pass_for_the_blob() {
    let pull = Pull::start().await;
    pull.fail(Faults { encoded: true, corrupt: true, ..Faults::default() });
    assert!(pull.pull_layer(None).await.is_err());
    pull.recovers().await;
}

#[tokio::test]
async fn a_blob_that_drips_is_passed_on_as_it_drips() {
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
async fn anothers_refusal_is_not_ours() {
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
async fn a_group_reads_no_byte_of_a_fetch_its_own_upstream_refuses() {
    let pull = Pull::start().await;
    let globex = pull.cell.member_of("globex").await.unwrap();
    let faults = Faults { hold_blobs_at: Some(1000), head_status: Some(403), ..Faults::default() };
    pull.fail(faults);
    let first = pull.client().open(Method::GET, &pull.layer_path(), &[]).await.unwrap();
    let foreign = pull.client_of("globex", &globex);
    let range = [("range", "bytes=0-99")];
    let refused = foreign.ask(Method::GET, &pull.layer_path(), &range).await.unwrap();
    assert_eq!((refused.status, refused.code().as_deref()), (403, Some("DENIED")));
    pull.upstream.release();
    assert!(first.bytes().await.unwrap() == pull.layer());
}

#[tokio::test]
async fn a_group_that_fetches_for_itself_needs_one_place_for_a_range_too() {
    let pull = Pull::with("max_connections = 3\nqueue_timeout = \"300ms\"\n").await;
    let globex = pull.cell.member_of("globex").await.unwrap();
    let faults = Faults { hold_blobs_at: Some(1000), head_status: Some(405), ..Faults::default() };
    pull.fail(faults.clone());
    let first = pull.client().open(Method::GET, &pull.layer_path(), &[]).await.unwrap();
    let (foreign, range) = (pull.client_of("globex", &globex), [("range", "bytes=2000-2999")]);
    let part = foreign.ask(Method::GET, &pull.layer_path(), &range).await.unwrap();
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 2000-2999/500000"));
    assert!(part.body == pull.layer()[2000..3000]);

    pull.fail(Faults { range_status: Some(404), ..faults });
    let refused = foreign.ask(Method::GET, &pull.layer_path(), &range).await.unwrap();
    assert_eq!((refused.status, refused.code().as_deref()), (404, Some("BLOB_UNKNOWN")));
    pull.upstream.release();
    assert!(first.bytes().await.unwrap() == pull.layer());
}

#[tokio::test]
async fn where_nothing_is_spooled_a_range_needs_one_place() {
    let few = "max_connections = 2\nqueue_timeout = \"300ms\"\n";
    let pull = Pull::tuned(few, |config| config.store.spool_limit = Some(ByteSize::b(0))).await;
    let range = [("range", "bytes=2000-2999")];
    let part = pull.client().ask(Method::GET, &pull.layer_path(), &range).await.unwrap();
    assert!(part.status == 206 && part.body == pull.layer()[2000..3000]);
}

#[tokio::test]
async fn a_store_that_fails_at_the_commit_leaves_the_client_served_and_nothing_visible() {
    let pull = Pull::start().await;
    std::fs::remove_dir_all(pull.cell.objects()).unwrap();
    std::fs::write(pull.cell.objects(), "not a folder").unwrap();
    for fetches in 1..=2 {
        assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
        eventually(async || pull.spooled_files() == 0).await;
        assert!(!pull.is_kept().await);
        assert_eq!(pull.blob_gets(), fetches);
    }
    std::fs::remove_file(pull.cell.objects()).unwrap();
    std::fs::create_dir(pull.cell.objects()).unwrap();
    pull.recovers().await;
}
