//! What clients send, what the Topology Service answers, and what is then seen.

use e2e::host::{Call, FilterHost, Outcome, StreamId};
use serde_json::{Value, json};

/// Names and values as a client sends them.
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// A GET of a path.
pub(crate) fn get(path: &str) -> Headers {
    let headers = [(":method", "GET"), (":path", path), (":authority", "gitlab.example")];
    headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).to_vec()
}

/// A pull through a namespace's dependency proxy.
pub(crate) fn pull(namespace: &str) -> Headers {
    get(&format!("/v2/{namespace}/dependency_proxy/containers/alpine/manifests/3"))
}

/// The same with one more header.
pub(crate) fn with(mut headers: Headers, name: &str, value: impl AsRef<[u8]>) -> Headers {
    headers.push((name.to_owned(), value.as_ref().to_vec()));
    headers
}

/// The answer that names a Cell; its registry has the same address.
pub(crate) fn found(address: &str) -> String {
    json!({"action": "PROXY", "proxy": {"address": address, "registryAddress": address}})
        .to_string()
}

/// The answer that there is no Cell.
pub(crate) const NOT_FOUND: &str = r#"{"code":5,"message":"cell not found","details":[]}"#;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// The one call that is open.
pub(crate) fn only_call(host: &FilterHost) -> Call {
    let calls = host.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls[0].clone()
}

/// The question of a call.
pub(crate) fn question(call: &Call) -> Value {
    serde_json::from_slice(&call.body).unwrap()
}

/// Answers the one open call: this Cell.
pub(crate) fn answer_found(host: &mut FilterHost, address: &str) {
    host.answer(only_call(host).id, 200, JSON, found(address)).unwrap();
}

/// Answers the one open call: no Cell.
pub(crate) fn answer_not_found(host: &mut FilterHost) {
    host.answer(only_call(host).id, 404, JSON, NOT_FOUND).unwrap();
}

/// Sends a request, answers every question of it with one Cell, and gives the stream.
pub(crate) fn routed(host: &mut FilterHost, headers: Headers, address: &str) -> StreamId {
    let stream = host.on_request_headers(headers).unwrap();
    while host.outcome(stream).unwrap() == Outcome::Pause {
        for call in host.calls() {
            host.answer(call.id, 200, JSON, found(address)).unwrap();
        }
    }
    stream
}

/// The cluster a request goes to; none if it does not go on.
pub(crate) fn cluster(host: &FilterHost, stream: StreamId) -> Option<String> {
    let goes_on = host.outcome(stream).unwrap() == Outcome::Continue;
    goes_on.then(|| host.header(stream, "x-cell-cluster")).flatten()
}

/// Status and error code of the filter's own reply, which must be the registry's envelope.
pub(crate) fn refusal(host: &FilterHost, stream: StreamId) -> (u32, String) {
    let reply = host.local_reply(stream).unwrap_or_else(|| panic!("no local reply"));
    assert_eq!(reply.headers.text("content-type").as_deref(), Some("application/json"));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    (reply.status, body["errors"][0]["code"].as_str().unwrap().to_owned())
}

/// Whether a fresh request through the same VM is still routed: by its path, or where a ruleset
/// reads none by its session.
pub(crate) fn still_works(host: &mut FilterHost) -> bool {
    let request = with(pull("still-works"), "cookie", "_gitlab_session=cell-9-0");
    let stream = routed(host, request, "cell-9");
    cluster(host, stream).as_deref() == Some("cell-9")
}
