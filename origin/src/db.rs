//! Rows: one SQL text for SQLite and PostgreSQL, one file per question asked of them.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::Migrator;
use sqlx::{AnyPool, Executor as _};

use crate::config;

use reads::Reads;

pub mod audit;
pub mod blobs;
pub mod groups;
pub mod listings;
pub mod manifests;
mod reads;
pub mod tags;
pub mod tokens;

/// The schema's history; forward only.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Why a question could not be answered, or what it took for granted.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database failed or cannot be reached.
    #[error("the database failed: {0}")]
    Sql(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the database's schema could not be migrated: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
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

/// A pool of connections to the Cell's database.
#[derive(Debug, Clone)]
pub struct Db {
    pool: AnyPool,
    uses: Counter,
    reads: Arc<Reads>,
}

impl Db {
    /// Connects; a missing SQLite file is made.
    ///
    /// # Errors
    /// The database cannot be reached or refuses the login.
    pub async fn open(config: &config::Database) -> Result<Self, DbError> {
        sqlx::any::install_default_drivers();
        let url = config.url.expose();
        let sqlite = url.starts_with("sqlite:");
        let uses = Counter::default();
        let (at_first, later) = (uses.clone(), uses.clone());
        let pool = AnyPoolOptions::new()
            // A file does not hang up.
            .test_before_acquire(!sqlite)
            .before_acquire(move |_, _| {
                later.inc();
                Box::pin(ready(Ok(true)))
            })
            .max_connections(config.max_connections)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(move |connection, _| {
                at_first.inc();
                Box::pin(async move {
                    if sqlite {
                        connection.execute(SQLITE_PRAGMAS).await?;
                    }
                    Ok(())
                })
            })
            .connect(&with_create_mode(url))
            .await?;
        Ok(Self { pool, uses, reads: Arc::default() })
    }

    /// How often a connection was taken from the pool: once a question, once a transaction.
    #[must_use]
    pub fn uses(&self) -> Counter {
        self.uses.clone()
    }

    /// Brings the schema up to date; a schema newer than this program is refused.
    ///
    /// # Errors
    /// The database refuses, or knows a migration this program does not.
    pub async fn migrate(&self) -> Result<(), DbError> {
        Ok(MIGRATIONS.run(&self.pool).await?)
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

/// WAL lets pulls read while a fill commits; NORMAL loses no committed row to a killed process.
const SQLITE_PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
     PRAGMA busy_timeout = 10000; PRAGMA foreign_keys = ON";

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
