//! Is this process alive, and can it serve?

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};

use crate::App;
use crate::error::Error;

/// The process answers.
pub(super) async fn live() -> &'static str {
    "{\"status\":\"ok\"}"
}

/// The database answers too.
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.db.ping().await {
        Ok(()) => live().await.into_response(),
        Err(error) => Error::from(error).into_response(&app.challenge),
    }
}
