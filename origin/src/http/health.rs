//! Is this process alive, and can it serve?

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

use crate::App;
use crate::body;
use crate::db::Db;
use crate::store::{Key, Store};

/// Probes come from many sides; the database is asked once for all of them.
const FRESH: Duration = Duration::from_secs(1);

/// What a part may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The paths for probes.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new().route("/-/liveness", get(live)).route("/-/readiness", get(ready)).with_state(app)
}

/// Whether the parts a request needs are there, and the spool, which it can do without.
#[derive(Debug)]
pub(crate) struct Health {
    db: Db,
    store: Store,
    spool: PathBuf,
    draining: AtomicBool,
    last: Mutex<Option<(Instant, Parts)>>,
}

#[derive(Debug, Clone, Copy)]
struct Parts {
    database: bool,
    store: bool,
    spool: bool,
}

impl Health {
    pub(crate) fn new(db: Db, store: Store, spool: PathBuf) -> Self {
        Self { db, store, spool, draining: AtomicBool::new(false), last: Mutex::new(None) }
    }

    /// From now on whoever asks is told to go elsewhere.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    async fn parts(&self) -> Parts {
        let mut last = self.last.lock().await;
        if let Some((_, parts)) = last.filter(|(asked, _)| asked.elapsed() < FRESH) {
            return parts;
        }
        let (database, store, spool) = tokio::join!(
            works("not ready: the database", self.db.ping()),
            works("not ready: the object store", self.ask_store()),
            works("blobs are passed through uncached: the spool folder", self.write_spool()),
        );
        let parts = Parts { database, store, spool };
        *last = Some((Instant::now(), parts));
        parts
    }

    /// Whether the object is there does not matter; that the store can say so does.
    async fn ask_store(&self) -> anyhow::Result<()> {
        let nothing = oci::Digest::of(b"");
        self.store.stat(&Key::Blob(&nothing)).await?;
        Ok(())
    }

    async fn write_spool(&self) -> io::Result<()> {
        let folder = self.spool.clone();
        body::blocking(move || tempfile::tempfile_in(folder).map(drop)).await
    }
}

async fn works<E: Display>(part: &str, check: impl Future<Output = Result<(), E>>) -> bool {
    match timeout(PATIENCE, check).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => warn!(%error, "{part} fails"),
        Err(_) => warn!("{part} does not answer"),
    }
    false
}

/// The process answers.
async fn live() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Database and store answer, and the origin is not about to stop. Without a spool it still streams:
/// were it taken out for that, a full disk would end pulls that need none.
async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.health.draining.load(Ordering::Relaxed) {
        return unavailable(json!({"status": "draining"}));
    }
    let Parts { database, store, spool } = app.health.parts().await;
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
