//! Rejects connections beyond `max_connections` with a response.

use std::time::Duration;

use oci::ErrorCode;
use oci::error::envelope;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

/// How many connections get a response at the same time; others are closed without one.
const MAX_RESPONSES: usize = 64;

/// How long a rejected client may take to send its request and read the response.
const TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Refusals {
    responses: TaskTracker,
}

impl Refusals {
    pub(super) fn refuse(&self, stream: TcpStream) {
        if self.responses.len() < MAX_RESPONSES {
            self.responses.spawn(tokio::time::timeout(TIMEOUT, respond(stream)));
        }
    }
}

/// Responds after the request has begun, as clients discard a response that precedes it. Then it reads
/// on until the client closes: to close with unread data resets the connection, which may discard the
/// response on its way.
async fn respond(mut stream: TcpStream) -> std::io::Result<()> {
    let mut unread = [0; 4096];
    if stream.read(&mut unread).await? == 0 {
        return Ok(());
    }
    stream.write_all(response().as_bytes()).await?;
    stream.shutdown().await?;
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

fn response() -> String {
    let body = envelope(ErrorCode::Unavailable, "too many connections; try again later");
    let length = body.len();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nretry-after: 5\r\nconnection: close\r\n\r\n{body}"
    )
}
