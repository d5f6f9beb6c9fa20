//! Who overstays is sent away; who is waiting for us is not.

use std::time::Duration;

use super::client::{Client, request};
use super::{Gate, LENGTH};
use crate::config::Limits;

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_head_must_come_in_time() {
    let limits = Limits { head_timeout: SHORT, ..Limits::default() };
    let gate = Gate::with(limits, false).await;
    for begin in ["", "GET /plain HT", "GET /plain HTTP/1.1\r\nhost: x\r\n"] {
        let mut client = gate.client().await;
        client.send(begin).await;
        assert!(client.rest().await.unwrap_or_default().is_empty(), "{begin}");
    }
    let mut second = gate.client().await;
    second.get("/plain").await;
    second.send("GET /pl").await;
    assert!(second.rest().await.unwrap_or_default().is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let limits = Limits { idle_timeout: SHORT, ..Limits::default() };
    let gate = Gate::with(limits, false).await;
    let mut client = gate.client().await;
    assert_eq!(client.get("/plain").await.body, b"plain");
    assert_eq!(client.rest().await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut() {
    let limits = Limits { send_timeout: SHORT, ..Limits::default() };
    let gate = Gate::with(limits, false).await;
    let mut client = Client::narrow(gate.address).await;
    client.send(&request(&format!("/file/{LENGTH}"))).await;
    gate.ended("2xx", "stalled", 1).await;
}

#[tokio::test]
async fn a_client_that_waits_for_us_is_not_cut() {
    let limits = Limits {
        head_timeout: SHORT,
        idle_timeout: SHORT,
        send_timeout: SHORT,
        ..Limits::default()
    };
    let gate = Gate::with(limits, false).await;
    let mut client = gate.client().await;
    client.send(&request("/growing")).await;
    let feed = async {
        for _ in 0..4 {
            tokio::time::sleep(SHORT.mul_f32(1.5)).await;
            gate.noise.more.add_permits(1);
        }
    };
    let (answer, ()) = tokio::join!(client.answer(), feed);
    assert!(answer.body == gate.bytes(0..1_200_000));
}
