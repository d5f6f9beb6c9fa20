//! A server that is costly to start, started once for all tests that use it at the same time.

use std::sync::{Arc, Weak};

use anyhow::Result;
use tokio::sync::Mutex;

/// Holds the server for as long as anybody uses it: a `static` of its own would never be dropped, so
/// the server would outlive the tests.
#[derive(Debug)]
pub struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    /// Nothing is started yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::const_new(Weak::new()))
    }

    /// The running server, or else a new one.
    ///
    /// # Errors
    /// It does not start.
    pub async fn get(&self, start: impl AsyncFnOnce() -> Result<T>) -> Result<Arc<T>> {
        let mut known = self.0.lock().await;
        if let Some(running) = known.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(start().await?);
        *known = Arc::downgrade(&started);
        Ok(started)
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self::new()
    }
}
