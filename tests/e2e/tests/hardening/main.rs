//! The production Envoy against hostile and malformed requests: what reaches a Cell, and the form
//! of every refusal.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic")]

use harness::client::HttpResponse;
use harness::production::{Edge, HttpVersion};

mod crash;
mod demo;
mod framing;
mod headers;
mod hosts;
mod http2;
mod kubernetes;
mod outages;
mod paths;
mod secrets;
mod streams;

/// A manifest of `acme`, which is in `cell-1`.
const MANIFEST: &str = "/v2/acme/dependency_proxy/containers/alpine/manifests/latest";

const BOTH: [HttpVersion; 2] = [HttpVersion::One, HttpVersion::Two];

/// The status and the code of a refusal, which must be a registry error, with `Retry-After` if a
/// retry helps.
fn refusal(response: &HttpResponse) -> (u16, String) {
    let body = String::from_utf8_lossy(&response.body);
    let code = response.code();
    assert!(code.is_some(), "{}: {body}", response.status);
    assert_eq!(response.header("content-type"), "application/json", "{body}");
    let retry = matches!(response.status, 503 | 504);
    assert_eq!(!response.header("retry-after").is_empty(), retry, "{}: {body}", response.status);
    (response.status, code.unwrap())
}

/// The Cell that responded.
fn cell(response: &HttpResponse) -> String {
    let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    let cell = body.get("cell").and_then(serde_json::Value::as_str);
    assert!(cell.is_some(), "{}: {body}", response.status);
    cell.unwrap().to_owned()
}

fn reached(edge: &Edge) -> usize {
    edge.cells.iter().map(|cell| cell.requests().len()).sum()
}

fn request(line: &str, headers: &str) -> Vec<u8> {
    let host = harness::production::WEB;
    format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n").into_bytes()
}
