//! A progress line for long work: on a terminal only, not in a file or CI's log.

use std::io::{IsTerminal as _, Write as _, stderr};

/// Replaces the progress line; an empty text removes it.
pub fn show(text: &str) {
    if stderr().is_terminal() {
        // A progress line is not worth an error.
        let _ = write!(stderr(), "\r\x1b[2K{text}");
    }
}
