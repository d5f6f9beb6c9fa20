//! What clients are told while something behind the edge does not work.

use e2e::production::{Edge, Http, WEB};

use super::{BOTH, MANIFEST, cell, refusal};

fn unavailable(status: u16) -> (u16, String) {
    (status, "UNAVAILABLE".to_owned())
}

#[tokio::test]
async fn a_cell_that_envoy_does_not_know_is_unavailable() {
    let edge = Edge::start().await.unwrap();
    edge.topology.claim("lost", "cell-9");
    for http in BOTH {
        let path = MANIFEST.replace("acme", "lost");
        let answer = edge.get(http, WEB, &path, &[]).await.unwrap();
        assert_eq!(refusal(&answer), unavailable(503));
    }
}

#[tokio::test]
async fn a_cell_that_is_down_is_unavailable_and_the_others_serve() {
    let mut edge = Edge::start().await.unwrap();
    let [first, ..] = &mut edge.cells;
    first.kill();
    for http in BOTH {
        let answer = edge.get(http, WEB, MANIFEST, &[]).await.unwrap();
        assert_eq!(refusal(&answer), unavailable(503));
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!said.contains("127.0.0.1"), "{said}");
        let answer = edge.get(http, WEB, &MANIFEST.replace("acme", "globex"), &[]).await.unwrap();
        assert_eq!(cell(&answer), "cell-2");
    }
}

#[tokio::test]
async fn a_cell_that_accepts_and_says_nothing_is_a_504() {
    let change = [("per_try_idle_timeout: 240s", "per_try_idle_timeout: 0.5s")];
    let edge = Edge::start_with(&change).await.unwrap();
    let silent = "/v2/acme/dependency_proxy/containers/alpine/manifests/silent";
    for http in BOTH {
        let answer = edge.get(http, WEB, silent, &[]).await.unwrap();
        assert_eq!(refusal(&answer), unavailable(504));
    }
}

#[tokio::test]
async fn a_cell_s_own_error_reaches_the_client_as_it_is_and_is_not_retried() {
    let edge = Edge::start().await.unwrap();
    let failing = "/v2/acme/dependency_proxy/containers/alpine/manifests/failing";
    let answer = edge.get(Http::Two, WEB, failing, &[]).await.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (503, &b"failing"[..]));
    let [first, ..] = &edge.cells;
    assert_eq!(first.seen().len(), 1);
}

#[tokio::test]
async fn without_the_topology_service_known_groups_are_served_and_others_told_to_retry() {
    let mut edge = Edge::start().await.unwrap();
    // Each of Envoy's two workers keeps answers of its own, and a connection stays with one.
    let client = edge.client(Http::Two).unwrap();
    let known = edge.url(WEB, MANIFEST);
    assert_eq!(client.get(&known).send().await.unwrap().status(), 200);
    edge.topology.kill();
    assert_eq!(client.get(&known).send().await.unwrap().status(), 200);
    let answer = edge.get(Http::One, WEB, &MANIFEST.replace("acme", "new"), &[]).await.unwrap();
    assert_eq!(refusal(&answer), unavailable(503));
}

#[tokio::test]
async fn an_overloaded_edge_says_so() {
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
        let answer = edge.get(http, WEB, MANIFEST, &[]).await.unwrap();
        assert_eq!(refusal(&answer), unavailable(503));
    }
}
