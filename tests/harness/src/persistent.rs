//! A Cell whose data outlives its origin, a real process: tests kill it, start it again and check
//! it.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use origin::config::Config;
use tempfile::TempDir;

use crate::client::{Login, Puller};
use crate::member::guest;
use crate::origin_config::OriginConfig;
use crate::process::{Process, free_port};
use crate::wait::until;
use crate::{image, program};

/// A Cell, whether or not its origin runs.
#[derive(Debug)]
pub struct PersistentCell {
    folder: TempDir,
    port: u16,
    login: Login,
}

/// The database and the store of a Cell.
#[derive(Debug, Clone)]
pub struct CellStorage {
    /// The URL of the database.
    pub database: String,
    /// The lines of `[store]`, without the spool.
    pub store: String,
}

/// The result of `origin check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRun {
    /// The exit status; `None` if it was killed.
    pub status: Option<i32>,
    /// The defects, one line each.
    pub defects: Vec<String>,
    /// Its output on standard error.
    pub log: String,
}

impl PersistentCell {
    /// Creates Cell 1 with a database and a store in its folder, this upstream, and a member of
    /// `acme`. `store` and `cache` are further lines of these sections.
    ///
    /// # Errors
    /// The folder or the database cannot be set up.
    pub async fn new(upstream: &str, store: &str, cache: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let home = folder.path().display();
        let storage = CellStorage {
            database: format!("sqlite:{home}/origin.db"),
            store: format!("url = \"file://{home}/objects\"\n{store}"),
        };
        Self::create(folder, &storage, upstream, cache).await
    }

    /// Creates Cell 1 as [`Self::new`] does, with this database and store.
    ///
    /// # Errors
    /// The folder or the database cannot be set up.
    pub async fn with_storage(storage: &CellStorage, upstream: &str) -> Result<Self> {
        Self::create(TempDir::new()?, storage, upstream, "").await
    }

    async fn create(
        folder: TempDir,
        storage: &CellStorage,
        upstream: &str,
        cache: &str,
    ) -> Result<Self> {
        let port = free_port()?;
        let text = OriginConfig::new(folder.path(), port)
            .set("database", "url", storage.database.as_str())
            .set("upstream", "url", upstream)
            .merge("store", &storage.store)?
            .merge("cache", cache)?
            .to_string();
        fs::write(folder.path().join("origin.toml"), &text)?;
        let login = guest(&Config::parse(&text)?, "acme", "ann").await?;
        Ok(Self { folder, port, login })
    }

    /// Starts the origin and waits until it is ready. With `kill_at` it kills itself at this moment
    /// (`POINT:times`).
    ///
    /// # Errors
    /// The origin does not start.
    pub async fn start(&self, kill_at: Option<&str>) -> Result<Process> {
        let variable = format!("ORIGIN_KILL_AT={}", kill_at.unwrap_or_default());
        let clear = ["-u", "ORIGIN_KILL_AT"];
        let (origin, config) = (program::own("origin")?, self.config());
        let (origin, config) = (origin.display().to_string(), config.display().to_string());
        let mut arguments = kill_at.map_or(clear.to_vec(), |_| vec![variable.as_str()]);
        arguments.extend([origin.as_str(), "--config", &config, "serve"]);
        let env = program::system("env")?;
        let mut process = Process::start("origin", &env, &arguments, self.folder.path())?;
        process.wait_until_ready(&format!("{}/-/readiness", self.url())).await?;
        Ok(process)
    }

    /// Waits until an origin has died of SIGKILL.
    ///
    /// # Errors
    /// It ended otherwise, or a minute passes.
    pub async fn wait_until_killed(&self, process: &mut Process) -> Result<()> {
        let what = "the origin to kill itself; only a build with feature `inject` can";
        let status = until(what, async || process.exit_status().ok().flatten()).await?;
        match status.signal() {
            Some(9) => Ok(()),
            _ => bail!("the origin ended ({status}) and was not killed:\n{}", process.last_lines()),
        }
    }

    /// Runs `origin check` with these options; `kill_at` is as in [`Self::start`].
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn check(&self, options: &[&str], kill_at: Option<&str>) -> Result<CheckRun> {
        let mut command = Command::new(program::own("origin")?);
        command.arg("--config").arg(self.config()).arg("check").args(options);
        command.env_remove("ORIGIN_KILL_AT").envs(kill_at.map(|at| ("ORIGIN_KILL_AT", at)));
        let output = command.output()?;
        let printed = String::from_utf8(output.stdout)?;
        Ok(CheckRun {
            status: output.status.code(),
            defects: printed
                .lines()
                .filter(|line| !line.starts_with("checked "))
                .map(str::to_owned)
                .collect(),
            log: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Creates a member's client of an image.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub fn puller(&self, image: &str) -> Result<Puller> {
        Puller::new(&self.url(), "acme", image, Some(&self.login))
    }

    /// Pulls an image by tag as a client does, and compares every byte.
    ///
    /// # Errors
    /// A response is missing or wrong.
    pub async fn pull(&self, name: &str, tag: &str, image: &image::Image) -> Result<()> {
        let puller = self.puller(name)?;
        let top = puller.manifest(tag).await?;
        same("the tag", &top.body, &image.top.bytes, top.status)?;
        for manifest in image.manifests() {
            let digest = manifest.digest().to_string();
            let response = puller.manifest(&digest).await?;
            same(&digest, &response.body, &manifest.bytes, response.status)?;
        }
        for blob in &image.blobs {
            let digest = oci::Digest::of(blob);
            let response = puller.blob(&digest).await?;
            same(&digest.to_string(), &response.body, blob, response.status)?;
        }
        Ok(())
    }

    /// The root URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The folder of the configuration, the logs and, unless elsewhere, the data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of the store.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("origin.toml")
    }
}

fn same(what: &str, received: &[u8], expected: &[u8], status: u16) -> Result<()> {
    if status != 200 || received != expected {
        let (received, expected) = (received.len(), expected.len());
        bail!("{what}: status {status}, {received} bytes; expected 200 and {expected} bytes");
    }
    Ok(())
}
