//! Runs the command as a process, and sends requests to it.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) fn topology(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_topology"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("TOPOLOGY_GRPC_LISTEN");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn failure(arguments: &[&str]) -> String {
    let output = topology(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// A running service, killed when it is dropped.
pub(crate) struct Service {
    pub(crate) rest: String,
    pub(crate) grpc: Option<String>,
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl HttpResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Service {
    pub(crate) fn start(config: &Path, arguments: &[&str]) -> Self {
        let config = config.to_str().unwrap();
        let mut child = topology(&["serve", "--config", config, "--listen", "127.0.0.1:0"])
            .args(arguments)
            .arg("--log-json")
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let line: Value = serde_json::from_str(&log.next().unwrap().unwrap()).unwrap();
        let address = |field| line[field].as_str().map(str::to_owned);
        Self { rest: address("address").unwrap(), grpc: address("grpc_address"), child, log }
    }

    pub(crate) fn get(&self, path: &str) -> HttpResponse {
        send(&self.rest, "GET", path, "").unwrap()
    }

    pub(crate) fn classify(&self, body: &str) -> HttpResponse {
        send(&self.rest, "POST", "/v1/classify", body).unwrap()
    }

    /// Sends a signal; the standard library can only kill.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn terminate(mut self) -> (ExitStatus, Vec<String>) {
        self.signal(Signal::TERM);
        let log = self.log.by_ref().map(Result::unwrap).collect();
        (self.child.wait().unwrap(), log)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends one request on a new connection.
pub(crate) fn send(
    address: &str,
    method: &str,
    path: &str,
    body: &str,
) -> std::io::Result<HttpResponse> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: topology\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Ok(HttpResponse { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}
