//! What long work says of itself: one line on a terminal, nothing into a file or CI's log.

use std::io::{IsTerminal as _, Write as _, stderr};

/// Replaces the line said before; an empty text removes it.
pub fn say(text: &str) {
    if stderr().is_terminal() {
        // Nobody misses a progress line that cannot be written.
        let _ = write!(stderr(), "\r\x1b[2K{text}");
    }
}
