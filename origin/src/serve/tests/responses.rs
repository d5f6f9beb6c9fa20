//! What holds for every response, whichever handler makes it.

use serde_json::Value;

use super::TestServer;
use super::client::request;

#[tokio::test]
async fn a_panic_is_a_500_and_the_connection_stays_open() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let response = client.get("/panic").await;
    assert_eq!((response.status, response.header("content-type")), (500, Some("application/json")));
    assert!(response.header("x-request-id").is_some());
    let body: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(body["errors"][0]["code"], "UNKNOWN");
    assert!(!body.to_string().contains("the handler's message"));
    assert_eq!(client.get("/plain").await.body, b"plain");
    server.ended("5xx", "complete", 1).await;
}

#[tokio::test]
async fn handler_and_client_see_the_same_request_id() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.send("GET /id HTTP/1.1\r\nhost: x\r\nx-request-id: of-the-edge.1\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.header("x-request-id"), Some("of-the-edge.1"));
    assert_eq!(response.body, b"of-the-edge.1");
    client.send("GET /id HTTP/1.1\r\nhost: x\r\nx-request-id: two words\r\n\r\n").await;
    let response = client.response().await;
    assert_eq!(response.header("x-request-id").unwrap().as_bytes(), response.body);
    assert_eq!(response.body.len(), 32);
}

#[tokio::test]
async fn an_unexpected_body_is_not_parsed_as_a_second_request() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let hidden = request("/panic");
    let length = hidden.len();
    let first = format!("GET /plain HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    client.send(&format!("{first}{hidden}")).await;
    assert_eq!(client.response().await.body, b"plain");
    // The connection may stay open or end; the hidden request gets no response.
    client.send(&request("/id")).await;
    let rest = client.head().await;
    assert_eq!(rest.status, 200);
    server.ended("5xx", "complete", 0).await;
}

#[tokio::test]
async fn a_head_over_the_limit_is_rejected() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.send(&format!("GET /plain HTTP/1.1\r\nx: {}", "x".repeat(70_000))).await;
    assert_eq!(client.head().await.status, 431);
}
