//! The HTTP client: its settings, one retry on a stale connection, and reading bounded bodies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Client, RequestBuilder, Response};

use super::error::{ProtocolError, UpstreamError};
use super::guard::{Guard, VettedDns};
use crate::config;

/// Builds a client that connects only to addresses the guard allows. It follows no redirect, as each
/// target has to pass the guard first.
pub(super) fn client(upstream: &config::Upstream, guard: Arc<Guard>) -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("dependency-proxy/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(upstream.connect_timeout)
        .read_timeout(upstream.read_timeout)
        .dns_resolver(Arc::new(VettedDns(guard)))
        .build()
}

/// Sends a request, and once more if the connection closed before any byte of a response: a pooled
/// connection may have been closed by the server while it was idle.
pub(super) async fn send(request: RequestBuilder) -> Result<Response, UpstreamError> {
    let retry = request.try_clone();
    match (request.send().await, retry) {
        (Err(error), Some(retry)) if was_closed(&error) => Ok(retry.send().await?),
        (sent, _) => Ok(sent?),
    }
}

fn was_closed(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

/// Reads the body of a response other than a blob. It has to be complete within `within`, as every
/// requester that shares this response waits for the end of it.
pub(super) async fn collect(
    response: Response,
    limit: usize,
    within: Duration,
) -> Result<Bytes, UpstreamError> {
    let body = tokio::time::timeout(within, read_all(response, limit)).await;
    body.unwrap_or(Err(UpstreamError::Timeout))
}

/// Takes the response by value, as its slot must be held until the body is read.
async fn read_all(mut response: Response, limit: usize) -> Result<Bytes, UpstreamError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > limit {
            return Err(ProtocolError::BodyTooLong.into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}
