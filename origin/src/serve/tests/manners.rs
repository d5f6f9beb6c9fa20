//! What every answer is like, whoever made it.

use serde_json::Value;

use super::Gate;
use super::client::request;

#[tokio::test]
async fn a_panic_is_an_answer_and_the_connection_goes_on() {
    let gate = Gate::open().await;
    let mut client = gate.client().await;
    let answer = client.get("/panic").await;
    assert_eq!((answer.status, answer.header("content-type")), (500, Some("application/json")));
    assert!(answer.header("x-request-id").is_some());
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["errors"][0]["code"], "UNKNOWN");
    assert!(!body.to_string().contains("mistake"));
    assert_eq!(client.get("/plain").await.body, b"plain");
    gate.ended("5xx", "complete", 1).await;
}

#[tokio::test]
async fn handler_and_client_see_the_same_request_id() {
    let gate = Gate::open().await;
    let mut client = gate.client().await;
    client.send("GET /id HTTP/1.1\r\nhost: x\r\nx-request-id: of-the-edge.1\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.header("x-request-id"), Some("of-the-edge.1"));
    assert_eq!(answer.body, b"of-the-edge.1");
    client.send("GET /id HTTP/1.1\r\nhost: x\r\nx-request-id: two words\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!(answer.header("x-request-id").unwrap().as_bytes(), answer.body);
    assert_eq!(answer.body.len(), 32);
}

#[tokio::test]
async fn a_body_nobody_asked_for_is_no_second_request() {
    let gate = Gate::open().await;
    let mut client = gate.client().await;
    let hidden = request("/panic");
    let length = hidden.len();
    let first = format!("GET /plain HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    client.send(&format!("{first}{hidden}")).await;
    assert_eq!(client.answer().await.body, b"plain");
    // The connection may go on or end; the hidden request is not answered on it.
    client.send(&request("/id")).await;
    let rest = client.head().await;
    assert_eq!(rest.status, 200);
    gate.ended("5xx", "complete", 0).await;
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let gate = Gate::open().await;
    let mut client = gate.client().await;
    client.send(&format!("GET /plain HTTP/1.1\r\nx: {}", "x".repeat(70_000))).await;
    assert_eq!(client.head().await.status, 431);
}
