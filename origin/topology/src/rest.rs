//! The REST interface: routes, limits and headers, as gRPC's gateway has them for GitLab's service.

mod classify;
mod status;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;

use crate::live::ConfigState;
use crate::metrics::{Method, RequestOutcome, Transport};
use crate::proto::{ClassifyResponse, GetCellsResponse};
use crate::service::{Caching, MAX_REQUEST_BYTES, Reply, Service};
use status::Status;

/// Returns the routes of the service:
///
/// | route | response |
/// |---|---|
/// | `POST /v1/classify` | the Cell for a `ClassifyRequest`; 404 with code 5 if there is none, 400 with code 3 for an invalid request |
/// | `GET /v1/cells` | all Cells, in the order of the configuration |
/// | `GET /health/live`, `GET /health/ready` | 200; the generation that is being served, and why the file was rejected, if it was |
/// | `GET /metrics` | Prometheus text or `OpenMetrics` |
///
/// Every other response is JSON. Every response has `Cache-Control`: `max-age` if clients may cache
/// it, else `no-store`. Every error is `{"code":…,"message":…,"details":[]}`. An unknown route has
/// code 12, so that a wrong URL is never mistaken for an unknown Cell.
pub fn routes(service: Service) -> Router {
    Router::new()
        .route("/v1/classify", post(classify))
        .route("/v1/cells", get(cells))
        .route("/health/live", get(health))
        .route("/health/ready", get(health))
        .route("/metrics", get(metrics))
        .fallback(|| async { Status::no_such_route() })
        .method_not_allowed_fallback(|| async { Status::no_such_method() })
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(service)
}

async fn classify(State(service): State<Service>, body: Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            let invalid = RequestOutcome::Invalid;
            service.metrics().request(Transport::Rest, Method::Classify, invalid);
            return Status::from(rejection).into_response();
        }
    };
    let request = classify::read_request(&body);
    write(service.classify(Transport::Rest, request, |found| json(&ClassifyResponse::from(found))))
}

async fn cells(State(service): State<Service>) -> Response {
    write(service.cells(Transport::Rest, |directory| json(&GetCellsResponse::from(directory))))
}

async fn health(State(service): State<Service>) -> Response {
    cached(Caching::NoStore, json(&Health::from(&service.state())))
}

async fn metrics(State(service): State<Service>, headers: HeaderMap) -> Response {
    service.metrics().page().respond(&headers)
}

/// The body of a health probe's response.
#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    env: &'a str,
    cells: usize,
    generation: u64,
    /// Why the current content of the file was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<&'a str>,
}

impl<'a> From<&'a ConfigState> for Health<'a> {
    fn from(state: &'a ConfigState) -> Self {
        Self {
            status: "SERVING",
            env: &state.config.env,
            cells: state.config.directory.cells().len(),
            generation: state.generation,
            refused: state.refused.as_deref(),
        }
    }
}

fn write(reply: Reply<Response>) -> Response {
    let response = reply.result.unwrap_or_else(|error| Status::from(error).into_response());
    cached(reply.caching, response)
}

fn json(body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => ([(CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => Status::internal(&error).into_response(),
    }
}

/// Sets `Cache-Control`, unless the response is an error that has set `no-store`.
fn cached(caching: Caching, mut response: Response) -> Response {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(caching.to_string()) {
        headers.entry(CACHE_CONTROL).or_insert(value);
    }
    response
}

#[cfg(test)]
mod tests;
