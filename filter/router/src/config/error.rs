//! Configuration errors.

/// Why a configuration is rejected. The message names the rule, if the error is in one, and the
/// field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not JSON, an unknown or missing field, or a value of the wrong type.
    #[error("{field}: {problem}")]
    Json {
        /// The path of the field, such as `cache.maxEntries`; `.` is the whole document.
        field: String,
        /// The error of the JSON parser.
        problem: String,
    },
    /// An invalid value.
    #[error("{field}: {problem}")]
    Value {
        /// The path of the field.
        field: &'static str,
        /// The problem.
        problem: &'static str,
    },
    /// An invalid rule.
    #[error("rule `{rule}`, {field}: {problem}")]
    Rule {
        /// The id of the rule, or `#n` (from 1) if it has none.
        rule: String,
        /// The field of the rule, such as `classify[0].value`.
        field: String,
        /// The problem.
        problem: String,
    },
}
