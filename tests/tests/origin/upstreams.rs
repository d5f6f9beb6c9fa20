//! Several registries and their mirrors: which is asked, by what login, and what a change does.

use e2e::client::{Answer, Puller};
use e2e::fault::{FaultRegistry, Faults, Login, Tokens};
use e2e::image::{Image, noise};
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

pub(super) async fn get(puller: &Puller, path: &str) -> Answer {
    puller.ask(Method::GET, path, &[]).await.unwrap()
}

pub(super) fn with_headers(headers: &[(&'static str, &str)]) -> Faults {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Faults { headers, ..Faults::default() }
}

/// Everything there is to be asked for by digest: as often as wanted, each another request.
pub(super) async fn ask_for_unknown_blobs(puller: &Puller, times: u64) -> Vec<Answer> {
    let mut asked = Vec::new();
    for seed in 0..times {
        let puller = puller.clone();
        asked.push(tokio::spawn(async move {
            let path = format!("blobs/{}", oci::Digest::of(&noise(1000 + seed, 16)));
            puller.ask(Method::HEAD, &path, &[]).await.unwrap()
        }));
    }
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn an_upstream_is_chosen_by_the_first_part_of_the_name_or_by_ns() {
    let (quay, image) = registry(20).await;
    let pull = Pull::with(&named("quay.example", &quay)).await;
    let digest = image.top.digest();
    let by_prefix = get(&of(&pull, "quay.example/org/app"), "manifests/latest").await;
    same_manifest(&by_prefix, &image.top);
    assert_eq!(by_prefix.header("oci-namespace"), "");
    assert!(pull.upstream.seen().is_empty());

    quay.stop();
    let by_ns = format!("manifests/{digest}?ns=quay.example");
    let by_ns = get(&of(&pull, "org/app"), &by_ns).await;
    same_manifest(&by_ns, &image.top);
    assert_eq!((by_ns.header("x-cache"), by_ns.header("oci-namespace")), ("HIT", "quay.example"));
    let plain = get(&of(&pull, "org/app"), &format!("manifests/{digest}")).await;
    assert_eq!(plain.status, 404, "the default's repository of that name is another");
}

#[tokio::test]
async fn the_default_is_the_same_whether_it_is_named_or_not() {
    let pull = Pull::with("name = \"docker.io\"\n").await;
    get(&pull.client(), "manifests/latest").await;
    let path = format!("manifests/{}?ns=docker.io", pull.image.top.digest());
    for image in ["app", "library/app", "docker.io/app", "docker.io/library/app"] {
        let answer = get(&of(&pull, image), &path).await;
        same_manifest(&answer, &pull.image.top);
        assert_eq!(
            (answer.header("x-cache"), answer.header("oci-namespace")),
            ("HIT", "docker.io")
        );
    }
    assert_eq!(pull.upstream.count("GET", "latest"), 1);
}

#[tokio::test]
async fn an_upstream_that_is_not_configured_is_nobody() {
    let pull = Pull::with("name = \"docker.io\"\n").await;
    for (image, path) in [
        ("app", "manifests/latest?ns=ghcr.io"),
        ("ghcr.io/org/app", "manifests/latest"),
        ("localhost/app", "manifests/latest"),
        ("docker.io/app", "manifests/latest?ns=ghcr.io"),
    ] {
        let answer = get(&of(&pull, image), path).await;
        assert_eq!(
            (answer.status, answer.code().as_deref()),
            (404, Some("NAME_UNKNOWN")),
            "{path}"
        );
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.contains("ghcr.io") || text.contains("localhost"), "{text}");
        assert!(text.contains("there is docker.io"), "{text}");
    }
    assert!(pull.upstream.seen().is_empty());
}

#[tokio::test]
async fn mirrors_are_asked_in_order_and_the_registry_last() {
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
    assert!(pull.upstream.seen().is_empty(), "a mirror has it");
    assert_eq!(empty.count("GET", "/manifests/latest"), 1);
    assert!(good.seen().iter().all(|seen| seen.query == "ns=docker.io"), "{:?}", good.seen());

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
async fn a_mirror_is_not_believed_about_digests_and_gets_no_login_but_its_own() {
    let (mirror, _) = registry(33).await;
    let login = "username = \"robot\"\npassword = \"hunter2\"\n";
    let pull = Pull::with(&format!("{login}mirrors = [\"{}\"]\n", mirror.url())).await;
    mirror.add("library/app", "latest", &pull.image);
    let faults = Faults { corrupt: true, asks_for: Some(Login::Basic), ..Faults::default() };
    mirror.fail(faults.clone());
    pull.upstream.fail(Faults { asks_for: Some(Login::Basic), ..Faults::default() });
    let path = format!("manifests/{}", pull.image.top.digest());
    same_manifest(&get(&pull.client(), &path).await, &pull.image.top);
    assert!(mirror.seen().iter().all(|seen| seen.authorization.is_none()), "{:?}", mirror.seen());

    let own = format!(
        "mirrors = [{{ url = \"{}\", username = \"robot\", password = \"hunter2\" }}]\n",
        mirror.url()
    );
    let pull = Pull::with(&own).await;
    mirror.fail(Faults { corrupt: false, ..faults });
    same_manifest(&get(&pull.client(), &path).await, &pull.image.top);
    assert!(pull.upstream.seen().is_empty());
}

#[tokio::test]
async fn a_blob_that_a_mirror_spoilt_is_fetched_from_the_registry() {
    let (mirror, _) = registry(34).await;
    let pull = Pull::with(&format!("mirrors = [\"{}\"]\n", mirror.url())).await;
    mirror.add("library/app", "latest", &pull.image);
    mirror.fail(Faults { corrupt: true, ..Faults::default() });
    assert!(
        pull.client().blob(&pull.layer_digest()).await.is_err(),
        "cut, as it is not its digest"
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
async fn many_requests_share_one_token_and_one_refusal_of_it() {
    let pull = Pull::start().await;
    let asks = |generation| Faults {
        asks_for: Some(Login::Token),
        tokens: Tokens { generation, ..Tokens::default() },
        ..Faults::default()
    };
    for generation in 0..3 {
        pull.upstream.fail(asks(generation));
        let answers = ask_for_unknown_blobs(&pull.client(), 20).await;
        assert!(answers.iter().all(|answer| answer.status == 404));
        assert_eq!(pull.upstream.count("GET", "/token"), generation as usize + 1);
    }
}

#[tokio::test]
async fn a_token_without_its_usual_name_and_life_is_taken() {
    let pull = Pull::start().await;
    let tokens = Tokens { bare: true, ..Tokens::default() };
    pull.upstream.fail(Faults { asks_for: Some(Login::Token), tokens, ..Faults::default() });
    same_manifest(&get(&pull.client(), "manifests/latest").await, &pull.image.top);
    assert_eq!(pull.upstream.count("GET", "/token"), 1);
}

#[tokio::test]
async fn a_token_endpoint_that_fails_says_nothing_about_the_image() {
    for (tokens, status, code) in [
        (Tokens { status: Some(401), ..Tokens::default() }, 403, "DENIED"),
        (Tokens { status: Some(404), ..Tokens::default() }, 503, "UNAVAILABLE"),
        (Tokens { status: Some(302), ..Tokens::default() }, 503, "UNAVAILABLE"),
        (Tokens { status: Some(500), ..Tokens::default() }, 503, "UNAVAILABLE"),
        (Tokens { status: Some(429), ..Tokens::default() }, 429, "TOOMANYREQUESTS"),
        (Tokens { html: true, ..Tokens::default() }, 502, "UNAVAILABLE"),
        (Tokens { useless: true, ..Tokens::default() }, 403, "DENIED"),
    ] {
        let pull = Pull::start().await;
        pull.upstream.fail(Faults {
            asks_for: Some(Login::Token),
            tokens: tokens.clone(),
            ..Faults::default()
        });
        let path = format!("manifests/{}", pull.image.top.digest());
        let answer = get(&pull.client(), &path).await;
        assert_eq!((answer.status, answer.code().as_deref()), (status, Some(code)), "{tokens:?}");
        let asked = pull.upstream.seen().len();
        assert!(asked <= 4, "{tokens:?}: no loop, but {asked} requests");
    }
}

/// Two registries that send each other's clients back, and a request for a blob of the first.
async fn sent_to_and_fro(asks_for: Option<Login>) -> (Pull, FaultRegistry, Answer) {
    let (pull, cdn) = (Pull::start().await, FaultRegistry::start().await.unwrap());
    let to = |url: &str| Faults { redirect_blobs_to: Some(url.to_owned()), ..Faults::default() };
    cdn.fail(to(pull.upstream.url()));
    pull.upstream.fail(Faults { asks_for, ..to(cdn.url()) });
    let path = format!("blobs/{}", pull.layer_digest());
    let answer = pull.client().ask(Method::HEAD, &path, &[]).await.unwrap();
    (pull, cdn, answer)
}

#[tokio::test]
async fn a_redirect_back_brings_no_login() {
    let (pull, cdn, answer) = sent_to_and_fro(Some(Login::Token)).await;
    assert_eq!(answer.status, 403);
    let seen = pull.upstream.seen().into_iter().filter(|seen| seen.path != "/token");
    let logins: Vec<_> = seen.map(|seen| seen.authorization.is_some()).collect();
    assert_eq!(logins, [false, true, false], "asked, answered, and sent back without");
    assert!(cdn.seen().iter().all(|seen| seen.authorization.is_none()));
}

#[tokio::test]
async fn redirects_without_an_end_are_left() {
    let (pull, cdn, answer) = sent_to_and_fro(None).await;
    assert_eq!(answer.status, 502);
    assert_eq!(pull.upstream.seen().len() + cdn.seen().len(), 6);
}

#[tokio::test]
async fn nobody_packs_bytes_that_have_a_digest() {
    let pull = Pull::start().await;
    get(&pull.client(), "manifests/latest").await;
    pull.client().blob(&pull.layer_digest()).await.unwrap();
    let seen = pull.upstream.seen();
    assert!(seen.iter().all(|seen| seen.encoding.as_deref() == Some("identity")), "{seen:?}");
}

#[tokio::test]
async fn a_changed_password_file_is_used_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "wrong\n").unwrap();
    let lines = format!("username = \"robot\"\npassword_file = \"{}\"\n", file.display());
    let pull = Pull::with(&lines).await;
    pull.upstream.fail(Faults { asks_for: Some(Login::Basic), ..Faults::default() });
    assert_eq!(get(&pull.client(), "manifests/latest").await.status, 403);
    std::fs::write(&file, "hunter2\n").unwrap();
    eventually(async || get(&pull.client(), "manifests/latest").await.status == 200).await;
}

#[tokio::test]
async fn changed_upstreams_are_used_and_broken_ones_are_not() {
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
async fn a_reload_forgets_nothing_about_an_upstream_that_stays_as_it_was() {
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
    assert_eq!(get(&pull.client(), "manifests/latest").await.status, 429, "still left alone");
}

#[tokio::test]
async fn a_hangup_has_the_files_read_at_once_though_they_seem_unchanged() {
    let pull = Pull::start().await;
    let read = || {
        let outcome = OutcomeLabel { outcome: "ok" };
        pull.cell.metrics().upstream_reloads.get_or_create(&outcome).get()
    };
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    eventually(async || read() > 0).await;
    same_manifest(&get(&pull.client(), "manifests/latest").await, &pull.image.top);
}
