//! Isolation: no request of one group reveals what another group has cached, neither by its
//! response nor by the number of upstream requests.

use harness::client::{HttpResponse, Login};
use harness::fault::Faults;
use harness::image::{Image, noise};
use oci::Digest;
use reqwest::Method;

use super::{Pull, eventually};

/// The requests by which a group could learn what another group has cached.
const PROBES: [(Method, &[(&str, &str)]); 6] = [
    (Method::HEAD, &[]),
    (Method::GET, &[]),
    (Method::GET, &[("range", "bytes=10-19")]),
    (Method::GET, &[("range", "bytes=-5")]),
    (Method::GET, &[("range", "bytes=900000-")]),
    (Method::GET, &[("if-none-match", "*")]),
];

/// The probes worth sending under these faults: a refusal is the same for every part of a blob.
fn probes(
    faults: &Faults,
) -> impl Iterator<Item = (Method, &'static [(&'static str, &'static str)])> {
    PROBES.into_iter().take(if faults.status.is_some() { 3 } else { PROBES.len() })
}

/// The ways in which an upstream can respond.
fn upstream_faults() -> Vec<Faults> {
    let refusals = [403, 404, 503].map(Some);
    let refused = refusals.into_iter().map(|status| Faults { status, ..Faults::default() });
    let no_head = Faults { head_status: Some(405), ..Faults::default() };
    refused.chain([Faults::default(), no_head]).collect()
}

/// A Cell with two groups. One has pulled the image `known`, which has the same sizes as `unknown`.
struct TwoGroups {
    pull: Pull,
    globex: Login,
    known: Image,
    unknown: Image,
}

impl TwoGroups {
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
    async fn probe(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (ComparableResponse, usize) {
        let before = self.pull.upstream.requests().len();
        let client = self.pull.client_of("globex", &self.globex);
        let response = client.request(method, path, headers).await.unwrap();
        (ComparableResponse::of(&response), self.pull.upstream.requests().len() - before)
    }
}

/// Sends a probe for the known image and for the unknown one. Each has its own Cell, because a
/// failure affects later requests to the same upstream.
async fn both(
    faults: &Faults,
    probe: (Method, &[(&str, &str)]),
    path: impl Fn(&Image, &str) -> String,
) -> [(ComparableResponse, usize); 2] {
    let mut seen = Vec::new();
    for unknown in [false, true] {
        let two = TwoGroups::start().await;
        two.cache().await;
        two.pull.upstream.fail(faults.clone());
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

/// A response without the headers that differ between any two digests.
#[derive(Debug, PartialEq, Eq)]
struct ComparableResponse {
    status: u16,
    headers: Vec<(String, String)>,
    length: usize,
}

impl ComparableResponse {
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
async fn a_blob_cached_by_another_group_looks_like_an_uncached_one() {
    for faults in upstream_faults() {
        for probe in probes(&faults) {
            let path = |image: &Image, _: &str| format!("blobs/{}", layer(image));
            let [seen, expected] = both(&faults, probe.clone(), path).await;
            assert_eq!(seen.0, expected.0, "{probe:?} {faults:?}");
            // One more request if the upstream refuses HEAD, which only the upstream can observe.
            let more = usize::from(faults.head_status.is_some() && probe.0 == Method::GET);
            assert_eq!(seen.1, expected.1 + more, "{probe:?} {faults:?}");
        }
    }
}

#[tokio::test]
async fn a_manifest_cached_by_another_group_looks_like_an_uncached_one() {
    for faults in upstream_faults() {
        for probe in probes(&faults) {
            let by_tag = |_: &Image, tag: &str| format!("manifests/{tag}");
            let [seen, expected] = both(&faults, probe.clone(), by_tag).await;
            assert_eq!(seen, expected, "by tag {probe:?} {faults:?}");
            let by_digest = |image: &Image, _: &str| format!("manifests/{}", image.top.digest());
            let [seen, expected] = both(&faults, probe.clone(), by_digest).await;
            assert_eq!(seen, expected, "by digest {probe:?} {faults:?}");
        }
    }
}

#[tokio::test]
async fn in_an_outage_nothing_cached_by_another_group_is_served() {
    for path in ["manifests/known".to_owned(), String::new()] {
        for (method, headers) in PROBES {
            let two = TwoGroups::start().await;
            two.cache().await;
            two.pull.upstream.stop();
            let blob = format!("blobs/{}", layer(&two.known));
            let path = if path.is_empty() { &blob } else { &path };
            assert_eq!(two.probe(method.clone(), path, headers).await.0.status, 503, "{method}");
        }
    }
}

#[tokio::test]
async fn an_in_flight_fetch_of_another_group_is_not_visible() {
    for (method, headers) in PROBES.into_iter().take(3) {
        let two = TwoGroups::start().await;
        let faults = Faults { hold_blobs_at: Some(1000), ..Faults::default() };
        two.pull.upstream.fail(faults);
        let path = format!("blobs/{}", layer(&two.known));
        let in_flight = two.pull.client().open(Method::GET, &path, &[]).await.unwrap();
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
        in_flight.bytes().await.unwrap();
    }
}

#[tokio::test]
async fn a_digest_is_stored_once_and_linked_by_each_groups_own_pull() {
    let two = TwoGroups::start().await;
    two.cache().await;
    let (path, other_group) =
        (format!("blobs/{}", layer(&two.known)), two.pull.client_of("globex", &two.globex));
    let gets = two.pull.upstream.count("GET", &path);
    assert_eq!(other_group.blob(&layer(&two.known)).await.unwrap().header("x-cache"), "MISS");
    assert_eq!(other_group.blob(&layer(&two.known)).await.unwrap().header("x-cache"), "HIT");
    assert_eq!(two.pull.upstream.count("GET", &path), gets, "the stored bytes are reused");
}
