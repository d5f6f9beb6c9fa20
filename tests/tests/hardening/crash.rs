//! A filter that crashes, or is not there, lets nothing through.

use std::fs;

use e2e::production::{Edge, WEB};

use super::{BOTH, MANIFEST, cell, reached, refusal};

/// As little as Envoy takes for a filter; every request runs into a trap.
const TRAP: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 1024))
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) unreachable))"#;

#[tokio::test]
async fn a_filter_that_crashes_reaches_no_cell_and_the_next_one_serves() {
    let edge = Edge::start().await.unwrap();
    let good = edge.file("filter-web.yaml").unwrap();
    fs::write(edge.folder.join("trap.wasm"), wat::parse_str(TRAP).unwrap()).unwrap();
    edge.move_into_place("filter-web.yaml", &good.replace("/filter.wasm", "/trap.wasm")).unwrap();
    edge.until("the crashing filter to be there", async || {
        edge.get(BOTH[0], WEB, MANIFEST, &[]).await.unwrap().status != 200
    })
    .await;

    let before = reached(&edge);
    let forged = [("x-cell-cluster", "cell-2")];
    for http in BOTH.repeat(5) {
        let answer = edge.get(http, WEB, MANIFEST, &forged).await.unwrap();
        assert_eq!(refusal(&answer), (503, "UNAVAILABLE".to_owned()));
    }
    assert_eq!(reached(&edge), before);
    assert!(edge.stat("wasm.envoy.wasm.runtime.v8.created").await.unwrap() > 0);

    edge.move_into_place("filter-web.yaml", &good).unwrap();
    edge.until("the good filter to be back", async || {
        edge.get(BOTH[0], WEB, MANIFEST, &[]).await.unwrap().status == 200
    })
    .await;
    assert_eq!(cell(&edge.get(BOTH[1], WEB, MANIFEST, &[]).await.unwrap()), "cell-1");
}

#[tokio::test]
async fn without_a_filter_there_is_no_decision_and_no_cell() {
    let change = (
        "cell-router-web: &enabled\n",
        "nobody: &enabled\n                          is_optional: true\n",
    );
    let edge = Edge::start_with(&[change]).await.unwrap();
    let forged = [("x-cell-cluster", "cell-2")];
    for http in BOTH {
        let answer = edge.get(http, WEB, MANIFEST, &forged).await.unwrap();
        assert_eq!(refusal(&answer), (503, "UNAVAILABLE".to_owned()));
    }
    assert_eq!(reached(&edge), 0);
}
