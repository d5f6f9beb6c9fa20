//! A server that is slow to start, shared by the tests that use it at the same time.

use std::sync::{Arc, Weak};

use anyhow::Result;
use tokio::sync::Mutex;

/// Holds a server weakly: a `static` is never dropped, so a server in it would outlive the tests.
#[derive(Debug)]
pub struct SharedServer<T>(Mutex<Weak<T>>);

impl<T> SharedServer<T> {
    /// Creates the holder without starting the server.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::const_new(Weak::new()))
    }

    /// Returns the running server, or starts one.
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

impl<T> Default for SharedServer<T> {
    fn default() -> Self {
        Self::new()
    }
}
