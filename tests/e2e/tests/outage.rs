//! Real Envoy while the Topology Service fails in scripted ways, and the metrics that Envoy then
//! exports.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests panic")]

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use harness::client::{HttpResponse, Puller};
use harness::promtool;
use harness::stack::{Ports, Settings, Stack};
use harness::wait::{until, until_settled};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The response of the Topology Service to one call.
#[derive(Clone)]
enum ScriptedResponse {
    Fail,
    Cell(&'static str, &'static str),
}

/// The responses in order; the last one repeats.
#[derive(Clone)]
struct Script {
    lines: Arc<Mutex<VecDeque<ScriptedResponse>>>,
    calls: Arc<Mutex<u32>>,
}

impl Script {
    fn next(&self) -> ScriptedResponse {
        *self.calls.lock().unwrap() += 1;
        let mut lines = self.lines.lock().unwrap();
        if lines.len() > 1 { lines.pop_front().unwrap() } else { lines.front().unwrap().clone() }
    }

    fn change(&self, lines: &[ScriptedResponse]) {
        *self.lines.lock().unwrap() = lines.iter().cloned().collect();
        *self.calls.lock().unwrap() = 0;
    }

    fn calls(&self) -> u32 {
        *self.calls.lock().unwrap()
    }
}

async fn classify(State(script): State<Script>) -> Response {
    match script.next() {
        ScriptedResponse::Fail => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        ScriptedResponse::Cell(address, cache_control) => {
            let body = json!({"action": "PROXY", "proxy": {"address": address}});
            ([("cache-control", cache_control)], axum::Json(body)).into_response()
        }
    }
}

struct Edge {
    folder: TempDir,
    stack: Stack,
}

impl Edge {
    async fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let state = folder.path().join("state");
        let settings = Settings::new(Ports::free().unwrap(), state);
        Self { stack: Stack::start(&settings).await.unwrap(), folder }
    }

    /// Replaces the Topology Service by a scripted one.
    async fn scripted(&mut self, lines: &[ScriptedResponse]) -> Script {
        self.stack.topology().kill();
        let address = ("127.0.0.1", self.stack.ports.topology);
        let listener =
            until("the port is free", async || tokio::net::TcpListener::bind(address).await.ok());
        let listener = listener.await.unwrap();
        let lines = Arc::new(Mutex::new(lines.iter().cloned().collect()));
        let script = Script { lines, calls: Arc::default() };
        let service = Router::new().route("/v1/classify", post(classify));
        let service = service.with_state(script.clone()).into_make_service();
        tokio::spawn(async move { axum::serve(listener, service).await });
        script
    }

    fn puller(&self, group: &str) -> Puller {
        Puller::new(&self.stack.edge(), group, "app", None).unwrap()
    }

    async fn pull(&self, group: &str) -> HttpResponse {
        self.puller(group).manifest("latest").await.unwrap()
    }

    async fn metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/stats/prometheus", self.stack.ports.admin);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// The filter's metrics, with their `# TYPE` lines.
    async fn own_metrics(&self) -> String {
        let metrics = self.metrics().await;
        let own = metrics
            .lines()
            .filter(|line| line.trim_start_matches("# TYPE ").starts_with("cell_router_"));
        own.map(|line| format!("{line}\n")).collect()
    }

    /// The filter's log line for a refused path.
    fn refused(&self, path: &str) -> Value {
        let logs = self.stack.logs();
        let lines = logs.lines().filter_map(|line| line.find('{').and_then(|at| line.get(at..)));
        let mut refused = lines.filter_map(|json| serde_json::from_str::<Value>(json).ok());
        let line = refused.find(|line| line["event"] == "refused" && line["path"] == path);
        line.unwrap_or_else(|| panic!("no line on {path}:\n{logs}"))
    }

    /// The value of a series in Prometheus' notation.
    async fn metric(&self, series: &str) -> Option<u64> {
        let metrics = self.metrics().await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok())
    }

    /// Replaces one of Envoy's files by a changed one.
    fn change(&self, name: &str, change: impl FnOnce(&str) -> String) {
        let file = self.file(name);
        router::install::move_into_place(&file, &change(&fs::read_to_string(&file).unwrap()))
            .unwrap();
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        let folder: &Path = self.folder.path();
        folder.join("state").join(name)
    }
}

#[tokio::test]
async fn a_short_outage_of_the_service_delays_requests_without_errors() {
    let mut edge = Edge::start().await;
    let script = edge
        .scripted(&[
            ScriptedResponse::Fail,
            ScriptedResponse::Fail,
            ScriptedResponse::Cell("cell-2", "max-age=60"),
        ])
        .await;
    let response = edge.pull("initech").await;
    assert_eq!(
        (response.status, response.header("x-cell")),
        (401, "cell-2"),
        "{}",
        edge.stack.logs()
    );
    assert_eq!(script.calls(), 3);
    assert_eq!(edge.metric("cell_router_retries_total{}").await, Some(2));
}

#[tokio::test]
async fn an_expired_response_is_served_immediately_and_refreshed_in_the_background() {
    let mut edge = Edge::start().await;
    let expires = "max-age=0, stale-while-revalidate=60";
    let script = edge
        .scripted(&[
            ScriptedResponse::Cell("cell-1", expires),
            ScriptedResponse::Cell("cell-2", "max-age=60"),
        ])
        .await;
    let puller = edge.puller("initech");
    let cell = async || puller.manifest("latest").await.unwrap().header("x-cell").to_owned();
    assert_eq!(cell().await, "cell-1");
    assert_eq!(cell().await, "cell-1", "it does not wait for the new response");
    until("the new response", async || (cell().await == "cell-2").then_some(())).await.unwrap();
    assert_eq!(script.calls(), 2);
}

#[tokio::test]
async fn in_an_outage_workers_and_new_rules_share_the_last_responses() {
    let mut edge = Edge::start().await;
    let script = edge.scripted(&[ScriptedResponse::Cell("cell-2", "max-age=0")]).await;
    assert_eq!(edge.pull("initech").await.header("x-cell"), "cell-2");
    script.change(&[ScriptedResponse::Fail]);
    let served = async || {
        // Each over its own connection, which either worker may accept.
        for _ in 0..20 {
            let response = edge.pull("initech").await;
            assert_eq!((response.status, response.header("x-cell")), (401, "cell-2"));
        }
    };
    served().await;
    edge.change("filter.yaml", |text| text.replace("\"dependency_proxy\"", "\"renamed\""));
    let renamed = async || edge.pull("initech").await.header("x-cell-rule") == "renamed";
    until_settled("the changed rule", renamed).await.unwrap();
    served().await;
}

#[tokio::test]
async fn the_filters_metrics_are_exported_to_prometheus_with_labels() {
    let mut edge = Edge::start().await;
    edge.scripted(&[ScriptedResponse::Fail, ScriptedResponse::Cell("cell-1", "max-age=60")]).await;
    let puller = edge.puller("initech");
    for path in ["manifests/1", "manifests/1", "manifests/%20"] {
        puller.request(reqwest::Method::GET, path, &[]).await.unwrap();
    }
    for (series, value) in [
        (r#"requests_total{decision="classify",rule="dependency_proxy",source="service"}"#, 1),
        (r#"requests_total{decision="classify",rule="dependency_proxy",source="cache"}"#, 1),
        (r#"refusals_total{reason="malformed_name"}"#, 1),
        (r#"classify_total{outcome="bad_status"}"#, 1),
        (r#"classify_total{outcome="found"}"#, 1),
        (r#"cache_lookups_total{state="miss"}"#, 1),
        (r#"cache_lookups_total{state="fresh"}"#, 1),
        ("cache_entries{}", 1),
    ] {
        let seen = edge.metric(&format!("cell_router_{series}")).await;
        assert_eq!(seen, Some(value), "{series}\n{}", edge.own_metrics().await);
    }
    assert!(edge.metric("cell_router_memory_bytes{}").await.is_some_and(|bytes| bytes > 65_536));
    // Envoy merges the histograms of its workers every five seconds.
    let measured = async || {
        let count = edge.metric("cell_router_classify_milliseconds_count{}").await;
        (count == Some(2)).then_some(())
    };
    until("the histogram", measured).await.unwrap();
    let metrics = edge.own_metrics().await;
    assert!(!metrics.contains("initech"));
    let problems = promtool::problems(&metrics).await.unwrap();
    let unexpected: Vec<_> = problems.iter().filter(|problem| !is_envoys(problem)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}\n{metrics}");
}

/// Whether a problem comes from Envoy: it exports no help texts, and its proxy-wasm host has
/// histograms of whole numbers only, which would round every duration in seconds to zero.
fn is_envoys(problem: &str) -> bool {
    problem.ends_with("no help text")
        || problem.starts_with("cell_router_classify_milliseconds ")
            && problem.ends_with("use base unit \"seconds\" instead of \"milliseconds\"")
}

#[tokio::test]
async fn without_any_endpoint_of_the_service_each_request_gets_a_503_and_a_log_line() {
    let edge = Edge::start().await;
    assert_eq!(edge.pull("acme").await.header("x-cell"), "cell-1");
    edge.change("clusters.yaml", |text| {
        let resource = "  - \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster\n";
        format!("{text}{resource}    name: nowhere\n    type: STATIC\n    connect_timeout: 1s\n")
    });
    edge.change("filter.yaml", |text| {
        text.replace("\"cluster\": \"topology\"", "\"cluster\": \"nowhere\"")
    });
    let refused = async || edge.pull("uncached").await.status == 503;
    until_settled("the new configuration", refused).await.unwrap();
    assert_eq!(
        edge.pull("acme").await.header("x-cell"),
        "cell-1",
        "its response outlived the change"
    );
    for n in 0..20 {
        let response = edge.pull(&format!("group-{n}")).await;
        assert_eq!((response.status, response.code().as_deref()), (503, Some("UNAVAILABLE")));
    }
    let line = edge.refused("/v2/group-7/dependency_proxy/containers/app/manifests/latest");
    assert_eq!(line["reason"], "unavailable", "{line}");
    assert!(line["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{line}");
    let retired =
        async || (edge.metric("cell_router_cache_entries{}").await == Some(1)).then_some(());
    until("the old configuration's cache to be gone, and acme in the new one's", retired)
        .await
        .unwrap();

    edge.change("filter.yaml", |text| {
        text.replace("\"cluster\": \"nowhere\"", "\"cluster\": \"topology\"")
    });
    let served = async || (edge.pull("uncached").await.status == 401).then_some(());
    until("the old configuration", served).await.unwrap();
    assert!(!edge.stack.logs().contains("panicked"), "{}", edge.stack.logs());
}

#[tokio::test]
async fn a_large_upload_waits_for_its_cell_and_arrives_complete() {
    const SIZE: usize = 8 << 20;
    let mut edge = Edge::start().await;
    let length = |body: Bytes| async move { body.len().to_string() };
    let sink = Router::new().fallback(length).layer(DefaultBodyLimit::disable());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, sink.into_make_service()).await });
    edge.change("clusters.yaml", |text| {
        text.replace(&edge.stack.ports.origins[0].to_string(), &port.to_string())
    });
    let script = edge.scripted(&[ScriptedResponse::Cell("cell-1", "max-age=60")]).await;

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let upload = async |group: &str| {
        let path = format!("v2/{group}/dependency_proxy/containers/app/manifests/1");
        let url = format!("{}/{path}", edge.stack.edge());
        let response = client.post(&url).body(vec![b'x'; SIZE]).send().await.ok()?;
        response.text().await.ok()
    };
    let arrived = async || upload("initech").await.filter(|text| *text == SIZE.to_string());
    until("the cell's new place", arrived).await.unwrap();
    script.change(&[
        ScriptedResponse::Fail,
        ScriptedResponse::Fail,
        ScriptedResponse::Cell("cell-1", "max-age=60"),
    ]);
    assert_eq!(upload("umbrella").await, Some(SIZE.to_string()));
    assert_eq!(script.calls(), 3, "the upload waited");
}

/// A filter that traps at every request, as a panic does.
const CRASHES: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 1024))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable))"#;

#[tokio::test]
async fn a_filter_that_crashes_routes_no_request_and_delays_none() {
    let edge = Edge::start().await;
    assert_eq!(edge.pull("acme").await.header("x-cell"), "cell-1");
    let good = fs::read_to_string(edge.file("filter.yaml")).unwrap();
    let crashing = edge.file("crashing.wasm");
    fs::write(&crashing, wat::parse_str(CRASHES).unwrap()).unwrap();
    edge.change("filter.yaml", |text| {
        let lines = text.lines().map(|line| match line.split_once("filename:") {
            Some((key, _)) => format!("{key}filename: \"{}\" }}", crashing.display()),
            None => line.to_owned(),
        });
        // A different module runs in a different VM.
        lines.collect::<Vec<_>>().join("\n")
    });
    let crashed = async || edge.pull("acme").await.status == 503;
    until_settled("the filter that crashes", crashed).await.unwrap();
    for _ in 0..20 {
        let response = edge.pull("acme").await;
        assert_eq!((response.status, response.header("x-cell")), (503, ""));
        assert_eq!(response.code().as_deref(), Some("UNAVAILABLE"), "{}", edge.stack.access_log());
        assert_eq!(response.header("retry-after"), "5");
    }
    edge.change("filter.yaml", |_| good);
    let served = async || (edge.pull("acme").await.header("x-cell") == "cell-1").then_some(());
    until("the good filter", served).await.unwrap();
}
