//! Rows: one SQL text for SQLite and PostgreSQL, one file per question asked of them.

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
pub mod groups;
pub mod links;
pub mod listings;
pub mod manifests;
mod migrations;
pub mod tags;
pub mod tokens;

/// Why a question could not be answered, or what it took for granted.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database failed or cannot be reached.
    #[error("the database failed: {0}")]
    Sql(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the database's schema could not be migrated: {0}")]
    Migrate(#[from] MigrateError),
    /// A later version of this program has migrated the schema.
    #[error(
        "the database's schema has version {found}, this program knows {known} at most: a newer \
         origin has migrated it. Run that one, or restore the backup from before"
    )]
    Newer {
        /// The schema's version.
        found: i64,
        /// The last version this program knows.
        known: i64,
    },
    /// The schema is not up to date.
    #[error(
        "the database's schema has version {found}, this program needs {known}: run `origin migrate`"
    )]
    Older {
        /// The schema's version.
        found: i64,
        /// The version this program needs.
        known: i64,
    },
    /// A row holds what no version of this program wrote.
    #[error("a row of `{table}` is not readable: {why}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A row of that name is there already.
    #[error("`{0}` exists already")]
    Exists(String),
    /// No row of that name.
    #[error("there is no {what} `{name}`")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
}

impl DbError {
    /// Whether the database answered, and only what another one wrote meanwhile was in the way.
    pub(crate) fn is_conflict(&self) -> bool {
        let Self::Sql(sqlx::Error::Database(error)) = self else { return false };
        error.is_foreign_key_violation()
            || error.code().is_some_and(|code| IN_THE_WAY.contains(&code.as_ref()))
    }
}

/// PostgreSQL's serialization failure, deadlock and lock timeout (its Appendix A).
const IN_THE_WAY: [&str; 3] = ["40001", "40P01", "55P03"];

/// A pool of connections to the Cell's database.
#[derive(Debug, Clone)]
pub struct Db {
    pool: AnyPool,
    kind: Kind,
    uses: Counter,
}

impl Db {
    /// Connects; a missing SQLite file is made.
    ///
    /// # Errors
    /// The database cannot be reached or refuses the login.
    pub async fn open(config: &config::Database) -> Result<Self, DbError> {
        sqlx::any::install_default_drivers();
        let kind = Kind::of(config.url.expose_secret());
        let uses = Counter::default();
        let (at_first, later) = (uses.clone(), uses.clone());
        let pool = AnyPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(config.acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, known| {
                later.inc();
                Box::pin(async move {
                    if known.idle_for > TRUSTED_FOR {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                at_first.inc();
                Box::pin(async move { connection.execute(kind.session()).await.map(drop) })
            })
            .connect(&with_create_mode(config.url.expose_secret()))
            .await?;
        Ok(Self { pool, kind, uses })
    }

    /// How often a connection was taken from the pool: once a question, once a transaction.
    #[must_use]
    pub fn uses(&self) -> Counter {
        self.uses.clone()
    }

    /// Brings the schema up to date, one origin at a time; a schema newer than this program is refused.
    ///
    /// # Errors
    /// The database refuses, or knows a migration this program does not.
    pub async fn migrate(&self) -> Result<(), DbError> {
        self.migrate_to(None).await
    }

    async fn migrate_to(&self, version: Option<i64>) -> Result<(), DbError> {
        let migrated = match self.kind {
            Kind::Sqlite => self.migrate_locked(version).await,
            Kind::Postgres => self.migrate_by_lock(version).await,
        };
        match migrated {
            Err(DbError::Migrate(MigrateError::VersionMissing(_))) => Err(self.newer().await?),
            migrated => migrated,
        }
    }

    /// SQLite has no lock but that of a transaction which may write from its start.
    async fn migrate_locked(&self, version: Option<i64>) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        MIGRATIONS.run_direct(version, &mut *transaction, false).await?;
        Ok(transaction.commit().await?)
    }

    /// The lock is the session's, and a failed migration keeps it: the session ends here.
    async fn migrate_by_lock(&self, version: Option<i64>) -> Result<(), DbError> {
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

    /// Finds the schema as this program knows it, or changes nothing.
    ///
    /// # Errors
    /// [`DbError::Newer`], [`DbError::Older`], or there is no schema at all.
    pub async fn expect_current(&self) -> Result<(), DbError> {
        let (found, known) = self.versions().await?;
        match found.cmp(&known) {
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(DbError::Newer { found, known }),
            Ordering::Less => Err(DbError::Older { found, known }),
        }
    }

    /// The schema's, and the last this program knows.
    async fn versions(&self) -> Result<(i64, i64), DbError> {
        let sql = "SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations";
        let (found,): (i64,) = sqlx::query_as(sql).fetch_one(&self.pool).await?;
        let known = MIGRATIONS.iter().map(|migration| migration.version).max();
        Ok((found, known.unwrap_or_default()))
    }

    /// Begins what writes, too: a reader that became a writer would find SQLite locked.
    async fn begin(&self) -> Result<Transaction<'static, Any>, DbError> {
        Ok(self.pool.begin_with(self.kind.begin()).await?)
    }

    /// Does what no question asked of it does, on one connection.
    #[cfg(test)]
    pub(crate) async fn execute(&self, sql: String) {
        let mut connection = self.pool.acquire().await.unwrap();
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.pool.execute("SELECT 1").await?;
        Ok(())
    }
}

/// A connection idle for longer is asked whether it still lives, before a request relies on it.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// What differs between databases, and all that does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    fn of(url: &str) -> Self {
        if url.starts_with("sqlite:") { Self::Sqlite } else { Self::Postgres }
    }

    /// What a new connection is told. SQLite: WAL lets pulls read while a fill commits; NORMAL loses
    /// no committed row to a killed process. PostgreSQL: an answer later than that is for nobody.
    fn session(self) -> &'static str {
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

/// Milliseconds since 1970, as every time column holds them.
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
        Some(known) if known.is_unique_violation() => DbError::Exists(name.to_owned()),
        _ => DbError::Sql(error),
    }
}

#[cfg(test)]
pub(crate) mod tests;
