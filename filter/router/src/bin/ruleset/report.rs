//! The result of a subcommand.

/// The text to print, and whether the exit status is success.
pub(crate) struct Report {
    pub(crate) text: String,
    pub(crate) success: bool,
}
