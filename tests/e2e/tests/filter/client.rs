//! Requests of clients, responses of the Topology Service, and what is observed then.

use serde_json::{Value, json};
use wasm_host::{Call, FilterHost, StreamId, StreamState};

/// Header names and values as a client sends them.
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

/// The response that names a Cell, whose registry has the same address.
pub(crate) fn found(address: &str) -> String {
    json!({"action": "PROXY", "proxy": {"address": address, "registryAddress": address}})
        .to_string()
}

/// The response that no Cell was found.
pub(crate) const NOT_FOUND: &str = r#"{"code":5,"message":"cell not found","details":[]}"#;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// The only outstanding call.
pub(crate) fn only_call(host: &FilterHost) -> Call {
    let calls = host.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls[0].clone()
}

/// The classify request of a call.
pub(crate) fn classify_request(call: &Call) -> Value {
    serde_json::from_slice(&call.body).unwrap()
}

/// Responds to the only outstanding call with this Cell.
pub(crate) fn respond_found(host: &mut FilterHost, address: &str) {
    host.respond(only_call(host).id, 200, JSON, found(address)).unwrap();
}

/// Responds to the only outstanding call that no Cell was found.
pub(crate) fn respond_not_found(host: &mut FilterHost) {
    host.respond(only_call(host).id, 404, JSON, NOT_FOUND).unwrap();
}

/// Sends a request, responds to each of its calls with one Cell, and returns the stream.
pub(crate) fn routed(host: &mut FilterHost, headers: Headers, address: &str) -> StreamId {
    let stream = host.on_request_headers(headers).unwrap();
    while host.stream_state(stream).unwrap() == StreamState::Paused {
        for call in host.calls() {
            host.respond(call.id, 200, JSON, found(address)).unwrap();
        }
    }
    stream
}

/// The cluster to which a request is routed; `None` if it was not continued.
pub(crate) fn cluster(host: &FilterHost, stream: StreamId) -> Option<String> {
    let continued = host.stream_state(stream).unwrap() == StreamState::Continued;
    continued.then(|| host.header(stream, "x-cell-cluster")).flatten()
}

/// The status and error code of the filter's local reply, which must be a registry error.
pub(crate) fn refusal(host: &FilterHost, stream: StreamId) -> (u32, String) {
    let reply = host.local_reply(stream).unwrap_or_else(|| panic!("no local reply"));
    assert_eq!(reply.headers.text("content-type").as_deref(), Some("application/json"));
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    (reply.status, body["errors"][0]["code"].as_str().unwrap().to_owned())
}

/// Whether a new request through the same VM is still routed: by its path, or by its session if the
/// ruleset reads no path.
pub(crate) fn still_works(host: &mut FilterHost) -> bool {
    let request = with(pull("still-works"), "cookie", "_gitlab_session=cell-9-0");
    let stream = routed(host, request, "cell-9");
    cluster(host, stream).as_deref() == Some("cell-9")
}
