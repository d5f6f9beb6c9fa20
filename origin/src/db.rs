//! The Cell's database: one SQL text for SQLite and PostgreSQL, one file per topic.

use std::cmp::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::MigrateError;
use sqlx::{Any, AnyPool, Connection as _, Executor as _, Transaction};

use crate::config::{self, ExposeSecret as _};

use migrations::MIGRATIONS;

pub mod audit;
pub mod blobs;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod groups;
pub mod links;
pub mod listings;
pub mod manifests;
mod migrations;
pub mod tags;
pub mod tokens;

/// Why a query or a migration failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database failed or is unreachable.
    #[error("the database failed: {0}")]
    Sql(#[from] sqlx::Error),
    /// The schema could not be migrated.
    #[error("the database schema could not be migrated: {0}")]
    Migrate(#[from] MigrateError),
    /// A newer version of this program has migrated the schema.
    #[error(
        "the database schema has version {found}, but this program supports at most {known}: a newer \
         origin has migrated it. Run that version, or restore a backup made before the migration"
    )]
    Newer {
        /// The schema's version.
        found: i64,
        /// The last version this program knows.
        known: i64,
    },
    /// The schema is out of date.
    #[error(
        "the database schema has version {found}, but this program needs {known}: run \
         `origin migrate`"
    )]
    Older {
        /// The schema's version.
        found: i64,
        /// The version this program needs.
        known: i64,
    },
    /// A row holds a value that no version of this program writes.
    #[error("table `{table}` holds an invalid row: {why}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong with the row.
        why: String,
    },
    /// The name is taken.
    #[error("`{0}` already exists")]
    Exists(String),
    /// No row has this name.
    #[error("{what} `{name}` does not exist")]
    Missing {
        /// The kind of row.
        what: &'static str,
        /// The name that was looked up.
        name: String,
    },
}

impl DbError {
    /// Whether a concurrent transaction caused the failure; the database itself works.
    pub(crate) fn is_conflict(&self) -> bool {
        let Self::Sql(sqlx::Error::Database(error)) = self else { return false };
        error.is_foreign_key_violation()
            || error.code().is_some_and(|code| CONFLICT_CODES.contains(&code.as_ref()))
    }
}

/// PostgreSQL's serialization failure, deadlock and lock timeout (PostgreSQL, Appendix A).
const CONFLICT_CODES: [&str; 3] = ["40001", "40P01", "55P03"];

/// A pool of connections to the Cell's database.
#[derive(Debug, Clone)]
pub struct Db {
    pool: AnyPool,
    kind: Kind,
    uses: Counter,
}

impl Db {
    /// Connects to the database, and creates a missing SQLite file.
    ///
    /// # Errors
    /// The database is unreachable or refuses the login.
    pub async fn open(config: &config::Database) -> Result<Self, DbError> {
        sqlx::any::install_default_drivers();
        let kind = Kind::of(config.url.expose_secret());
        let uses = Counter::default();
        let (new, reused) = (uses.clone(), uses.clone());
        let pool = AnyPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(config.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                reused.inc();
                Box::pin(async move {
                    if meta.idle_for > PING_AFTER_IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                new.inc();
                Box::pin(async move { connection.execute(kind.session_setup()).await.map(drop) })
            })
            .connect(&with_create_mode(config.url.expose_secret()))
            .await?;
        Ok(Self { pool, kind, uses })
    }

    /// Counts how often a connection was taken from the pool: once per query or transaction.
    #[must_use]
    pub fn uses(&self) -> Counter {
        self.uses.clone()
    }

    /// Migrates the schema; origins that start together take turns. Refuses a schema newer than this
    /// program.
    ///
    /// # Errors
    /// [`DbError::Newer`], or a migration fails.
    pub async fn migrate(&self) -> Result<(), DbError> {
        self.migrate_to(None).await
    }

    async fn migrate_to(&self, version: Option<i64>) -> Result<(), DbError> {
        let migrated = match self.kind {
            Kind::Sqlite => self.migrate_sqlite(version).await,
            Kind::Postgres => self.migrate_postgres(version).await,
        };
        match migrated {
            Err(DbError::Migrate(MigrateError::VersionMissing(_))) => Err(self.newer().await?),
            migrated => migrated,
        }
    }

    /// SQLite has no advisory lock: a write transaction excludes the other origins.
    async fn migrate_sqlite(&self, version: Option<i64>) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        MIGRATIONS.run_direct(version, &mut *transaction, false).await?;
        Ok(transaction.commit().await?)
    }

    /// PostgreSQL's advisory lock belongs to the session, and a failed migration does not release it.
    /// So the session is closed here instead of returning to the pool.
    async fn migrate_postgres(&self, version: Option<i64>) -> Result<(), DbError> {
        let mut session = self.pool.acquire().await?.detach();
        session.execute("SET statement_timeout = 0; SET lock_timeout = 0").await?;
        let migrated = MIGRATIONS.run_direct(version, &mut session, false).await;
        session.close().await?;
        Ok(migrated?)
    }

    async fn newer(&self) -> Result<DbError, DbError> {
        let (found, known) = self.versions().await?;
        Ok(DbError::Newer { found, known })
    }

    /// Verifies that the schema is the one this program expects, without changing it.
    ///
    /// # Errors
    /// [`DbError::Newer`], [`DbError::Older`], or there is no schema.
    pub async fn expect_current(&self) -> Result<(), DbError> {
        let (found, known) = self.versions().await?;
        match found.cmp(&known) {
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(DbError::Newer { found, known }),
            Ordering::Less => Err(DbError::Older { found, known }),
        }
    }

    /// Returns the schema's version and the last version this program knows.
    async fn versions(&self) -> Result<(i64, i64), DbError> {
        let sql = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations";
        let (found,): (i64,) = sqlx::query_as(sql).fetch_one(&self.pool).await?;
        let known = MIGRATIONS.iter().map(|migration| migration.version).max();
        Ok((found, known.unwrap_or_default()))
    }

    /// Opens a write transaction at once: upgrading a read transaction would hit SQLite's lock.
    async fn begin(&self) -> Result<Transaction<'static, Any>, DbError> {
        Ok(self.pool.begin_with(self.kind.begin()).await?)
    }

    /// Runs SQL that no method covers.
    #[cfg(test)]
    pub(crate) async fn execute(&self, sql: String) {
        let mut connection = self.pool.acquire().await.unwrap();
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
    }

    /// Verifies that the database responds.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.pool.execute("SELECT 1").await?;
        Ok(())
    }
}

/// A connection that was idle for longer is pinged before a request uses it.
const PING_AFTER_IDLE: Duration = Duration::from_secs(1);

/// Everything that differs between the two databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    fn of(url: &str) -> Self {
        if url.starts_with("sqlite:") { Self::Sqlite } else { Self::Postgres }
    }

    /// Returns the SQL that sets a new connection up. SQLite: WAL lets pulls read while a fill
    /// commits, and with NORMAL a killed process loses no committed row. PostgreSQL: queries time
    /// out after 10 s; the client has gone by then.
    fn session_setup(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; \
                 PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON"
            }
            Self::Postgres => {
                "SET statement_timeout = '10s'; SET lock_timeout = '5s'; \
                 SET idle_in_transaction_session_timeout = '30s'"
            }
        }
    }

    fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }
}

fn with_create_mode(url: &str) -> String {
    if url.starts_with("sqlite:") && !url.contains('?') && !url.contains(":memory:") {
        format!("{url}?mode=rwc")
    } else {
        url.to_owned()
    }
}

/// Returns the time in milliseconds since 1970, the unit of every time column.
#[must_use]
pub fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn corrupt(table: &'static str, why: &impl ToString) -> DbError {
    DbError::Corrupt { table, why: why.to_string() }
}

fn exists_as(name: &str) -> impl Fn(sqlx::Error) -> DbError + '_ {
    move |error| match error.as_database_error() {
        Some(error) if error.is_unique_violation() => DbError::Exists(name.to_owned()),
        _ => DbError::Sql(error),
    }
}

#[cfg(test)]
pub(crate) mod tests;
