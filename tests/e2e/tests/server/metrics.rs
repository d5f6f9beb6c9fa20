//! The pages that Prometheus scrapes, checked by Prometheus' own linter.

use std::net::SocketAddr;
use std::time::Duration;

use harness::process::{Process, free_port};
use harness::{program, promtool};
use origin::metrics::{Metrics, RegistryLabel};

use super::{Method, Served};

/// Sets every metric whose labels have no value yet; a family without a sample is not on the page.
fn fill(metrics: &Metrics) {
    let registry = RegistryLabel { upstream: "docker.io".into(), host: "docker.io".into() };
    metrics.answered("blob", "hit");
    metrics.upstream_request(&registry, "blob", &Method::GET, "ok", Duration::from_millis(5));
    metrics.token_fetched("ok");
    metrics.reloaded("ok");
    metrics.fetch_ended("stored");
    metrics.passed_through("limit");
    metrics.rate_limit.get_or_create(&registry).set(100);
    metrics.rate_limit_remaining.get_or_create(&registry).set(99);
    metrics.upstream_circuit_open.get_or_create(&registry).set(0);
}

async fn page(port: u16) -> String {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(format!("http://127.0.0.1:{port}/metrics")).send().await.unwrap();
    response.text().await.unwrap()
}

async fn assert_clean(page: &str, prefix: &str) {
    assert_eq!(promtool::problems(page).await.unwrap(), Vec::<String>::new(), "{page}");
    for sample in [&format!("{prefix}_build_info{{"), "process_resident_memory_bytes "] {
        assert!(page.lines().any(|line| line.starts_with(sample)), "{sample} is not in\n{page}");
    }
}

#[tokio::test]
async fn promtool_has_no_objection_to_the_metrics_of_the_origin() {
    let port = free_port().unwrap();
    let served = Served::with(|config| {
        config.http.metrics_listen = Some(SocketAddr::from(([127, 0, 0, 1], port)));
    })
    .await;
    served.client().manifest("latest").await.unwrap();
    fill(served.cell.metrics());
    assert_clean(&page(port).await, "dependency_proxy").await;
}

#[tokio::test]
async fn promtool_has_no_objection_to_the_metrics_of_the_topology_service() {
    let (port, folder) = (free_port().unwrap(), tempfile::tempdir().unwrap());
    let config = program::workspace().join("origin/topology/topology.example.toml");
    let (config, listen) = (config.display().to_string(), format!("127.0.0.1:{port}"));
    let arguments = ["serve", "--config", &config, "--listen", &listen];
    let topology = program::own("topology").unwrap();
    let mut service = Process::start("topology", &topology, &arguments, folder.path()).unwrap();
    service.wait_until_ready(&format!("http://127.0.0.1:{port}/health/ready")).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(format!("http://127.0.0.1:{port}/v1/cells")).send().await.unwrap();
    assert_clean(&page(port).await, "topology").await;
}

#[tokio::test]
async fn promtool_objects_to_a_counter_without_its_suffix() {
    let page = "# HELP sales Goods sold\n# TYPE sales counter\nsales 1\n";
    assert_eq!(promtool::problems(page).await.unwrap().len(), 1);
}
