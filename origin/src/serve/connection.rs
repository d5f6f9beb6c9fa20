//! One connection: its requests to the router, their answers to its socket.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use futures_util::FutureExt as _;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error};

use super::exchange::Exchange;
use super::id::{RequestId, X_REQUEST_ID};
use super::line::{Break, Line};
use super::outgoing::Outgoing;
use super::wire::Wire;
use crate::body::Detached;
use crate::config;
use crate::http::error;
use crate::metrics::{Counted, Metrics};

/// HTTP/2 headers are compressed; what one of its streams may buffer besides.
const STREAM_BUFFER: usize = 512 * 1024;

/// What connections have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) router: TowerToHyperService<Router>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: config::Limits,
    /// Answers under way end, nothing new begins.
    pub(super) drain: CancellationToken,
    /// Answers under way are cut.
    pub(super) stop: CancellationToken,
}

impl Shared {
    pub(super) fn new(router: Router, metrics: Arc<Metrics>, limits: config::Limits) -> Arc<Self> {
        let router = TowerToHyperService::new(router);
        let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
        Arc::new(Self { router, metrics, limits, drain, stop })
    }

    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream) {
        let line = Arc::new(Line::new(self.limits));
        let wire = Wire::new(stream, Arc::clone(&line));
        let _counted = Counted::in_gauge(&self.metrics.connections);
        self.run(line, wire).await;
    }

    /// Until the client leaves, overstays or is sent away.
    pub(super) async fn run(self: &Arc<Self>, line: Arc<Line>, wire: Wire) {
        let builder = self.builder();
        let service = service_fn(|request| Arc::clone(self).answer(request, Arc::clone(&line)));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(wire), service));
        let (mut drained, mut draining) = (pin!(self.drain.cancelled()), false);
        let (mut overstayed, mut stopped) = (pin!(line.overstayed()), pin!(self.stop.cancelled()));
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%error, "a connection ended early");
                    }
                    return;
                }
                () = &mut drained, if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                reason = &mut overstayed => return line.end(reason),
                () = &mut stopped => return line.end(Break::Shutdown),
            }
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        // Without the queue of vectored writes hyper copies bodies, which `Part` does not allow.
        builder.http1().writev(true).header_read_timeout(None);
        builder.http1().max_buf_size(self.limits.max_head_bytes);
        let mut http2 = builder.http2();
        http2.timer(TokioTimer::new()).max_concurrent_streams(self.limits.max_streams);
        http2.max_header_list_size(u32::try_from(self.limits.max_head_bytes).unwrap_or(u32::MAX));
        http2.max_send_buf_size(STREAM_BUFFER);
        builder
    }

    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        line: Arc<Line>,
    ) -> Result<http::Response<Outgoing>, Infallible> {
        let id = RequestId::of(request.headers());
        let exchange = Exchange::begin(&request, &id, Arc::clone(&line), Arc::clone(&self.metrics));
        let files = request.version() != Version::HTTP_2;
        request.headers_mut().insert(X_REQUEST_ID, id.clone().into_value());
        let called = async { self.router.call(request).await };
        let called = AssertUnwindSafe(called).catch_unwind().instrument(exchange.span());
        let mut response = match called.await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => exchange.span().in_scope(panicked),
        };
        response.headers_mut().insert(X_REQUEST_ID, id.into_value());
        exchange.answered(&response);
        Ok(outgoing(response, files.then_some(line), exchange))
    }
}

/// The panic itself was logged where it happened.
fn panicked() -> Response {
    error!("a request's handler panicked");
    error::broken()
}

fn outgoing(
    response: Response,
    line: Option<Arc<Line>>,
    exchange: Arc<Exchange>,
) -> http::Response<Outgoing> {
    let (mut parts, body) = response.into_parts();
    let pieces = parts.extensions.remove::<Detached>().zip(line);
    let body = match pieces.and_then(|(pieces, line)| Some((pieces.take()?, line))) {
        Some((pieces, line)) => Outgoing::pieces(pieces, line, exchange),
        None => Outgoing::body(body, exchange),
    };
    http::Response::from_parts(parts, body)
}
