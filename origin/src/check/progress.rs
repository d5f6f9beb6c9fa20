//! What a check says while it works: a bar on a terminal, else a line every few seconds.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Defect, Observer};

/// How often a line is written where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// Tells defects on standard output, and on standard error how far the work is.
#[derive(Debug)]
pub struct Progress {
    /// Counts rows; hidden where standard error is no terminal.
    bar: ProgressBar,
    plain: bool,
    work: Mutex<Work>,
}

#[derive(Debug)]
struct Work {
    read: u64,
    to_read: u64,
    told: Instant,
}

impl Progress {
    /// Of work that has not begun.
    #[must_use]
    pub fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} rows, {msg}, {eta} left");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        let work = Work { read: 0, to_read: 0, told: Instant::now() };
        Self { bar, plain: !std::io::stderr().is_terminal(), work: Mutex::new(work) }
    }

    /// Clears the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn expect(&self, rows: u64, bytes: u64) {
        self.bar.inc_length(rows);
        self.work.lock().unwrap_or_else(PoisonError::into_inner).to_read += bytes;
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(1);
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.read += bytes;
        let message = format!("{} of {}", HumanBytes(work.read), HumanBytes(work.to_read));
        if self.plain && work.told.elapsed() >= EVERY {
            work.told = Instant::now();
            let (rows, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            eprintln!("checked {rows} of {all} rows, {message}");
        }
        self.bar.set_message(message);
    }

    /// One line; that nobody reads any more is no reason to stop mending.
    fn tell(&self, defect: &Defect) {
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
