//! A fake Topology Service with the claims that the test adds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio_rustls::rustls::ServerConfig;

use super::server::Server;

type Claims = Arc<Mutex<BTreeMap<String, String>>>;

/// A running Topology Service.
#[derive(Debug)]
pub struct FakeTopology {
    claims: Claims,
    server: Server,
}

impl FakeTopology {
    pub(super) fn start(tls: ServerConfig) -> Result<Self> {
        let claims = Claims::default();
        let router = Router::new()
            .route("/health/ready", get(|| async {}))
            .route("/v1/classify", post(classify))
            .with_state(Arc::clone(&claims));
        Ok(Self { claims, server: Server::start(router, tls)? })
    }

    pub(super) fn port(&self) -> u16 {
        self.server.port()
    }

    /// Adds the claim of a top-level group by a Cell.
    pub fn claim(&self, group: &str, cell: &str) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.insert(group.to_owned(), cell.to_owned());
    }

    /// Stops the server as a crash would.
    pub fn kill(&mut self) {
        self.server.kill();
    }
}

async fn classify(State(claims): State<Claims>, Json(request): Json<Value>) -> Response {
    let claims = claims.lock().unwrap_or_else(PoisonError::into_inner);
    let route = request.pointer("/claims/0/route").and_then(Value::as_str);
    let cell = match route {
        Some(route) => claims.get(route).cloned(),
        None => Some("cell-1".to_owned()),
    };
    let Some(cell) = cell else {
        return (StatusCode::NOT_FOUND, Json(json!({"code": 5}))).into_response();
    };
    let registry = format!("registry-{cell}");
    let proxy = json!({"address": cell, "registryAddress": registry});
    Json(json!({"action": "PROXY", "proxy": proxy})).into_response()
}
