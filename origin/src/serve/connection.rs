//! One connection: passes its requests to the handler, and the responses to its socket.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use futures_util::FutureExt as _;
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, error};

use super::id::{RequestId, X_REQUEST_ID};
use super::socket::Socket;
use super::state::{CloseReason, ConnectionState};
use super::transaction::Transaction;
use crate::body::ResponseBody;
use crate::config;
use crate::http::{Handler, error};
use crate::metrics::{Counted, Metrics};

/// The limit of unsent data per HTTP/2 stream.
const STREAM_BUFFER: usize = 512 * 1024;

/// What all connections of an origin share.
pub(super) struct Server {
    pub(super) handler: Handler,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: config::Limits,
    /// Sends blobs over HTTP/1 with `sendfile`, without copying them.
    pub(super) zero_copy: bool,
    /// Cancelled when no new request is accepted any more.
    pub(super) drain: CancellationToken,
    /// Cancelled when open requests are cut.
    pub(super) stop: CancellationToken,
}

impl Server {
    pub(super) fn new(
        handler: Handler,
        metrics: Arc<Metrics>,
        limits: config::Limits,
        zero_copy: bool,
    ) -> Arc<Self> {
        let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
        Arc::new(Self { handler, metrics, limits, zero_copy, drain, stop })
    }

    pub(super) async fn serve(self: Arc<Self>, stream: TcpStream) {
        let state = Arc::new(ConnectionState::new(self.limits));
        let socket = Socket::new(stream, Arc::clone(&state));
        let _counted = Counted::in_gauge(&self.metrics.connections);
        self.run(state, socket).await;
    }

    /// Runs until the client closes the connection, a timeout passes, or the origin stops.
    pub(super) async fn run(self: &Arc<Self>, state: Arc<ConnectionState>, socket: Socket) {
        let builder = self.builder();
        let service = service_fn(|request| Arc::clone(self).respond(request, Arc::clone(&state)));
        let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
        let (mut drained, mut draining) = (pin!(self.drain.cancelled()), false);
        let (mut timed_out, mut stopped) = (pin!(state.timed_out()), pin!(self.stop.cancelled()));
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
                reason = &mut timed_out => return state.close(reason),
                () = &mut stopped => return state.close(CloseReason::Shutdown),
            }
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        sendfile::configure(&mut builder);
        // `ConnectionState` has the timeouts, as hyper's would not cover the time between requests.
        builder.http1().header_read_timeout(None).max_buf_size(self.limits.max_head_bytes);
        let mut http2 = builder.http2();
        http2.timer(TokioTimer::new()).max_concurrent_streams(self.limits.max_streams);
        http2.max_header_list_size(u32::try_from(self.limits.max_head_bytes).unwrap_or(u32::MAX));
        http2.max_send_buf_size(STREAM_BUFFER);
        builder
    }

    async fn respond(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        state: Arc<ConnectionState>,
    ) -> Result<Response<sendfile::Body<Body>>, Infallible> {
        let id = RequestId::of(request.headers());
        let metrics = Arc::clone(&self.metrics);
        let transaction = Transaction::begin(&request, &id, Arc::clone(&state), metrics);
        // HTTP/2 copies bodies into frames, so nothing can be sent from a file.
        let zero_copy = self.zero_copy && request.version() != Version::HTTP_2;
        request.headers_mut().insert(X_REQUEST_ID, id.clone().into_value());
        let handled = AssertUnwindSafe(async { (self.handler)(request).await }).catch_unwind();
        let mut response = match handled.instrument(transaction.span()).await {
            Ok(response) => response,
            Err(_) => transaction.span().in_scope(panicked),
        };
        response.headers_mut().insert(X_REQUEST_ID, id.into_value());
        transaction.responded(&response);
        Ok(response.map(|body| match body {
            ResponseBody::Pieces(pieces) if zero_copy => {
                sendfile::Body::pieces(pieces, Arc::clone(state.queue()), transaction)
            }
            body => sendfile::Body::stream(body.into_stream(), transaction),
        }))
    }
}

/// The log has the panic itself already.
fn panicked() -> Response<ResponseBody> {
    error!("the handler of a request panicked");
    error::broken().map(ResponseBody::Stream)
}
