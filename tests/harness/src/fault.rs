//! A registry that records its requests and fails on demand. It holds state and faults, not a
//! script.

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
use listing::{referrers, tags};
use manifest::{ManifestRequest, manifest};

pub use blob::{Break, RangeLie};

mod auth;
mod blob;
mod listing;
mod manifest;

pub use auth::TokenFaults;

/// The `Authorization` header of user `robot` with password `hunter2`.
pub const BASIC: &str = "Basic cm9ib3Q6aHVudGVyMg==";

/// How the registry misbehaves; by default it does not.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The status of every response to a request for a manifest or blob.
    pub status: Option<u16>,
    /// The status of every response to HEAD.
    pub head_status: Option<u16>,
    /// Every GET of a manifest or blob gets this status.
    pub get_status: Option<u16>,
    /// The connection of every blob breaks at this byte.
    pub cut_blobs_at: Option<usize>,
    /// Every blob pauses at this byte until [`FaultRegistry::release`].
    pub hold_blobs_at: Option<usize>,
    /// How the next GETs of each blob break, in order, by its digest.
    pub breaks: HashMap<String, VecDeque<Break>>,
    /// Ranges are ignored: blobs are sent whole.
    pub refuse_ranges: bool,
    /// What is wrong with the response to a range of a blob.
    pub range_lie: Option<RangeLie>,
    /// The status of every response to a range.
    pub range_status: Option<u16>,
    /// Blobs and manifests are sent in pieces of this size, with a pause after each.
    pub drip: Option<(usize, Duration)>,
    /// Blobs have a `Content-Encoding`.
    pub encoded: bool,
    /// The last byte of every blob and manifest is wrong.
    pub corrupt: bool,
    /// Blobs lack `Content-Length`.
    pub without_length: bool,
    /// Responses to HEAD lack `Docker-Content-Digest`.
    pub without_digest: bool,
    /// Manifests lack `Content-Type`.
    pub without_type: bool,
    /// Manifests, their HEADs, and lists wait for [`FaultRegistry::release`].
    pub hold_manifests: bool,
    /// Lists of tags are sent whole, whatever page was requested.
    pub without_pages: bool,
    /// The referrers API is missing.
    pub without_referrers: bool,
    /// The authentication that the registry requires.
    pub requires: Option<Authentication>,
    /// Blobs are redirected to this root URL, with the same path.
    pub redirect_blobs_to: Option<String>,
    /// How the token endpoint misbehaves.
    pub tokens: TokenFaults,
    /// Headers set on every response; they replace those of the same name.
    pub headers: Vec<(&'static str, String)>,
}

/// How clients must authenticate.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// With a token of the registry's own endpoint.
    Token,
    /// With a token of the endpoint at this URL.
    TokenOf(String),
    /// With user name `robot` and password `hunter2`.
    Basic,
}

/// A received request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedRequest {
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
struct Contents {
    manifests: HashMap<String, Manifest>,
    /// What a tag is to clients that do not accept the manifest in `manifests`.
    narrow: HashMap<String, Manifest>,
    blobs: HashMap<String, Bytes>,
    received: Vec<ReceivedRequest>,
    faults: Faults,
}

/// A running registry.
#[derive(Debug)]
pub struct FaultRegistry {
    contents: Arc<Mutex<Contents>>,
    released: watch::Sender<u64>,
    url: String,
    server: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Context {
    contents: Arc<Mutex<Contents>>,
    released: watch::Receiver<u64>,
    url: String,
}

impl FaultRegistry {
    /// Starts an empty registry on a free port.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let contents = Arc::new(Mutex::new(Contents::default()));
        let released = watch::Sender::new(0);
        let context = Context {
            contents: Arc::clone(&contents),
            released: released.subscribe(),
            url: url.clone(),
        };
        let router = Router::new().fallback(respond).with_state(context);
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { contents, released, url, server })
    }

    /// The root URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stores an image and points the tag at it.
    pub fn add(&self, repository: &str, tag: &str, image: &Image) {
        let mut contents = lock(&self.contents);
        for blob in &image.blobs {
            let path = format!("{repository}/blobs/{}", Digest::of(blob));
            contents.blobs.insert(path, Bytes::copy_from_slice(blob));
        }
        for manifest in image.manifests() {
            let path = format!("{repository}/manifests/{}", manifest.digest());
            contents.manifests.insert(path, manifest.clone());
        }
        contents.manifests.insert(format!("{repository}/manifests/{tag}"), image.top.clone());
    }

    /// Replaces the faults.
    pub fn fail(&self, faults: Faults) {
        lock(&self.contents).faults = faults;
    }

    /// Resumes everything that is held.
    pub fn release(&self) {
        self.released.send_modify(|times| *times += 1);
    }

    /// All requests received so far.
    #[must_use]
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        lock(&self.contents).received.clone()
    }

    /// The number of requests with this method for a path with this end.
    #[must_use]
    pub fn count(&self, method: &str, end: &str) -> usize {
        let requests = self.requests();
        let matching = requests.iter().filter(|request| request.method == method);
        matching.filter(|request| request.path.ends_with(end)).count()
    }

    /// The `Range` headers of the GETs of a path with this end, in order.
    #[must_use]
    pub fn ranges(&self, end: &str) -> Vec<Option<String>> {
        let gets = self.requests().into_iter().filter(|request| request.method == "GET");
        gets.filter(|get| get.path.ends_with(end)).map(|get| get.range).collect()
    }

    /// Stops the server, as if the registry were down.
    pub fn stop(&self) {
        self.server.abort();
    }
}

impl Drop for FaultRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn respond(State(context): State<Context>, request: Request) -> Response {
    let faults = record(&context, &request);
    let headers = faults.headers.clone();
    let mut response = plain_response(context, request, faults).await;
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn plain_response(context: Context, request: Request, faults: Faults) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if path == "/token" {
        return token(&faults.tokens);
    }
    if let Some(challenge) = challenge(&context, &faults, request.headers()) {
        return challenge;
    }
    let head = (method == Method::HEAD).then_some(faults.head_status).flatten();
    let get = (method == Method::GET).then_some(faults.get_status).flatten();
    let range = faults.range_status.filter(|_| request.headers().contains_key("range"));
    if let Some(status) = head.or(get).or(range).or(faults.status) {
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
            let wanted = ManifestRequest { path: rest, accept, head: method == Method::HEAD };
            manifest(&context, &wanted, &reference, &faults)
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

fn record(context: &Context, request: &Request) -> Faults {
    let (uri, headers) = (request.uri(), request.headers());
    let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
    let mut contents = lock(&context.contents);
    contents.received.push(ReceivedRequest {
        method: request.method().to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        encoding: text("accept-encoding"),
        authorization: text("authorization"),
        accept: text("accept"),
        range: text("range"),
    });
    contents.faults.clone()
}

fn corrupted(mut bytes: Vec<u8>, faults: &Faults) -> Vec<u8> {
    if let Some(last) = bytes.last_mut().filter(|_| faults.corrupt) {
        *last ^= 1;
    }
    bytes
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
