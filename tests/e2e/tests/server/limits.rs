//! Limits that protect clients from each other.

use tokio::net::TcpStream;

use super::{Served, get, until};

#[tokio::test]
async fn a_connection_beyond_the_limit_receives_an_error() {
    let served = Served::with(|config| config.limits.max_connections = 1).await;
    let url = format!("{}/-/liveness", served.cell.url());
    let address = served.cell.url().replace("http://", "");
    let held = TcpStream::connect(&address).await.unwrap();
    let (_, refusal) =
        until("a refusal", async || get(&url).await.filter(|a| a.0 == 503)).await.unwrap();
    assert_eq!(refusal["errors"][0]["code"], "UNAVAILABLE");
    drop(held);
    until("a response", async || get(&url).await.filter(|a| a.0 == 200)).await.unwrap();
}
