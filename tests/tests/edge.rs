//! The whole way: skopeo → real Envoy with the compiled filter → the cells → a real registry.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panic")]

use std::fs;
use std::path::Path;

use e2e::client::{Login, Puller};
use e2e::distribution::Distribution;
use e2e::image::{Image, noise};
use e2e::skopeo;
use e2e::stack::{Ports, Settings, Stack};
use e2e::wait::until;
use oci::Digest;
use tempfile::TempDir;

struct Edge {
    folder: TempDir,
    upstream: Distribution,
    stack: Stack,
}

impl Edge {
    async fn start() -> Self {
        let (folder, upstream) = (TempDir::new().unwrap(), Distribution::start().await.unwrap());
        let settings = Settings::before(upstream.url(), folder.path()).unwrap();
        let stack = Stack::start(&settings).await.unwrap();
        Self { folder, upstream, stack }
    }

    fn login(&self, group: &str) -> Login {
        let group = self.stack.group(group).unwrap();
        Login { username: group.username.clone(), password: group.password.clone() }
    }

    async fn pull(&self, group: &str, image: &str, into: &str) -> skopeo::Outcome {
        let prefix = &self.stack.group(group).unwrap().image_prefix;
        let into = self.folder.path().join(into);
        skopeo::pull(&format!("{prefix}/{image}"), &self.login(group), &into).await.unwrap()
    }

    async fn pull_well(&self, group: &str, image: &str, into: &str) {
        let pulled = self.pull(group, image, into).await;
        assert!(pulled.success, "{}\n{}", pulled.output, self.stack.logs());
    }

    fn puller(&self, group: &str, image: &str, login: Option<&Login>) -> Puller {
        Puller::new(&self.stack.edge(), group, image, login).unwrap()
    }

    async fn cell_of(&self, group: &str) -> String {
        let answer = self.puller(group, "app", None).manifest("latest").await.unwrap();
        assert_eq!(answer.header("x-cell-rule"), "dependency_proxy");
        answer.header("x-cell").to_owned()
    }
}

fn image() -> Image {
    Image::multi(&[noise(1, 300_000), noise(2, 2_000_000)])
}

/// Everything skopeo wrote, by name.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn two_groups_pull_from_two_cells_and_again_while_the_upstream_is_down() {
    let mut edge = Edge::start().await;
    edge.upstream.push("library/app", "latest", &image()).await.unwrap();

    for (group, cell) in [("acme", "cell-1"), ("acme/team", "cell-1"), ("globex", "cell-2")] {
        assert_eq!(edge.cell_of(group).await, cell);
    }
    edge.pull_well("acme", "app:latest", "acme").await;
    edge.pull_well("globex", "app:latest", "globex").await;

    edge.upstream.stop();
    edge.pull_well("acme", "app:latest", "acme-again").await;
    edge.pull_well("globex", "app:latest", "globex-again").await;
    let by_digest = format!("app@{}", image().top.digest());
    edge.pull_well("acme", &by_digest, "acme-by-digest").await;

    let first = contents(&edge.folder.path().join("acme"));
    let config_and_layers = 2 + 2;
    assert_eq!(first.len(), 1 + 2 + config_and_layers + 1, "index, manifests, blobs, version");
    for folder in ["acme-again", "globex", "globex-again", "acme-by-digest"] {
        assert!(contents(&edge.folder.path().join(folder)) == first, "{folder} differs");
    }
}

#[tokio::test]
async fn skopeo_logs_in_with_good_tokens_only() {
    let edge = Edge::start().await;
    let host = format!("127.0.0.1:{}", edge.stack.ports.edge);
    for group in ["acme", "globex"] {
        let login = skopeo::log_in(&host, &edge.login(group), edge.folder.path()).await.unwrap();
        assert!(login.success, "{group}: {}", login.output);
    }
    let wrong = Login { username: "alice".into(), password: "hunter2".into() };
    let login = skopeo::log_in(&host, &wrong, edge.folder.path()).await.unwrap();
    assert!(!login.success);
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_in_json_and_no_secret_is_logged() {
    let edge = Edge::start().await;
    edge.upstream.push("library/app", "latest", &image()).await.unwrap();
    let wrong = Login { username: "alice".into(), password: "glpat-wrong-password".into() };

    let answer = edge.puller("acme", "app", Some(&wrong)).ask_for_token().await.unwrap();
    assert_eq!((answer.status, answer.code().as_deref()), (401, Some("UNAUTHORIZED")));

    let stranger = edge.login("globex");
    let answer = edge.puller("acme", "app", Some(&stranger)).ask_for_token().await.unwrap();
    assert_eq!((answer.status, answer.code().as_deref()), (403, Some("DENIED")));
    assert_eq!(answer.header("x-cell"), "cell-1", "the path decides, not the credential");

    let team = edge.login("acme/team");
    let answer = edge.puller("acme", "app", Some(&team)).manifest("latest").await.unwrap();
    assert_eq!((answer.status, answer.code().as_deref()), (404, Some("NAME_UNKNOWN")));
    let answer = edge.puller("acme", "app", Some(&stranger)).manifest("latest").await.unwrap();
    assert_eq!((answer.status, answer.code().as_deref()), (401, Some("UNAUTHORIZED")));

    let logs = edge.stack.logs();
    for secret in [&wrong.password, &stranger.password, &team.password] {
        assert!(!logs.contains(secret.as_str()), "a password is in a log");
    }
    assert!(!logs.contains("eyJ"), "a JWT is in a log");
}

#[tokio::test]
async fn a_member_of_the_group_above_pulls_through_the_group_below() {
    let edge = Edge::start().await;
    let image = image();
    edge.upstream.push("org/app", "v1", &image).await.unwrap();
    let alice = edge.login("acme");
    let answer = edge.puller("acme/team", "org/app", Some(&alice)).manifest("v1").await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, image.top.bytes);
    assert_eq!(answer.header("x-cell"), "cell-1");
    assert_eq!(answer.header("content-type"), image.top.media_type);
}

#[tokio::test]
async fn header_bytes_that_are_no_text_leave_the_edge_working() {
    let edge = Edge::start().await;
    let odd: [(&[u8], &str); 3] = [
        (b"X-Odd: \xff\xfe", "HTTP/1.1 401"),
        (b"Authorization: Basic \xff\xfe", "HTTP/1.1 400"),
        (b"X-\xff\xfe: odd", "HTTP/1.1 400"),
    ];
    for (header, expected) in odd.repeat(10) {
        let request =
            [b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", header, b"\r\n\r\n"];
        let answer = raw(edge.stack.ports.edge, &request.concat()).await;
        assert!(answer.starts_with(expected), "{header:?}: {answer}");
    }
    assert_eq!(edge.cell_of("globex").await, "cell-2");
    assert!(!edge.stack.logs().contains("panicked"), "the VM was not even reloaded");
}

#[tokio::test]
async fn inbound_copies_of_the_edges_own_headers_decide_nothing() {
    let edge = Edge::start().await;
    let puller = edge.puller("acme", "app", None);
    let spoofed = [("x-cell-cluster", "cell-2"), ("x-cell", "cell-2")];
    let answer = puller.ask(reqwest::Method::GET, "manifests/latest", &spoofed).await.unwrap();
    assert_eq!(answer.header("x-cell"), "cell-1");
}

#[tokio::test]
async fn known_routes_survive_the_topology_service_and_unknown_ones_get_a_503_in_json() {
    let mut edge = Edge::start().await;
    // Each of Envoy's two workers has a cache of its own, and a connection stays with one.
    let known = edge.puller("acme", "app", None);
    assert_eq!(known.manifest("latest").await.unwrap().header("x-cell"), "cell-1");
    edge.stack.topology().kill();
    assert_eq!(known.manifest("latest").await.unwrap().header("x-cell"), "cell-1");

    let answer = edge.puller("initech", "app", None).manifest("latest").await.unwrap();
    assert_eq!((answer.status, answer.code().as_deref()), (503, Some("UNAVAILABLE")));
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_part_that_dies_is_told_once_and_only_envoys_death_is_the_edges() {
    let mut edge = Edge::start().await;
    edge.stack.topology().kill();
    let casualty = edge.stack.casualty().unwrap().unwrap();
    let start = "topology ended (signal 9); the edge goes on without it; its log is /";
    assert!(casualty.news.starts_with(start), "{}", casualty.news);
    assert!(casualty.news.contains("/topology.log") && !casualty.is_edge, "{}", casualty.news);
    assert!(edge.stack.casualty().unwrap().is_none());
    edge.stack.envoy().kill();
    let casualty = edge.stack.casualty().unwrap().unwrap();
    assert!(casualty.is_edge && casualty.news.starts_with("envoy ended (signal 9); its log is /"));
}

#[tokio::test]
async fn blobs_come_through_the_edge_in_ranges_and_by_head() {
    let edge = Edge::start().await;
    let layer = noise(9, 1_000_000);
    edge.upstream
        .push("library/app", "latest", &Image::single(std::slice::from_ref(&layer)))
        .await
        .unwrap();
    let alice = edge.login("acme");
    let puller = edge.puller("acme", "app", Some(&alice));
    let path = format!("blobs/{}", Digest::of(&layer));

    let head = puller.ask(reqwest::Method::HEAD, &path, &[]).await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, "1000000"));
    let whole = puller.ask(reqwest::Method::GET, &path, &[]).await.unwrap();
    assert!(whole.body == layer);
    let part = [("range", "bytes=500-1499")];
    let part = puller.ask(reqwest::Method::GET, &path, &part).await.unwrap();
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 500-1499/1000000"));
    assert!(part.body == layer[500..1500]);
}

#[tokio::test]
async fn a_port_in_use_is_named_before_anything_starts() {
    let folder = TempDir::new().unwrap();
    let (state, ports) = (folder.path().join("state"), Ports::free().unwrap());
    let _taken = std::net::TcpListener::bind(("127.0.0.1", ports.topology)).unwrap();
    let error = Stack::start(&Settings::new(ports, state.clone())).await.unwrap_err().to_string();
    assert!(error.contains(&ports.topology.to_string()), "{error}");
    assert!(error.contains("the Topology Service"), "{error}");
    assert!(!state.exists(), "nothing was started or written");
}

#[tokio::test]
async fn a_new_filter_configuration_replaces_the_old_one_and_a_broken_one_does_not() {
    let edge = Edge::start().await;
    let file = edge.folder.path().join("state/filter.yaml");
    let shipped = fs::read_to_string(&file).unwrap();
    let replace = |text: &str| router::install::move_into_place(&file, text).unwrap();
    let rule = async || {
        let answer = edge.puller("acme", "app", None).manifest("latest").await.unwrap();
        assert_eq!(answer.header("x-cell"), "cell-1");
        answer.header("x-cell-rule").to_owned()
    };

    replace(&shipped.replace("\"dependency_proxy\"", "\"renamed\""));
    until("the new rule", async || (rule().await == "renamed").then_some(())).await.unwrap();

    replace(&shipped.replace("\"regexValue\"", "\"regexValeu\""));
    let named = async || edge.stack.logs().contains("regexValeu").then_some(());
    until("a log line that names the field", named).await.unwrap();
    assert_eq!(rule().await, "renamed", "the last good one serves");
}

/// Sends bytes no HTTP library would send.
async fn raw(port: u16, request: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
