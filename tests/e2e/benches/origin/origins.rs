//! The origin under test: the release build in its own process, with one group and one member.

use std::path::Path;

use anyhow::{Context as _, Result};
use harness::client::Login;
use harness::member::guest;
use harness::origin_config::OriginConfig;
use harness::process::{Process, free_port};
use harness::program;
use origin::config::Config;
use serde_json::Value;
use tempfile::TempDir;

use crate::site::Site;

/// The group of all pulls.
const GROUP: &str = "acme";
const USER: &str = "ann";

/// The settings of an origin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'s> {
    /// `RUST_LOG`. The peers write no access log either.
    pub(crate) log: &'s str,
    /// Further lines of `[auth]`.
    pub(crate) auth: &'s str,
    /// The lines of `[cache]`.
    pub(crate) cache: &'s str,
    /// The URL of the database; a SQLite file if `None`.
    pub(crate) database: Option<&'s str>,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { log: "warn", auth: "", cache: "", database: None }
    }
}

/// A running origin.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) process: Process,
    pub(crate) port: u16,
    pub(crate) login: Login,
    token: String,
    _folder: TempDir,
}

impl Origin {
    pub(crate) async fn start(upstream: &str, setup: Setup<'_>) -> Result<Self> {
        let folder = TempDir::new()?;
        let port = free_port()?;
        let file = folder.path().join("origin.toml");
        configuration(folder.path(), port, upstream, setup)?.write(&file)?;
        let login = guest(&Config::load(&file)?, GROUP, USER).await?;
        let process = serve(&file, setup.log, port, folder.path()).await?;
        let token = token(port, &login).await?;
        Ok(Self { process, port, login, token, _folder: folder })
    }

    /// `library/app` at this origin.
    pub(crate) fn site(&self, name: &'static str) -> Site {
        let image = format!("{GROUP}/dependency_proxy/containers/library/app");
        Site::guarded(name, self.port, &image, &self.token)
    }
}

fn configuration(home: &Path, port: u16, upstream: &str, setup: Setup<'_>) -> Result<OriginConfig> {
    let config = OriginConfig::new(home, port)
        .set("http", "external_url", format!("http://127.0.0.1:{port}"))
        .set("auth", "token_life", "2h")
        .set("upstream", "url", upstream)
        .merge("auth", setup.auth)?
        .merge("cache", setup.cache)?;
    Ok(match setup.database {
        Some(database) => config.set("database", "url", database),
        None => config,
    })
}

async fn serve(file: &Path, log: &str, port: u16, folder: &Path) -> Result<Process> {
    let (origin, file) =
        (program::own("origin")?.display().to_string(), file.display().to_string());
    let log = format!("RUST_LOG={log}");
    let arguments = [&log, &origin, "serve", "--config", &file];
    let mut process = Process::start("origin", &program::system("env")?, &arguments, folder)?;
    process.wait_until_ready(&format!("http://127.0.0.1:{port}/-/liveness")).await?;
    Ok(process)
}

async fn token(port: u16, login: &Login) -> Result<String> {
    let url = format!("http://127.0.0.1:{port}/jwt/auth?service=dependency_proxy");
    let request = reqwest::Client::builder().no_proxy().build()?.get(url);
    let request = request.basic_auth(&login.username, Some(&login.password));
    let response: Value = request.send().await?.json().await?;
    Ok(response.get("token").and_then(Value::as_str).context("no token")?.to_owned())
}
