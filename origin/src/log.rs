//! The log: lines for people or JSON for machines, on standard error.

use std::io::stderr;
use std::panic::set_hook;

use tracing::error;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Starts logging. What is still to be written when the guard is dropped is written then.
///
/// A thread of its own writes: a reader that stalls holds no request up, and beyond 128 000 waiting
/// lines loses some.
pub(crate) fn start(json: bool) -> WorkerGuard {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let (writer, guard) = NonBlocking::new(stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    if json {
        log.json().flatten_event(true).with_span_list(false).init();
    } else {
        log.with_ansi(false).init();
    }
    set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or_default();
        error!(panic = message, place, "a thread panicked");
    }));
    guard
}
