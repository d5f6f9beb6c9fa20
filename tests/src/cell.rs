//! One origin inside the test's own process: quick to start, and its upstream is the test's choice.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use origin::config::Config;
use origin::db::Db;
use origin::db::groups::{Role, Visibility};
use origin::metrics::Metrics;
use origin::reload::Watch;
use origin::{App, admin};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Login;

/// Where a cell keeps what outlives it; by default in its own folder, which does not.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// The database's URL.
    pub database: Option<String>,
    /// The lines of `[store]`, without its spool.
    pub store: Option<String>,
    /// It calls itself by its own address, as clients need that follow its login challenge.
    pub reachable: bool,
}

/// A running origin with a folder of its own.
#[derive(Debug)]
pub struct Cell {
    url: String,
    config: Config,
    metrics: Arc<Metrics>,
    db: Db,
    folder: TempDir,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<Result<()>>,
}

impl Cell {
    /// Starts cell 1 with this registry as upstream.
    ///
    /// # Errors
    /// It cannot be assembled.
    pub async fn start(upstream: &str) -> Result<Self> {
        Self::with(upstream, "").await
    }

    /// Starts cell 1 with further lines of configuration, which begin inside `[upstream]`.
    ///
    /// # Errors
    /// It cannot be assembled.
    pub async fn with(upstream: &str, lines: &str) -> Result<Self> {
        Self::at(&Places::default(), upstream, lines).await
    }

    /// Starts cell 1 with settings of other sections changed.
    ///
    /// # Errors
    /// It cannot be assembled.
    pub async fn tuned(
        upstream: &str,
        lines: &str,
        tune: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        Self::begin(&Places::default(), upstream, lines, tune).await
    }

    /// Starts cell 1 on a database and a store that outlive it, with further lines of configuration,
    /// which begin inside `[upstream]`.
    ///
    /// # Errors
    /// It cannot be assembled.
    pub async fn at(places: &Places, upstream: &str, lines: &str) -> Result<Self> {
        Self::begin(places, upstream, lines, |_| {}).await
    }

    async fn begin(
        places: &Places,
        upstream: &str,
        lines: &str,
        tune: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        let folder = TempDir::new()?;
        let home = folder.path().display();
        let own_database = format!("sqlite:{home}/origin.db");
        let database = places.database.as_deref().unwrap_or(&own_database);
        let own_store = format!("url = \"file://{home}/objects\"\n");
        let store = places.store.as_deref().unwrap_or(&own_store);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let known_as = if places.reachable { &url } else { "http://edge.example" };
        let text = format!(
            "[cell]\nid = 1\n[http]\nlisten = \"127.0.0.1:0\"\nexternal_url = \"{known_as}\"\n\
             [database]\nurl = \"{database}\"\n\
             [store]\nspool = \"{home}/spool\"\n{store}\
             [auth]\nsigning_key = \"{home}/key.pem\"\n\
             [upstream]\nurl = \"{upstream}\"\nread_timeout = \"2s\"\n{lines}"
        );
        let file = folder.path().join("origin.toml");
        std::fs::write(&file, &text)?;
        let (mut config, watch) = Watch::load(&file)?;
        tune(&mut config);
        let app = App::new(&config).await?;
        watch.start(&app);
        let metrics = Arc::clone(app.metrics());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let server = tokio::spawn(origin::serve(app, listener, shutdown));
        let db = admin::open(&config).await?;
        Ok(Self { url, config, metrics, db, folder, stop: Some(stop), server })
    }

    /// Its root URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its configuration file, which it watches.
    #[must_use]
    pub fn config_file(&self) -> std::path::PathBuf {
        self.folder.path().join("origin.toml")
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Where its objects lie.
    #[must_use]
    pub fn objects(&self) -> std::path::PathBuf {
        self.folder.path().join("objects")
    }

    /// Where blobs grow until they are complete.
    #[must_use]
    pub fn spool(&self) -> std::path::PathBuf {
        self.folder.path().join("spool")
    }

    /// How often it used its database so far.
    #[must_use]
    pub fn database_uses(&self) -> u64 {
        self.metrics.database_uses.get()
    }

    /// Its database.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// A login of a guest of a group; both are made where they are missing.
    ///
    /// # Errors
    /// The database fails.
    pub async fn member_of(&self, group: &str) -> Result<Login> {
        self.member_with(group, Role::Guest).await
    }

    /// A login of a member with this role; user and group are made where they are missing.
    ///
    /// # Errors
    /// The database fails.
    pub async fn member_with(&self, group: &str, role: Role) -> Result<Login> {
        admin::create_group(&self.db, group, Visibility::Private).await?;
        let username = format!("{}-of-{}", role.as_str(), group.replace('/', "-"));
        admin::create_user(&self.db, &username).await?;
        admin::add_member(&self.db, group, &username, role).await?;
        let token = admin::create_token(&self.config, &self.db, &username, "test").await?;
        Ok(Login { username, password: token.expose().to_owned() })
    }

    /// Stops it as SIGTERM would, and waits until requests under way have ended.
    ///
    /// # Errors
    /// It failed.
    pub async fn stop(mut self) -> Result<()> {
        let stop = self.stop.take().context("stopped already")?;
        let _ = stop.send(());
        (&mut self.server).await?
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.server.abort();
    }
}
