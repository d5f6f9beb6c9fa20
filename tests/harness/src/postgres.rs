//! A real PostgreSQL server with its own folder and port.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::process::{Process, free_port};
use crate::program;
use crate::shared::SharedServer;
use crate::wait::until;

/// A running server. It does not flush its disk: its databases are lost with the machine.
#[derive(Debug)]
pub struct Postgres {
    programs: Programs,
    folder: TempDir,
    port: u16,
    server: Option<Process>,
    databases: AtomicU32,
}

impl Postgres {
    /// Returns the server that all tests of this process share.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub async fn shared() -> Result<Arc<Self>> {
        static SHARED: SharedServer<Postgres> = SharedServer::new();
        SHARED.get(Self::start).await
    }

    /// Starts an empty server.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub async fn start() -> Result<Self> {
        Self::with(|_| Ok(Vec::new())).await
    }

    /// Starts an empty server with further settings, such as `ssl=on`. The callback receives the
    /// server's folder, for files that settings name.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub async fn with(settings: impl FnOnce(&Path) -> Result<Vec<String>>) -> Result<Self> {
        let programs = Programs::find()?;
        let folder = TempDir::new()?;
        programs.chown(folder.path())?;
        let data = folder.path().join("data");
        programs.run(
            "initdb",
            &["-U", "app", "--auth=trust", "-E", "UTF8", "--no-locale", "-N", "-D", text(&data)?],
        )?;
        let further: String =
            settings(folder.path())?.iter().map(|line| format!("{line}\n")).collect();
        programs.chown_all(folder.path())?;
        let file = data.join("postgresql.auto.conf");
        fs::write(&file, format!("{FAST}{further}"))?;
        let (port, databases) = (free_port()?, AtomicU32::new(0));
        let mut postgres = Self { programs, folder, port, server: None, databases };
        postgres.start_again().await?;
        Ok(postgres)
    }

    /// Creates an empty database and returns its URL.
    ///
    /// # Errors
    /// The server is down.
    pub fn database(&self) -> Result<String> {
        let name = format!("test{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&format!("CREATE DATABASE {name}"))?;
        Ok(format!("postgres://app@127.0.0.1:{}/{name}", self.port))
    }

    /// Runs a statement as the server's superuser.
    ///
    /// # Errors
    /// The server is down or refuses the statement.
    pub fn sql(&self, statement: &str) -> Result<()> {
        let port = self.port.to_string();
        let to = ["-h", "127.0.0.1", "-p", &port, "-U", "app", "-d", "postgres"];
        self.programs.run("psql", &[&to[..], &["-qc", statement]].concat())
    }

    /// The port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops the server as a crash would; its databases stay.
    ///
    /// # Errors
    /// The server is not running.
    pub fn crash(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the server is not running")?;
        let data = self.folder.path().join("data");
        self.programs.run("pg_ctl", &["-D", text(&data)?, "-m", "immediate", "-w", "stop"])?;
        server.stop();
        Ok(())
    }

    /// Starts the server again, on the same port and with its databases.
    ///
    /// # Errors
    /// The server does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        let (data, port) = (self.folder.path().join("data"), self.port.to_string());
        let postgres = self.programs.path("postgres");
        let arguments = ["-D", text(&data)?, "-p", &port, "-h", "127.0.0.1", "-k", ""];
        let (program, arguments) = self.programs.line(&postgres, &arguments)?;
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let log = TempDir::new_in(self.folder.path())?.keep();
        self.server = Some(Process::start("postgres", &program, &arguments, &log)?);
        let answered = until("PostgreSQL", async || self.sql("SELECT 1").ok()).await;
        answered.with_context(|| self.server.as_ref().map(Process::last_lines).unwrap_or_default())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGTERM would wait for clients to disconnect.
        let _ = self.crash();
    }
}

/// Settings for speed. Committed data survives a crash of the server, but not of the machine.
const FAST: &str = "fsync = off\nfull_page_writes = off\n\
     shared_buffers = 16MB\nmax_connections = 200\n";

/// The programs' folder, and whether to run them as another user: PostgreSQL refuses root.
#[derive(Debug)]
struct Programs {
    folder: PathBuf,
    other_user: bool,
}

impl Programs {
    /// Debian keeps them off PATH, in one folder per version.
    fn find() -> Result<Self> {
        let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let mut folders: Vec<_> = packaged.map(|version| version.path().join("bin")).collect();
        folders.sort();
        let on_path = program::on_path("postgres").and_then(|file| Some(file.parent()?.to_owned()));
        let complete = |folder: &PathBuf| folder.join("postgres").is_file();
        let folder = folders.into_iter().rev().chain(on_path).find(complete);
        let folder = folder.context("missing: postgres; `just test` installs it; see .ci/need")?;
        Ok(Self { folder, other_user: rustix::process::geteuid().is_root() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Returns the command line that runs a program as the right user.
    fn line(&self, program: &Path, arguments: &[&str]) -> Result<(PathBuf, Vec<String>)> {
        let own: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        if !self.other_user {
            return Ok((program.to_owned(), own));
        }
        // A change of user clears the parent-death signal, so it is set again.
        let user = ["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=INT"];
        let mut all: Vec<_> = user.iter().map(|&argument| argument.to_owned()).collect();
        all.extend(["--".to_owned(), text(program)?.to_owned()]);
        all.extend(own);
        Ok((program::system("setpriv")?, all))
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let (program, arguments) = self.line(&self.path(name), arguments)?;
        let output = Command::new(program).args(arguments).current_dir("/").output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{name}: {said}");
        Ok(())
    }

    fn chown(&self, path: &Path) -> Result<()> {
        let Some(user) = self.other_user.then(user_id).transpose()? else { return Ok(()) };
        Ok(std::os::unix::fs::chown(path, Some(user), Some(user))?)
    }

    fn chown_all(&self, folder: &Path) -> Result<()> {
        for file in fs::read_dir(folder)? {
            self.chown(&file?.path())?;
        }
        Ok(())
    }
}

/// The id of the user `postgres`.
fn user_id() -> Result<u32> {
    let output = Command::new("id").args(["-u", "postgres"]).output()?;
    String::from_utf8(output.stdout)?.trim().parse().context("no user `postgres`")
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not UTF-8")
}
