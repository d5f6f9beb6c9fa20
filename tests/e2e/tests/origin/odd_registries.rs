//! Registries and gateways that violate the protocol.

use harness::cell::Cell;
use harness::client::Puller;
use harness::fault::{Authentication, Faults};
use harness::image::Manifest;
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Pull, same_manifest};

#[tokio::test]
async fn an_html_page_of_a_gateway_is_not_stored_as_a_manifest() {
    let pull = Pull::start().await;
    let client = pull.client();
    same_manifest(&client.manifest("latest").await.unwrap(), &pull.image.top);
    let page = Manifest { media_type: "text/html".into(), bytes: b"<html>log in</html>".to_vec() };
    for tag in ["latest", "other"] {
        pull.upstream.add_manifest("library/app", tag, &page);
    }
    let headers = vec![("docker-content-digest", "none".to_owned())];
    pull.upstream.fail(Faults { headers, ..Faults::default() });
    let known = client.manifest("latest").await.unwrap();
    same_manifest(&known, &pull.image.top);
    assert_eq!(known.header("x-cache"), "STALE");
    assert_eq!(client.manifest("other").await.unwrap().status, 502);
}

#[tokio::test]
async fn head_has_no_content_length_if_the_registry_sends_none() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { without_length: true, ..Faults::default() });
    let path = format!("blobs/{}", pull.layer_digest());
    let head = pull.client().request(Method::HEAD, &path, &[]).await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, ""));
}

#[tokio::test]
async fn head_of_a_blob_works_even_if_the_registry_refuses_head() {
    let pull = Pull::start().await;
    pull.upstream.fail(Faults { head_status: Some(405), ..Faults::default() });
    let path = format!("blobs/{}", pull.layer_digest());
    let head = pull.client().request(Method::HEAD, &path, &[]).await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, "500000"));
}

#[tokio::test]
async fn a_token_endpoint_that_moved_is_discovered_again() {
    let pull = Pull::start().await;
    let nowhere = Authentication::TokenOf("http://127.0.0.1:9/token".to_owned());
    pull.upstream.fail(Faults { requires: Some(nowhere), ..Faults::default() });
    assert_eq!(pull.client().manifest("latest").await.unwrap().status, 503);
    pull.upstream.fail(Faults { requires: Some(Authentication::Token), ..Faults::default() });
    same_manifest(&pull.client().manifest("latest").await.unwrap(), &pull.image.top);
}

#[tokio::test]
async fn a_rate_limit_without_a_retry_after_gets_a_default() {
    let pull = Pull::start().await;
    let headers = vec![("retry-after", String::new())];
    pull.upstream.fail(Faults { status: Some(429), headers, ..Faults::default() });
    let refused = pull.client().manifest("latest").await.unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (429, "30"));
}

/// Serves one request of a connection, and closes it at the second.
async fn serve_once(mut connection: TcpStream) {
    let mut head = vec![0; 16 * 1024];
    if connection.read(&mut head).await.is_ok_and(|read| read > 0) {
        let body = r#"{"schemaVersion":2}"#;
        let length = body.len();
        let response =
            format!("HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ncontent-length: {length}\r\n\r\n");
        let get = head.starts_with(b"GET");
        let response = if get { response + body } else { response };
        let _ = connection.write_all(response.as_bytes()).await;
        let _ = connection.read(&mut head).await;
    }
}

#[tokio::test]
async fn a_pooled_connection_that_was_closed_fails_no_pull() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve_once(connection));
        }
    });
    let cell = Cell::start(&upstream).await.unwrap();
    let login = cell.member_of("acme").await.unwrap();
    let client = Puller::new(cell.url(), "acme", "app", Some(&login)).unwrap();
    for tag in ["a", "b", "c"] {
        assert_eq!(client.manifest(tag).await.unwrap().status, 200, "{tag}");
    }
    server.abort();
}
