//! Several upstreams and their mirrors: selection, credentials and reloads.

use harness::client::{HttpResponse, Puller};
use harness::fault::{Authentication, FaultRegistry, Faults, TokenFaults};
use harness::image::{Image, noise};
use origin::metrics::OutcomeLabel;
use reqwest::Method;

use super::{Pull, eventually, same_manifest};

/// A registry with `org/app:latest` and `library/app:latest`.
pub(super) async fn registry(seed: u64) -> (FaultRegistry, Image) {
    let (registry, image) =
        (FaultRegistry::start().await.unwrap(), Image::single(&[noise(seed, 5000)]));
    registry.add("org/app", "latest", &image);
    registry.add("library/app", "latest", &image);
    (registry, image)
}

pub(super) fn named(name: &str, registry: &FaultRegistry) -> String {
    format!("[upstreams.\"{name}\"]\nurl = \"{}\"\n", registry.url())
}

pub(super) fn of(pull: &Pull, image: &str) -> Puller {
    Puller::new(pull.cell.url(), "acme", image, Some(&pull.acme)).unwrap()
}

pub(super) async fn get(puller: &Puller, path: &str) -> HttpResponse {
    puller.request(Method::GET, path, &[]).await.unwrap()
}

pub(super) fn with_headers(headers: &[(&'static str, &str)]) -> Faults {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Faults { headers, ..Faults::default() }
}

/// Sends HEADs of unknown blobs at the same time, each of a different digest.
pub(super) async fn request_unknown_blobs(puller: &Puller, times: u64) -> Vec<HttpResponse> {
    let mut requested = Vec::new();
    for seed in 0..times {
        let puller = puller.clone();
        requested.push(tokio::spawn(async move {
            let path = format!("blobs/{}", oci::Digest::of(&noise(1000 + seed, 16)));
            puller.request(Method::HEAD, &path, &[]).await.unwrap()
        }));
    }
    let mut responses = Vec::new();
    for response in requested {
        responses.push(response.await.unwrap());
    }
    responses
}

#[tokio::test]
async fn an_upstream_is_selected_by_the_first_part_of_the_name_or_by_ns() {
    let (quay, image) = registry(20).await;
    let pull = Pull::with(&named("quay.example", &quay)).await;
    let digest = image.top.digest();
    let by_prefix = get(&of(&pull, "quay.example/org/app"), "manifests/latest").await;
    same_manifest(&by_prefix, &image.top);
    assert_eq!(by_prefix.header("oci-namespace"), "");
    assert!(pull.upstream.requests().is_empty());

    quay.stop();
    let by_ns = format!("manifests/{digest}?ns=quay.example");
    let by_ns = get(&of(&pull, "org/app"), &by_ns).await;
    same_manifest(&by_ns, &image.top);
    assert_eq!((by_ns.header("x-cache"), by_ns.header("oci-namespace")), ("HIT", "quay.example"));
    let plain = get(&of(&pull, "org/app"), &format!("manifests/{digest}")).await;
    assert_eq!(plain.status, 404, "the default upstream has another repository of that name");
}

#[tokio::test]
async fn the_default_upstream_is_the_same_with_and_without_its_name() {
    let pull = Pull::with("name = \"docker.io\"\n").await;
    get(&pull.client(), "manifests/latest").await;
    let path = format!("manifests/{}?ns=docker.io", pull.image.top.digest());
    for image in ["app", "library/app", "docker.io/app", "docker.io/library/app"] {
        let response = get(&of(&pull, image), &path).await;
        same_manifest(&response, &pull.image.top);
        assert_eq!(
            (response.header("x-cache"), response.header("oci-namespace")),
            ("HIT", "docker.io")
        );
    }
    assert_eq!(pull.upstream.count("GET", "latest"), 1);
}

#[tokio::test]
async fn a_name_of_an_unconfigured_upstream_is_an_error() {
    let pull = Pull::with("name = \"docker.io\"\n").await;
    for (image, path) in [
        ("app", "manifests/latest?ns=ghcr.io"),
        ("ghcr.io/org/app", "manifests/latest"),
        ("localhost/app", "manifests/latest"),
        ("docker.io/app", "manifests/latest?ns=ghcr.io"),
    ] {
        let response = get(&of(&pull, image), path).await;
        assert_eq!(
            (response.status, response.code().as_deref()),
            (404, Some("NAME_UNKNOWN")),
            "{path}"
        );
        let text = String::from_utf8_lossy(&response.body).into_owned();
        assert!(text.contains("ghcr.io") || text.contains("localhost"), "{text}");
        assert!(text.contains("available: docker.io"), "{text}");
    }
    assert!(pull.upstream.requests().is_empty());
}

#[tokio::test]
async fn mirrors_are_tried_in_order_and_the_registry_last() {
    let (gone, _) = registry(30).await;
    gone.stop();
    let empty = FaultRegistry::start().await.unwrap();
    let (good, _) = registry(31).await;
    let mirrors = format!(
        "name = \"docker.io\"\nmirrors = [\"{}\", \"{}\", \"{}\"]\n",
        gone.url(),
        empty.url(),
        good.url()
    );
    let pull = Pull::with(&mirrors).await;
    good.add("library/app", "latest", &pull.image);
    same_manifest(&get(&pull.client(), "manifests/latest").await, &pull.image.top);
    assert!(pull.upstream.requests().is_empty(), "a mirror serves it");
    assert_eq!(empty.count("GET", "/manifests/latest"), 1);
    assert!(
        good.requests().iter().all(|seen| seen.query == "ns=docker.io"),
        "{:?}",
        good.requests()
    );

    for status in [401, 403, 404, 429, 500, 503] {
        let (mirror, _) = registry(32).await;
        mirror.fail(Faults { status: Some(status), ..Faults::default() });
        let pull = Pull::with(&format!("mirrors = [\"{}\"]\n", mirror.url())).await;
        same_manifest(&get(&pull.client(), "manifests/latest").await, &pull.image.top);
        assert!(pull.client().blob(&pull.layer_digest()).await.unwrap().body == pull.layer());
        let missing = get(&pull.client(), "manifests/missing").await;
        assert_eq!(missing.code().as_deref(), Some("MANIFEST_UNKNOWN"), "after {status}");
    }
}

#[tokio::test]
async fn a_mirrors_digests_are_verified_and_it_receives_only_its_own_login() {
    let (mirror, _) = registry(33).await;
    let login = "username = \"robot\"\npassword = \"hunter2\"\n";
    let pull = Pull::with(&format!("{login}mirrors = [\"{}\"]\n", mirror.url())).await;
    mirror.add("library/app", "latest", &pull.image);
    let faults =
        Faults { corrupt: true, requires: Some(Authentication::Basic), ..Faults::default() };
    mirror.fail(faults.clone());
    pull.upstream.fail(Faults { requires: Some(Authentication::Basic), ..Faults::default() });
    let path = format!("manifests/{}", pull.image.top.digest());
    same_manifest(&get(&pull.client(), &path).await, &pull.image.top);
    assert!(
        mirror.requests().iter().all(|seen| seen.authorization.is_none()),
        "{:?}",
        mirror.requests()
    );

    let own = format!(
        "mirrors = [{{ url = \"{}\", username = \"robot\", password = \"hunter2\" }}]\n",
        mirror.url()
    );
    let pull = Pull::with(&own).await;
    mirror.fail(Faults { corrupt: false, ..faults });
    same_manifest(&get(&pull.client(), &path).await, &pull.image.top);
    assert!(pull.upstream.requests().is_empty());
}

#[tokio::test]
async fn a_blob_that_a_mirror_corrupted_is_fetched_from_the_registry() {
    let (mirror, _) = registry(34).await;
    let pull = Pull::with(&format!("mirrors = [\"{}\"]\n", mirror.url())).await;
    mirror.add("library/app", "latest", &pull.image);
    mirror.fail(Faults { corrupt: true, ..Faults::default() });
    assert!(
        pull.client().blob(&pull.layer_digest()).await.is_err(),
        "the body is cut because it does not match the digest"
    );
    assert_eq!(pull.blob_gets(), 0);
    eventually(async || {
        let again = pull.client().blob(&pull.layer_digest()).await;
        again.is_ok_and(|again| again.body == pull.layer())
    })
    .await;
    assert_eq!(pull.blob_gets(), 1);
}

#[tokio::test]
async fn many_requests_share_one_token_and_one_refused_token() {
    let pull = Pull::start().await;
    let asks = |generation| Faults {
        requires: Some(Authentication::Token),
        tokens: TokenFaults { generation, ..TokenFaults::default() },
        ..Faults::default()
    };
    for generation in 0..3 {
        pull.upstream.fail(asks(generation));
        let responses = request_unknown_blobs(&pull.client(), 20).await;
        assert!(responses.iter().all(|response| response.status == 404));
        assert_eq!(pull.upstream.count("GET", "/token"), generation as usize + 1);
    }
}

#[tokio::test]
async fn a_token_named_access_token_without_a_lifetime_is_accepted() {
    let pull = Pull::start().await;
    let tokens = TokenFaults { bare: true, ..TokenFaults::default() };
    pull.upstream.fail(Faults {
        requires: Some(Authentication::Token),
        tokens,
        ..Faults::default()
    });
    same_manifest(&get(&pull.client(), "manifests/latest").await, &pull.image.top);
    assert_eq!(pull.upstream.count("GET", "/token"), 1);
}

#[tokio::test]
async fn a_failing_token_endpoint_is_not_mistaken_for_a_missing_image() {
    for (tokens, status, code) in [
        (TokenFaults { status: Some(401), ..TokenFaults::default() }, 403, "DENIED"),
        (TokenFaults { status: Some(404), ..TokenFaults::default() }, 503, "UNAVAILABLE"),
        (TokenFaults { status: Some(302), ..TokenFaults::default() }, 503, "UNAVAILABLE"),
        (TokenFaults { status: Some(500), ..TokenFaults::default() }, 503, "UNAVAILABLE"),
        (TokenFaults { status: Some(429), ..TokenFaults::default() }, 429, "TOOMANYREQUESTS"),
        (TokenFaults { html: true, ..TokenFaults::default() }, 502, "UNAVAILABLE"),
        (TokenFaults { useless: true, ..TokenFaults::default() }, 403, "DENIED"),
    ] {
        let pull = Pull::start().await;
        pull.upstream.fail(Faults {
            requires: Some(Authentication::Token),
            tokens: tokens.clone(),
            ..Faults::default()
        });
        let path = format!("manifests/{}", pull.image.top.digest());
        let response = get(&pull.client(), &path).await;
        assert_eq!(
            (response.status, response.code().as_deref()),
            (status, Some(code)),
            "{tokens:?}"
        );
        let requested = pull.upstream.requests().len();
        assert!(requested <= 4, "{tokens:?}: no loop, but {requested} requests");
    }
}

/// Requests a blob from two registries that redirect to each other.
async fn redirected_in_a_loop(
    requires: Option<Authentication>,
) -> (Pull, FaultRegistry, HttpResponse) {
    let (pull, cdn) = (Pull::start().await, FaultRegistry::start().await.unwrap());
    let to = |url: &str| Faults { redirect_blobs_to: Some(url.to_owned()), ..Faults::default() };
    cdn.fail(to(pull.upstream.url()));
    pull.upstream.fail(Faults { requires, ..to(cdn.url()) });
    let path = format!("blobs/{}", pull.layer_digest());
    let response = pull.client().request(Method::HEAD, &path, &[]).await.unwrap();
    (pull, cdn, response)
}

#[tokio::test]
async fn a_redirect_back_to_the_registry_carries_no_login() {
    let (pull, cdn, response) = redirected_in_a_loop(Some(Authentication::Token)).await;
    assert_eq!(response.status, 403);
    let seen = pull.upstream.requests().into_iter().filter(|seen| seen.path != "/token");
    let logins: Vec<_> = seen.map(|seen| seen.authorization.is_some()).collect();
    assert_eq!(
        logins,
        [false, true, false],
        "a challenge, the login, and a redirect back without it"
    );
    assert!(cdn.requests().iter().all(|seen| seen.authorization.is_none()));
}

#[tokio::test]
async fn an_endless_redirect_is_aborted() {
    let (pull, cdn, response) = redirected_in_a_loop(None).await;
    assert_eq!(response.status, 502);
    assert_eq!(pull.upstream.requests().len() + cdn.requests().len(), 6);
}

#[tokio::test]
async fn content_with_a_digest_is_requested_without_compression() {
    let pull = Pull::start().await;
    get(&pull.client(), "manifests/latest").await;
    pull.client().blob(&pull.layer_digest()).await.unwrap();
    let seen = pull.upstream.requests();
    assert!(seen.iter().all(|seen| seen.encoding.as_deref() == Some("identity")), "{seen:?}");
}

#[tokio::test]
async fn a_changed_password_file_is_used_immediately() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "wrong\n").unwrap();
    let lines = format!("username = \"robot\"\npassword_file = \"{}\"\n", file.display());
    let pull = Pull::with(&lines).await;
    pull.upstream.fail(Faults { requires: Some(Authentication::Basic), ..Faults::default() });
    assert_eq!(get(&pull.client(), "manifests/latest").await.status, 403);
    std::fs::write(&file, "hunter2\n").unwrap();
    eventually(async || get(&pull.client(), "manifests/latest").await.status == 200).await;
}

#[tokio::test]
async fn a_valid_change_of_upstreams_is_loaded_and_an_invalid_one_refused() {
    let (quay, image) = registry(60).await;
    let pull = Pull::start().await;
    let before = std::fs::read_to_string(pull.cell.config_file()).unwrap();
    let write = |text: &str| std::fs::write(pull.cell.config_file(), text).unwrap();
    let puller = of(&pull, "quay.example/org/app");
    assert_eq!(get(&puller, "manifests/latest").await.status, 404);

    write(&format!("{before}{}", named("quay.example", &quay)));
    eventually(async || get(&puller, "manifests/latest").await.status == 200).await;
    let outcome = |outcome| {
        let outcome = OutcomeLabel { outcome };
        pull.cell.metrics().upstream_reloads.get_or_create(&outcome).get()
    };
    assert_eq!(outcome("refused"), 0);
    write(&format!("{before}[upstreams.\"quay.example\"]\nurl = 7\n"));
    eventually(async || outcome("refused") > 0).await;
    same_manifest(&get(&puller, "manifests/latest").await, &image.top);

    write(&before);
    eventually(async || get(&puller, "manifests/latest").await.status == 404).await;
}

#[tokio::test]
async fn a_reload_keeps_the_health_of_an_unchanged_upstream() {
    let (quay, _) = registry(61).await;
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { status: Some(429), ..with_headers(&[("retry-after", "600")]) });
    assert_eq!(get(&pull.client(), "manifests/latest").await.status, 429);
    pull.upstream.fail(Faults::default());
    let before = std::fs::read_to_string(pull.cell.config_file()).unwrap();
    std::fs::write(pull.cell.config_file(), format!("{before}{}", named("quay.example", &quay)))
        .unwrap();
    let puller = of(&pull, "quay.example/org/app");
    eventually(async || get(&puller, "manifests/latest").await.status == 200).await;
    assert_eq!(
        get(&pull.client(), "manifests/latest").await.status,
        429,
        "the rate limit still holds"
    );
}

#[tokio::test]
async fn sighup_reloads_the_files_immediately_even_if_they_look_unchanged() {
    let pull = Pull::start().await;
    let read = || {
        let outcome = OutcomeLabel { outcome: "ok" };
        pull.cell.metrics().upstream_reloads.get_or_create(&outcome).get()
    };
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    eventually(async || read() > 0).await;
    same_manifest(&get(&pull.client(), "manifests/latest").await, &pull.image.top);
}
