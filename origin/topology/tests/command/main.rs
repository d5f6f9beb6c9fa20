//! The `topology` command, run as a process.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail by panic")]

mod interfaces;
mod process;
mod reload;

use process::{Service, failure, topology};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/topology.example.toml");

#[test]
fn it_serves_until_sigterm_and_logs_json() {
    let service = Service::start(EXAMPLE.as_ref(), &[]);
    assert_eq!(service.get("/health/ready").status, 200);
    let (status, log) = service.terminate();
    assert!(status.success());
    assert!(log.last().unwrap().contains("stopped"), "{log:?}");
}

#[test]
fn grpc_is_served_only_if_an_address_is_given() {
    let service = Service::start(EXAMPLE.as_ref(), &[]);
    assert_eq!(service.grpc, None);
    let listen = ["--grpc-listen", "127.0.0.1:0"];
    let service = Service::start(EXAMPLE.as_ref(), &listen);
    assert!(service.grpc.is_some());
}

#[test]
fn check_reports_errors_without_serving() {
    assert!(topology(&["check", "--config", EXAMPLE]).status().unwrap().success());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("topology.toml");
    std::fs::write(&file, "env = \"test\"\ncells = []\n").unwrap();
    let error = failure(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(error, format!("error: {}: cells: at least one cell is needed\n", file.display()));
}

#[test]
fn an_address_in_use_is_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = ["serve", "--config", EXAMPLE, "--listen"];
    let rest = failure(&[&arguments[..], &[&address]].concat());
    let free = [&arguments[..], &["127.0.0.1:0", "--grpc-listen", &address]].concat();
    for error in [rest, failure(&free)] {
        assert!(error.starts_with(&format!("error: cannot listen on {address}: ")), "{error}");
    }
}

#[test]
fn help_lists_the_options() {
    let output = topology(&["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for option in [
        "--config",
        "--listen",
        "127.0.0.1:9096",
        "--grpc-listen",
        "TOPOLOGY_GRPC_LISTEN",
        "127.0.0.1:9095",
        "--log-json",
        "RUST_LOG",
        "SIGHUP",
    ] {
        assert!(help.contains(option), "{option}");
    }
}
