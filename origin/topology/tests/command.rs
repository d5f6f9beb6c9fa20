//! The `topology` command, run as a process.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail by panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/topology.example.toml");

fn topology(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_topology"));
    command.args(arguments).env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn failure(arguments: &[&str]) -> String {
    let output = topology(arguments).output().unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn address_in(log_line: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(log_line).unwrap();
    line["fields"]["address"].as_str().unwrap().to_owned()
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: topology\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The standard library can only kill.
fn terminate(child: &Child) {
    kill_process(Pid::from_child(child), Signal::TERM).unwrap();
}

#[test]
fn it_serves_until_terminated_and_logs_json_when_asked() {
    let mut child = topology(&["serve", "--config", EXAMPLE, "--listen", "127.0.0.1:0"])
        .arg("--log-json")
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = address_in(&log.next().unwrap().unwrap());
    assert!(get(&address, "/health/ready").starts_with("HTTP/1.1 200 OK"));
    terminate(&child);
    assert!(child.wait().unwrap().success());
    assert!(log.next().unwrap().unwrap().contains("stopped"));
}

#[test]
fn a_configuration_can_be_checked_without_serving_it() {
    assert!(topology(&["check", "--config", EXAMPLE]).status().unwrap().success());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("topology.toml");
    std::fs::write(&file, "env = \"test\"\ncells = []\n").unwrap();
    let error = failure(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(error, format!("error: {}: cells: at least one cell is needed\n", file.display()));
}

#[test]
fn a_taken_address_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = failure(&["serve", "--config", EXAMPLE, "--listen", &address]);
    assert!(error.starts_with(&format!("error: cannot listen on {address}: ")), "{error}");
}

#[test]
fn help_names_the_options() {
    let output = topology(&["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for option in ["--config", "--listen", "127.0.0.1:9096", "--log-json", "RUST_LOG"] {
        assert!(help.contains(option), "{option}");
    }
}
