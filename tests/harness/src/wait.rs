//! Waiting until something holds.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// The longest wait.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Calls `check` until it returns a value.
///
/// # Errors
/// A minute passes without a value.
pub async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        if let Some(value) = check().await {
            return Ok(value);
        }
        ensure!(Instant::now() < deadline, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until `holds` is true twenty times in a row: a change reaches Envoy's workers one by one,
/// and any of them may serve a request.
///
/// # Errors
/// A minute passes before that.
pub async fn until_settled(what: &str, mut holds: impl AsyncFnMut() -> bool) -> Result<()> {
    until(what, async || {
        for _ in 0..20 {
            if !holds().await {
                return None;
            }
        }
        Some(())
    })
    .await
}
