//! An origin inside the test's process: it starts fast, and the test chooses its upstream.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use origin::access::Role;
use origin::config::Config;
use origin::db::Db;
use origin::metrics::Metrics;
use origin::reload::Watch;
use origin::{App, admin};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Login;
use crate::member::member;
use crate::origin_config::OriginConfig;

/// How a Cell differs from the usual one, which keeps everything in a folder that is deleted with
/// it.
#[derive(Debug, Clone, Default)]
pub struct CellOptions {
    /// The URL of the database.
    pub database: Option<String>,
    /// The lines of `[store]`, without the spool.
    pub store: Option<String>,
    /// Its external URL is its own address, for clients that follow its challenge.
    pub own_external_url: bool,
}

/// A running origin with its own folder.
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
    /// Starts Cell 1 with this registry as upstream.
    ///
    /// # Errors
    /// The origin cannot be built.
    pub async fn start(upstream: &str) -> Result<Self> {
        Self::with_lines(upstream, "").await
    }

    /// Starts Cell 1 with further lines of configuration, which begin inside `[upstream]`.
    ///
    /// # Errors
    /// The origin cannot be built.
    pub async fn with_lines(upstream: &str, lines: &str) -> Result<Self> {
        Self::with_options(&CellOptions::default(), upstream, lines).await
    }

    /// Starts Cell 1 with further lines and a change of its loaded configuration.
    ///
    /// # Errors
    /// The origin cannot be built.
    pub async fn with_config(
        upstream: &str,
        lines: &str,
        change: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        Self::launch(&CellOptions::default(), upstream, lines, change).await
    }

    /// Starts Cell 1 with these options and further lines of configuration, which begin inside
    /// `[upstream]`.
    ///
    /// # Errors
    /// The origin cannot be built.
    pub async fn with_options(options: &CellOptions, upstream: &str, lines: &str) -> Result<Self> {
        Self::launch(options, upstream, lines, |_| {}).await
    }

    async fn launch(
        options: &CellOptions,
        upstream: &str,
        lines: &str,
        change: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        let folder = TempDir::new()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let file = folder.path().join("origin.toml");
        configuration(folder.path(), options, &url, upstream, lines)?.write(&file)?;
        let (mut config, watch) = Watch::load(&file)?;
        // `just test` runs the tests of blobs a second time without zero-copy sending.
        config.http.zero_copy = std::env::var_os("ZERO_COPY").is_none_or(|value| value != "false");
        change(&mut config);
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

    /// The root URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The configuration file, which the origin watches.
    #[must_use]
    pub fn config_file(&self) -> std::path::PathBuf {
        self.folder.path().join("origin.toml")
    }

    /// The metrics.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The folder of the store.
    #[must_use]
    pub fn objects(&self) -> std::path::PathBuf {
        self.folder.path().join("objects")
    }

    /// The folder of unfinished blobs.
    #[must_use]
    pub fn spool(&self) -> std::path::PathBuf {
        self.folder.path().join("spool")
    }

    /// The number of database queries so far.
    #[must_use]
    pub fn database_uses(&self) -> u64 {
        self.metrics.database_uses.get()
    }

    /// The database.
    #[must_use]
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Returns the login of a guest of a group, and creates both if they are missing.
    ///
    /// # Errors
    /// The database fails.
    pub async fn member_of(&self, group: &str) -> Result<Login> {
        self.member_with(group, Role::Guest).await
    }

    /// Returns the login of a member with this role, and creates user and group if they are
    /// missing.
    ///
    /// # Errors
    /// The database fails.
    pub async fn member_with(&self, group: &str, role: Role) -> Result<Login> {
        let username = format!("{}-of-{}", role.as_str(), group.replace('/', "-"));
        member(&self.config, &self.db, group, &username, role).await
    }

    /// Stops the origin as SIGTERM would, and waits until its requests have ended.
    ///
    /// # Errors
    /// The server has failed.
    pub async fn stop(mut self) -> Result<()> {
        let stop = self.stop.take().context("already stopped")?;
        let _ = stop.send(());
        (&mut self.server).await?
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn configuration(
    home: &Path,
    options: &CellOptions,
    url: &str,
    upstream: &str,
    lines: &str,
) -> Result<OriginConfig> {
    let mut config = OriginConfig::new(home, 0)
        .set("upstream", "url", upstream)
        .set("upstream", "read_timeout", "2s")
        .merge("store", options.store.as_deref().unwrap_or_default())?;
    if let Some(database) = &options.database {
        config = config.set("database", "url", database.as_str());
    }
    if options.own_external_url {
        config = config.set("http", "external_url", url);
    }
    config.merge("upstream", lines)
}
