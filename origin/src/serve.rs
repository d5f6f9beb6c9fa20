//! Accepts connections, limits their number, serves them, and shuts them down gracefully.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::{App, config, http};
use connection::Server;
use refusal::Refusals;

mod connection;
mod descriptors;
mod id;
mod monitor;
mod refusal;
mod socket;
mod state;
mod transaction;

/// The pause after a failed accept. Without it the loop would spin while no descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The interval at which a drain checks whether the last fetch has ended.
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// Serves until `shutdown` completes, then lets open requests finish, for at most `shutdown_timeout`.
///
/// # Errors
/// `metrics_listen` cannot be bound.
pub async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    descriptors::make_room(app.limits.max_connections);
    let config::Http { drain_delay, shutdown_timeout, metrics_listen, zero_copy, .. } = app.http;
    if let Some(address) = metrics_listen {
        monitor::start(Arc::clone(&app), address).await.context("[http] metrics_listen")?;
    }
    info!(address = %listener.local_addr()?, "listening");
    let handler = http::handler(Arc::clone(&app));
    let server = Server::new(handler, Arc::clone(&app.metrics), app.limits, zero_copy);
    let acceptor = Acceptor { server, tasks: TaskTracker::new(), refusals: Refusals::default() };
    let maintenance = app.maintenance.start();
    acceptor.accept(&listener, shutdown).await;
    app.health.drain();
    acceptor.accept(&listener, tokio::time::sleep(drain_delay)).await;
    drop(listener);
    acceptor.drain(&app, shutdown_timeout).await;
    app.maintenance.stop(maintenance).await;
    Ok(())
}

struct Acceptor {
    server: Arc<Server>,
    tasks: TaskTracker,
    refusals: Refusals,
}

impl Acceptor {
    async fn accept(&self, listener: &TcpListener, until: impl Future<Output = ()>) {
        let mut until = pin!(until);
        loop {
            tokio::select! {
                biased;
                () = &mut until => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.start(stream),
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    fn start(&self, stream: TcpStream) {
        if self.tasks.len() >= self.server.limits.max_connections {
            self.server.metrics.connections_refused.inc();
            return self.refusals.refuse(stream);
        }
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%error, "cannot set TCP_NODELAY");
        }
        self.tasks.spawn(Arc::clone(&self.server).serve(stream));
    }

    /// Lets responses end and fetches be stored; cuts what takes longer than `timeout`.
    async fn drain(&self, app: &App, timeout: Duration) {
        info!("stopping");
        self.tasks.close();
        self.server.drain.cancel();
        let ended = async {
            self.tasks.wait().await;
            while app.metrics.inflight_fetches.get() > 0 {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        if tokio::time::timeout(timeout, ended).await.is_err() {
            let (connections, fetches) = (self.tasks.len(), app.metrics.inflight_fetches.get());
            warn!(connections, fetches, "shutdown_timeout is over: cutting open requests");
            self.server.stop.cancel();
            self.tasks.wait().await;
        }
    }
}

#[cfg(test)]
mod tests;
