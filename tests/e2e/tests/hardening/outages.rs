//! Responses to clients while a part behind the edge is down.

use harness::production::{Edge, HttpVersion, WEB};

use super::{BOTH, MANIFEST, cell, refusal};

fn unavailable(status: u16) -> (u16, String) {
    (status, "UNAVAILABLE".to_owned())
}

#[tokio::test]
async fn an_unknown_cell_is_unavailable() {
    let edge = Edge::start().await.unwrap();
    edge.topology.claim("lost", "cell-9");
    for http in BOTH {
        let path = MANIFEST.replace("acme", "lost");
        let response = edge.get(http, WEB, &path, &[]).await.unwrap();
        assert_eq!(refusal(&response), unavailable(503));
    }
}

#[tokio::test]
async fn a_cell_that_is_down_is_unavailable_and_the_others_are_not() {
    let mut edge = Edge::start().await.unwrap();
    let [first, ..] = &mut edge.cells;
    first.kill();
    for http in BOTH {
        let response = edge.get(http, WEB, MANIFEST, &[]).await.unwrap();
        assert_eq!(refusal(&response), unavailable(503));
        let said = String::from_utf8_lossy(&response.body).into_owned();
        assert!(!said.contains("127.0.0.1"), "{said}");
        let response = edge.get(http, WEB, &MANIFEST.replace("acme", "globex"), &[]).await.unwrap();
        assert_eq!(cell(&response), "cell-2");
    }
}

#[tokio::test]
async fn a_cell_that_accepts_and_does_not_respond_is_a_504() {
    let change = [("per_try_idle_timeout: 240s", "per_try_idle_timeout: 0.5s")];
    let edge = Edge::start_with(&change).await.unwrap();
    let silent = "/v2/acme/dependency_proxy/containers/alpine/manifests/silent";
    for http in BOTH {
        let response = edge.get(http, WEB, silent, &[]).await.unwrap();
        assert_eq!(refusal(&response), unavailable(504));
    }
}

#[tokio::test]
async fn an_error_of_a_cell_is_passed_on_and_not_retried() {
    let edge = Edge::start().await.unwrap();
    let failing = "/v2/acme/dependency_proxy/containers/alpine/manifests/failing";
    let response = edge.get(HttpVersion::Two, WEB, failing, &[]).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (503, &b"failing"[..]));
    let [first, ..] = &edge.cells;
    assert_eq!(first.requests().len(), 1);
}

#[tokio::test]
async fn without_the_topology_service_cached_groups_are_served_and_others_are_told_to_retry() {
    let mut edge = Edge::start().await.unwrap();
    // Each of Envoy's two workers has its own cache, and a connection stays with one worker.
    let client = edge.client(HttpVersion::Two).unwrap();
    let known = edge.url(WEB, MANIFEST);
    assert_eq!(client.get(&known).send().await.unwrap().status(), 200);
    edge.topology.kill();
    assert_eq!(client.get(&known).send().await.unwrap().status(), 200);
    let response =
        edge.get(HttpVersion::One, WEB, &MANIFEST.replace("acme", "new"), &[]).await.unwrap();
    assert_eq!(refusal(&response), unavailable(503));
}

#[tokio::test]
async fn an_overloaded_edge_responds_with_an_error() {
    let stop =
        "        - name: envoy.resource_monitors.fixed_heap\n          threshold: { value: 0.95 }";
    let change = [(stop, &*stop.replace("0.95", "0.000001"))];
    let edge = Edge::start_with(&change).await.unwrap();
    edge.until("Envoy to notice", async || {
        edge.stat("overload.envoy.overload_actions.stop_accepting_requests.active").await.unwrap()
            == 1
    })
    .await
    .unwrap();
    for http in BOTH {
        let response = edge.get(http, WEB, MANIFEST, &[]).await.unwrap();
        assert_eq!(refusal(&response), unavailable(503));
    }
}
