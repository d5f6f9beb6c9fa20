//! What one client cannot take from the others.

use tokio::net::TcpStream;

use super::{Served, get, until};

#[tokio::test]
async fn beyond_the_limit_a_connection_is_told_so() {
    let served = Served::with(|config| config.limits.max_connections = 1).await;
    let url = format!("{}/-/liveness", served.cell.url());
    let address = served.cell.url().replace("http://", "");
    let held = TcpStream::connect(&address).await.unwrap();
    let (_, refusal) =
        until("a refusal", async || get(&url).await.filter(|a| a.0 == 503)).await.unwrap();
    assert_eq!(refusal["errors"][0]["code"], "UNAVAILABLE");
    drop(held);
    until("an answer", async || get(&url).await.filter(|a| a.0 == 200)).await.unwrap();
}
