//! Rate limits, the circuit breaker and the metrics of upstreams.

use harness::fault::{Authentication, FaultRegistry, Faults};
use harness::image::{Image, noise};
use origin::metrics::{OutcomeLabel, RegistryLabel, UpstreamRequestLabels};
use reqwest::Method;

use super::upstreams::{get, named, of, registry, request_unknown_blobs, with_headers};
use super::{Pull, eventually, same_manifest};

fn label(upstream: &str, registry: &FaultRegistry) -> RegistryLabel {
    let host = registry.url().trim_start_matches("http://");
    RegistryLabel { upstream: upstream.into(), host: host.into() }
}

#[tokio::test]
async fn after_a_429_only_that_registry_receives_no_requests() {
    let (quay, image) = registry(40).await;
    let pull = Pull::with(&format!("name = \"docker.io\"\n{}", named("quay.example", &quay))).await;
    get(&pull.client(), "manifests/latest").await;
    pull.upstream.fail(Faults { status: Some(429), ..with_headers(&[("retry-after", "600")]) });
    let first = get(&pull.client(), "manifests/missing").await;
    assert_eq!((first.status, first.header("retry-after")), (429, "600"));
    let requested = pull.upstream.requests().len();
    pull.upstream.fail(Faults::default());

    let again = get(&pull.client(), "manifests/missing").await;
    assert_eq!((again.status, again.code().as_deref()), (429, Some("TOOMANYREQUESTS")));
    let seconds: u64 = again.header("retry-after").parse().unwrap();
    assert!((500..=600).contains(&seconds), "{seconds}");
    let blob = pull.client().blob(&pull.layer_digest()).await.unwrap();
    assert_eq!(blob.status, 429);
    let cached = get(&pull.client(), "manifests/latest").await;
    same_manifest(&cached, &pull.image.top);
    assert_eq!(cached.header("x-cache"), "STALE");
    assert_eq!(pull.upstream.requests().len(), requested, "the upstream received no request");
    same_manifest(&get(&of(&pull, "quay.example/org/app"), "manifests/latest").await, &image.top);
}

#[tokio::test]
async fn the_remaining_rate_limit_is_passed_on_and_exported() {
    let pull = Pull::with("name = \"docker.io\"\n").await;
    pull.upstream.fail(with_headers(&[
        ("ratelimit-limit", "100;w=21600"),
        ("ratelimit-remaining", "76;w=21600"),
        ("docker-ratelimit-source", "192.0.2.1"),
    ]));
    let response = get(&pull.client(), "manifests/latest").await;
    assert_eq!(response.header("ratelimit-limit"), "100;w=21600");
    assert_eq!(response.header("ratelimit-remaining"), "76;w=21600");
    assert_eq!(response.header("docker-ratelimit-source"), "");
    let (metrics, label) = (pull.cell.metrics(), label("docker.io", &pull.upstream));
    assert_eq!(metrics.rate_limit_remaining.get_or_create(&label).get(), 76);
    assert_eq!(metrics.rate_limit.get_or_create(&label).get(), 100);
}

#[tokio::test]
async fn each_upstream_request_is_counted_by_its_outcome() {
    let pull = Pull::with("name = \"docker.io\"\n").await;
    pull.upstream.fail(Faults { requires: Some(Authentication::Token), ..Faults::default() });
    request_unknown_blobs(&pull.client(), 3).await;
    get(&pull.client(), &format!("manifests/{}", pull.image.top.digest())).await;
    pull.upstream.fail(Faults { status: Some(429), ..Faults::default() });
    request_unknown_blobs(&pull.client(), 1).await;
    request_unknown_blobs(&pull.client(), 2).await;
    let RegistryLabel { upstream, host } = label("docker.io", &pull.upstream);
    for (kind, method, outcome, times) in [
        ("blob", "HEAD", "absent", 3),
        ("manifest", "GET", "ok", 1),
        ("blob", "HEAD", "rate_limited", 1),
        ("blob", "HEAD", "not_asked_rate_limit", 2),
    ] {
        let (upstream, host) = (upstream.clone(), host.clone());
        let labels = UpstreamRequestLabels { upstream, host, kind, method, outcome };
        let counted = pull.cell.metrics().upstream_requests.get_or_create(&labels).get();
        assert_eq!(counted, times, "{labels:?}");
    }
    let fetched = OutcomeLabel { outcome: "ok" };
    assert_eq!(pull.cell.metrics().upstream_tokens.get_or_create(&fetched).get(), 1);
}

#[tokio::test]
async fn the_circuit_of_a_failing_registry_opens_until_it_recovers() {
    let pull = Pull::with("name = \"docker.io\"\n").await;
    pull.upstream.fail(Faults { status: Some(500), ..Faults::default() });
    request_unknown_blobs(&pull.client(), 8).await;
    let open = || {
        let label = label("docker.io", &pull.upstream);
        pull.cell.metrics().upstream_circuit_open.get_or_create(&label).get()
    };
    assert_eq!(open(), 1);
    let requested = pull.upstream.requests().len();
    assert_eq!(requested, 8);
    let refused = request_unknown_blobs(&pull.client(), 50).await;
    assert!(refused.iter().all(|response| response.status == 503));
    let probes = pull.upstream.requests().len() - requested;
    assert!(probes < 5, "{probes} of 50 requests reached the upstream");

    pull.upstream.fail(Faults::default());
    eventually(async || get(&pull.client(), "manifests/latest").await.status == 200).await;
    assert_eq!(open(), 0);
}

#[tokio::test]
async fn refusals_do_not_open_the_circuit() {
    let pull = Pull::start().await;
    for status in [401, 403, 404] {
        pull.upstream.fail(Faults { status: Some(status), ..Faults::default() });
        request_unknown_blobs(&pull.client(), 20).await;
    }
    pull.upstream.fail(Faults::default());
    same_manifest(&get(&pull.client(), "manifests/latest").await, &pull.image.top);
}

#[tokio::test]
async fn blob_downloads_do_not_delay_short_requests() {
    let pull = Pull::with("max_connections = 2\nqueue_timeout = \"300ms\"\n").await;
    let other = Image::single(&[noise(50, 9000)]);
    pull.upstream.add("library/other", "latest", &other);
    pull.upstream.fail(Faults { hold_blobs_at: Some(1000), ..Faults::default() });
    let path = format!("blobs/{}", pull.layer_digest());
    let under_way = pull.client().open(Method::GET, &path, &[]).await.unwrap();

    same_manifest(&get(&pull.client(), "manifests/latest").await, &pull.image.top);
    let second = oci::Digest::of(other.blobs.last().unwrap());
    let refused = of(&pull, "other").blob(&second).await.unwrap();
    assert_eq!((refused.status, refused.code().as_deref()), (503, Some("UNAVAILABLE")));
    assert_ne!(refused.header("retry-after"), "");

    pull.upstream.release();
    assert!(under_way.bytes().await.unwrap() == pull.layer());
    pull.upstream.fail(Faults::default());
    eventually(async || of(&pull, "other").blob(&second).await.unwrap().status == 200).await;
}
