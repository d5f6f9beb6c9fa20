//! Metrics and health probes on an address of their own, to which the edge routes no request.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use runtime::metrics_page::MetricsPage;
use tokio::net::TcpListener;
use tracing::{error, info};

use crate::App;
use crate::http::health;

/// Serves `/metrics`, `/-/liveness` and `/-/readiness` until the process ends.
pub(super) async fn start(app: Arc<App>, address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).await?;
    info!(address = %listener.local_addr()?, "serving metrics");
    let version = env!("CARGO_PKG_VERSION");
    let page =
        MetricsPage::new("dependency_proxy", version, |registry| app.metrics.register(registry));
    let scrape = async |State(page): State<MetricsPage>, headers: HeaderMap| page.respond(&headers);
    let router = Router::new().route("/metrics", get(scrape)).with_state(page);
    let router = router.merge(health::router(Arc::clone(&app.health)));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            error!(%error, "the metrics listener failed");
        }
    });
    Ok(())
}
