//! Groups, their members, and who may see what.

use oci::RepositoryName;

use super::{Db, DbError, exists_as, now_millis};

pub use rights::{Role, Visibility};

mod rights;

/// A group's key in this Cell's database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// Who sees the group's part of the container registry.
    pub visibility: Visibility,
    /// The user's highest role in the group and those above it. `None`: no member of any.
    pub role: Option<Role>,
}

/// A group on the way down to a path: id, path, enabled, visibility, and the user's role there.
type Step = (i64, String, i64, String, Option<String>);

impl Db {
    /// The group at `path` as `user` stands to it. `None`: there is no such group.
    ///
    /// # Errors
    /// The database fails.
    pub async fn access(&self, path: &str, user: UserId) -> Result<Option<Access>, DbError> {
        let path = path.to_lowercase();
        let steps = self.way_to(&path, Some(user)).await?;
        if steps.last().is_some_and(|(_, deepest, ..)| *deepest == path) {
            standing(&steps)
        } else {
            Ok(None)
        }
    }

    /// The group a repository belongs to, the deepest whose path begins the repository's, as `user`
    /// or anybody stands to it. `None`: no group begins it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn access_to_repository(
        &self,
        name: &RepositoryName,
        user: Option<UserId>,
    ) -> Result<Option<Access>, DbError> {
        standing(&self.way_to(name.as_str(), user).await?)
    }

    /// All groups at `path` and above it, topmost first.
    async fn way_to(&self, path: &str, user: Option<UserId>) -> Result<Vec<Step>, DbError> {
        let paths: Vec<_> = beginnings(path).collect();
        let places: Vec<_> = (2..).take(paths.len()).map(|place| format!("${place}")).collect();
        let sql = format!(
            "SELECT g.id, g.path, g.enabled, g.visibility, m.role FROM groups g
             LEFT JOIN members m ON m.group_id = g.id AND m.user_id = $1
             WHERE g.path IN ({}) ORDER BY LENGTH(g.path)",
            places.join(", ")
        );
        // Only the number of places varies.
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(user.map(|user| user.0));
        let query = paths.into_iter().fold(query, |query, path| query.bind(path.to_owned()));
        Ok(query.fetch_all(&self.pool).await?)
    }

    /// Makes a group; the group above it must be there.
    ///
    /// # Errors
    /// [`DbError::Exists`], [`DbError::Missing`] of the group above, or the database fails.
    pub async fn create_group(
        &self,
        path: &str,
        visibility: Visibility,
    ) -> Result<GroupId, DbError> {
        let path = path.to_lowercase();
        let parent = match path.rsplit_once('/') {
            Some((above, _)) => Some(self.group_id(above).await?.0),
            None => None,
        };
        const SQL: &str = "
            INSERT INTO groups (id, path, parent_id, enabled, visibility, created_at)
            SELECT COALESCE(MAX(id), 0) + 1, $1, $2, 1, $3, $4 FROM groups
            RETURNING id";
        let (id,): (i64,) = sqlx::query_as(SQL)
            .bind(&path)
            .bind(parent)
            .bind(visibility.as_str())
            .bind(now_millis())
            .fetch_one(&self.pool)
            .await
            .map_err(exists_as(&path))?;
        Ok(GroupId(id))
    }

    /// Changes who sees a group.
    ///
    /// # Errors
    /// [`DbError::Missing`], or the database fails.
    pub async fn set_visibility(&self, path: &str, to: Visibility) -> Result<(), DbError> {
        let group = self.group_id(path).await?;
        sqlx::query("UPDATE groups SET visibility = $1 WHERE id = $2")
            .bind(to.as_str())
            .bind(group.0)
            .execute(&self.pool)
            .await?;
        Ok(())
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

    /// Makes `user` a member of the group at `path`; one who is a member already gets this role.
    ///
    /// # Errors
    /// [`DbError::Missing`], or the database fails.
    pub async fn add_member(&self, path: &str, user: UserId, role: Role) -> Result<(), DbError> {
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

    /// The user of that name.
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

    async fn group_id(&self, path: &str) -> Result<GroupId, DbError> {
        let found: Option<(i64,)> = sqlx::query_as("SELECT id FROM groups WHERE path = $1")
            .bind(path.to_lowercase())
            .fetch_optional(&self.pool)
            .await?;
        let missing = || DbError::Missing { what: "group", name: path.to_owned() };
        found.map(|(id,)| GroupId(id)).ok_or_else(missing)
    }
}

/// `a/b/c` begins with `a`, `a/b` and itself.
fn beginnings(path: &str) -> impl Iterator<Item = &str> {
    let above = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
    above.chain([path])
}

/// The deepest group decides, and a role in any on the way to it counts.
fn standing(steps: &[Step]) -> Result<Option<Access>, DbError> {
    let roles: Result<Vec<_>, _> =
        steps.iter().filter_map(|(.., role)| role.as_deref()).map(Role::read).collect();
    let role = roles?.into_iter().max();
    let Some((id, _, enabled, visibility, _)) = steps.last() else { return Ok(None) };
    let visibility = Visibility::read(visibility)?;
    Ok(Some(Access { group: GroupId(*id), enabled: *enabled != 0, visibility, role }))
}
