//! A cell whose origin is a real process on a folder that outlives it: killed, started again,
//! checked.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use origin::admin;
use origin::config::Config;
use origin::db::groups::{Role, Visibility};
use tempfile::TempDir;

use crate::client::{Login, Puller};
use crate::process::{Process, free_port};
use crate::wait::until;
use crate::{image, program};

/// The cell, whether an origin runs or not.
#[derive(Debug)]
pub struct LastingCell {
    folder: TempDir,
    port: u16,
    login: Login,
}

/// Where a cell's rows and objects live.
#[derive(Debug, Clone)]
pub struct Places {
    /// `[database] url`
    pub database: String,
    /// `[store]`'s lines that say where.
    pub store: String,
}

/// What `origin check` said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Its exit status; `None`: it was killed.
    pub status: Option<i32>,
    /// A line a defect.
    pub defects: Vec<String>,
    /// What it wrote to standard error.
    pub news: String,
}

impl LastingCell {
    /// Cell 1 with a database and a store in its folder, this upstream, and a member of `acme`.
    /// `store` and `cache` are further lines of these sections.
    ///
    /// # Errors
    /// The folder cannot be set up.
    pub async fn new(upstream: &str, store: &str, cache: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let home = folder.path().display();
        let places = Places {
            database: format!("sqlite:{home}/origin.db"),
            store: format!("url = \"file://{home}/objects\"\n{store}"),
        };
        Self::at(folder, &places, upstream, cache).await
    }

    /// As [`LastingCell::new`], with rows and objects elsewhere.
    ///
    /// # Errors
    /// The folder or database cannot be set up.
    pub async fn elsewhere(places: &Places, upstream: &str) -> Result<Self> {
        Self::at(TempDir::new()?, places, upstream, "").await
    }

    async fn at(folder: TempDir, places: &Places, upstream: &str, cache: &str) -> Result<Self> {
        let (home, port) = (folder.path().display(), free_port()?);
        let Places { database, store } = places;
        let text = format!(
            "[cell]\nid = 1\n\
             [http]\nlisten = \"127.0.0.1:{port}\"\nexternal_url = \"http://edge.example\"\n\
             [database]\nurl = \"{database}\"\n[store]\n{store}\nspool = \"{home}/spool\"\n\
             [auth]\nsigning_key = \"{home}/key.pem\"\n[upstream]\nurl = \"{upstream}\"\n\
             [cache]\n{cache}\n"
        );
        fs::write(folder.path().join("origin.toml"), &text)?;
        let login = seed(&Config::parse(&text)?).await?;
        Ok(Self { folder, port, login })
    }

    /// Starts its origin, which may kill itself at this moment (`POINT:times`), and waits until it
    /// serves.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(&self, kill_at: Option<&str>) -> Result<Process> {
        let variable = format!("ORIGIN_KILL_AT={}", kill_at.unwrap_or_default());
        let clear = ["-u", "ORIGIN_KILL_AT"];
        let (origin, config) = (program::own("origin")?, self.config());
        let (origin, config) = (origin.display().to_string(), config.display().to_string());
        let mut arguments = kill_at.map_or(clear.to_vec(), |_| vec![variable.as_str()]);
        arguments.extend([origin.as_str(), "--config", &config, "serve"]);
        let env = program::system("env")?;
        let mut process = Process::start("origin", &env, &arguments, self.folder.path())?;
        process.ready(&format!("{}/-/readiness", self.url())).await?;
        Ok(process)
    }

    /// Waits until an origin has been ended by SIGKILL.
    ///
    /// # Errors
    /// It ended otherwise or not at all.
    pub async fn killed(&self, process: &mut Process) -> Result<()> {
        let what = "the origin's death; `just test` builds one that can be killed at a moment";
        let status = until(what, async || process.ended().ok().flatten()).await?;
        match status.signal() {
            Some(9) => Ok(()),
            _ => bail!("the origin was not killed but ended ({status}):\n{}", process.last_lines()),
        }
    }

    /// Runs `origin check` with these options; with `kill_at` as [`LastingCell::start`].
    ///
    /// # Errors
    /// It cannot be run.
    pub fn check(&self, options: &[&str], kill_at: Option<&str>) -> Result<Checked> {
        let mut command = Command::new(program::own("origin")?);
        command.arg("--config").arg(self.config()).arg("check").args(options);
        command.env_remove("ORIGIN_KILL_AT").envs(kill_at.map(|at| ("ORIGIN_KILL_AT", at)));
        let output = command.output()?;
        let said = String::from_utf8(output.stdout)?;
        Ok(Checked {
            status: output.status.code(),
            defects: said
                .lines()
                .filter(|line| !line.starts_with("checked "))
                .map(str::to_owned)
                .collect(),
            news: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// A member's client of an image.
    ///
    /// # Errors
    /// It cannot be set up.
    pub fn puller(&self, image: &str) -> Result<Puller> {
        Puller::new(&self.url(), "acme", image, Some(&self.login))
    }

    /// Pulls a whole image by tag as a client does, and compares every byte.
    ///
    /// # Errors
    /// An answer is missing or not what it should be.
    pub async fn pull(&self, name: &str, tag: &str, image: &image::Image) -> Result<()> {
        let puller = self.puller(name)?;
        let top = puller.manifest(tag).await?;
        same("the tag", &top.body, &image.top.bytes, top.status)?;
        for manifest in image.manifests() {
            let digest = manifest.digest().to_string();
            let answer = puller.manifest(&digest).await?;
            same(&digest, &answer.body, &manifest.bytes, answer.status)?;
        }
        for blob in &image.blobs {
            let digest = oci::Digest::of(blob);
            let answer = puller.blob(&digest).await?;
            same(&digest.to_string(), &answer.body, blob, answer.status)?;
        }
        Ok(())
    }

    /// Its root URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where everything of it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its objects lie.
    #[must_use]
    pub fn objects(&self) -> PathBuf {
        self.folder.path().join("objects")
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("origin.toml")
    }
}

fn same(what: &str, got: &[u8], expected: &[u8], status: u16) -> Result<()> {
    if status != 200 || got != expected {
        bail!("{what}: status {status}, {} bytes, not the {} expected", got.len(), expected.len());
    }
    Ok(())
}

async fn seed(config: &Config) -> Result<Login> {
    let db = admin::open(config).await.context("the cell's database")?;
    admin::create_group(&db, "acme", Visibility::Private).await?;
    admin::create_user(&db, "ann").await?;
    admin::add_member(&db, "acme", "ann", Role::Guest).await?;
    let token = admin::create_token(config, &db, "ann", "test").await?;
    Ok(Login { username: "ann".to_owned(), password: token.expose().to_owned() })
}
