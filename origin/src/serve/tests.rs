//! Real sockets, a router of the tests' own, and clients that look at every byte.

use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::connection::Shared;
use super::line::Line;
use super::wire::Wire;
use crate::body::{self, Piece};
use crate::config::Limits;
use crate::metrics::{Metrics, RequestLabels};
use client::Client;

mod client;
mod files;
mod manners;
mod time;

/// As long as the longest body asked for.
const LENGTH: usize = 16 * 1024 * 1024 + 1;

/// A server on a free port; bodies come out of one file of noise.
struct Gate {
    address: std::net::SocketAddr,
    noise: Arc<Noise>,
    shared: Arc<Shared>,
}

/// Made once: that takes a second.
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
    /// A permit a piece: none is lost that comes before it is waited for.
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

impl Gate {
    async fn open() -> Self {
        Self::with(Limits::default(), false).await
    }

    async fn with(limits: Limits, copying: bool) -> Self {
        let noise = Arc::new(Noise::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = router(Arc::clone(&noise));
        let shared = Shared::new(router, Arc::new(Metrics::default()), limits);
        let server = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (server, line) = (Arc::clone(&server), Arc::new(Line::new(limits)));
                let wire = Wire::new(stream, Arc::clone(&line));
                let wire = if copying { wire.copying() } else { wire };
                tokio::spawn(async move { server.run(line, wire).await });
            }
        });
        Self { address, noise, shared }
    }

    async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.noise.bytes[range]
    }

    /// Waits until so many requests ended like this.
    async fn ended(&self, status: &'static str, end: &'static str, times: u64) {
        let patience = tokio::time::Instant::now() + Duration::from_secs(60);
        let counter = RequestLabels { status, end };
        while self.shared.metrics.requests.get_or_create(&counter).get() != times {
            assert!(tokio::time::Instant::now() < patience, "no {times} requests {status} {end}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn router(noise: Arc<Noise>) -> Router {
    Router::new()
        .route("/plain", get(async || "plain"))
        .route("/id", get(id))
        .route("/panic", get(async || -> Response { panic!("a handler's mistake") }))
        .route("/file/{length}", get(whole))
        .route("/chunked/{length}", get(chunked))
        .route("/mixed", get(mixed))
        .route("/growing", get(growing))
        .route("/short", get(short))
        .route("/long", get(long))
        .route("/broken", get(broken))
        .with_state(noise)
}

async fn id(headers: HeaderMap) -> Vec<u8> {
    headers["x-request-id"].as_bytes().to_vec()
}

fn sized(length: usize, pieces: Vec<std::io::Result<Piece>>) -> Response {
    let mut response = body::response(stream::iter(pieces).boxed());
    response.headers_mut().insert("content-length", length.into());
    response
}

async fn whole(State(noise): State<Arc<Noise>>, Path(length): Path<usize>) -> Response {
    sized(length, vec![Ok(noise.piece(0..length))])
}

async fn chunked(State(noise): State<Arc<Noise>>, Path(length): Path<usize>) -> Response {
    body::response(stream::iter([Ok(noise.piece(0..length))]).boxed())
}

/// Bytes and files by turns, an empty one of each between.
async fn mixed(State(noise): State<Arc<Noise>>) -> Response {
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

/// As a fetch under way: a piece for each `more`.
async fn growing(State(noise): State<Arc<Noise>>) -> Response {
    let pieces = stream::iter(0..4).then(move |n| {
        let noise = Arc::clone(&noise);
        async move {
            noise.more.acquire().await.unwrap().forget();
            Ok(noise.piece(n * 300_000..(n + 1) * 300_000))
        }
    });
    let mut response = body::response(pieces.boxed());
    response.headers_mut().insert("content-length", 1_200_000.into());
    response
}

/// Promises a byte more than the file has.
async fn short(State(noise): State<Arc<Noise>>) -> Response {
    sized(LENGTH + 1, vec![Ok(noise.piece(0..LENGTH + 1))])
}

/// Has more bytes than it announces.
async fn long(State(noise): State<Arc<Noise>>) -> Response {
    sized(1000, vec![Ok(noise.piece(0..5000))])
}

async fn broken(State(noise): State<Arc<Noise>>) -> Response {
    let pieces = vec![Ok(noise.piece(0..1000)), Err(std::io::Error::other("the upstream broke"))];
    body::response(stream::iter(pieces).boxed())
}
