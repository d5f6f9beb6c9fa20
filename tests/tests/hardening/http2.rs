//! HTTP/2: what Envoy refuses while it reads a stream's headers, it refuses by resetting the stream;
//! there is no request yet that could be answered in JSON.

use bytes::Bytes;
use e2e::production::{Edge, WEB};
use h2::client::SendRequest;

use super::{MANIFEST, reached};

async fn connect(edge: &Edge) -> SendRequest<Bytes> {
    let stream = edge.connect(b"h2").await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

/// The answer's status, or `None` for a stream that was reset.
async fn ask_on(sender: &SendRequest<Bytes>, request: http::request::Builder) -> Option<u16> {
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, _) = sender.send_request(request.body(()).unwrap(), true).ok()?;
    Some(response.await.ok()?.status().as_u16())
}

async fn ask(edge: &Edge, request: http::request::Builder) -> Option<u16> {
    ask_on(&connect(edge).await, request).await
}

fn get(path: &str) -> http::request::Builder {
    http::Request::get(format!("https://{WEB}{path}"))
}

#[tokio::test]
async fn a_stream_with_forbidden_headers_is_reset_and_its_connection_serves_on() {
    let edge = Edge::start().await.unwrap();
    let many = (0..101).fold(get(MANIFEST), |get, n| get.header(format!("x-{n}"), "y"));
    let large = get(MANIFEST).header("authorization", "a".repeat(40 * 1024));
    let underscore = get(MANIFEST).header("x_cell_cluster", "cell-2");
    let of_http_1 = get(MANIFEST).header("transfer-encoding", "chunked");
    let longer = get(MANIFEST).header("content-length", "5");
    let connection = connect(&edge).await;
    let all = [underscore, of_http_1, many, large, longer];
    for (forbidden, served) in all.into_iter().zip(1..) {
        assert_eq!(ask_on(&connection, forbidden).await, None, "before number {served}");
        assert_eq!(ask_on(&connection, get(MANIFEST)).await, Some(200), "number {served}");
        assert_eq!(reached(&edge), served);
    }
}

#[tokio::test]
async fn connect_is_refused() {
    let edge = Edge::start().await.unwrap();
    let connect = http::Request::connect("cell-2:443");
    let status = ask(&edge, connect).await;
    assert!(matches!(status, None | Some(400..=499)), "{status:?}");
    assert_eq!(reached(&edge), 0);
}

#[tokio::test]
async fn a_host_that_is_not_served_is_misdirected() {
    let edge = Edge::start().await.unwrap();
    let strange = http::Request::get(format!("https://strange.example.com{MANIFEST}"));
    assert_eq!(ask(&edge, strange).await, Some(421));
    assert_eq!(reached(&edge), 0);
}

#[tokio::test]
async fn a_host_that_contradicts_the_authority_is_not_believed() {
    let edge = Edge::start().await.unwrap();
    ask(&edge, get(MANIFEST).header("host", "registry.gitlab.example.com")).await;
    let seen: Vec<_> = edge.cells.iter().flat_map(|cell| cell.seen()).collect();
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
