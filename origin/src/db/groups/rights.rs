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
        find(Self::value_variants(), Self::as_str, text, "members")
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
        find(Self::value_variants(), Self::as_str, text, "groups")
    }
}

fn find<T: Copy>(
    all: &[T],
    name: fn(T) -> &'static str,
    text: &str,
    table: &'static str,
) -> Result<T, DbError> {
    let found = all.iter().copied().find(|value| name(*value) == text);
    found.ok_or_else(|| corrupt(table, &format!("`{text}` is no value of it")))
}
