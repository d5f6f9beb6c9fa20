//! The origin under test: the release build, a process of its own, one group and one member.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use e2e::client::Login;
use e2e::process::{Process, free_port};
use e2e::program;
use origin::admin;
use origin::config::Config;
use origin::db::groups::{Role, Visibility};
use serde_json::Value;
use tempfile::TempDir;

use crate::site::Site;

/// The group everybody here pulls through.
const GROUP: &str = "acme";
const USER: &str = "ann";

/// How an origin differs from the usual.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup<'s> {
    /// `RUST_LOG`; the peers write no access log either.
    pub(crate) log: &'s str,
    /// Further lines of `[auth]`.
    pub(crate) auth: &'s str,
    /// The lines of `[cache]`.
    pub(crate) cache: &'s str,
    /// The database; a SQLite file where there is none.
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
        fs::write(&file, configuration(folder.path(), port, upstream, setup))?;
        let login = member(&Config::load(&file)?).await?;
        let process = serve(&file, setup.log, port, folder.path()).await?;
        let token = token(port, &login).await?;
        Ok(Self { process, port, login, token, _folder: folder })
    }

    /// `library/app`, as this origin has it.
    pub(crate) fn site(&self, name: &'static str) -> Site {
        let image = format!("{GROUP}/dependency_proxy/containers/library/app");
        Site::guarded(name, self.port, &image, &self.token)
    }
}

fn configuration(home: &Path, port: u16, upstream: &str, setup: Setup<'_>) -> String {
    let home = home.display();
    let own = format!("sqlite:{home}/origin.db");
    let (database, auth, cache) = (setup.database.unwrap_or(&own), setup.auth, setup.cache);
    format!(
        "[cell]\nid = 1\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
         external_url = \"http://127.0.0.1:{port}\"\n[database]\nurl = \"{database}\"\n\
         [store]\nurl = \"file://{home}/objects\"\nspool = \"{home}/spool\"\n\
         [auth]\nsigning_key = \"{home}/key.pem\"\ntoken_life = \"2h\"\n{auth}\n\
         [upstream]\nurl = \"{upstream}\"\n[cache]\n{cache}\n"
    )
}

async fn member(config: &Config) -> Result<Login> {
    let db = admin::open(config).await?;
    admin::create_group(&db, GROUP, Visibility::Private).await?;
    admin::create_user(&db, USER).await?;
    admin::add_member(&db, GROUP, USER, Role::Guest).await?;
    let token = admin::create_token(config, &db, USER, "bench").await?;
    Ok(Login { username: USER.to_owned(), password: token.expose().to_owned() })
}

async fn serve(file: &Path, log: &str, port: u16, folder: &Path) -> Result<Process> {
    let (origin, file) =
        (program::own("origin")?.display().to_string(), file.display().to_string());
    let log = format!("RUST_LOG={log}");
    let arguments = [&log, &origin, "serve", "--config", &file];
    let mut process = Process::start("origin", &program::system("env")?, &arguments, folder)?;
    process.ready(&format!("http://127.0.0.1:{port}/-/liveness")).await?;
    Ok(process)
}

async fn token(port: u16, login: &Login) -> Result<String> {
    let url = format!("http://127.0.0.1:{port}/jwt/auth?service=dependency_proxy");
    let request = reqwest::Client::builder().no_proxy().build()?.get(url);
    let request = request.basic_auth(&login.username, Some(&login.password));
    let answer: Value = request.send().await?.json().await?;
    Ok(answer.get("token").and_then(Value::as_str).context("no token")?.to_owned())
}
