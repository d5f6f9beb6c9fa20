//! Waiting for what is to come by itself.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// How long at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks until there is an answer.
///
/// # Errors
/// A minute passes without one.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return Ok(answer);
        }
        ensure!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks until it holds twenty times in a row: a change reaches Envoy's workers one after the other,
/// and any of them may be asked.
///
/// # Errors
/// A minute passes without.
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
