//! Changes under load: no connection is lost when rules, Cells or certificates change.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic")]

use harness::production::{Edge, HttpVersion, WEB};

mod download;
mod load;

use download::Download;
use load::Load;

const MANIFEST: &str = "/v2/acme/dependency_proxy/containers/alpine/manifests/latest";

/// The counters that must not change: connections that Envoy closed or that ended during a request,
/// and requests that were reset or failed.
const LOSSES: [&str; 7] = [
    "http.edge.downstream_cx_destroy_local",
    "http.edge.downstream_cx_destroy_active_rq",
    "http.edge.downstream_cx_drain_close",
    "http.edge.downstream_rq_rx_reset",
    "http.edge.downstream_rq_tx_reset",
    "http.edge.downstream_rq_5xx",
    "cluster.cell-1.upstream_cx_destroy_with_active_rq",
];

async fn losses(edge: &Edge) -> Vec<u64> {
    let mut values = Vec::new();
    for name in LOSSES {
        values.push(edge.stat(name).await.unwrap());
    }
    values
}

/// Downloads and load that run before, during and after a change.
struct Traffic {
    downloads: Vec<Download>,
    load: Load,
}

impl Traffic {
    async fn start(edge: &Edge) -> Self {
        let downloads = vec![
            Download::start(edge, HttpVersion::One).await,
            Download::start(edge, HttpVersion::Two).await,
        ];
        Self { downloads, load: Load::start(edge).await }
    }

    /// Continues all downloads and the load; a failure fails the test here.
    async fn progress(&mut self, edge: &Edge) {
        for download in &mut self.downloads {
            download.read_more(edge).await;
        }
        self.load.progress().await;
    }

    async fn finish(self, edge: &Edge) {
        self.load.finish().await;
        for download in self.downloads {
            download.finish(edge).await;
        }
    }
}

#[tokio::test]
async fn rules_cells_and_certificates_change_and_no_connection_is_lost() {
    let edge = Edge::start().await.unwrap();
    let mut traffic = Traffic::start(&edge).await;
    let before = losses(&edge).await;

    let rules = edge.file("filter-web.yaml").unwrap();
    let renamed = rules
        .replace("\"id\": \"dependency_proxy\"", "\"id\": \"renamed\"")
        .replace("\"ruleset\":", "\"responseHeaders\": true, \"ruleset\":");
    edge.move_into_place("filter-web.yaml", &renamed).unwrap();
    traffic.load.until_rule(&edge, "renamed").await;
    traffic.progress(&edge).await;

    edge.move_into_place("filter-web.yaml", &renamed.replace("regexValue", "regexValeu")).unwrap();
    let rejected = "extension_config_discovery.http_filter.cell-router-web.update_rejected";
    edge.until("the refusal", async || edge.stat(rejected).await.unwrap() > 0).await.unwrap();
    assert!(edge.logs().contains("regexValeu"), "the log names the field");
    traffic.progress(&edge).await;
    traffic.load.until_rule(&edge, "renamed").await;

    add_cell_3(&edge);
    edge.until("cell-3", async || {
        edge.stat("cluster.cell-3.membership_healthy").await.is_ok_and(|n| n > 0)
    })
    .await
    .unwrap();
    edge.topology.claim("initech", "cell-3");
    let response =
        edge.get(HttpVersion::One, WEB, &MANIFEST.replace("acme", "initech"), &[]).await.unwrap();
    assert_eq!(response.header("x-cell"), "cell-3");
    traffic.progress(&edge).await;

    let garbage = edge.file("clusters.yaml").unwrap().replace("connect_timeout", "connect_tmieout");
    edge.move_into_place("clusters.yaml", &garbage).unwrap();
    let rejected = "cluster_manager.cds.update_rejected";
    edge.until("the refusal", async || edge.stat(rejected).await.unwrap() > 0).await.unwrap();
    traffic.progress(&edge).await;

    let old = edge.certificate().await.unwrap();
    edge.authority.certify(&[WEB]).unwrap().install(&edge.folder.join("tls/web"), 2).unwrap();
    edge.until("the new certificate", async || edge.certificate().await.unwrap() != old)
        .await
        .unwrap();
    traffic.progress(&edge).await;

    let after = losses(&edge).await;
    traffic.finish(&edge).await;
    for (name, (before, after)) in LOSSES.iter().zip(before.iter().zip(&after)) {
        assert_eq!(before, after, "{name}");
    }
}

/// Copies a Cell's cluster with another name and address, as an operator would.
fn add_cell_3(edge: &Edge) {
    let clusters = edge.file("clusters.yaml").unwrap();
    let [_, second, another, .., third] = &edge.cells;
    let (_, cell_2) = clusters.split_once("\n\n  - \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster\n    name: cell-2\n").unwrap();
    let (cell_2, _) = cell_2.split_once("\n\n").unwrap();
    let cell_3 = cell_2
        .replace("cell-2", "cell-3")
        .replace(
            &format!("port_value: {}", second.port()),
            &format!("port_value: {}", third.port()),
        )
        .replace(
            &format!("port_value: {}", another.port()),
            &format!("port_value: {}", third.port()),
        );
    let head =
        "  - \"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster\n    name: cell-3\n";
    edge.move_into_place("clusters.yaml", &format!("{clusters}\n{head}{cell_3}\n")).unwrap();
}

#[tokio::test]
async fn if_one_of_two_origins_dies_no_pull_fails() {
    let mut edge = Edge::start().await.unwrap();
    let pull = async |edge: &Edge, http, n: u32| {
        let path = format!("/v2/globex/dependency_proxy/containers/image-{n}/manifests/latest");
        edge.get(http, WEB, &path, &[]).await.unwrap().status
    };
    for n in 0..40 {
        assert_eq!(pull(&edge, HttpVersion::One, n).await, 200);
    }
    let [_, first, second, ..] = &mut edge.cells;
    assert!(
        !first.requests().is_empty() && !second.requests().is_empty(),
        "both origins share the work"
    );
    first.kill();

    for n in 0..40 {
        assert_eq!(pull(&edge, HttpVersion::Two, n).await, 200, "the other origin is tried");
    }
    let ejected = "cluster.cell-2.outlier_detection.ejections_enforced_total";
    edge.until("the ejection", async || {
        assert_eq!(pull(&edge, HttpVersion::One, 7).await, 200);
        edge.stat(ejected).await.unwrap() > 0
    })
    .await
    .unwrap();
    for n in 0..40 {
        assert_eq!(pull(&edge, HttpVersion::One, n).await, 200);
    }
}
