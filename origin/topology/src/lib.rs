//! The Topology Service: the cluster's directory, which answers the edge's question
//! "which Cell does this belong to?".
//!
//! `config` reads `config.toml` into a `directory` of cells and claims; `rest` and `grpc` read a
//! `request`, ask the `service` and write its answer. The directory is pure; the configuration is
//! held behind a [`live::Live`], into which `reload` puts a new one between two requests.

pub mod cell;
pub mod claim;
pub mod config;
pub mod directory;
mod grpc;
pub mod live;
pub mod metrics;
pub mod proto;
pub mod reload;
pub mod request;
pub mod rest;
pub mod service;

use std::io;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use service::Service;

/// How long open requests may take to end once the service is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Where the service listens.
#[derive(Debug)]
pub struct Listeners {
    /// For REST, health probes and metrics.
    pub rest: TcpListener,
    /// For gRPC, if it is wanted.
    pub grpc: Option<TcpListener>,
}

/// Serves until `stop` ends, then lets open requests finish, for 10 seconds at most.
///
/// # Errors
/// What a listener reports.
pub async fn serve(
    listeners: Listeners,
    service: Service,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let (drain, drained) = watch::channel(());
    let rest = axum::serve(listeners.rest, rest::routes(service.clone()))
        .with_graceful_shutdown(dropped(drained.clone()));
    let grpc = async {
        match listeners.grpc {
            Some(listener) => grpc::serve(listener, service, dropped(drained)).await,
            None => Ok(()),
        }
    };
    let deadline = async {
        stop.await;
        drop(drain);
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        served = async { tokio::try_join!(rest.into_future(), grpc) } => served.map(drop),
        () = deadline => Ok(()),
    }
}

async fn dropped(mut sender: watch::Receiver<()>) {
    while sender.changed().await.is_ok() {}
}
