//! Many small requests: wrk with two threads and sixteen connections.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use harness::program;

use crate::site::Site;

const SECONDS: u32 = 2;

/// Measures the responses per second.
///
/// # Errors
/// wrk fails, or a response is not 200.
pub(crate) fn requests_per_second(site: &Site, end: &str) -> Result<f64> {
    let mut command = Command::new(program::system("wrk")?);
    command.args(["-t2", "-c16", &format!("-d{SECONDS}")]);
    for (name, value) in site.headers() {
        command.args(["-H", &format!("{name}: {value}")]);
    }
    let output = command.arg(site.url(end)).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let clean = output.status.success() && !said.contains("Non-2xx") && !said.contains("Socket");
    ensure!(clean, "wrk on {}: {said}{}", site.name, String::from_utf8_lossy(&output.stderr));
    let figure = said.split("Requests/sec:").nth(1).and_then(|rest| rest.split_whitespace().next());
    let figure = figure.and_then(|word| word.parse().ok());
    figure.with_context(|| format!("wrk named no figure: {said}"))
}
