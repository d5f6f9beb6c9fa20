//! The Topology Service: the directory in which the edge looks up the Cell of a request.
//!
//! [`config`] reads `topology.toml` into a [`directory`] of Cells and claims. The REST and the gRPC
//! interface read a [`request`], pass it to the [`service`] and write the message that it returns.
//! The directory is pure. The configuration is behind a [`live::LiveConfig`], where [`reload`]
//! replaces it between two requests.

pub mod cell;
pub mod claim;
pub mod config;
pub mod directory;
mod grpc;
pub mod live;
mod messages;
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

/// How long open requests may take to finish when the service stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The sockets on which the service listens.
#[derive(Debug)]
pub struct Listeners {
    /// For REST, health probes and metrics.
    pub rest: TcpListener,
    /// For gRPC, if it is enabled.
    pub grpc: Option<TcpListener>,
}

/// Serves until `stop` completes, then lets open requests finish, for at most 10 seconds.
///
/// # Errors
/// A listener fails.
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
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        served = async { tokio::try_join!(rest.into_future(), grpc) } => served.map(drop),
        () = deadline => Ok(()),
    }
}

async fn dropped(mut sender: watch::Receiver<()>) {
    while sender.changed().await.is_ok() {}
}
