//! One request and its response, from the first byte to the last: what is logged and counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::HttpBody as _;
use gitlab::redact::redacted;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response, Version};
use sendfile::Observer;
use tracing::{Span, info, info_span};

use super::id::RequestId;
use super::state::{CloseReason, ConnectionState};
use crate::body::ResponseBody;
use crate::http::X_CACHE;
use crate::metrics::{Metrics, RequestLabels};

/// How a response ended: a log field and a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ResponseEnd {
    /// All of it was given to the network.
    Complete,
    /// This side cut it, because its source failed or the origin stopped.
    Cut,
    /// The client read nothing for too long.
    Stalled,
    /// The client closed the connection.
    Gone,
}

impl ResponseEnd {
    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Stalled => "stalled",
            Self::Gone => "gone",
        }
    }
}

/// The body and its chunks in hyper's queue share the transaction, so it is dropped, logged and
/// counted when the last byte was sent or discarded.
#[derive(Debug)]
pub(super) struct Transaction {
    started: Instant,
    span: Span,
    connection: Arc<ConnectionState>,
    metrics: Arc<Metrics>,
    head: OnceLock<Head>,
    sent: AtomicU64,
    ended: AtomicBool,
    failed: AtomicBool,
}

#[derive(Debug)]
struct Head {
    status: u16,
    cache: Option<HeaderValue>,
    /// The length of the body, unless only its end tells it.
    length: Option<u64>,
    after: Duration,
}

impl Transaction {
    pub(super) fn begin<B>(
        request: &Request<B>,
        id: &RequestId,
        connection: Arc<ConnectionState>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        connection.begin_request(request.version() == Version::HTTP_2);
        // The query is left out, because clients put secrets there.
        let (id, method, path) = (id.as_str(), request.method(), redacted(request.uri().path()));
        Arc::new(Self {
            started: Instant::now(),
            span: info_span!("request", id, %method, path),
            connection,
            metrics,
            head: OnceLock::new(),
            sent: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        })
    }

    /// Returns the span of everything that is logged for the request.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The head of the response is ready.
    pub(super) fn responded(&self, response: &Response<ResponseBody>) {
        let after = self.started.elapsed();
        self.metrics.request_head_seconds.observe(after.as_secs_f64());
        let status = response.status().as_u16();
        let cache = response.headers().get(X_CACHE).cloned();
        let length = body_length(response);
        let _ = self.head.set(Head { status, cache, length, after });
    }

    fn end(&self, sent: u64) -> ResponseEnd {
        let complete = self.head.get().is_some_and(|head| match head.length {
            Some(length) => sent >= length,
            None => self.ended.load(Ordering::Relaxed),
        });
        match self.connection.close_reason() {
            _ if self.failed.load(Ordering::Relaxed) => ResponseEnd::Cut,
            _ if complete => ResponseEnd::Complete,
            Some(CloseReason::Source | CloseReason::Shutdown) => ResponseEnd::Cut,
            Some(CloseReason::SendTimeout) => ResponseEnd::Stalled,
            _ => ResponseEnd::Gone,
        }
    }
}

impl Observer for Transaction {
    fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    fn failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.connection.end_request();
        let (sent, took) = (self.sent.load(Ordering::Relaxed), self.started.elapsed());
        let end = self.end(sent).as_str();
        let head = self.head.get();
        let status = head.map_or(0, |head| head.status);
        let cache = head.and_then(|head| head.cache.as_ref()?.to_str().ok()).map_or("-", logged);
        let head_us = head.map_or(0, |head| micros(head.after));
        let duration_us = micros(took);
        self.span.in_scope(|| info!(status, cache, sent, end, head_us, duration_us, "answered"));
        self.metrics.requests.get_or_create(&RequestLabels { status: class(status), end }).inc();
        self.metrics.sent_bytes.inc_by(sent);
        self.metrics.request_seconds.observe(took.as_secs_f64());
    }
}

/// Returns the length of the body, or `None` if only its end tells it.
fn body_length(response: &Response<ResponseBody>) -> Option<u64> {
    let known = match response.body() {
        ResponseBody::Stream(body) if body.is_end_stream() => return Some(0),
        ResponseBody::Stream(body) => body.size_hint().exact(),
        ResponseBody::Pieces(_) => None,
    };
    let header = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    header.and_then(|value| value.parse().ok()).or(known)
}

/// The header keeps the value that clients know; logs and metrics say "shared".
fn logged(x_cache: &str) -> &str {
    if x_cache == "COALESCED" { "SHARED" } else { x_cache }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn class(status: u16) -> &'static str {
    match status {
        100..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        400..500 => "4xx",
        500..600 => "5xx",
        _ => "none",
    }
}
