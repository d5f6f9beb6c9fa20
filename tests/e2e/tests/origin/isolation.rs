//! Isolation: no request of one group reveals what another group has cached, neither by its
//! response nor by the number of upstream requests.

use harness::client::{HttpResponse, Login};
use harness::fault::Faults;
use harness::image::{Image, noise};
use oci::Digest;
use reqwest::Method;

use super::{Pull, eventually};

/// A request for a digest by a group that has not pulled it.
const PROBES: [(Method, &[(&str, &str)]); 6] = [
    (Method::HEAD, &[]),
    (Method::GET, &[]),
    (Method::GET, &[("range", "bytes=10-19")]),
    (Method::GET, &[("range", "bytes=-5")]),
    (Method::GET, &[("range", "bytes=900000-")]),
    (Method::GET, &[("if-none-match", "*")]),
];

/// The probes that differ under these faults.
fn probes(
    mood: &Faults,
) -> impl Iterator<Item = (Method, &'static [(&'static str, &'static str)])> {
    PROBES.into_iter().take(if mood.status.is_some() { 3 } else { PROBES.len() })
}

/// The ways in which an upstream can respond.
fn moods() -> Vec<Faults> {
    let refusals = [403, 404, 503].map(Some);
    let refused = refusals.into_iter().map(|status| Faults { status, ..Faults::default() });
    let no_head = Faults { head_status: Some(405), ..Faults::default() };
    refused.chain([Faults::default(), no_head]).collect()
}

/// A Cell with two groups. One has pulled the image `known`, which has the same sizes as `unknown`.
struct Two {
    pull: Pull,
    globex: Login,
    known: Image,
    unknown: Image,
}

impl Two {
    async fn start() -> Self {
        let pull = Pull::start().await;
        let globex = pull.cell.member_of("globex").await.unwrap();
        let [known, unknown] = [11, 12].map(|seed| Image::single(&[noise(seed, 500_000)]));
        pull.upstream.add("library/app", "known", &known);
        pull.upstream.add("library/app", "unknown", &unknown);
        Self { pull, globex, known, unknown }
    }

    /// Pulls all of `known` as the first group.
    async fn cache(&self) {
        let client = self.pull.client();
        client.manifest("known").await.unwrap();
        client.manifest(&self.known.top.digest().to_string()).await.unwrap();
        client.blob(&layer(&self.known)).await.unwrap();
        let path = format!("blobs/{}", layer(&self.known));
        eventually(async || {
            let head = client.request(Method::HEAD, &path, &[]).await.unwrap();
            head.header("x-cache") == "HIT"
        })
        .await;
    }

    /// The other group's response for a path, and the number of upstream requests it caused.
    async fn probe(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> (Shown, usize) {
        let before = self.pull.upstream.requests().len();
        let client = self.pull.client_of("globex", &self.globex);
        let response = client.request(method, path, headers).await.unwrap();
        (Shown::of(&response), self.pull.upstream.requests().len() - before)
    }
}

/// What a stranger sees of the known, and of the unknown: each in a cell of its own, as an origin
/// leaves an upstream alone that failed before.
async fn both(
    mood: &Faults,
    probe: (Method, &[(&str, &str)]),
    path: impl Fn(&Image, &str) -> String,
) -> [(Shown, usize); 2] {
    let mut seen = Vec::new();
    for unknown in [false, true] {
        let two = Two::start().await;
        two.cache().await;
        two.pull.upstream.fail(mood.clone());
        let (image, tag) = match unknown {
            false => (&two.known, "known"),
            true => (&two.unknown, "unknown"),
        };
        seen.push(two.probe(probe.0.clone(), &path(image, tag), probe.1).await);
    }
    seen.try_into().unwrap()
}

fn layer(image: &Image) -> Digest {
    Digest::of(image.blobs.last().unwrap())
}

/// An response without what differs between any two digests.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    status: u16,
    headers: Vec<(String, String)>,
    length: usize,
}

impl Shown {
    fn of(response: &HttpResponse) -> Self {
        let own = ["docker-content-digest", "etag", "date", "x-request-id"];
        let all = response.headers.iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let mut headers: Vec<_> = all.filter(|(name, _)| !own.contains(&name.as_str())).collect();
        headers.sort();
        Self { status: response.status, headers, length: response.body.len() }
    }
}

#[tokio::test]
async fn a_blob_another_group_has_looks_like_one_that_nobody_has() {
    for mood in moods() {
        for probe in probes(&mood) {
            let path = |image: &Image, _: &str| format!("blobs/{}", layer(image));
            let [seen, expected] = both(&mood, probe.clone(), path).await;
            assert_eq!(seen.0, expected.0, "{probe:?} {mood:?}");
            // One more where the upstream takes no HEAD, which only the upstream sees.
            let more = usize::from(mood.head_status.is_some() && probe.0 == Method::GET);
            assert_eq!(seen.1, expected.1 + more, "{probe:?} {mood:?}");
        }
    }
}

#[tokio::test]
async fn a_manifest_another_group_has_looks_like_one_that_nobody_has() {
    for mood in moods() {
        for probe in probes(&mood) {
            let by_tag = |_: &Image, tag: &str| format!("manifests/{tag}");
            let [seen, expected] = both(&mood, probe.clone(), by_tag).await;
            assert_eq!(seen, expected, "by tag {probe:?} {mood:?}");
            let by_digest = |image: &Image, _: &str| format!("manifests/{}", image.top.digest());
            let [seen, expected] = both(&mood, probe.clone(), by_digest).await;
            assert_eq!(seen, expected, "by digest {probe:?} {mood:?}");
        }
    }
}

#[tokio::test]
async fn with_the_upstream_down_nothing_of_another_group_is_to_be_had() {
    for path in ["manifests/known".to_owned(), String::new()] {
        for (method, headers) in PROBES {
            let two = Two::start().await;
            two.cache().await;
            two.pull.upstream.stop();
            let blob = format!("blobs/{}", layer(&two.known));
            let path = if path.is_empty() { &blob } else { &path };
            assert_eq!(two.probe(method.clone(), path, headers).await.0.status, 503, "{method}");
        }
    }
}

/// While the other's fetch is under way, too: the bytes come, and it says MISS.
#[tokio::test]
async fn a_fetch_of_another_group_that_is_under_way_does_not_show() {
    for (method, headers) in PROBES.into_iter().take(3) {
        let two = Two::start().await;
        let faults = Faults { hold_blobs_at: Some(1000), ..Faults::default() };
        two.pull.upstream.fail(faults);
        let path = format!("blobs/{}", layer(&two.known));
        let under_way = two.pull.client().open(Method::GET, &path, &[]).await.unwrap();
        let other = format!("blobs/{}", layer(&two.unknown));
        let client = two.pull.client_of("globex", &two.globex);
        let before = two.pull.upstream.requests().len();
        let seen = client.open(method.clone(), &path, headers).await.unwrap();
        let requested = two.pull.upstream.requests().len() - before;
        let expected = client.open(method.clone(), &other, headers).await.unwrap();
        let requested_unknown = two.pull.upstream.requests().len() - before - requested;
        assert_eq!((seen.status(), requested), (expected.status(), requested_unknown));
        for name in ["x-cache", "content-length", "content-range", "accept-ranges", "age"] {
            assert_eq!(seen.headers().get(name), expected.headers().get(name), "{method} {name}");
        }
        two.pull.upstream.release();
        under_way.bytes().await.unwrap();
    }
}

#[tokio::test]
async fn a_digest_is_stored_once_and_linked_by_each_groups_own_pull() {
    let two = Two::start().await;
    two.cache().await;
    let (path, stranger) =
        (format!("blobs/{}", layer(&two.known)), two.pull.client_of("globex", &two.globex));
    let gets = two.pull.upstream.count("GET", &path);
    assert_eq!(stranger.blob(&layer(&two.known)).await.unwrap().header("x-cache"), "MISS");
    assert_eq!(stranger.blob(&layer(&two.known)).await.unwrap().header("x-cache"), "HIT");
    assert_eq!(two.pull.upstream.count("GET", &path), gets, "the bytes are here");
}
