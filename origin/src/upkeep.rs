//! What an origin does beside answering: it writes times of reads in batches, and sweeps the store.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Config;
use crate::db::Db;
use crate::store::Store;
use crate::sweep;

/// How often, and on what.
#[derive(Debug, Clone)]
pub(crate) struct Upkeep {
    db: Db,
    store: Store,
    write_reads_every: Duration,
    sweep_every: Option<Duration>,
    grace: Duration,
}

/// Upkeep under way; it ends with this.
#[derive(Debug)]
pub(crate) struct Underway {
    work: JoinSet<()>,
    stop: CancellationToken,
}

impl Upkeep {
    pub(crate) fn new(config: &Config, db: Db, store: Store) -> Self {
        let sweep = config.store.sweep_interval;
        Self {
            db,
            store,
            write_reads_every: config.cache.read_times_interval(),
            sweep_every: (!sweep.is_zero()).then_some(sweep),
            grace: config.store.orphan_grace,
        }
    }

    pub(crate) fn start(&self) -> Underway {
        let (mut work, stop) = (JoinSet::new(), CancellationToken::new());
        work.spawn(self.clone().write_reads(stop.clone()));
        if let Some(every) = self.sweep_every {
            work.spawn(stop.clone().run_until_cancelled_owned(self.clone().sweep(every)).map(drop));
        }
        Underway { work, stop }
    }

    /// What is left to do when the last request has ended: a batch under way is written, as what it
    /// took is noted nowhere else.
    pub(crate) async fn finish(&self, Underway { mut work, stop }: Underway) {
        stop.cancel();
        while work.join_next().await.is_some() {}
        self.write().await;
    }

    async fn write(&self) {
        if let Err(error) = self.db.write_reads().await {
            warn!(%error, "when links were last read could not be written");
        }
    }

    async fn write_reads(self, stop: CancellationToken) {
        let mut ticks = interval(self.write_reads_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.write().await;
        }
    }

    async fn sweep(self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            sweep::sweep_and_log(&self.db, &self.store, self.grace).await;
        }
    }
}
