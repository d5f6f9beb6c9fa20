//! The rights a group's owners grant: a member's role, and the group's visibility.

use strum::{EnumIter, EnumMessage, EnumString, IntoStaticStr};

/// A member's role. Each role includes the rights of the roles before it.
/// Source: GitLab, "Roles and permissions".
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    EnumString,
    IntoStaticStr,
    EnumIter,
    EnumMessage,
)]
#[strum(serialize_all = "lowercase")]
pub enum Role {
    /// Pulls through the dependency proxy.
    Guest,
    /// Pulls from the container registry.
    Reporter,
    /// Pushes to the container registry.
    Developer,
    /// Deletes from the container registry.
    Maintainer,
    /// Has all rights.
    Owner,
}

/// Who may pull from a group's container registry without being a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr, EnumIter, EnumMessage)]
#[strum(serialize_all = "lowercase")]
pub enum Visibility {
    /// Only members pull.
    Private,
    /// Everyone pulls, logged in or not.
    Public,
}

impl Role {
    /// Returns the role's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Visibility {
    /// Returns the visibility's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
