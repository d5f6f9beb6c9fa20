//! Logging to standard error: lines for people, or JSON for machines.

use std::io::{IsTerminal as _, stderr};
use std::panic::set_hook;

use tracing::error;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// How log events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line for people per event, in colour on a terminal.
    Text,
    /// One JSON object per event, its fields at the top level.
    Json,
}

impl Format {
    /// Returns the format that a `--log-json` switch selects.
    #[must_use]
    pub const fn json_if(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

/// Writes the events that are still queued when it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends logging"]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// Starts logging for the whole process; `RUST_LOG` selects the events, `info` by default.
///
/// A separate thread writes, so a reader of standard error that stalls never blocks a request.
/// Beyond 128 000 queued events, new ones are lost. Panics are logged as events too.
///
/// # Panics
/// If the process logs already.
pub fn start(format: Format) -> LogGuard {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let (writer, worker) = NonBlocking::new(stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        Format::Text => log.with_ansi(stderr().is_terminal()).init(),
        Format::Json => log.json().flatten_event(true).with_span_list(false).init(),
    }
    set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or_default();
        error!(panic = message, place, "a thread panicked");
    }));
    LogGuard { _worker: worker }
}
