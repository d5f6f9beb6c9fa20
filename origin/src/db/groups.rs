//! Groups, their members, and who may see what.

use super::{Db, DbError, exists_as, now_millis};

/// A group's key in this Cell's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GroupId(pub i64);

/// A user's key in this Cell's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserId(pub i64);

/// What policy needs to know of a user and a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The group asked for.
    pub group: GroupId,
    /// Whether the group's dependency proxy is switched on.
    pub enabled: bool,
    /// Whether the user is a member of the group or of one above it.
    pub member: bool,
}

impl Db {
    /// The group at `path` as `user` stands to it. `None`: there is no such group.
    ///
    /// # Errors
    /// The database fails.
    pub async fn access(&self, path: &str, user: UserId) -> Result<Option<Access>, DbError> {
        const SQL: &str = "
            WITH RECURSIVE lineage (id, parent_id) AS (
                SELECT id, parent_id FROM groups WHERE path = $1
                UNION ALL
                SELECT g.id, g.parent_id FROM groups g JOIN lineage l ON g.id = l.parent_id
            )
            SELECT g.id, g.enabled,
                (SELECT COUNT(*) FROM members
                 WHERE user_id = $2 AND group_id IN (SELECT id FROM lineage))
            FROM groups g WHERE g.path = $1";
        let row: Option<(i64, i64, i64)> = sqlx::query_as(SQL)
            .bind(path.to_lowercase())
            .bind(user.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|(id, enabled, memberships)| Access {
            group: GroupId(id),
            enabled: enabled != 0,
            member: memberships > 0,
        }))
    }

    /// Makes a group; the group above it must be there.
    ///
    /// # Errors
    /// [`DbError::Exists`], no group above, or the database fails.
    pub async fn create_group(&self, path: &str) -> Result<GroupId, DbError> {
        let path = path.to_lowercase();
        let parent = match path.rsplit_once('/') {
            Some((above, _)) => Some(self.group_id(above).await?.0),
            None => None,
        };
        const SQL: &str = "
            INSERT INTO groups (id, path, parent_id, enabled, created_at)
            SELECT COALESCE(MAX(id), 0) + 1, $1, $2, 1, $3 FROM groups
            RETURNING id";
        let (id,): (i64,) = sqlx::query_as(SQL)
            .bind(&path)
            .bind(parent)
            .bind(now_millis())
            .fetch_one(&self.pool)
            .await
            .map_err(exists_as(&path))?;
        Ok(GroupId(id))
    }

    /// Makes a user.
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

    /// Makes `user` a member of the group at `path`; once is enough.
    ///
    /// # Errors
    /// No such group, or the database fails.
    pub async fn add_member(&self, path: &str, user: UserId) -> Result<(), DbError> {
        let group = self.group_id(path).await?;
        sqlx::query(
            "INSERT INTO members (group_id, user_id, created_at) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(group.0)
        .bind(user.0)
        .bind(now_millis())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The user of that name.
    ///
    /// # Errors
    /// [`sqlx::Error::RowNotFound`] within [`DbError::Sql`], or the database fails.
    pub async fn user_id(&self, username: &str) -> Result<UserId, DbError> {
        let (id,): (i64,) = sqlx::query_as("SELECT id FROM users WHERE username = $1")
            .bind(username)
            .fetch_one(&self.pool)
            .await?;
        Ok(UserId(id))
    }

    async fn group_id(&self, path: &str) -> Result<GroupId, DbError> {
        let (id,): (i64,) = sqlx::query_as("SELECT id FROM groups WHERE path = $1")
            .bind(path.to_lowercase())
            .fetch_one(&self.pool)
            .await?;
        Ok(GroupId(id))
    }
}
