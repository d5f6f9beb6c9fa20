//! What a group's owners decide about others: a member's role, and who sees the group at all.

use clap::ValueEnum;

use crate::db::{DbError, corrupt};

/// A member's role, each holding the rights of those before it (GitLab: "Roles and permissions").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Role {
    /// Pulls through the dependency proxy.
    Guest,
    /// Pulls from the container registry too.
    Reporter,
    /// Pushes to it.
    Developer,
    /// Deletes from it.
    Maintainer,
    /// All of this.
    Owner,
}

/// Who may pull from a group's part of the container registry without being a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Visibility {
    /// Nobody.
    Private,
    /// Anybody, logged in or not.
    Public,
}

impl Role {
    /// As the database spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Reporter => "reporter",
            Self::Developer => "developer",
            Self::Maintainer => "maintainer",
            Self::Owner => "owner",
        }
    }

    pub(super) fn read(text: &str) -> Result<Self, DbError> {
        let role = Self::value_variants().iter().find(|role| role.as_str() == text);
        role.copied().ok_or_else(|| corrupt("members", &format!("`{text}` is no role")))
    }
}

impl Visibility {
    /// As the database spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Public => "public",
        }
    }

    pub(super) fn read(text: &str) -> Result<Self, DbError> {
        let visibility = Self::value_variants().iter().find(|known| known.as_str() == text);
        visibility.copied().ok_or_else(|| corrupt("groups", &format!("`{text}` is no visibility")))
    }
}
