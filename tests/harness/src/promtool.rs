//! Prometheus' own linter for metrics.

use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::program;

/// Returns what `promtool check metrics` reports about a page in the text format, one problem a line.
///
/// # Errors
/// `promtool` is missing or fails to run.
pub async fn problems(page: &str) -> Result<Vec<String>> {
    let mut promtool = Command::new(program::system("promtool")?)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = promtool.stdin.take().context("promtool has no standard input")?;
    input.write_all(page.as_bytes()).await?;
    drop(input);
    let output = promtool.wait_with_output().await?;
    let lines = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect())
}
