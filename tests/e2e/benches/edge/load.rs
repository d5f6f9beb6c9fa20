//! The load: wrk with one thread and sixteen connections.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use harness::program;

use crate::proxies::{Proxies, Way};

/// The figures of one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    pub(crate) requests_per_second: f64,
    /// Envoy's CPU time in microseconds per request. Other load on the machine affects it less than
    /// throughput.
    pub(crate) envoy_micros: f64,
}

/// Requests `path` for some seconds, as docker does.
///
/// # Errors
/// wrk fails, or a response is not 200.
pub(crate) fn round(proxies: &Proxies, way: Way, path: &str, seconds: u32) -> Result<Round> {
    let before = proxies.envoy_seconds()?;
    let output = Command::new(program::system("wrk")?)
        .args(["-t1", "-c16", &format!("-d{seconds}")])
        .args(["-H", "User-Agent: docker/28.0.1 go/go1.23 kernel/6.1 os/linux arch/amd64"])
        .args(["-H", "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"])
        .args(["-H", &format!("Authorization: Bearer {}", "e".repeat(600))])
        .arg(format!("{}{path}", proxies.url(way)))
        .output()?;
    let after = proxies.envoy_seconds()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let clean = output.status.success() && !said.contains("Non-2xx") && !said.contains("Socket");
    ensure!(clean, "wrk on {path}, {way:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    let requests: f64 = number_before(&said, " requests in ")?;
    Ok(Round {
        requests_per_second: requests / f64::from(seconds),
        envoy_micros: (after - before) / requests * 1e6,
    })
}

fn number_before(text: &str, mark: &str) -> Result<f64> {
    let number = text.split(mark).next().and_then(|head| head.split_whitespace().next_back());
    let number = number.and_then(|word| word.parse().ok());
    number.with_context(|| format!("wrk said nothing of `{mark}`: {text}"))
}
