//! Without a working filter no request passes.

use std::fs;

use harness::production::{Edge, WEB};
use harness::wait::until_settled;

use super::{BOTH, MANIFEST, cell, reached, refusal};

/// The smallest module that Envoy accepts as a filter. It decides nothing, and crashes on more than
/// 15 headers.
const TRAP: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "proxy_abi_version_0_2_1"))
    (func (export "malloc") (param i32) (result i32) (i32.const 1024))
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (if (i32.gt_u (local.get 1) (i32.const 15)) (then unreachable))
        (i32.const 0)))"#;

async fn says_undecided(edge: &Edge) -> bool {
    let response = edge.get(BOTH[0], WEB, MANIFEST, &[]).await.unwrap();
    String::from_utf8_lossy(&response.body).contains("no Cell was chosen")
}

#[tokio::test]
async fn a_crash_of_the_filter_routes_no_request_and_restarts_the_filter() {
    let edge = Edge::start().await.unwrap();
    let good = edge.file("filter-web.yaml").unwrap();
    fs::write(edge.folder.join("trap.wasm"), wat::parse_str(TRAP).unwrap()).unwrap();
    edge.move_into_place("filter-web.yaml", &good.replace("/filter.wasm", "/trap.wasm")).unwrap();
    until_settled("the other filter", async || says_undecided(&edge).await).await.unwrap();

    let before = reached(&edge);
    let names: Vec<_> = (0..20).map(|n| format!("x-{n}")).collect();
    let mut crash: Vec<_> = names.iter().map(|name| (name.as_str(), "y")).collect();
    crash.push(("x-cell-cluster", "cell-2"));
    for http in BOTH.repeat(5) {
        for headers in [&crash[..], &[("x-cell-cluster", "cell-2")]] {
            let response = edge.get(http, WEB, MANIFEST, headers).await.unwrap();
            assert_eq!(refusal(&response), (503, "UNAVAILABLE".to_owned()));
        }
    }
    assert_eq!(reached(&edge), before);
    assert!(edge.logs().contains("proxy_on_request_headers failed"), "the filter crashed");
    edge.until("a new VM", async || says_undecided(&edge).await).await.unwrap();

    edge.move_into_place("filter-web.yaml", &good).unwrap();
    until_settled("the good filter", async || !says_undecided(&edge).await).await.unwrap();
    assert_eq!(cell(&edge.get(BOTH[1], WEB, MANIFEST, &[]).await.unwrap()), "cell-1");
}

#[tokio::test]
async fn without_a_filter_no_request_reaches_a_cell() {
    let change = (
        "cell-router-web: &enabled\n",
        "never: &enabled\n                          is_optional: true\n",
    );
    let edge = Edge::start_with(&[change]).await.unwrap();
    let forged = [("x-cell-cluster", "cell-2")];
    for http in BOTH {
        let response = edge.get(http, WEB, MANIFEST, &forged).await.unwrap();
        assert_eq!(refusal(&response), (503, "UNAVAILABLE".to_owned()));
    }
    assert_eq!(reached(&edge), 0);
}
