//! Child processes that end with the value that stands for them.

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

/// How long a process may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Where ports for tests are looked for: below Linux's range of outgoing connections.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 10_000;

/// A running program. Dropping it asks it to end, waits, and kills it in the end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program, its output going to `NAME.log` in `folder`.
    ///
    /// It gets a process group of its own, so that a Ctrl-C reaches its keeper first, and it dies
    /// with its keeper even where that is killed.
    ///
    /// # Errors
    /// It cannot be started.
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
        let child = spawn_for_good(command)
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// What the program is called here.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where what the program prints goes.
    #[must_use]
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// What the program has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |error| format!("{}: {error}", self.log.display()),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// How the program ended, if it did.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until `url` answers 200.
    ///
    /// # Errors
    /// The program ends first, or a minute passes; its last lines are told.
    pub async fn ready(&mut self, url: &str) -> Result<()> {
        self.answers(url, 200).await
    }

    /// Waits until `url` answers with this status.
    ///
    /// # Errors
    /// The program ends first, or a minute passes; its last lines are told.
    pub async fn answers(&mut self, url: &str, status: u16) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let client = reqwest::Client::builder().no_proxy().build()?;
        loop {
            let answer = client.get(url).timeout(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|answer| answer.status() == status) {
                return Ok(());
            }
            if let Some(status) = self.ended()? {
                bail!("{} ended ({status}):\n{}", self.name, self.last_lines());
            }
            if Instant::now() > deadline {
                bail!("{} does not answer at {url}:\n{}", self.name, self.last_lines());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Seconds of processor time the program has used so far, in user mode and in the kernel's
    /// (proc(5): fields 14 and 15 of `stat`, in hundredths of a second).
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn processor_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, after_name) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
        let ticks = after_name.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
        let ticks = ticks.sum::<Result<u32, _>>()?;
        Ok(f64::from(ticks) / 100.0)
    }

    /// Memory the program has now, in bytes (proc(5): `VmRSS` of `status`).
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next());
        let kibibytes: u64 = kibibytes.context("/proc/PID/status has no VmRSS")?.parse()?;
        Ok(kibibytes * 1024)
    }

    /// Asks the program to end and waits for it; after some seconds it is killed.
    pub fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.ask_to_end();
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

    /// Ends the program at once, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks the program to end, as the standard library, which can only kill, does not.
    pub fn ask_to_end(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }

    /// The last twenty lines of what the program printed, indented.
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

/// Starts a program from a thread that lives as long as this process: to Linux a program's parent is
/// the thread that started it, and a test's thread ends before what it shares with other tests.
fn spawn_for_good(command: Command) -> std::io::Result<Child> {
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

/// A port nobody listens on now, and which no other caller in this process gets.
///
/// The system's own choice would be from the range of outgoing connections, one of which could take
/// the port before the program that it is meant for.
///
/// # Errors
/// There is none left.
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
    bail!("no port is free from {FIRST_PORT} on")
}

/// Whether a loopback port can be bound.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).is_ok()
}
