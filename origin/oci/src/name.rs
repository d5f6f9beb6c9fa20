//! Repository names (OCI distribution spec, "Pulling manifests": `<name>`).

use std::fmt;
use std::str::FromStr;

/// The longest name, host included, that clients support (OCI distribution spec, "Pulling manifests").
const MAX_LENGTH: usize = 255;

/// The error of a text that is not a repository name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a repository name consists of path components of lower-case letters, digits and separators"
)]
pub struct NameError;

/// A valid repository name. It is safe as a relative path: no component is empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name's path components, at least one.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let valid = text.len() <= MAX_LENGTH && text.split('/').all(is_component);
        if valid { Ok(Self(text.to_owned())) } else { Err(NameError) }
    }
}

/// Matches `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends_well = text.starts_with(alphanumeric) && text.ends_with(alphanumeric);
    ends_well && text.split(alphanumeric).all(is_separator)
}

fn is_separator(text: &str) -> bool {
    matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_match_the_specification_are_valid() {
        for name in ["alpine", "library/alpine", "a__b/c.d", "x--y/z", "0/1/2/3/4/5/6/7/8"] {
            assert!(name.parse::<RepositoryName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn any_other_name_is_rejected() {
        let long = "a".repeat(256);
        for name in ["", "/", "a/", "a//b", "A", "a..b", "a___b", ".a", "a-", "a b", "é", &long] {
            assert!(name.parse::<RepositoryName>().is_err(), "{name}");
        }
    }
}
