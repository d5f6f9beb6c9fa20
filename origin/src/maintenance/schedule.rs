//! Runs the periodic work of an origin: writes read times, and sweeps the store.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::read_times::ReadTimes;
use super::sweep;
use crate::config::Config;
use crate::db::Db;
use crate::store::Store;

/// Starts and stops the periodic work.
#[derive(Debug)]
pub(crate) struct Scheduler {
    read_times: ReadTimes,
    write_interval: Duration,
    /// `None` if sweeping is disabled.
    sweeper: Option<Sweeper>,
}

#[derive(Debug, Clone)]
struct Sweeper {
    db: Db,
    store: Store,
    interval: Duration,
    grace: Duration,
}

/// Periodic work in progress; dropping it aborts the work.
#[derive(Debug)]
pub(crate) struct RunningTasks {
    tasks: JoinSet<()>,
    cancel: CancellationToken,
}

impl Scheduler {
    pub(crate) fn new(config: &Config, db: Db, store: Store, read_times: ReadTimes) -> Self {
        let (interval, grace) = (config.store.sweep_interval, config.store.orphan_grace);
        Self {
            read_times,
            write_interval: config.cache.read_times_interval(),
            sweeper: (!interval.is_zero()).then_some(Sweeper { db, store, interval, grace }),
        }
    }

    pub(crate) fn start(&self) -> RunningTasks {
        let (mut tasks, cancel) = (JoinSet::new(), CancellationToken::new());
        let (read_times, interval) = (self.read_times.clone(), self.write_interval);
        tasks.spawn(write_periodically(read_times, interval, cancel.clone()));
        if let Some(sweeper) = self.sweeper.clone() {
            tasks.spawn(cancel.clone().run_until_cancelled_owned(sweeper.run()).map(drop));
        }
        RunningTasks { tasks, cancel }
    }

    /// Stops the work and writes the read times that are still pending.
    ///
    /// A batch that is being written is awaited, not cancelled: its read times exist nowhere else.
    pub(crate) async fn stop(&self, RunningTasks { mut tasks, cancel }: RunningTasks) {
        cancel.cancel();
        while tasks.join_next().await.is_some() {}
        write(&self.read_times).await;
    }
}

impl Sweeper {
    async fn run(self) {
        let mut ticks = every(self.interval);
        loop {
            ticks.tick().await;
            sweep::sweep_and_log(&self.db, &self.store, self.grace).await;
        }
    }
}

async fn write_periodically(read_times: ReadTimes, interval: Duration, cancel: CancellationToken) {
    let mut ticks = every(interval);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        write(&read_times).await;
    }
}

async fn write(read_times: &ReadTimes) {
    if let Err(error) = read_times.write().await {
        warn!(%error, "could not write read times; the next batch retries them");
    }
}

/// Ticks at once and then at each interval. A late tick delays those after it instead of causing a
/// burst.
fn every(period: Duration) -> Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
