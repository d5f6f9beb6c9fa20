//! What an origin does beside answering: it writes times of reads in batches, and sweeps the store.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
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

    /// Works until the answer is dropped.
    pub(crate) fn start(&self) -> JoinSet<()> {
        let mut work = JoinSet::new();
        work.spawn(self.clone().write_reads());
        if let Some(every) = self.sweep_every {
            work.spawn(self.clone().sweep(every));
        }
        work
    }

    /// What is left to do when the last request has ended.
    pub(crate) async fn finish(&self) {
        if let Err(error) = self.db.write_reads().await {
            warn!(%error, "when links were last read could not be written");
        }
    }

    async fn write_reads(self) {
        let mut ticks = interval(self.write_reads_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.finish().await;
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
