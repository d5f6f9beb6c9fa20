//! Real sockets, a handler of the tests' own, and clients that check every byte.

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::connection::Server;
use super::socket::Socket;
use super::state::ConnectionState;
use crate::body::{Piece, ResponseBody};
use crate::config::Limits;
use crate::http::Handler;
use crate::metrics::{Metrics, RequestLabels};
use client::Client;

mod client;
mod files;
mod responses;
mod timeouts;

/// The length of the longest body.
const LENGTH: usize = 16 * 1024 * 1024 + 1;

/// A server on a free port, whose bodies are ranges of one file of noise.
struct TestServer {
    address: std::net::SocketAddr,
    noise: Arc<Noise>,
    server: Arc<Server>,
}

/// Made once, because that takes a second.
static NOISE: LazyLock<(Vec<u8>, Arc<File>)> = LazyLock::new(|| {
    let words = (0..=LENGTH as u64 / 8).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).take(LENGTH).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    (bytes, Arc::new(file))
});

struct Noise {
    bytes: &'static [u8],
    file: Arc<File>,
    /// One permit per piece, which may be added before it is waited for.
    more: Semaphore,
}

impl Noise {
    fn new() -> Self {
        let (bytes, file) = &*NOISE;
        Self { bytes, file: Arc::clone(file), more: Semaphore::new(0) }
    }

    fn piece(&self, range: Range<usize>) -> Piece {
        Piece::File(Arc::clone(&self.file), range.start as u64..range.end as u64)
    }
}

/// How files are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Sendfile,
    /// As on a filesystem without `sendfile`.
    Copying,
    /// `zero_copy = false`
    Streaming,
}

impl Sending {
    const ALL: [Self; 3] = [Self::Sendfile, Self::Copying, Self::Streaming];
}

impl TestServer {
    async fn start() -> Self {
        Self::with(Limits::default(), Sending::Sendfile).await
    }

    async fn sending(sending: Sending) -> Self {
        Self::with(Limits::default(), sending).await
    }

    async fn with(limits: Limits, sending: Sending) -> Self {
        let noise = Arc::new(Noise::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (metrics, zero_copy) = (Arc::new(Metrics::default()), sending != Sending::Streaming);
        let server = Server::new(handler(Arc::clone(&noise)), metrics, limits, zero_copy);
        let accepting = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, state) =
                    (Arc::clone(&accepting), Arc::new(ConnectionState::new(limits)));
                let socket = Socket::new(stream, Arc::clone(&state));
                let socket = if sending == Sending::Copying { socket.copying() } else { socket };
                tokio::spawn(async move { server.run(state, socket).await });
            }
        });
        Self { address, noise, server }
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.noise.bytes[range]
    }

    /// Waits until `times` requests have ended with this status and in this way.
    async fn ended(&self, status: &'static str, end: &'static str, times: u64) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        let counter = RequestLabels { status, end };
        while self.server.metrics.requests.get_or_create(&counter).get() != times {
            assert!(tokio::time::Instant::now() < deadline, "no {times} requests {status} {end}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn handler(noise: Arc<Noise>) -> Handler {
    Arc::new(move |request| respond(Arc::clone(&noise), request).boxed())
}

async fn respond(noise: Arc<Noise>, request: Request<Incoming>) -> Response<ResponseBody> {
    let path = request.uri().path().to_owned();
    let length = |text: &str| text.parse::<usize>().unwrap();
    match path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_matches('/'), "")) {
        ("plain", _) => memory("plain"),
        ("id", _) => memory(request.headers()["x-request-id"].as_bytes().to_vec()),
        ("panic", _) => panic!("the handler's message"),
        ("file", text) => sized(length(text), vec![Ok(noise.piece(0..length(text)))]),
        ("chunked", text) => unsized_pieces(vec![Ok(noise.piece(0..length(text)))]),
        ("mixed", _) => mixed(&noise),
        ("growing", _) => growing(noise),
        // Announces one byte more than the file has.
        ("short", _) => sized(LENGTH + 1, vec![Ok(noise.piece(0..LENGTH + 1))]),
        // Has more bytes than it announces.
        ("long", _) => sized(1000, vec![Ok(noise.piece(0..5000))]),
        ("broken", _) => {
            let broken = Err(std::io::Error::other("the upstream broke"));
            unsized_pieces(vec![Ok(noise.piece(0..1000)), broken])
        }
        _ => panic!("{path}"),
    }
}

fn memory(body: impl Into<Body>) -> Response<ResponseBody> {
    Response::new(ResponseBody::Stream(body.into()))
}

fn unsized_pieces(pieces: Vec<std::io::Result<Piece>>) -> Response<ResponseBody> {
    Response::new(ResponseBody::Pieces(stream::iter(pieces).boxed()))
}

fn sized(length: usize, pieces: Vec<std::io::Result<Piece>>) -> Response<ResponseBody> {
    let mut response = unsized_pieces(pieces);
    response.headers_mut().insert("content-length", length.into());
    response
}

/// Bytes and files alternate, with an empty one of each.
fn mixed(noise: &Noise) -> Response<ResponseBody> {
    let memory = |range: Range<usize>| Piece::Bytes(Bytes::from(noise.bytes[range].to_vec()));
    let pieces = [
        noise.piece(0..10),
        memory(10..500_000),
        memory(500_000..500_000),
        noise.piece(500_000..500_001),
        noise.piece(500_001..500_001),
        noise.piece(500_001..3_000_000),
        memory(3_000_000..3_000_001),
    ];
    sized(3_000_001, pieces.into_iter().map(Ok).collect())
}

/// Like an in-flight fetch: one piece for each permit of `more`.
fn growing(noise: Arc<Noise>) -> Response<ResponseBody> {
    let pieces = stream::iter(0..4).then(move |n| {
        let noise = Arc::clone(&noise);
        async move {
            noise.more.acquire().await.unwrap().forget();
            Ok(noise.piece(n * 300_000..(n + 1) * 300_000))
        }
    });
    let mut response = Response::new(ResponseBody::Pieces(pieces.boxed()));
    response.headers_mut().insert("content-length", 1_200_000.into());
    response
}
