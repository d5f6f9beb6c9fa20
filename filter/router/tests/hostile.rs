//! Whatever comes, the shipped rulesets decide or refuse: no panic, no endless walk.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use router::cases::{self, Directory};
use router::{Headers, Millis, Request, Router, Step};

fn router() -> Router {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rulesets/dependency_proxy.json");
    let ruleset = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    Router::from_json(cases::filter_config(&ruleset).to_string().as_bytes()).unwrap()
}

/// The rule that decides when only the first Cell is known; `None` if the edge refuses.
fn rule(router: &Router, headers: &Headers) -> Option<String> {
    let directory: Directory = serde_json::from_str(r#"{"firstCell": "cell-1"}"#).unwrap();
    let mut step = router.start(&Request::new(headers), Millis(0));
    for _round in 0..10 {
        match step {
            Step::Continue(decision) => return Some(decision.rule),
            Step::Reply(_) => return None,
            Step::Ask(calls, pending) => {
                let answers = calls.iter().map(|call| directory.answer(call.body.as_bytes()));
                step = router.resume(pending, answers.collect(), Millis(0));
            }
        }
    }
    panic!("more rounds than rules");
}

fn headers(path: &[u8], authorization: &[u8]) -> Headers {
    [
        (":method", &b"GET"[..]),
        (":authority", b"a"),
        (":path", path),
        ("authorization", authorization),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_vec()))
    .into()
}

#[test]
fn a_megabyte_of_token_costs_bounded_work_and_names_no_cell() {
    let router = router();
    let megabyte = "a".repeat(1 << 20);
    let deep = URL_SAFE_NO_PAD.encode(format!("{{\"cell_id\":{}", "[".repeat(1 << 19)));
    let basic = |password: &str| format!("Basic {}", STANDARD.encode(format!("u:{password}")));
    let started = Instant::now();
    for (path, authorization) in [
        ("/jwt/auth", basic(&megabyte)),
        ("/jwt/auth", basic(&format!("{megabyte}.01.0r0000000"))),
        ("/jwt/auth", basic(&format!("glcbt-h.{megabyte}.s"))),
        ("/jwt/auth", basic(&"\0".repeat(1 << 20))),
        ("/jwt/auth", format!("Basic {megabyte}")),
        ("/v2/", format!("Bearer h.{megabyte}.s")),
        ("/v2/", format!("Bearer h.{deep}.s")),
        ("/v2/", format!("Bearer {megabyte}")),
    ] {
        let headers = headers(path.as_bytes(), authorization.as_bytes());
        assert_eq!(rule(&router, &headers).as_deref(), Some("first_cell"), "{path}");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn header_bytes_that_are_no_utf8_change_nothing() {
    let router = router();
    for authorization in [&b"\xff\xfe"[..], b"Basic \xff\xfe", b"Bearer \xff.\xfe.\0", b""] {
        let headers = headers(b"/jwt/auth", authorization);
        assert_eq!(rule(&router, &headers).as_deref(), Some("first_cell"));
    }
}

#[test]
fn any_path_is_decided_or_refused() {
    let router = router();
    proptest!(|(path: Vec<u8>, tail in "[ -~]{0,60}")| {
        let _ = rule(&router, &headers(&path, b""));
        for start in ["/", "/v2/", "/v2/a/dependency_proxy/containers/", "/jwt/auth?scope="] {
            let _ = rule(&router, &headers(format!("{start}{tail}").as_bytes(), b""));
        }
    });
}

#[test]
fn any_credential_is_decided_or_refused() {
    let router = router();
    proptest!(|(bytes: Vec<u8>)| {
        let basic = format!("Basic {}", STANDARD.encode(&bytes));
        let bearer = format!("Bearer h.{}.s", URL_SAFE_NO_PAD.encode(&bytes));
        let _ = rule(&router, &headers(b"/jwt/auth", basic.as_bytes()));
        let _ = rule(&router, &headers(b"/v2/", bearer.as_bytes()));
        let _ = rule(&router, &headers(b"/v2/", &bytes));
    });
}
