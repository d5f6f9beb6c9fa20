//! Connections beyond the limit: told so, and closed.

use std::time::Duration;

use oci::ErrorCode;
use oci::error::envelope;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

/// How many are told at a time; whoever comes besides is closed without a word.
const TOLD: usize = 64;

/// How long a refused client may take to read the answer.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Refusals {
    told: TaskTracker,
}

impl Refusals {
    pub(super) fn refuse(&self, stream: TcpStream) {
        if self.told.len() < TOLD {
            self.told.spawn(tokio::time::timeout(PATIENCE, tell(stream)));
        }
    }
}

/// An answer before the request would be taken for garbage; what comes after it is read too, or the
/// answer would be lost in a reset.
async fn tell(mut stream: TcpStream) -> std::io::Result<()> {
    let mut unread = [0; 4096];
    if stream.read(&mut unread).await? == 0 {
        return Ok(());
    }
    stream.write_all(answer().as_bytes()).await?;
    stream.shutdown().await?;
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

fn answer() -> String {
    let body = envelope(ErrorCode::Unavailable, "too many connections; try again later");
    let length = body.len();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nretry-after: 5\r\nconnection: close\r\n\r\n{body}"
    )
}
