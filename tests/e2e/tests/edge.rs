//! The whole path: skopeo → real Envoy with the compiled filter → the Cells → a real registry.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic")]

use std::fs;
use std::path::Path;

use harness::client::{Login, Puller};
use harness::distribution::Distribution;
use harness::image::{Image, noise};
use harness::skopeo;
use harness::stack::{Ports, Settings, Stack};
use harness::wait::until;
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
        let settings = Settings::with_upstream(upstream.url(), folder.path()).unwrap();
        let stack = Stack::start(&settings).await.unwrap();
        Self { folder, upstream, stack }
    }

    fn login(&self, group: &str) -> Login {
        let group = self.stack.group(group).unwrap();
        Login { username: group.username.clone(), password: group.password.clone() }
    }

    async fn pull(&self, group: &str, image: &str, into: &str) -> skopeo::ClientRun {
        let prefix = &self.stack.group(group).unwrap().image_prefix;
        let into = self.folder.path().join(into);
        skopeo::pull(&format!("{prefix}/{image}"), &self.login(group), &into).await.unwrap()
    }

    async fn pull_successfully(&self, group: &str, image: &str, into: &str) {
        let pulled = self.pull(group, image, into).await;
        assert!(pulled.success, "{}\n{}", pulled.output, self.stack.logs());
    }

    fn puller(&self, group: &str, image: &str, login: Option<&Login>) -> Puller {
        Puller::new(&self.stack.edge(), group, image, login).unwrap()
    }

    async fn cell_of(&self, group: &str) -> String {
        let response = self.puller(group, "app", None).manifest("latest").await.unwrap();
        assert_eq!(response.header("x-cell-rule"), "dependency_proxy");
        response.header("x-cell").to_owned()
    }
}

fn image() -> Image {
    Image::multi(&[noise(1, 300_000), noise(2, 2_000_000)])
}

/// All files that skopeo wrote, by name.
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
async fn two_groups_pull_from_two_cells_also_while_the_upstream_is_down() {
    let mut edge = Edge::start().await;
    edge.upstream.push("library/app", "latest", &image()).await.unwrap();

    for (group, cell) in [("acme", "cell-1"), ("acme/team", "cell-1"), ("globex", "cell-2")] {
        assert_eq!(edge.cell_of(group).await, cell);
    }
    edge.pull_successfully("acme", "app:latest", "acme").await;
    edge.pull_successfully("globex", "app:latest", "globex").await;

    edge.upstream.stop();
    edge.pull_successfully("acme", "app:latest", "acme-again").await;
    edge.pull_successfully("globex", "app:latest", "globex-again").await;
    let by_digest = format!("app@{}", image().top.digest());
    edge.pull_successfully("acme", &by_digest, "acme-by-digest").await;

    let first = contents(&edge.folder.path().join("acme"));
    let config_and_layers = 2 + 2;
    assert_eq!(first.len(), 1 + 2 + config_and_layers + 1, "index, manifests, blobs, version");
    for folder in ["acme-again", "globex", "globex-again", "acme-by-digest"] {
        assert!(contents(&edge.folder.path().join(folder)) == first, "{folder} differs");
    }
}

#[tokio::test]
async fn skopeo_logs_in_with_valid_tokens_only() {
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
async fn unauthorised_requests_are_refused_in_json_and_no_secret_is_logged() {
    let edge = Edge::start().await;
    edge.upstream.push("library/app", "latest", &image()).await.unwrap();
    let wrong = Login { username: "alice".into(), password: "glpat-wrong-password".into() };

    let response = edge.puller("acme", "app", Some(&wrong)).request_token().await.unwrap();
    assert_eq!((response.status, response.code().as_deref()), (401, Some("UNAUTHORIZED")));

    let stranger = edge.login("globex");
    let response = edge.puller("acme", "app", Some(&stranger)).request_token().await.unwrap();
    assert_eq!((response.status, response.code().as_deref()), (403, Some("DENIED")));
    assert_eq!(
        response.header("x-cell"),
        "cell-1",
        "the path selects the Cell, not the credential"
    );

    let team = edge.login("acme/team");
    let response = edge.puller("acme", "app", Some(&team)).manifest("latest").await.unwrap();
    assert_eq!((response.status, response.code().as_deref()), (404, Some("NAME_UNKNOWN")));
    let response = edge.puller("acme", "app", Some(&stranger)).manifest("latest").await.unwrap();
    assert_eq!((response.status, response.code().as_deref()), (401, Some("UNAUTHORIZED")));

    let logs = edge.stack.logs();
    for secret in [&wrong.password, &stranger.password, &team.password] {
        assert!(!logs.contains(secret.as_str()), "a password is in a log");
    }
    assert!(!logs.contains("eyJ"), "a JWT is in a log");
}

#[tokio::test]
async fn a_member_of_a_parent_group_pulls_through_its_subgroup() {
    let edge = Edge::start().await;
    let image = image();
    edge.upstream.push("org/app", "v1", &image).await.unwrap();
    let alice = edge.login("acme");
    let response = edge.puller("acme/team", "org/app", Some(&alice)).manifest("v1").await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.body, image.top.bytes);
    assert_eq!(response.header("x-cell"), "cell-1");
    assert_eq!(response.header("content-type"), image.top.media_type);
}

#[tokio::test]
async fn header_bytes_that_are_not_utf_8_do_not_break_the_edge() {
    let edge = Edge::start().await;
    let odd: [(&[u8], &str); 3] = [
        (b"X-Odd: \xff\xfe", "HTTP/1.1 401"),
        (b"Authorization: Basic \xff\xfe", "HTTP/1.1 400"),
        (b"X-\xff\xfe: odd", "HTTP/1.1 400"),
    ];
    for (header, expected) in odd.repeat(10) {
        let request =
            [b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", header, b"\r\n\r\n"];
        let response = raw(edge.stack.ports.edge, &request.concat()).await;
        assert!(response.starts_with(expected), "{header:?}: {response}");
    }
    assert_eq!(edge.cell_of("globex").await, "cell-2");
    assert!(!edge.stack.logs().contains("panicked"), "the VM did not panic");
}

#[tokio::test]
async fn forged_copies_of_the_edges_headers_have_no_effect() {
    let edge = Edge::start().await;
    let puller = edge.puller("acme", "app", None);
    let spoofed = [("x-cell-cluster", "cell-2"), ("x-cell", "cell-2")];
    let response =
        puller.request(reqwest::Method::GET, "manifests/latest", &spoofed).await.unwrap();
    assert_eq!(response.header("x-cell"), "cell-1");
}

#[tokio::test]
async fn known_routes_survive_the_topology_service_and_unknown_ones_get_a_503_in_json() {
    let mut edge = Edge::start().await;
    // Each of Envoy's two workers has its own cache, and a connection stays with one worker.
    let known = edge.puller("acme", "app", None);
    assert_eq!(known.manifest("latest").await.unwrap().header("x-cell"), "cell-1");
    edge.stack.topology().kill();
    assert_eq!(known.manifest("latest").await.unwrap().header("x-cell"), "cell-1");

    let response = edge.puller("initech", "app", None).manifest("latest").await.unwrap();
    assert_eq!((response.status, response.code().as_deref()), (503, Some("UNAVAILABLE")));
    assert!(!response.header("retry-after").is_empty());
}

#[tokio::test]
async fn a_process_that_exits_is_reported_once_and_only_envoys_exit_ends_the_edge() {
    let mut edge = Edge::start().await;
    edge.stack.topology().kill();
    let exited = edge.stack.exited().unwrap().unwrap();
    let start = "topology exited (signal 9); the edge continues without it; its log /";
    assert!(exited.report.starts_with(start), "{}", exited.report);
    assert!(exited.report.contains("/topology.log") && !exited.is_edge, "{}", exited.report);
    assert!(edge.stack.exited().unwrap().is_none());
    edge.stack.envoy().kill();
    let exited = edge.stack.exited().unwrap().unwrap();
    assert!(exited.is_edge && exited.report.starts_with("envoy exited (signal 9); its log /"));
}

#[tokio::test]
async fn ranges_and_head_of_blobs_work_through_the_edge() {
    let edge = Edge::start().await;
    let layer = noise(9, 1_000_000);
    edge.upstream
        .push("library/app", "latest", &Image::single(std::slice::from_ref(&layer)))
        .await
        .unwrap();
    let alice = edge.login("acme");
    let puller = edge.puller("acme", "app", Some(&alice));
    let path = format!("blobs/{}", Digest::of(&layer));

    let head = puller.request(reqwest::Method::HEAD, &path, &[]).await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, "1000000"));
    let whole = puller.request(reqwest::Method::GET, &path, &[]).await.unwrap();
    assert!(whole.body == layer);
    let part = [("range", "bytes=500-1499")];
    let part = puller.request(reqwest::Method::GET, &path, &part).await.unwrap();
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 500-1499/1000000"));
    assert!(part.body == layer[500..1500]);
}

#[tokio::test]
async fn a_port_in_use_is_reported_before_anything_starts() {
    let folder = TempDir::new().unwrap();
    let (state, ports) = (folder.path().join("state"), Ports::free().unwrap());
    let _taken = std::net::TcpListener::bind(("127.0.0.1", ports.topology)).unwrap();
    let error = Stack::start(&Settings::new(ports, state.clone())).await.unwrap_err().to_string();
    assert!(error.contains(&ports.topology.to_string()), "{error}");
    assert!(error.contains("the Topology Service"), "{error}");
    assert!(!state.exists(), "nothing is started or written");
}

#[tokio::test]
async fn a_valid_filter_configuration_replaces_the_old_one_and_an_invalid_one_does_not() {
    let edge = Edge::start().await;
    let file = edge.folder.path().join("state/filter.yaml");
    let shipped = fs::read_to_string(&file).unwrap();
    let replace = |text: &str| router::install::move_into_place(&file, text).unwrap();
    let rule = async || {
        let response = edge.puller("acme", "app", None).manifest("latest").await.unwrap();
        assert_eq!(response.header("x-cell"), "cell-1");
        response.header("x-cell-rule").to_owned()
    };

    replace(&shipped.replace("\"dependency_proxy\"", "\"renamed\""));
    until("the new rule", async || (rule().await == "renamed").then_some(())).await.unwrap();

    replace(&shipped.replace("\"regexValue\"", "\"regexValeu\""));
    let named = async || edge.stack.logs().contains("regexValeu").then_some(());
    until("a log line that names the field", named).await.unwrap();
    assert_eq!(rule().await, "renamed", "the last valid configuration serves");
}

/// Sends bytes that no HTTP library sends.
async fn raw(port: u16, request: &[u8]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.unwrap();
    String::from_utf8_lossy(&response).into_owned()
}
