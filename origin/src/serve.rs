//! Connections: accepted, bounded, answered, and ended in good order.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::{App, config, http};
use connection::Shared;
use refusal::Refusals;

mod connection;
mod descriptors;
mod exchange;
mod id;
mod line;
mod monitor;
mod outgoing;
mod part;
mod refusal;
mod wire;

/// After a failed accept, as where no file descriptor is left; else the loop would spin.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked whether the last fetch has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Serves until `shutdown`, then lets requests under way end, for `shutdown_timeout` at most.
///
/// # Errors
/// `metrics_listen` cannot be bound.
pub async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<()> {
    descriptors::make_room(app.limits.max_connections);
    let config::Http { drain_delay, shutdown_timeout, metrics_listen, .. } = app.http;
    if let Some(address) = metrics_listen {
        monitor::start(Arc::clone(&app), address).await.context("[http] metrics_listen")?;
    }
    info!(address = %listener.local_addr()?, "listening");
    let router = http::router(Arc::clone(&app));
    let shared = Shared::new(router, Arc::clone(&app.metrics), app.limits);
    let server = Server { shared, tasks: TaskTracker::new(), refusals: Refusals::default() };
    let maintenance = app.maintenance.start();
    server.accept(&listener, shutdown).await;
    app.health.drain();
    server.accept(&listener, tokio::time::sleep(drain_delay)).await;
    drop(listener);
    server.drain(&app, shutdown_timeout).await;
    app.maintenance.stop(maintenance).await;
    Ok(())
}

struct Server {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    refusals: Refusals,
}

impl Server {
    async fn accept(&self, listener: &TcpListener, until: impl Future<Output = ()>) {
        let mut until = pin!(until);
        loop {
            tokio::select! {
                biased;
                () = &mut until => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => self.admit(stream),
                    Err(error) => {
                        warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream) {
        if self.tasks.len() >= self.shared.limits.max_connections {
            self.shared.metrics.connections_refused.inc();
            return self.refusals.refuse(stream);
        }
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%error, "TCP_NODELAY could not be set");
        }
        self.tasks.spawn(Arc::clone(&self.shared).serve(stream));
    }

    /// Streams end by themselves and fetches are stored; what takes longer is cut.
    async fn drain(&self, app: &App, patience: Duration) {
        info!("stopping");
        self.tasks.close();
        self.shared.drain.cancel();
        let ended = async {
            self.tasks.wait().await;
            while app.metrics.inflight_fetches.get() > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(patience, ended).await.is_err() {
            let (connections, fetches) = (self.tasks.len(), app.metrics.inflight_fetches.get());
            warn!(connections, fetches, "cut, as shutdown_timeout is over");
            self.shared.stop.cancel();
            self.tasks.wait().await;
        }
    }
}

#[cfg(test)]
mod tests;
