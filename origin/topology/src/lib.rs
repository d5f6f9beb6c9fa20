//! The Topology Service: the cluster's directory, which answers the edge's question
//! "which Cell does this belong to?".
//!
//! `config` reads `config.toml` into a `directory` of cells and claims; `rest` asks the
//! directory and writes the answer. The directory is pure; the configuration is held behind a
//! [`rest::Live`], so a new one can be put in place between two requests.

pub mod cell;
pub mod claim;
pub mod config;
pub mod directory;
pub mod rest;

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use rest::Live;

/// How long open requests may take to end once the service is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves REST on `listener` until `stop` ends, then lets open requests finish, for 10 seconds at
/// most.
///
/// # Errors
/// What the listener reports.
pub async fn serve(
    listener: TcpListener,
    live: Live,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let (drain, drained) = oneshot::channel::<()>();
    let server = axum::serve(listener, rest::routes(live))
        .with_graceful_shutdown(async { drained.await.unwrap_or_default() });
    let deadline = async {
        stop.await;
        drop(drain);
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = server.into_future() => served,
        () = deadline => Ok(()),
    }
}
