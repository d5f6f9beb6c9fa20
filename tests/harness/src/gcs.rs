//! A fake of Google Cloud Storage: the part of its XML API that the origin uses, in memory
//! (cloud.google.com/storage/docs/xml-api). No emulator accepts what `object_store` sends.

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

/// The bearer token that every request must carry.
const TOKEN: &str = "test-token";
const BUCKET: &str = "/cells";

/// A running server with one bucket.
#[derive(Debug)]
pub struct Gcs {
    bucket: Arc<Mutex<StoredBucket>>,
    url: String,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct StoredBucket {
    objects: BTreeMap<String, Bytes>,
    uploads: HashMap<String, BTreeMap<usize, Bytes>>,
    started: usize,
}

impl Gcs {
    /// Starts the server with an empty bucket.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let bucket = Arc::new(Mutex::new(StoredBucket::default()));
        let router = Router::new().fallback(respond).with_state(Arc::clone(&bucket));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { bucket, url, server })
    }

    /// The lines of an origin's `[store]` for this server.
    #[must_use]
    pub fn store_lines(&self) -> String {
        let url = &self.url;
        format!(
            "url = \"gs:/{BUCKET}/prefix\"\noptions.base_url = \"{url}\"\n\
             options.bearer_token = \"{TOKEN}\"\noptions.allow_http = true\n"
        )
    }

    /// The number of uploads started, and of those neither completed nor aborted.
    #[must_use]
    pub fn uploads(&self) -> (usize, usize) {
        let bucket = lock(&self.bucket);
        (bucket.started, bucket.uploads.len())
    }
}

impl Drop for Gcs {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn respond(State(bucket): State<Arc<Mutex<StoredBucket>>>, request: Request) -> Response {
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
    let (name, mut bucket) = (path.replace("%2F", "/"), lock(&bucket));
    let name = name.trim_start_matches('/');
    if name.is_empty() {
        return bucket.list(query.get("prefix").map_or("", String::as_str));
    }
    if let Some(upload) = query.get("uploadId") {
        return bucket.upload(&parts.method, name, upload, query.get("partNumber"), body);
    }
    bucket.object(&parts.method, name, body, &parts.headers)
}

impl StoredBucket {
    fn object(
        &mut self,
        method: &Method,
        name: &str,
        body: Bytes,
        headers: &HeaderMap,
    ) -> Response {
        match *method {
            Method::PUT => {
                self.objects.insert(name.to_owned(), body);
                stored()
            }
            Method::POST => {
                self.started += 1;
                let id = format!("upload-{}", self.started);
                self.uploads.insert(id.clone(), BTreeMap::new());
                let tag = "InitiateMultipartUploadResult";
                format!("<{tag}><UploadId>{id}</UploadId></{tag}>").into_response()
            }
            Method::DELETE => match self.objects.remove(name) {
                Some(_) => StatusCode::NO_CONTENT.into_response(),
                None => StatusCode::NOT_FOUND.into_response(),
            },
            _ => match self.objects.get(name) {
                Some(bytes) => read(bytes, method == Method::HEAD, headers),
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
                    stored()
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

/// An object or a range of it; the response to HEAD lacks only the body.
fn read(bytes: &Bytes, head: bool, headers: &HeaderMap) -> Response {
    let total = bytes.len();
    let range = headers.get("range").and_then(|range| range.to_str().ok());
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

fn stored() -> Response {
    [("etag", "\"x\"")].into_response()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
