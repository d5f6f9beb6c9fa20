//! Shutdown of an origin.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Served, get, until};

#[tokio::test]
async fn readiness_fails_before_the_listener_closes() {
    let served = Served::with(|config| config.http.drain_delay = Duration::from_secs(2)).await;
    let url = format!("{}/-/readiness", served.cell.url());
    let stopping = tokio::spawn(served.cell.stop());
    let (_, report) =
        until("draining", async || get(&url).await.filter(|a| a.0 == 503)).await.unwrap();
    assert_eq!(report["status"], "draining");
    stopping.await.unwrap().unwrap();
    assert_eq!(get(&url).await, None);
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_the_shutdown() {
    let served = Served::with(|_| ()).await;
    let address = served.cell.url().replace("http://", "");
    let mut idle = TcpStream::connect(&address).await.unwrap();
    idle.write_all(b"GET /-/liveness HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut response = vec![0; 12];
    idle.read_exact(&mut response).await.unwrap();
    assert_eq!(response, b"HTTP/1.1 200");
    served.cell.stop().await.unwrap();
    idle.read_to_end(&mut response).await.unwrap();
}

#[tokio::test]
async fn responses_beyond_the_drain_time_are_cut() {
    let served =
        Served::with(|config| config.http.shutdown_timeout = Duration::from_millis(300)).await;
    let response = served.hanging().await;
    served.cell.stop().await.unwrap();
    assert!(response.bytes().await.is_err());
}
