//! A claim: something that exactly one Cell owns, such as a top-level path or an organization.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

/// The kinds of claim in GitLab's `types.v1.Claim`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named after its field in GitLab's message")]
pub enum ClaimKind {
    Route,
    OrganizationPath,
    RedirectRoute,
    Username,
    Email,
    ProjectId,
    NamespaceId,
    GpgKey,
    SshKey,
    UserId,
    OrganizationId,
    ServiceDeskCustomEmail,
    GpgKeyFingerprint,
    SshKeyFingerprint,
    SnippetId,
    PagesDomain,
    PagesUniqueDomain,
}

impl ClaimKind {
    /// Every kind, in the order of GitLab's field numbers.
    pub const ALL: [Self; 17] = [
        Self::Route,
        Self::OrganizationPath,
        Self::RedirectRoute,
        Self::Username,
        Self::Email,
        Self::ProjectId,
        Self::NamespaceId,
        Self::GpgKey,
        Self::SshKey,
        Self::UserId,
        Self::OrganizationId,
        Self::ServiceDeskCustomEmail,
        Self::GpgKeyFingerprint,
        Self::SshKeyFingerprint,
        Self::SnippetId,
        Self::PagesDomain,
        Self::PagesUniqueDomain,
    ];

    /// Returns the name of the field in the proto file and in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.names().0
    }

    /// Returns the name of the field in JSON.
    #[must_use]
    pub const fn json_name(self) -> &'static str {
        self.names().1
    }

    /// Returns the kind with this name, in either spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name || kind.json_name() == name)
    }

    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Route => ("route", "route"),
            Self::OrganizationPath => ("organization_path", "organizationPath"),
            Self::RedirectRoute => ("redirect_route", "redirectRoute"),
            Self::Username => ("username", "username"),
            Self::Email => ("email", "email"),
            Self::ProjectId => ("project_id", "projectId"),
            Self::NamespaceId => ("namespace_id", "namespaceId"),
            Self::GpgKey => ("gpg_key", "gpgKey"),
            Self::SshKey => ("ssh_key", "sshKey"),
            Self::UserId => ("user_id", "userId"),
            Self::OrganizationId => ("organization_id", "organizationId"),
            Self::ServiceDeskCustomEmail => ("service_desk_custom_email", "serviceDeskCustomEmail"),
            Self::GpgKeyFingerprint => ("gpg_key_fingerprint", "gpgKeyFingerprint"),
            Self::SshKeyFingerprint => ("ssh_key_fingerprint", "sshKeyFingerprint"),
            Self::SnippetId => ("snippet_id", "snippetId"),
            Self::PagesDomain => ("pages_domain", "pagesDomain"),
            Self::PagesUniqueDomain => ("pages_unique_domain", "pagesUniqueDomain"),
        }
    }

    const fn value_type(self) -> ValueType {
        match self {
            Self::Route | Self::OrganizationPath | Self::RedirectRoute => ValueType::Segment,
            Self::Username
            | Self::Email
            | Self::ServiceDeskCustomEmail
            | Self::PagesDomain
            | Self::PagesUniqueDomain => ValueType::FoldedText,
            Self::GpgKey | Self::SshKey | Self::GpgKeyFingerprint | Self::SshKeyFingerprint => {
                ValueType::ExactText
            }
            Self::ProjectId
            | Self::NamespaceId
            | Self::UserId
            | Self::OrganizationId
            | Self::SnippetId => ValueType::Number,
        }
    }
}

/// The type of a claim's value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ValueType {
    /// One segment of a path, compared without regard to letter case, as in GitLab.
    Segment,
    /// Text compared without regard to letter case: names, mail addresses, domains.
    FoldedText,
    /// Text compared byte by byte: keys and fingerprints.
    ExactText,
    Number,
}

/// One claim: its kind, and a value of the type that the kind requires.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    kind: ClaimKind,
    value: Scalar,
}

impl Claim {
    /// Makes a claim of text, or for a numeric kind of a number or its decimal digits.
    ///
    /// # Errors
    /// The value is not of the kind's type; the text says what is expected.
    pub fn new(kind: ClaimKind, value: Scalar) -> Result<Self, &'static str> {
        let value = match (kind.value_type(), value) {
            (ValueType::Number, Scalar::Text(text)) => {
                Scalar::Number(text.parse().map_err(|_| "expected a whole number of 64 bits")?)
            }
            (ValueType::Number, number) => number,
            (_, Scalar::Number(_)) => return Err("expected a string"),
            (_, text) => text,
        };
        Ok(Self { kind, value })
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> ClaimKind {
        self.kind
    }

    /// Returns the value as it was given.
    #[must_use]
    pub fn value(&self) -> &Scalar {
        &self.value
    }

    /// Checks what a claim in the directory must satisfy; a request may name anything.
    ///
    /// # Errors
    /// The value is empty, not positive, or a path below the top level.
    pub fn check_ownable(&self) -> Result<(), &'static str> {
        match &self.value {
            Scalar::Number(number) if *number <= 0 => Err("expected a positive number"),
            Scalar::Text(text) if text.is_empty() => Err("expected a value"),
            Scalar::Text(text)
                if self.kind.value_type() == ValueType::Segment && text.contains('/') =>
            {
                Err("only the top-level segment of a path can be claimed; the value has a slash")
            }
            _ => Ok(()),
        }
    }

    /// Returns the claim as the directory compares it: in lower case if the kind ignores case.
    #[must_use]
    pub fn folded(&self) -> Self {
        let value = match (&self.value, self.kind.value_type()) {
            (Scalar::Text(text), ValueType::Segment | ValueType::FoldedText) => {
                Scalar::Text(text.to_ascii_lowercase())
            }
            (value, _) => value.clone(),
        };
        Self { kind: self.kind, value }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Scalar::Text(text) => write!(f, "{} {text:?}", self.kind.name()),
            Scalar::Number(number) => write!(f, "{} {number}", self.kind.name()),
        }
    }
}

/// Text or a whole number, as a claim is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// A string.
    Text(String),
    /// A whole number of 64 bits.
    Number(i64),
}

impl Scalar {
    /// Returns the string, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Number(_) => None,
        }
    }

    /// Returns the number, if it is one.
    #[must_use]
    pub const fn as_number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => text.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

// `#[serde(untagged)]` would report "did not match any variant" for every error.
struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a whole number of 64 bits")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Scalar, E> {
        i64::try_from(number)
            .map(Scalar::Number)
            .map_err(|_| E::invalid_value(serde::de::Unexpected::Unsigned(number), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: ClaimKind, value: &str) -> Claim {
        Claim::new(kind, Scalar::Text(value.to_owned())).unwrap()
    }

    #[test]
    fn every_kind_is_found_by_both_of_its_names() {
        for kind in ClaimKind::ALL {
            assert_eq!(ClaimKind::from_name(kind.name()), Some(kind));
            assert_eq!(ClaimKind::from_name(kind.json_name()), Some(kind));
        }
        assert_eq!(ClaimKind::from_name("Route"), None);
    }

    #[test]
    fn a_number_claim_takes_a_number_or_its_digits() {
        let number = Claim::new(ClaimKind::OrganizationId, Scalar::Number(1001)).unwrap();
        assert_eq!(number, text(ClaimKind::OrganizationId, "1001"));
        assert!(Claim::new(ClaimKind::ProjectId, Scalar::Text("1e3".to_owned())).is_err());
        assert!(Claim::new(ClaimKind::Route, Scalar::Number(1)).is_err());
    }

    #[test]
    fn letter_case_matters_for_keys_and_not_for_paths() {
        assert_eq!(text(ClaimKind::Route, "Acme").folded(), text(ClaimKind::Route, "acme"));
        assert_eq!(text(ClaimKind::SshKey, "AbC").folded(), text(ClaimKind::SshKey, "AbC"));
    }

    #[test]
    fn only_the_top_level_of_a_path_can_be_owned() {
        assert!(text(ClaimKind::Route, "acme").check_ownable().is_ok());
        assert!(text(ClaimKind::Route, "acme/team").check_ownable().is_err());
        assert!(text(ClaimKind::RedirectRoute, "acme/team").check_ownable().is_err());
        assert!(text(ClaimKind::Route, "").check_ownable().is_err());
        assert!(text(ClaimKind::SshKey, "AAAA/b+c=").check_ownable().is_ok());
    }
}
