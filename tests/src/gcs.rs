//! The part of Google Cloud Storage's XML API that the origin uses, held in memory.
//!
//! A fake, as no emulator takes what `object_store` sends; cloud.google.com/storage/docs/xml-api.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use std::time::SystemTime;

use anyhow::Result;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What every request must carry.
const TOKEN: &str = "test-token";
const BUCKET: &str = "/cells";

/// A running fake with one bucket.
#[derive(Debug)]
pub struct Gcs {
    shelf: Arc<Mutex<Shelf>>,
    url: String,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shelf {
    objects: BTreeMap<String, Bytes>,
    uploads: HashMap<String, BTreeMap<usize, Bytes>>,
    begun: usize,
}

impl Gcs {
    /// Starts with an empty bucket.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shelf));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { shelf, url, server })
    }

    /// The lines of an origin's `[store]` that lead here.
    #[must_use]
    pub fn store_lines(&self) -> String {
        let url = &self.url;
        format!(
            "url = \"gs:/{BUCKET}/prefix\"\noptions.base_url = \"{url}\"\n\
             options.bearer_token = \"{TOKEN}\"\noptions.allow_http = true\n"
        )
    }

    /// How many uploads were begun, and how many neither finished nor aborted.
    #[must_use]
    pub fn uploads(&self) -> (usize, usize) {
        let shelf = lock(&self.shelf);
        (shelf.begun, shelf.uploads.len())
    }
}

impl Drop for Gcs {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(shelf): State<Arc<Mutex<Shelf>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bearer = format!("Bearer {TOKEN}");
    if parts.headers.get("authorization").is_none_or(|sent| sent != bearer.as_str()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Ok(body) = to_bytes(body, 64 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let query: HashMap<String, String> = reqwest::Url::parse(&format!("http://x{}", parts.uri))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default();
    let Some(path) = parts.uri.path().strip_prefix(BUCKET) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (name, mut shelf) = (path.replace("%2F", "/"), lock(&shelf));
    let name = name.trim_start_matches('/');
    if name.is_empty() {
        return shelf.list(query.get("prefix").map_or("", String::as_str));
    }
    if let Some(upload) = query.get("uploadId") {
        return shelf.upload(&parts.method, name, upload, query.get("partNumber"), body);
    }
    shelf.object(&parts.method, name, body, &parts.headers)
}

impl Shelf {
    fn object(&mut self, method: &Method, name: &str, body: Bytes, asked: &HeaderMap) -> Response {
        match *method {
            Method::PUT => {
                self.objects.insert(name.to_owned(), body);
                written()
            }
            Method::POST => {
                self.begun += 1;
                let id = format!("upload-{}", self.begun);
                self.uploads.insert(id.clone(), BTreeMap::new());
                let tag = "InitiateMultipartUploadResult";
                format!("<{tag}><UploadId>{id}</UploadId></{tag}>").into_response()
            }
            Method::DELETE => match self.objects.remove(name) {
                Some(_) => StatusCode::NO_CONTENT.into_response(),
                None => StatusCode::NOT_FOUND.into_response(),
            },
            _ => match self.objects.get(name) {
                Some(bytes) => read(bytes, method == Method::HEAD, asked),
                None => StatusCode::NOT_FOUND.into_response(),
            },
        }
    }

    fn upload(
        &mut self,
        method: &Method,
        name: &str,
        upload: &str,
        part: Option<&String>,
        body: Bytes,
    ) -> Response {
        let number = part.and_then(|part| part.parse().ok());
        match (method, number) {
            (&Method::PUT, Some(number)) => match self.uploads.get_mut(upload) {
                Some(parts) => {
                    parts.insert(number, body);
                    written()
                }
                None => StatusCode::NOT_FOUND.into_response(),
            },
            (&Method::POST, None) => match self.uploads.remove(upload) {
                Some(parts) => {
                    let whole: Vec<u8> = parts.into_values().flatten().collect();
                    self.objects.insert(name.to_owned(), whole.into());
                    let tag = "CompleteMultipartUploadResult";
                    format!("<{tag}><ETag>\"x\"</ETag></{tag}>").into_response()
                }
                None => StatusCode::NOT_FOUND.into_response(),
            },
            _ => {
                self.uploads.remove(upload);
                StatusCode::NO_CONTENT.into_response()
            }
        }
    }

    fn list(&self, prefix: &str) -> Response {
        let found = self.objects.iter().filter(|(name, _)| name.starts_with(prefix));
        let contents: String = found
            .map(|(name, bytes)| {
                let size = bytes.len();
                format!(
                    "<Contents><Key>{name}</Key><Size>{size}</Size><ETag>\"x\"</ETag>\
                     <LastModified>{}</LastModified></Contents>",
                    humantime::format_rfc3339_millis(SystemTime::now())
                )
            })
            .collect();
        format!("<ListBucketResult>{contents}</ListBucketResult>").into_response()
    }
}

/// An object or a range of it; `HEAD` differs in the body only.
fn read(bytes: &Bytes, head: bool, asked: &HeaderMap) -> Response {
    let total = bytes.len();
    let range = asked.get("range").and_then(|range| range.to_str().ok());
    let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let bounds = range.and_then(|(first, last)| {
        let last = last.parse::<usize>().unwrap_or(total).min(total.saturating_sub(1));
        Some((first.parse::<usize>().ok()?, last))
    });
    let modified = httpdate::fmt_http_date(SystemTime::now());
    let mut response =
        Response::builder().header("etag", "\"x\"").header("last-modified", modified);
    let mut part = bytes.clone();
    if let Some((first, last)) = bounds {
        part = bytes.slice(first..last + 1);
        response = response.status(206);
        response = response.header("content-range", format!("bytes {first}-{last}/{total}"));
    }
    response = response.header("content-length", part.len());
    let body = if head { Body::empty() } else { Body::from(part) };
    response.body(body).unwrap_or_default()
}

fn written() -> Response {
    [("etag", "\"x\"")].into_response()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
