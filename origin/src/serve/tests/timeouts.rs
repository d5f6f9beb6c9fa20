//! Timeouts end the connection of a client that is too slow, but not of one that waits for a response.

use std::time::Duration;

use super::client::{Client, request};
use super::{LENGTH, Sending, TestServer};
use crate::config::Limits;

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_head_must_arrive_within_head_timeout() {
    let limits = Limits { head_timeout: SHORT, ..Limits::default() };
    let server = TestServer::with(limits, Sending::Sendfile).await;
    for begin in ["", "GET /plain HT", "GET /plain HTTP/1.1\r\nhost: x\r\n"] {
        let mut client = server.client().await;
        client.send(begin).await;
        assert!(client.rest().await.unwrap_or_default().is_empty(), "{begin}");
    }
    let mut second = server.client().await;
    second.get("/plain").await;
    second.send("GET /pl").await;
    assert!(second.rest().await.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_idle_timeout() {
    let limits = Limits { idle_timeout: SHORT, ..Limits::default() };
    let server = TestServer::with(limits, Sending::Sendfile).await;
    let mut client = server.client().await;
    assert_eq!(client.get("/plain").await.body, b"plain");
    assert_eq!(client.rest().await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_after_send_timeout() {
    let limits = Limits { send_timeout: SHORT, ..Limits::default() };
    let server = TestServer::with(limits, Sending::Sendfile).await;
    let mut client = Client::narrow(server.address).await;
    client.send(&request(&format!("/file/{LENGTH}"))).await;
    server.ended("2xx", "stalled", 1).await;
}

#[tokio::test]
async fn a_client_that_waits_for_the_response_is_not_cut() {
    let limits = Limits {
        head_timeout: SHORT,
        idle_timeout: SHORT,
        send_timeout: SHORT,
        ..Limits::default()
    };
    let server = TestServer::with(limits, Sending::Sendfile).await;
    let mut client = server.client().await;
    client.send(&request("/growing")).await;
    let feed = async {
        for _ in 0..4 {
            tokio::time::sleep(SHORT.mul_f32(1.5)).await;
            server.noise.more.add_permits(1);
        }
    };
    let (response, ()) = tokio::join!(client.response(), feed);
    assert!(response.body == server.bytes(0..1_200_000));
}
