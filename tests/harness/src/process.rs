//! Child processes that end when their value is dropped.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::program;

/// How long a process may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// The first port for tests. The range is below Linux's range for outgoing connections.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 10_000;

/// A running program. Dropping it sends SIGTERM, waits, and kills it after a grace period.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with its output in `NAME.log` in `folder`.
    ///
    /// It has its own process group, so that Ctrl-C reaches only the parent, and it ends when the
    /// parent ends, even if the parent is killed.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(name: &str, program: &Path, arguments: &[&str], folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let mut command = match program::on_path("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "TERM", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output)
            .process_group(0);
        let child = spawn_from_lasting_thread(command)
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The name of the process.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file with the program's output.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// The program's output so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("{}: {error}", self.log.display()),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// The exit status; `None` while the program runs.
    ///
    /// # Errors
    /// The system does not report it.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until a GET of `url` returns 200.
    ///
    /// # Errors
    /// The program ends first, or a minute passes; the error holds its last lines.
    pub async fn wait_until_ready(&mut self, url: &str) -> Result<()> {
        self.wait_for_status(url, 200).await
    }

    /// Waits until a GET of `url` returns this status.
    ///
    /// # Errors
    /// The program ends first, or a minute passes; the error holds its last lines.
    pub async fn wait_for_status(&mut self, url: &str, status: u16) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let client = reqwest::Client::builder().no_proxy().build()?;
        loop {
            let response = client.get(url).timeout(Duration::from_secs(2)).send().await;
            if response.is_ok_and(|response| response.status() == status) {
                return Ok(());
            }
            if let Some(status) = self.exit_status()? {
                bail!("{} ended ({status}):\n{}", self.name, self.last_lines());
            }
            if Instant::now() > deadline {
                bail!("{} does not return {status} at {url}:\n{}", self.name, self.last_lines());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The CPU time that the program has used, in seconds, user and system (proc(5): fields 14 and
    /// 15 of `stat`, in hundredths of a second).
    ///
    /// # Errors
    /// The system does not report it.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, after_name) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
        let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
        let ticks = ticks.sum::<Result<u32, _>>()?;
        Ok(f64::from(ticks) / 100.0)
    }

    /// The resident memory of the program in bytes (proc(5): `VmRSS` of `status`).
    ///
    /// # Errors
    /// The system does not report it.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        let kibibytes: u64 = kibibytes.context("/proc/PID/status has no VmRSS")?.parse()?;
        Ok(kibibytes * 1024)
    }

    /// Sends SIGTERM and waits; kills the program after a grace period.
    pub fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.terminate();
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Kills the program, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM. The standard library can only send SIGKILL.
    pub fn terminate(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// The last twenty lines of the output, indented.
    #[must_use]
    pub fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(20)).fold(String::new(), |mut text, line| {
            text.push_str("  ");
            text.push_str(line);
            text.push('\n');
            text
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts a program from a thread that lives as long as this process. Linux sends the parent-death
/// signal when the thread that started the program ends, and a test's thread ends before the
/// servers it shares with other tests.
fn spawn_from_lasting_thread(command: Command) -> std::io::Result<Child> {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static STARTER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, received) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in received {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, started) = mpsc::channel();
    STARTER.send((command, reply)).map_err(std::io::Error::other)?;
    started.recv().map_err(std::io::Error::other)?
}

/// Returns a free port, and a different one to each caller in this process.
///
/// The system would choose one from the range for outgoing connections, and such a connection could
/// take the port before the program binds it.
///
/// # Errors
/// No port is free.
pub fn free_port() -> Result<u16> {
    static HANDED_OUT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 100).unwrap_or_default() * 100;
    for _ in 0..PORTS {
        let step = first.wrapping_add(HANDED_OUT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST_PORT + step % PORTS;
        if is_free(port) {
            return Ok(port);
        }
    }
    bail!("no port from {FIRST_PORT} on is free")
}

/// Whether a port on loopback can be bound.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).is_ok()
}
