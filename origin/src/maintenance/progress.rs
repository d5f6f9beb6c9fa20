//! Shows the progress of a check: a bar on a terminal, otherwise one line every few seconds.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::check::{Defect, Observer};

/// How often a line is printed if standard error is not a terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Prints defects to standard output, and the progress to standard error.
#[derive(Debug)]
pub struct Progress {
    /// Counts rows. It is hidden if standard error is not a terminal.
    bar: ProgressBar,
    prints_lines: bool,
    state: Mutex<ProgressState>,
}

#[derive(Debug)]
struct ProgressState {
    bytes_read: u64,
    total_bytes: u64,
    last_line: Instant,
}

impl Progress {
    /// Shows the progress of a check that has not started.
    #[must_use]
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} rows, {msg}, {eta} left");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        let state = ProgressState { bytes_read: 0, total_bytes: 0, last_line: Instant::now() };
        let prints_lines = !std::io::stderr().is_terminal();
        Self { bar, prints_lines, state: Mutex::new(state) }
    }

    /// Clears the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn add_total(&self, rows: u64, bytes: u64) {
        self.bar.inc_length(rows);
        self.state.lock().unwrap_or_else(PoisonError::into_inner).total_bytes += bytes;
    }

    fn row_checked(&self, bytes: u64) {
        self.bar.inc(1);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.bytes_read += bytes;
        let message =
            format!("{} of {}", HumanBytes(state.bytes_read), HumanBytes(state.total_bytes));
        if self.prints_lines && state.last_line.elapsed() >= LINE_INTERVAL {
            state.last_line = Instant::now();
            let (rows, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            eprintln!("checked {rows} of {all} rows, {message}");
        }
        self.bar.set_message(message);
    }

    /// Prints one line. A write error, such as a closed pipe, is ignored so that repairs continue.
    fn defect(&self, defect: &Defect) {
        self.bar.suspend(|| {
            let _ = writeln!(std::io::stdout(), "{defect}");
        });
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
