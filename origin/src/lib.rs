//! A Cell's dependency proxy: a pull-through cache of container registries.
//!
//! A request walks `http` (parse) → `auth` → `policy` → `cache` → `db`, `store` and `upstream`, and
//! back as a response; every failure leaves through `error`.

pub mod admin;
pub mod auth;
mod backoff;
pub mod body;
pub mod cache;
pub mod config;
pub mod db;
pub mod error;
pub mod gate;
pub mod http;
pub mod inject;
pub mod maintenance;
pub mod metrics;
pub mod policy;
pub mod reload;
mod serve;
pub mod store;
pub mod upstream;

use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::auth::Authenticator;
use crate::cache::blob::Blobs;
use crate::cache::listing::Listings;
use crate::cache::manifest::Manifests;
use crate::cache::memory::MemoryCache;
use crate::config::Config;
use crate::db::Db;
use crate::gate::Gate;
use crate::http::health::Health;
use crate::maintenance::read_times::ReadTimes;
use crate::maintenance::schedule::Scheduler;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::upstream::Upstreams;

pub use serve::serve;

/// Everything a request may need.
#[derive(Debug)]
pub struct App {
    db: Db,
    auth: Authenticator,
    gate: Gate,
    manifests: Manifests,
    blobs: Blobs,
    listings: Listings,
    upstreams: Upstreams,
    maintenance: Scheduler,
    metrics: Arc<Metrics>,
    challenge: oci::Challenge,
    health: Health,
    http: config::Http,
    limits: config::Limits,
}

impl App {
    /// Assembles an origin and brings its schema up to date.
    ///
    /// # Errors
    /// A part named in the configuration cannot be used; the text says which.
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
        let realm = config.http.external_url.join("/jwt/auth")?;
        Ok(Arc::new(Self {
            auth: Authenticator::new(config, db.clone())?,
            maintenance: Scheduler::new(config, db.clone(), store.clone(), read_times.clone()),
            gate: Gate::new(db.clone(), config.auth.membership_cache),
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
            health,
            http: config.http.clone(),
            limits: config.limits,
            challenge: oci::Challenge::Bearer {
                realm: realm.into(),
                service: Some(auth::Service::DependencyProxy.as_str().to_owned()),
                scope: None,
            },
        }))
    }

    /// What its parts count.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}
