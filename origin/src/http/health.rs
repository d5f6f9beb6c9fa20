//! Liveness and readiness probes.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::body;
use crate::db::Db;
use crate::store::{Key, Store};

/// A result is reused for this long, however many probes arrive.
const REUSED_FOR: Duration = Duration::from_secs(1);

/// The time limit of one check.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Routes the probes' paths.
pub(crate) fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/-/liveness", get(liveness))
        .route("/-/readiness", get(readiness))
        .with_state(health)
}

/// Checks the database, the object store and the spool folder.
#[derive(Debug)]
pub(crate) struct Health {
    db: Db,
    store: Store,
    spool: PathBuf,
    draining: AtomicBool,
    last: Mutex<Option<(Instant, Checks)>>,
}

/// Which parts work.
#[derive(Debug, Clone, Copy)]
struct Checks {
    database: bool,
    store: bool,
    spool: bool,
}

impl Health {
    pub(crate) fn new(db: Db, store: Store, spool: PathBuf) -> Self {
        Self { db, store, spool, draining: AtomicBool::new(false), last: Mutex::new(None) }
    }

    /// Makes every later readiness probe fail, so that the load balancer stops sending requests.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    async fn checks(&self) -> Checks {
        let mut last = self.last.lock().await;
        if let Some((_, checks)) = last.filter(|(at, _)| at.elapsed() < REUSED_FOR) {
            return checks;
        }
        let (database, store, spool) = tokio::join!(
            works("not ready: the database", self.db.ping()),
            works("not ready: the object store", self.check_store()),
            works("streaming blobs without caching them: the spool folder", self.check_spool()),
        );
        let checks = Checks { database, store, spool };
        *last = Some((Instant::now(), checks));
        checks
    }

    /// The object need not exist; the store must be able to say whether it does.
    async fn check_store(&self) -> anyhow::Result<()> {
        let empty = oci::Digest::of(b"");
        self.store.stat(&Key::Blob(&empty)).await?;
        Ok(())
    }

    async fn check_spool(&self) -> io::Result<()> {
        let folder = self.spool.clone();
        body::blocking(move || tempfile::tempfile_in(folder).map(drop)).await
    }
}

async fn works<E: Display>(part: &str, check: impl Future<Output = Result<(), E>>) -> bool {
    match timeout(TIMEOUT, check).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => warn!(%error, "{part} fails"),
        Err(_) => warn!("{part} does not respond"),
    }
    false
}

async fn liveness() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Ready means that the database and the store work and the origin is not draining. Without a spool
/// folder blobs are still streamed, so a full disk must not take the origin out of service.
async fn readiness(State(health): State<Arc<Health>>) -> Response {
    if health.draining.load(Ordering::Relaxed) {
        return unavailable(json!({"status": "draining"}));
    }
    let Checks { database, store, spool } = health.checks().await;
    let checks = json!({"database": database, "store": store, "spool": spool});
    if !(database && store) {
        return unavailable(json!({"status": "unavailable", "checks": checks}));
    }
    let status = if spool { "ok" } else { "uncached" };
    Json(json!({"status": status, "checks": checks})).into_response()
}

fn unavailable(report: Value) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(report)).into_response()
}
