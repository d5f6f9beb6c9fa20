//! The assembled origin.

use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::access::AccessCheck;
use crate::auth::{Authenticator, Service};
use crate::cache::blob::Blobs;
use crate::cache::listing::Listings;
use crate::cache::manifest::Manifests;
use crate::cache::memory::MemoryCache;
use crate::config::{self, Config};
use crate::db::Db;
use crate::http::health::Health;
use crate::maintenance::read_times::ReadTimes;
use crate::maintenance::schedule::Scheduler;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::upstream::Upstreams;

/// The parts that serve requests.
#[derive(Debug)]
pub struct App {
    pub(crate) db: Db,
    pub(crate) auth: Authenticator,
    pub(crate) access: AccessCheck<Db>,
    pub(crate) manifests: Manifests,
    pub(crate) blobs: Blobs,
    pub(crate) listings: Listings,
    pub(crate) upstreams: Upstreams,
    pub(crate) maintenance: Scheduler,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) challenge: oci::Challenge,
    pub(crate) health: Arc<Health>,
    pub(crate) http: config::Http,
    pub(crate) limits: config::Limits,
}

impl App {
    /// Assembles an origin and migrates its database.
    ///
    /// # Errors
    /// A part that the configuration names cannot be used; the message says which.
    pub async fn new(config: &Config) -> Result<Arc<Self>> {
        let db = Db::open(&config.database).await.context("[database] url")?;
        db.migrate().await?;
        let store = Store::open(&config.store)?;
        store.claim(config.cell.id).await?;
        let metrics = Metrics { database_uses: db.uses(), ..Metrics::default() };
        let metrics = Arc::new(metrics);
        let upstreams = Upstreams::new(config, Arc::clone(&metrics))?;
        let memory = MemoryCache::new(&config.cache);
        let read_times = ReadTimes::new(db.clone());
        let blobs = Blobs::new(
            &config.store,
            db.clone(),
            store.clone(),
            memory.clone(),
            read_times.clone(),
            Arc::clone(&metrics),
        )
        .with_context(|| format!("[store] spool {}", config.store.spool.display()))?;
        let rules = Arc::new(config.cache.clone());
        let health = Health::new(db.clone(), store.clone(), config.store.spool.clone());
        Ok(Arc::new(Self {
            auth: Authenticator::new(config, db.clone())?,
            maintenance: Scheduler::new(config, db.clone(), store.clone(), read_times.clone()),
            access: AccessCheck::new(db.clone(), config.auth.membership_cache),
            manifests: Manifests::new(
                db.clone(),
                store,
                memory,
                read_times,
                Arc::clone(&rules),
                &metrics,
            ),
            blobs,
            listings: Listings::new(db.clone(), rules, &metrics),
            upstreams,
            metrics,
            db,
            health: Arc::new(health),
            http: config.http.clone(),
            limits: config.limits,
            challenge: challenge(&config.http)?,
        }))
    }

    /// The origin's metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}

/// Returns the challenge that sends a client without a token to the token endpoint.
fn challenge(http: &config::Http) -> Result<oci::Challenge> {
    Ok(oci::Challenge::Bearer {
        realm: http.external_url.join("/jwt/auth")?.into(),
        service: Some(Service::DependencyProxy.as_str().to_owned()),
        scope: None,
    })
}
