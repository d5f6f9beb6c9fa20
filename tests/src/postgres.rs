//! A real PostgreSQL with a folder and a port of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::process::{Process, free_port};
use crate::program;
use crate::shared::Shared;
use crate::wait::until;

/// A running server. Its disk is not flushed: what it holds goes with it.
#[derive(Debug)]
pub struct Postgres {
    programs: Programs,
    folder: TempDir,
    port: u16,
    server: Option<Process>,
    databases: AtomicU32,
}

impl Postgres {
    /// The server that all tests of this process share.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub async fn shared() -> Result<Arc<Self>> {
        static SHARED: Shared<Postgres> = Shared::new();
        SHARED.get(Self::start).await
    }

    /// Starts an empty server.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub async fn start() -> Result<Self> {
        Self::with(|_| Ok(Vec::new())).await
    }

    /// Starts an empty server with these settings, as `ssl=on`; the folder given is the server's, for
    /// files they name.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub async fn with(settings: impl FnOnce(&Path) -> Result<Vec<String>>) -> Result<Self> {
        let programs = Programs::find()?;
        let folder = TempDir::new()?;
        programs.give(folder.path())?;
        let data = folder.path().join("data");
        programs.run(
            "initdb",
            &["-U", "app", "--auth=trust", "-E", "UTF8", "--no-locale", "-N", "-D", text(&data)?],
        )?;
        let further: String =
            settings(folder.path())?.iter().map(|line| format!("{line}\n")).collect();
        programs.give_all(folder.path())?;
        let file = data.join("postgresql.auto.conf");
        fs::write(&file, format!("{QUICK}{further}"))?;
        let (port, databases) = (free_port()?, AtomicU32::new(0));
        let mut postgres = Self { programs, folder, port, server: None, databases };
        postgres.resume().await?;
        Ok(postgres)
    }

    /// Makes an empty database; gives its URL.
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
    /// The server is down, or refuses.
    pub fn sql(&self, statement: &str) -> Result<()> {
        let port = self.port.to_string();
        let to = ["-h", "127.0.0.1", "-p", &port, "-U", "app", "-d", "postgres"];
        self.programs.run("psql", &[&to[..], &["-qc", statement]].concat())
    }

    /// Its port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends the server as a crash would; its databases stay.
    ///
    /// # Errors
    /// It was not running.
    pub fn pause(&mut self) -> Result<()> {
        let mut server = self.server.take().context("stopped already")?;
        let data = self.folder.path().join("data");
        self.programs.run("pg_ctl", &["-D", text(&data)?, "-m", "immediate", "-w", "stop"])?;
        server.stop();
        Ok(())
    }

    /// Starts the server again where it was.
    ///
    /// # Errors
    /// It does not start.
    pub async fn resume(&mut self) -> Result<()> {
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
        // A plain SIGTERM would wait for clients to go.
        let _ = self.pause();
    }
}

/// What was committed outlives the server's crash, though not the machine's.
const QUICK: &str = "fsync = off\nfull_page_writes = off\n\
     shared_buffers = 16MB\nmax_connections = 200\n";

/// Where the programs are, and as whom they run: PostgreSQL refuses root.
#[derive(Debug)]
struct Programs {
    folder: PathBuf,
    other_user: bool,
}

impl Programs {
    /// Debian keeps them off PATH, a folder a version.
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

    /// The command line that runs a program as the right user.
    fn line(&self, program: &Path, arguments: &[&str]) -> Result<(PathBuf, Vec<String>)> {
        let own: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        if !self.other_user {
            return Ok((program.to_owned(), own));
        }
        // A change of user forgets whose end a program follows: it is said again.
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

    fn give(&self, path: &Path) -> Result<()> {
        let Some(user) = self.other_user.then(user_id).transpose()? else { return Ok(()) };
        Ok(std::os::unix::fs::chown(path, Some(user), Some(user))?)
    }

    fn give_all(&self, folder: &Path) -> Result<()> {
        for file in fs::read_dir(folder)? {
            self.give(&file?.path())?;
        }
        Ok(())
    }
}

/// The number of the user `postgres`.
fn user_id() -> Result<u32> {
    let output = Command::new("id").args(["-u", "postgres"]).output()?;
    String::from_utf8(output.stdout)?.trim().parse().context("there is no user `postgres`")
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}
