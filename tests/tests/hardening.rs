//! The production Envoy against hostile and broken requests: what reaches a cell, and what every
//! refusal looks like.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panic")]

use e2e::client::Answer;
use e2e::production::{Edge, Http};

#[path = "hardening/crash.rs"]
mod crash;
#[path = "hardening/demo.rs"]
mod demo;
#[path = "hardening/framing.rs"]
mod framing;
#[path = "hardening/headers.rs"]
mod headers;
#[path = "hardening/hosts.rs"]
mod hosts;
#[path = "hardening/http2.rs"]
mod http2;
#[path = "hardening/kubernetes.rs"]
mod kubernetes;
#[path = "hardening/outages.rs"]
mod outages;
#[path = "hardening/paths.rs"]
mod paths;
#[path = "hardening/secrets.rs"]
mod secrets;
#[path = "hardening/streams.rs"]
mod streams;

/// A manifest of `acme`, which is in `cell-1`.
const MANIFEST: &str = "/v2/acme/dependency_proxy/containers/alpine/manifests/latest";

const BOTH: [Http; 2] = [Http::One, Http::Two];

/// The status and the code of a refusal in the registry's form; says when to retry if that helps.
fn refusal(answer: &Answer) -> (u16, String) {
    let body = String::from_utf8_lossy(&answer.body);
    let code = answer.code();
    assert!(code.is_some(), "{}: {body}", answer.status);
    assert_eq!(answer.header("content-type"), "application/json", "{body}");
    let retry = matches!(answer.status, 503 | 504);
    assert_eq!(!answer.header("retry-after").is_empty(), retry, "{}: {body}", answer.status);
    (answer.status, code.unwrap())
}

/// The cell that answered.
fn cell(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let cell = body.get("cell").and_then(serde_json::Value::as_str);
    assert!(cell.is_some(), "{}: {body}", answer.status);
    cell.unwrap().to_owned()
}

fn reached(edge: &Edge) -> usize {
    edge.cells.iter().map(|cell| cell.seen().len()).sum()
}

fn request(line: &str, headers: &str) -> Vec<u8> {
    let host = e2e::production::WEB;
    format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n").into_bytes()
}
