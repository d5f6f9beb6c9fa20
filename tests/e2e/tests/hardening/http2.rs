//! HTTP/2: Envoy resets a stream whose headers it refuses while parsing, as there is no request yet
//! to which it could respond in JSON.

use bytes::Bytes;
use h2::client::SendRequest;
use harness::production::{Edge, WEB};

use super::{MANIFEST, reached};

async fn connect(edge: &Edge) -> SendRequest<Bytes> {
    let stream = edge.connect(b"h2").await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

/// The status of the response, or `None` for a stream that was reset.
async fn send_on(sender: &SendRequest<Bytes>, request: http::request::Builder) -> Option<u16> {
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, _) = sender.send_request(request.body(()).unwrap(), true).ok()?;
    Some(response.await.ok()?.status().as_u16())
}

async fn send(edge: &Edge, request: http::request::Builder) -> Option<u16> {
    send_on(&connect(edge).await, request).await
}

fn get(path: &str) -> http::request::Builder {
    http::Request::get(format!("https://{WEB}{path}"))
}

#[tokio::test]
async fn a_stream_with_forbidden_headers_is_reset_and_its_connection_stays_open() {
    let edge = Edge::start().await.unwrap();
    let many = (0..101).fold(get(MANIFEST), |get, n| get.header(format!("x-{n}"), "y"));
    let large = get(MANIFEST).header("authorization", "a".repeat(40 * 1024));
    let underscore = get(MANIFEST).header("x_cell_cluster", "cell-2");
    let of_http_1 = get(MANIFEST).header("transfer-encoding", "chunked");
    let longer = get(MANIFEST).header("content-length", "5");
    let connection = connect(&edge).await;
    let all = [underscore, of_http_1, many, large, longer];
    for (forbidden, served) in all.into_iter().zip(1..) {
        assert_eq!(send_on(&connection, forbidden).await, None, "before number {served}");
        assert_eq!(send_on(&connection, get(MANIFEST)).await, Some(200), "number {served}");
        assert_eq!(reached(&edge), served);
    }
}

#[tokio::test]
async fn connect_is_refused() {
    let edge = Edge::start().await.unwrap();
    let connect = http::Request::connect("cell-2:443");
    let status = send(&edge, connect).await;
    assert!(matches!(status, None | Some(400..=499)), "{status:?}");
    assert_eq!(reached(&edge), 0);
}

#[tokio::test]
async fn an_unknown_host_is_a_misdirected_request() {
    let edge = Edge::start().await.unwrap();
    let strange = http::Request::get(format!("https://strange.example.com{MANIFEST}"));
    assert_eq!(send(&edge, strange).await, Some(421));
    assert_eq!(reached(&edge), 0);
}

#[tokio::test]
async fn a_host_header_that_contradicts_the_authority_is_ignored() {
    let edge = Edge::start().await.unwrap();
    send(&edge, get(MANIFEST).header("host", "registry.gitlab.example.com")).await;
    let seen: Vec<_> = edge.cells.iter().flat_map(|cell| cell.requests()).collect();
    for seen in seen {
        assert_eq!(seen.headers.get_all("host").iter().collect::<Vec<_>>(), [WEB]);
    }
}

#[tokio::test]
async fn a_connection_carries_a_hundred_streams_at_once() {
    let edge = Edge::start().await.unwrap();
    let mut sender = connect(&edge).await;
    let (response, _) = sender.send_request(get(MANIFEST).body(()).unwrap(), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    assert_eq!(sender.current_max_send_streams(), 100);
}
