//! A fake Cell: it records its requests, and sends blobs as slowly as the test wants.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;

use super::TIMEOUT;
use super::server::Server;

/// The size of one piece of a blob.
pub const PIECE: usize = 64 * 1024;

/// A request that a Cell received.
#[derive(Debug, Clone)]
pub struct CellRequest {
    /// Path and query.
    pub target: String,
    /// All headers.
    pub headers: HeaderMap,
}

#[derive(Debug, Clone)]
struct Context {
    name: String,
    requests: Arc<Mutex<Vec<CellRequest>>>,
    received: Arc<watch::Sender<usize>>,
    sent: Arc<AtomicUsize>,
    pieces: watch::Receiver<usize>,
}

/// A running Cell.
///
/// It reads the request and responds with its own name and the request's target. At `…/blobs/N` it
/// sends a blob of `N` pieces, at `…/silent` nothing, and at `…/failing` a 503.
#[derive(Debug)]
pub struct FakeCell {
    context: Context,
    pieces: watch::Sender<usize>,
    server: Server,
}

impl FakeCell {
    pub(super) fn start(name: &str, tls: ServerConfig) -> Result<Self> {
        let pieces = watch::Sender::new(0);
        let context = Context {
            name: name.to_owned(),
            requests: Arc::default(),
            received: Arc::new(watch::Sender::new(0)),
            sent: Arc::default(),
            pieces: pieces.subscribe(),
        };
        let router = Router::new().fallback(respond).with_state(context.clone());
        Ok(Self { context, pieces, server: Server::start(router, tls)? })
    }

    /// The port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The requests so far, without health checks.
    #[must_use]
    pub fn requests(&self) -> Vec<CellRequest> {
        self.context.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Allows blobs to be sent up to this number of pieces.
    pub fn allow(&self, pieces: usize) {
        self.pieces.send_replace(pieces);
    }

    /// The number of pieces sent so far.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.context.sent.load(Ordering::Relaxed)
    }

    /// Waits until it has received this number of bytes in bodies.
    ///
    /// # Errors
    /// A minute passes.
    pub async fn received(&self, bytes: usize) -> Result<()> {
        let mut received = self.context.received.subscribe();
        let enough = received.wait_for(|count| *count >= bytes);
        timeout(TIMEOUT, enough).await.context("the Cell received too few bytes")??;
        Ok(())
    }

    /// Breaks every connection and stops listening.
    pub fn kill(&mut self) {
        self.server.kill();
    }
}

/// The piece number `n` of every blob; all pieces differ.
#[must_use]
pub fn piece(n: usize) -> Bytes {
    let number = n.to_le_bytes();
    [&number[..], &vec![number[0] ^ 0x5a; PIECE - number.len()]].concat().into()
}

async fn respond(State(context): State<Context>, request: Request) -> Response {
    let target = request.uri().to_string();
    if matches!(target.as_str(), "/-/readiness" | "/") {
        return StatusCode::OK.into_response();
    }
    let record = CellRequest { target: target.clone(), headers: request.headers().clone() };
    context.requests.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    if let Some(pieces) = target.split_once("/blobs/").and_then(|(_, n)| n.parse().ok()) {
        return Body::from_stream(blob(context, pieces)).into_response();
    }
    match target.rsplit('/').next() {
        Some("failing") => return (StatusCode::SERVICE_UNAVAILABLE, "failing").into_response(),
        Some("silent") => std::future::pending().await,
        _ => {}
    }
    let mut body = request.into_body().into_data_stream();
    while let Some(Ok(bytes)) = body.next().await {
        context.received.send_modify(|count| *count += bytes.len());
    }
    Json(json!({"cell": context.name, "target": target})).into_response()
}

fn blob(context: Context, pieces: usize) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((0, context), move |(n, mut context)| async move {
        if n == pieces || context.pieces.wait_for(|allowed| *allowed > n).await.is_err() {
            return None;
        }
        context.sent.fetch_add(1, Ordering::Relaxed);
        Some((Ok(piece(n)), (n + 1, context)))
    })
}
