//! The REST face: routes, limits and headers. What the bodies look like is `protojson`'s matter.

mod protojson;
mod status;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;

use crate::metrics::{self, Method, Outcome, Transport};
use crate::service::{Answer, Keep, MAX_REQUEST_BYTES, Service};
use protojson::{CellList, ClassifyAnswer, Health};
use status::Status;

/// The routes of the service:
///
/// | route | answer |
/// |---|---|
/// | `POST /v1/classify` | the Cell of a `ClassifyRequest`; 404 code 5 when there is none, 400 code 3 for a bad question |
/// | `GET /v1/cells` | all Cells, in the order of the configuration |
/// | `GET /health/live`, `GET /health/ready` | 200; the generation that is served, and why the file is not, if it was refused |
/// | `GET /metrics` | `OpenMetrics` text |
///
/// Every other answer is JSON; every answer has `Cache-Control`: `max-age` where it may be kept,
/// else `no-store`. Every error is `{"code":…,"message":…,"details":[]}`. An unknown route has code
/// 12, so that a wrong URL is never read as "no such cell".
pub fn routes(service: Service) -> Router {
    Router::new()
        .route("/v1/classify", post(classify))
        .route("/v1/cells", get(cells))
        .route("/health/live", get(health))
        .route("/health/ready", get(health))
        .route("/metrics", get(metrics_page))
        .fallback(|| async { Status::no_such_route() })
        .method_not_allowed_fallback(|| async { Status::no_such_method() })
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(service)
}

async fn classify(State(service): State<Service>, body: Result<Bytes, BytesRejection>) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            service.metrics().answered(Transport::Rest, Method::Classify, Outcome::Invalid);
            return Status::from(rejection).into_response();
        }
    };
    let request = protojson::read_request(&body);
    write(service.classify(Transport::Rest, request, |found| json(&ClassifyAnswer::from(found))))
}

async fn cells(State(service): State<Service>) -> Response {
    write(service.cells(Transport::Rest, |directory| json(&CellList::from(directory))))
}

async fn health(State(service): State<Service>) -> Response {
    keep(Keep::Never, json(&Health::from(&service.state())))
}

async fn metrics_page(State(service): State<Service>) -> Response {
    match service.metrics().page() {
        Ok(page) => {
            keep(Keep::Never, ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response())
        }
        Err(error) => Status::internal(&error).into_response(),
    }
}

fn write(answer: Answer<Response>) -> Response {
    let refused = |refusal| Status::from(refusal).into_response();
    keep(answer.keep, answer.outcome.unwrap_or_else(refused))
}

fn json(body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => ([(CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => Status::internal(&error).into_response(),
    }
}

/// An error's own `no-store` stands.
fn keep(keep: Keep, mut response: Response) -> Response {
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::try_from(keep.to_string()) {
        headers.entry(CACHE_CONTROL).or_insert(value);
    }
    response
}

#[cfg(test)]
mod tests;
