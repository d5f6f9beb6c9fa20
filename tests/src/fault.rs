//! A registry that counts what it is asked and fails on demand: state and faults, no script.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use oci::{Digest, Endpoint, endpoint};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::image::{Image, Manifest};

use auth::{challenge, token};
use blob::blob;
use catalog::{referrers, tags};
use manifest::{Asked, manifest};

pub use blob::{Break, RangeLie};

mod auth;
mod blob;
mod catalog;
mod manifest;

pub use auth::Tokens;

/// `robot:hunter2`, as it is sent.
pub const BASIC: &str = "Basic cm9ib3Q6aHVudGVyMg==";

/// How the registry misbehaves; the default does not.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Every request for a manifest or blob gets this status.
    pub status: Option<u16>,
    /// Every HEAD gets this status.
    pub head_status: Option<u16>,
    /// A blob's connection breaks here, however often it is asked for.
    pub cut_blobs_at: Option<usize>,
    /// Blobs stop here until [`FaultRegistry::release`].
    pub hold_blobs_at: Option<usize>,
    /// How the next GETs of a blob break, one after the other, by its digest.
    pub breaks: HashMap<String, VecDeque<Break>>,
    /// Blobs come whole, whatever range is asked for.
    pub refuse_ranges: bool,
    /// What is wrong with the answer to a range of a blob.
    pub range_lie: Option<RangeLie>,
    /// Every GET of a range gets this status.
    pub range_status: Option<u16>,
    /// Blobs and manifests come in pieces of this size, with a pause after each.
    pub drip: Option<(usize, Duration)>,
    /// Blobs are said to be compressed.
    pub encoded: bool,
    /// The last byte of every blob and manifest is another.
    pub corrupt: bool,
    /// Blobs come without a `Content-Length`.
    pub without_length: bool,
    /// HEAD answers lack `Docker-Content-Digest`.
    pub without_digest: bool,
    /// Manifests come without a `Content-Type`.
    pub without_type: bool,
    /// Manifests and lists, and the HEADs of manifests, wait for [`FaultRegistry::release`].
    pub hold_manifests: bool,
    /// Lists of tags come whole, whatever part was asked for.
    pub without_pages: bool,
    /// There is no API for referrers.
    pub without_referrers: bool,
    /// What is asked of those who come without.
    pub asks_for: Option<Login>,
    /// Blobs are redirected here, the path kept.
    pub redirect_blobs_to: Option<String>,
    /// How its token endpoint misbehaves.
    pub tokens: Tokens,
    /// Headers of all its answers, over those it would send.
    pub headers: Vec<(&'static str, String)>,
}

/// How the registry wants to be authenticated to.
#[derive(Debug, Clone)]
pub enum Login {
    /// By a token of its own endpoint.
    Token,
    /// By a token of this endpoint.
    TokenOf(String),
    /// By user name and password: `robot`, `hunter2`.
    Basic,
}

/// A request as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The query.
    pub query: String,
    /// The `Accept-Encoding` header.
    pub encoding: Option<String>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Accept` header.
    pub accept: Option<String>,
    /// The `Range` header.
    pub range: Option<String>,
}

#[derive(Debug, Default)]
struct Shelf {
    manifests: HashMap<String, Manifest>,
    /// What a tag is for those who take only that.
    narrow: HashMap<String, Manifest>,
    blobs: HashMap<String, Bytes>,
    seen: Vec<Seen>,
    faults: Faults,
}

/// A running registry.
#[derive(Debug)]
pub struct FaultRegistry {
    shelf: Arc<Mutex<Shelf>>,
    released: watch::Sender<u64>,
    url: String,
    server: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Context {
    shelf: Arc<Mutex<Shelf>>,
    released: watch::Receiver<u64>,
    url: String,
}

impl FaultRegistry {
    /// Starts an empty one on a free port.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let released = watch::Sender::new(0);
        let context =
            Context { shelf: Arc::clone(&shelf), released: released.subscribe(), url: url.clone() };
        let router = Router::new().fallback(answer).with_state(context);
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { shelf, released, url, server })
    }

    /// Its root URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Puts an image on the shelf, in place of what the tag pointed at.
    pub fn add(&self, repository: &str, tag: &str, image: &Image) {
        let mut shelf = lock(&self.shelf);
        for blob in &image.blobs {
            let path = format!("{repository}/blobs/{}", Digest::of(blob));
            shelf.blobs.insert(path, Bytes::copy_from_slice(blob));
        }
        for manifest in image.manifests() {
            let path = format!("{repository}/manifests/{}", manifest.digest());
            shelf.manifests.insert(path, manifest.clone());
        }
        shelf.manifests.insert(format!("{repository}/manifests/{tag}"), image.top.clone());
    }

    /// Misbehaves like this from now on.
    pub fn fail(&self, faults: Faults) {
        lock(&self.shelf).faults = faults;
    }

    /// Lets held blobs go on.
    pub fn release(&self) {
        self.released.send_modify(|times| *times += 1);
    }

    /// All requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shelf).seen.clone()
    }

    /// How often a path that ends like this was asked for with this method.
    #[must_use]
    pub fn count(&self, method: &str, end: &str) -> usize {
        let seen = self.seen();
        seen.iter().filter(|seen| seen.method == method && seen.path.ends_with(end)).count()
    }

    /// The `Range` headers of the GETs of a path that ends like this, in order.
    #[must_use]
    pub fn ranges(&self, end: &str) -> Vec<Option<String>> {
        let gets = self.seen().into_iter().filter(|seen| seen.method == "GET");
        gets.filter(|seen| seen.path.ends_with(end)).map(|seen| seen.range).collect()
    }

    /// Stops listening, as a registry that is down.
    pub fn stop(&self) {
        self.server.abort();
    }
}

impl Drop for FaultRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn answer(State(context): State<Context>, request: Request) -> Response {
    let faults = note(&context, &request);
    let over = faults.headers.clone();
    let mut response = plain_answer(context, request, faults).await;
    for (name, value) in over {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn plain_answer(context: Context, request: Request, faults: Faults) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if path == "/token" {
        return token(&faults.tokens);
    }
    if let Some(challenge) = challenge(&context, &faults, request.headers()) {
        return challenge;
    }
    let head = (method == Method::HEAD).then_some(faults.head_status).flatten();
    let range = faults.range_status.filter(|_| request.headers().contains_key("range"));
    if let Some(status) = head.or(range).or(faults.status) {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
        return (status, [("retry-after", "7")]).into_response();
    }
    let Some(rest) = path.strip_prefix("/v2/") else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match endpoint::split(rest) {
        Some((_, Ok(Endpoint::Manifest(reference)))) => {
            hold(&context, &faults).await;
            let accept = request.headers().get("accept").and_then(|value| value.to_str().ok());
            let asked = Asked { path: rest, accept, head: method == Method::HEAD };
            manifest(&context, &asked, &reference, &faults)
        }
        Some((repository, Ok(Endpoint::Tags))) => {
            hold(&context, &faults).await;
            tags(&context, repository, request.uri().query().unwrap_or_default(), &faults)
        }
        Some((repository, Ok(Endpoint::Referrers(subject)))) if !faults.without_referrers => {
            hold(&context, &faults).await;
            referrers(&context, repository, &subject)
        }
        Some((_, Ok(Endpoint::Blob(_)))) => {
            blob(&context, rest, &faults, request.headers(), method == Method::HEAD).await
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn hold(context: &Context, faults: &Faults) {
    if faults.hold_manifests {
        let mut released = context.released.clone();
        released.mark_unchanged();
        let _ = released.changed().await;
    }
}

fn note(context: &Context, request: &Request) -> Faults {
    let (uri, headers) = (request.uri(), request.headers());
    let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
    let mut shelf = lock(&context.shelf);
    shelf.seen.push(Seen {
        method: request.method().to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        encoding: text("accept-encoding"),
        authorization: text("authorization"),
        accept: text("accept"),
        range: text("range"),
    });
    shelf.faults.clone()
}

fn spoil(mut bytes: Vec<u8>, faults: &Faults) -> Vec<u8> {
    if let Some(last) = bytes.last_mut().filter(|_| faults.corrupt) {
        *last ^= 1;
    }
    bytes
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
