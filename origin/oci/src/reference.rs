//! References to a manifest: a tag or a digest (OCI distribution spec, "Pulling manifests":
//! `<reference>`).

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, DigestError};

/// The reason why a text is neither a tag nor a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It contains a colon, but is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// It contains no colon, and is not a tag.
    #[error(
        "a tag consists of 1 to 128 letters, digits, `_`, `.` and `-`, and does not start with `.` or `-`"
    )]
    Tag,
}

/// A valid tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// Returns the tag of a subject's referrers list in registries without the referrers API (OCI
    /// distribution spec, "Referrers Tag Schema").
    #[must_use]
    pub fn of_referrers(subject: &Digest) -> Self {
        let hex = subject.hex().chars().take(64);
        Self(subject.algorithm().as_str().chars().chain(['-']).chain(hex).collect())
    }

    /// Returns the tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let rest = |byte: u8| word(byte) || byte == b'.' || byte == b'-';
        let starts_well = text.bytes().next().is_some_and(word);
        if starts_well && text.len() <= 128 && text.bytes().all(rest) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ReferenceError::Tag)
        }
    }
}

/// A tag, which may move to another manifest, or a digest, which never does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reference {
    /// A tag.
    Tag(Tag),
    /// A digest.
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_with_a_colon_is_a_digest() {
        assert!(matches!("v1.2-rc_3".parse(), Ok(Reference::Tag(_))));
        assert!(matches!(Digest::of(b"x").to_string().parse(), Ok(Reference::Digest(_))));
        assert!(matches!("sha256:no".parse::<Reference>(), Err(ReferenceError::Digest(_))));
    }

    #[test]
    fn the_referrers_tag_is_valid_for_every_algorithm() {
        use crate::digest::Algorithm;
        for (algorithm, prefix) in [(Algorithm::Sha256, "sha256-"), (Algorithm::Sha512, "sha512-")]
        {
            let subject = Digest::with(algorithm, b"x");
            let tag = Tag::of_referrers(&subject);
            let hex = tag.as_str().strip_prefix(prefix).unwrap();
            assert!(subject.hex().starts_with(hex) && hex.len() == 64);
            assert_eq!(tag.as_str().parse(), Ok(tag));
        }
    }

    #[test]
    fn a_reference_that_could_traverse_paths_is_rejected() {
        let long = "a".repeat(129);
        for text in ["", ".", "..", "-a", "a/b", "a b", "ü", &long] {
            assert_eq!(text.parse::<Reference>(), Err(ReferenceError::Tag), "{text}");
        }
    }
}
