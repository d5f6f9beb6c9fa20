//! Requests that two parsers could frame differently.

use harness::production::{Edge, WEB};

use super::{reached, refusal, request};

#[tokio::test]
async fn a_request_with_ambiguous_framing_is_refused() {
    let edge = Edge::start().await.unwrap();
    let smuggled = "GET /v2/globex/x HTTP/1.1\r\nHost: x\r\n\r\n";
    for (headers, body) in [
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\nG"),
        ("Content-Length: 0\r\nContent-Length: 40\r\n", ""),
        ("Content-Length: 0, 40\r\n", ""),
        ("Content-Length: +4\r\n", "abcd"),
        ("Content-Length: -1\r\n", ""),
        ("Content-Length : 4\r\n", "abcd"),
        ("X-A\0: b\r\n", ""),
        ("X-A: b\0\r\n", ""),
        ("X\u{e9}: b\r\n", ""),
        ("no colon\r\n", ""),
    ] {
        let bytes = [request("POST /v2/x", headers), body.into(), smuggled.into()].concat();
        let response = edge.send(&bytes).await.unwrap();
        assert_eq!(refusal(&response), (400, "UNKNOWN".to_owned()), "{headers:?}");
        assert!(
            !String::from_utf8_lossy(&response.body).contains("HTTP/1.1"),
            "{headers:?}: two responses"
        );
    }
    for coding in ["gzip, chunked", "xchunked", "identity", "chunked, chunked"] {
        let headers = format!("Transfer-Encoding: {coding}\r\n");
        let bytes = [request("POST /v2/x", &headers), smuggled.into()].concat();
        let response = edge.send(&bytes).await.unwrap();
        assert!(matches!(refusal(&response).0, 400 | 501), "{coding}");
    }
    assert_eq!(reached(&edge), 0);
}

/// The head was forwarded before the body arrived, so the Cell receives a request that breaks off.
#[tokio::test]
async fn after_a_bad_chunk_nothing_more_is_read() {
    let edge = Edge::start().await.unwrap();
    for chunk in ["zz\r\n", "-1\r\n", "0x4\r\nabcd\r\n", "ffffffffffffffffff\r\n", "4\r\nabcdX"] {
        let smuggled = "GET /v2/smuggled HTTP/1.1\r\nHost: gitlab.example.com\r\n\r\n";
        let head = request("POST /v2/x", "Transfer-Encoding: chunked\r\n");
        let _ = edge.send(&[head, chunk.into(), smuggled.into()].concat()).await;
    }
    let targets = edge.cells.iter().flat_map(|cell| cell.requests()).map(|seen| seen.target);
    assert!(targets.into_iter().all(|target| target == "/v2/x"));
}

#[tokio::test]
async fn a_folded_header_arrives_as_one_line() {
    let edge = Edge::start().await.unwrap();
    let response =
        edge.send(&request("GET /v2/", "X-A: b\r\n  x-cell-cluster: cell-2\r\n")).await.unwrap();
    assert_eq!(response.status, 200);
    let [first, ..] = &edge.cells;
    let headers = &first.requests()[0].headers;
    assert_eq!(headers.get_all("x-cell-cluster").iter().collect::<Vec<_>>(), ["cell-1"]);
    assert!(headers["x-a"].as_bytes().starts_with(b"b"));
}

#[tokio::test]
async fn protocol_errors_are_reported_in_json() {
    let edge = Edge::start().await.unwrap();
    let host = format!("Host: {WEB}\r\n");
    for (bytes, expected) in [
        ("BLAH\r\n\r\n".to_owned(), (400, "UNKNOWN")),
        (format!("GET / HTTP/1.0\r\n{host}\r\n"), (426, "UNSUPPORTED")),
        (format!("GET / HTTP/9.9\r\n{host}\r\n"), (426, "UNSUPPORTED")),
        (format!("G\u{e9}T / HTTP/1.1\r\n{host}\r\n"), (400, "UNKNOWN")),
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), (400, "UNKNOWN")),
        (
            "CONNECT cell-2:443 HTTP/1.1\r\nHost: cell-2:443\r\n\r\n".to_owned(),
            (404, "UNSUPPORTED"),
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
            (403, "UNSUPPORTED"),
        ),
    ] {
        let (status, code) = refusal(&edge.send(bytes.as_bytes()).await.unwrap());
        assert_eq!((status, code.as_str()), expected, "{bytes}");
    }
    assert_eq!(reached(&edge), 0);
}

#[tokio::test]
async fn headers_that_never_end_get_a_408() {
    let change = [("request_headers_timeout: 10s", "request_headers_timeout: 0.5s")];
    let edge = Edge::start_with(&change).await.unwrap();
    let response = edge.send(b"GET / HTTP/1.1\r\nHost: gitlab").await.unwrap();
    assert_eq!(refusal(&response), (408, "UNKNOWN".to_owned()));
}
