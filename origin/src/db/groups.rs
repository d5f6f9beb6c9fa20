//! Groups, users and members.

use std::str::FromStr;

use gitlab::group_path::{GroupPath, lineage};
use oci::RepositoryName;

use super::{Db, DbError, corrupt, exists_as, now_millis};
use crate::access::{Access, GroupId, Memberships, Role, UserId, Visibility};

/// A group on the way from the top to a path: id, path, enabled, visibility, and the user's role.
type GroupRow = (i64, String, i64, String, Option<String>);

impl Memberships for Db {
    type Error = DbError;

    async fn access(&self, group: &GroupPath, user: UserId) -> Result<Option<Access>, DbError> {
        let rows = self.lineage_of(group.as_str(), Some(user)).await?;
        if rows.last().is_some_and(|(_, deepest, ..)| deepest == group.as_str()) {
            access_of(&rows)
        } else {
            Ok(None)
        }
    }
}

impl Db {
    /// Looks up the group a repository belongs to (the deepest one whose path is a prefix of the
    /// repository's name), and the rights in it of a user, or of everyone. Returns `None` if no group
    /// has such a path.
    ///
    /// # Errors
    /// The database fails.
    pub async fn access_to_repository(
        &self,
        name: &RepositoryName,
        user: Option<UserId>,
    ) -> Result<Option<Access>, DbError> {
        access_of(&self.lineage_of(name.as_str(), user).await?)
    }

    /// Returns the groups at `path` and above it, topmost first.
    async fn lineage_of(&self, path: &str, user: Option<UserId>) -> Result<Vec<GroupRow>, DbError> {
        let paths: Vec<_> = lineage(path).collect();
        let places: Vec<_> = (2..).take(paths.len()).map(|place| format!("${place}")).collect();
        let sql = format!(
            "SELECT g.id, g.path, g.enabled, g.visibility, m.role FROM groups g
             LEFT JOIN members m ON m.group_id = g.id AND m.user_id = $1
             WHERE g.path IN ({}) ORDER BY LENGTH(g.path)",
            places.join(", ")
        );
        // Safe: only the number of placeholders varies.
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(user.map(|user| user.0));
        let query = paths.into_iter().fold(query, |query, path| query.bind(path.to_owned()));
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// Creates a group; its parent group must exist.
    ///
    /// # Errors
    /// [`DbError::Exists`], [`DbError::Missing`] for the parent group, or the database fails.
    pub async fn create_group(
        &self,
        path: &GroupPath,
        visibility: Visibility,
    ) -> Result<GroupId, DbError> {
        let parent = match path.parent() {
            Some(parent) => Some(self.group_id(&parent).await?.0),
            None => None,
        };
        const SQL: &str = "
            INSERT INTO groups (id, path, parent_id, enabled, visibility, created_at)
            SELECT COALESCE(MAX(id), 0) + 1, $1, $2, 1, $3, $4 FROM groups
            RETURNING id";
        let (id,): (i64,) = sqlx::query_as(SQL)
            .bind(path.as_str())
            .bind(parent)
            .bind(visibility.as_str())
            .bind(now_millis())
            .fetch_one(&self.pool)
            .await
            .map_err(exists_as(path.as_str()))?;
        Ok(GroupId(id))
    }

    /// Changes a group's visibility.
    ///
    /// # Errors
    /// [`DbError::Missing`], or the database fails.
    pub async fn set_visibility(&self, path: &GroupPath, to: Visibility) -> Result<(), DbError> {
        let group = self.group_id(path).await?;
        sqlx::query("UPDATE groups SET visibility = $1 WHERE id = $2")
            .bind(to.as_str())
            .bind(group.0)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Creates a user.
    ///
    /// # Errors
    /// [`DbError::Exists`], or the database fails.
    pub async fn create_user(&self, username: &str) -> Result<UserId, DbError> {
        const SQL: &str = "
            INSERT INTO users (id, username, created_at)
            SELECT COALESCE(MAX(id), 0) + 1, $1, $2 FROM users
            RETURNING id";
        let (id,): (i64,) = sqlx::query_as(SQL)
            .bind(username)
            .bind(now_millis())
            .fetch_one(&self.pool)
            .await
            .map_err(exists_as(username))?;
        Ok(UserId(id))
    }

    /// Makes a user a member of a group, or changes the role of an existing member.
    ///
    /// # Errors
    /// [`DbError::Missing`], or the database fails.
    pub async fn add_member(
        &self,
        path: &GroupPath,
        user: UserId,
        role: Role,
    ) -> Result<(), DbError> {
        let group = self.group_id(path).await?;
        sqlx::query(
            "INSERT INTO members (group_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (group_id, user_id) DO UPDATE SET role = excluded.role",
        )
        .bind(group.0)
        .bind(user.0)
        .bind(role.as_str())
        .bind(now_millis())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Looks a user up by name.
    ///
    /// # Errors
    /// [`DbError::Missing`], or the database fails.
    pub async fn user_id(&self, username: &str) -> Result<UserId, DbError> {
        let found: Option<(i64,)> = sqlx::query_as("SELECT id FROM users WHERE username = $1")
            .bind(username)
            .fetch_optional(&self.pool)
            .await?;
        let missing = || DbError::Missing { what: "user", name: username.to_owned() };
        found.map(|(id,)| UserId(id)).ok_or_else(missing)
    }

    async fn group_id(&self, path: &GroupPath) -> Result<GroupId, DbError> {
        let found: Option<(i64,)> = sqlx::query_as("SELECT id FROM groups WHERE path = $1")
            .bind(path.as_str())
            .fetch_optional(&self.pool)
            .await?;
        let missing = || DbError::Missing { what: "group", name: path.to_string() };
        found.map(|(id,)| GroupId(id)).ok_or_else(missing)
    }
}

/// Combines a group with its ancestors: the deepest group decides about visibility and whether the
/// proxy is enabled; the highest role in any of them counts.
fn access_of(rows: &[GroupRow]) -> Result<Option<Access>, DbError> {
    let Some((id, _, enabled, visibility, _)) = rows.last() else { return Ok(None) };
    let roles = rows.iter().filter_map(|(.., role)| role.as_deref());
    let roles: Vec<Role> = roles.map(|role| parse("members", role)).collect::<Result<_, _>>()?;
    let (role, visibility) = (roles.into_iter().max(), parse("groups", visibility)?);
    Ok(Some(Access { group: GroupId(*id), enabled: *enabled != 0, visibility, role }))
}

fn parse<T: FromStr>(table: &'static str, value: &str) -> Result<T, DbError> {
    value.parse().map_err(|_| corrupt(table, &format!("unknown value `{value}`")))
}
