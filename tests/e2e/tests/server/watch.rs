//! Probes, metrics and logs.

use std::fs;
use std::net::SocketAddr;

use harness::process::free_port;
use reqwest::get as fetch;

use super::{Served, digest, get, until};

#[tokio::test]
async fn readiness_names_the_failing_part() {
    let served = Served::with(|_| ()).await;
    let url = format!("{}/-/readiness", served.cell.url());
    let (status, report) = get(&url).await.unwrap();
    assert_eq!((status, report["status"].as_str()), (200, Some("ok")));
    let spool = served.cell.objects().with_file_name("spool");
    fs::remove_dir_all(&spool).unwrap();
    let report = report_as(&url, 200, "uncached").await;
    let checks = serde_json::json!({"database": true, "store": true, "spool": false});
    assert_eq!(report["checks"], checks, "the origin can still stream");
    fs::create_dir(&spool).unwrap();
    report_as(&url, 200, "ok").await;
    let objects = served.cell.objects();
    fs::remove_dir_all(&objects).unwrap();
    fs::write(&objects, "").unwrap();
    let report = report_as(&url, 503, "unavailable").await;
    let checks = serde_json::json!({"database": true, "store": false, "spool": true});
    assert_eq!(report["checks"], checks);
    let alive = get(&format!("{}/-/liveness", served.cell.url())).await.unwrap();
    assert_eq!(alive.0, 200);
}

/// Waits until readiness has this status, and returns its report.
async fn report_as(url: &str, code: u16, status: &str) -> serde_json::Value {
    let said = async || {
        get(url).await.filter(|a| a.0 == code && a.1.get("status") == Some(&status.into()))
    };
    until(status, said).await.unwrap().1
}

#[tokio::test]
async fn metrics_can_have_their_own_address() {
    let port = free_port().unwrap();
    let served = Served::with(|config| {
        config.http.metrics_listen = Some(SocketAddr::from(([127, 0, 0, 1], port)));
    })
    .await;
    let client = served.client();
    client.blob(&digest()).await.unwrap();
    until("a hit", async || {
        let response = client.blob(&digest()).await.unwrap();
        (response.header("x-cache") == "HIT").then_some(())
    })
    .await
    .unwrap();
    let response = fetch(format!("http://127.0.0.1:{port}/metrics")).await.unwrap();
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(media_type, "text/plain; version=0.0.4; charset=utf-8");
    let page = response.text().await.unwrap();
    for line in [
        r#"dependency_proxy_answers_total{kind="blob",cache="miss"} 1"#,
        r#"dependency_proxy_answers_total{kind="blob",cache="hit"} 1"#,
        r#"dependency_proxy_requests_total{status="2xx",end="complete"}"#,
        "dependency_proxy_request_head_seconds_bucket",
        "dependency_proxy_request_seconds_count",
        "dependency_proxy_sent_bytes_total",
        "dependency_proxy_connections ",
        "dependency_proxy_inflight_fetches 0",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    let accept = "application/openmetrics-text; version=1.0.0";
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("http://127.0.0.1:{port}/metrics")).header("accept", accept);
    let page = request.send().await.unwrap().text().await.unwrap();
    assert!(page.ends_with("# EOF\n"), "{page}");
    assert_eq!(get(&format!("http://127.0.0.1:{port}/-/readiness")).await.unwrap().0, 200);
    assert_eq!(get(&format!("{}/metrics", served.cell.url())).await.unwrap().0, 404);
}
