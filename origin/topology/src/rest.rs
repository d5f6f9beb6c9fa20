//! The REST face: routes, limits and headers. What the bodies look like is `protojson`'s matter.

mod protojson;
mod status;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use tokio::sync::watch;

use crate::config::Config;
use crate::directory::ClassifyRequest;
use protojson::{CellList, ClassifyAnswer, Health};
use status::Status;

/// The longest question accepted, in bytes; a full set of claims is a tenth of it.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// The configuration as it is now; each request reads it once, so a reload never splits one.
pub type Live = watch::Receiver<Arc<Config>>;

/// The routes of the service:
///
/// | route | answer |
/// |---|---|
/// | `POST /v1/classify` | the Cell of a `ClassifyRequest`; 404 code 5 when there is none, 400 code 3 for a bad question |
/// | `GET /v1/cells` | all Cells, in the order of the configuration |
/// | `GET /health/live`, `GET /health/ready` | 200 |
///
/// Every answer is JSON, with `Cache-Control: max-age` where it may be kept; every error is
/// `{"code":…,"message":…,"details":[]}`. An unknown route has code 12, so that a wrong URL is
/// never read as "no such cell".
pub fn routes(live: Live) -> Router {
    Router::new()
        .route("/v1/classify", post(classify))
        .route("/v1/cells", get(cells))
        .route("/health/live", get(health))
        .route("/health/ready", get(health))
        .fallback(|| async { Status::no_such_route() })
        .method_not_allowed_fallback(|| async { Status::no_such_method() })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(live)
}

async fn classify(State(live): State<Live>, body: Result<Bytes, BytesRejection>) -> Response {
    let config = current(&live);
    match body.map_err(Status::from).and_then(|body| protojson::read_request(&body)) {
        Ok(request) => answer(&config, &request),
        Err(status) => {
            tracing::debug!(message = status.message(), "refused");
            status.into_response()
        }
    }
}

fn answer(config: &Config, request: &ClassifyRequest) -> Response {
    match config.directory.classify(request) {
        Ok(classified) => {
            tracing::debug!(by = request.by(), cell = %classified.cell.id, "classified");
            keep(config.cache.positive, json(&ClassifyAnswer::from(classified)))
        }
        Err(not_found) => {
            tracing::debug!(by = request.by(), "not found");
            keep(config.cache.negative, Status::from(not_found).into_response())
        }
    }
}

async fn cells(State(live): State<Live>) -> Response {
    let config = current(&live);
    keep(config.cache.positive, json(&CellList::from(&config.directory)))
}

async fn health(State(live): State<Live>) -> Response {
    json(&Health::from(current(&live).as_ref()))
}

fn current(live: &Live) -> Arc<Config> {
    Arc::clone(&live.borrow())
}

fn json(body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => ([(CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => Status::internal(&error).into_response(),
    }
}

fn keep(ttl: Duration, response: Response) -> Response {
    ([(CACHE_CONTROL, format!("max-age={}", ttl.as_secs()))], response).into_response()
}

#[cfg(test)]
mod tests;
