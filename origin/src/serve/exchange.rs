//! One request and its answer, from the first byte to the last: what is logged and counted of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use gitlab::redact::redacted;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Version};
use http_body::Body as _;
use tracing::{Span, info, info_span};

use super::id::RequestId;
use super::line::{Break, Line};
use crate::http::X_CACHE;
use crate::metrics::{Metrics, RequestLabels};

/// How an answer ended; log field and metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All of it was given to the network.
    Complete,
    /// This side broke it off, as its source failed or the origin stopped.
    Cut,
    /// The client took nothing for too long.
    Stalled,
    /// The client went away.
    Gone,
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cut => "cut",
            Self::Stalled => "stalled",
            Self::Gone => "gone",
        }
    }
}

/// Shared by the body and its parts in hyper's queue, so the last of them ends it.
#[derive(Debug)]
pub(super) struct Exchange {
    started: Instant,
    span: Span,
    line: Arc<Line>,
    metrics: Arc<Metrics>,
    head: OnceLock<Head>,
    sent: AtomicU64,
    ended: AtomicBool,
    cut: AtomicBool,
}

#[derive(Debug)]
struct Head {
    status: u16,
    cache: Option<HeaderValue>,
    /// The body's bytes, where its end does not tell.
    length: Option<u64>,
    after: Duration,
}

impl Exchange {
    pub(super) fn begin<B>(
        request: &Request<B>,
        id: &RequestId,
        line: Arc<Line>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        line.begin_request(request.version() == Version::HTTP_2);
        // The query is left out, as clients put secrets there.
        let (id, method, path) = (id.as_str(), request.method(), redacted(request.uri().path()));
        Arc::new(Self {
            started: Instant::now(),
            span: info_span!("request", id, %method, path),
            line,
            metrics,
            head: OnceLock::new(),
            sent: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            cut: AtomicBool::new(false),
        })
    }

    /// Everything logged on the request's behalf belongs into it.
    pub(super) fn span(&self) -> Span {
        self.span.clone()
    }

    /// The answer's head is ready.
    pub(super) fn answered(&self, response: &Response) {
        let after = self.started.elapsed();
        self.metrics.request_head_seconds.observe(after.as_secs_f64());
        let status = response.status().as_u16();
        let cache = response.headers().get(X_CACHE).cloned();
        let length = body_length(response);
        let _ = self.head.set(Head { status, cache, length, after });
    }

    /// These bytes of the body are with the network.
    pub(super) fn sent(&self, length: usize) {
        self.sent.fetch_add(length as u64, Ordering::Relaxed);
    }

    /// The body's source is at its end.
    pub(super) fn ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// The body's source failed.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    fn end(&self, sent: u64) -> End {
        let complete = self.head.get().is_some_and(|head| match head.length {
            Some(length) => sent >= length,
            None => self.ended.load(Ordering::Relaxed),
        });
        match self.line.broken() {
            _ if self.cut.load(Ordering::Relaxed) => End::Cut,
            _ if complete => End::Complete,
            Some(Break::Source | Break::Shutdown) => End::Cut,
            Some(Break::Stalled) => End::Stalled,
            _ => End::Gone,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.line.end_request();
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

/// `None` where only the body's own end tells.
fn body_length(response: &Response<Body>) -> Option<u64> {
    if response.body().is_end_stream() {
        return Some(0);
    }
    let header = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    header.and_then(|value| value.parse().ok()).or(response.body().size_hint().exact())
}

/// The header keeps the value that clients and dashboards know; logs and metrics say "shared".
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
