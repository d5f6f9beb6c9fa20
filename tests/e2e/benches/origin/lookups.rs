//! The time of a lookup in a database of a thousand blobs, and of a million.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use harness::progress;
use oci::Digest;
use origin::access::{GroupId, Visibility};
use origin::config::{self, SecretString};
use origin::db::Db;
use sqlx::Executor as _;
use tempfile::TempDir;

use crate::report::{Budget, headline, medians, ratio, value};

/// The lookups of one round.
const LOOKUPS: u32 = 5_000;

const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;

/// A database of blobs, each linked to one group.
struct FilledDatabase {
    db: Db,
    blobs: u32,
}

/// Measures the lookups and prints a table.
///
/// # Errors
/// A part is missing or fails.
pub(crate) async fn print() -> Result<()> {
    let folder = TempDir::new()?;
    let url = |name| format!("sqlite:{}", folder.path().join(name).display());
    let hash = "printf('%08x', (n * 2654435761) % 4294967296)";
    compare("SQLite", &[url("few"), url("many")], hash).await
}

async fn compare(database: &str, urls: &[String; 2], hash: &str) -> Result<()> {
    headline(&format!("A blob's lookup by group and digest, {database}"));
    let [few, many] = urls;
    let shelves = [fill(few, FEW, hash).await?, fill(many, MANY, hash).await?];
    let measured = medians(&format!("lookups, {database}"), &shelves, |shelf| {
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(shelf.microseconds())
        })
    })?;
    let [few, many]: [f64; 2] = measured.try_into().ok().context("two values")?;
    value("with a thousand known", few, "µs");
    value("with a million known", many, "µs");
    ratio("a million / a thousand", many / few, Budget::AtMost(1.1));
    Ok(())
}

/// Fills the database by SQL. Each digest repeats eight random-looking hexadecimal digits eight
/// times.
async fn fill(url: &str, blobs: u32, hash: &str) -> Result<FilledDatabase> {
    progress::show(&format!("filling a database with {blobs} blobs"));
    let config = config::Database {
        url: SecretString::from(url.to_owned()),
        max_connections: 1,
        acquire_timeout: Duration::from_secs(5),
    };
    let db = Db::open(&config).await?;
    db.migrate().await?;
    let group = db.create_group(&"acme".parse()?, Visibility::Private).await?;
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(url).await?;
    let numbers = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT CAST(0 AS BIGINT) UNION ALL \
         SELECT n + 1 FROM numbers WHERE n + 1 < {blobs}), \
         hashes (h) AS (SELECT {hash} FROM numbers), \
         digests (d) AS (SELECT 'sha256:' || h || h || h || h || h || h || h || h FROM hashes)"
    );
    let group = group.0;
    let mut transaction = pool.begin().await?;
    for insert in [
        format!(
            "INSERT INTO blobs (digest, size, created_at) {numbers} SELECT d, 1000, 0 FROM digests"
        ),
        format!(
            "INSERT INTO blob_links (group_id, digest, created_at, read_at) \
             {numbers} SELECT {group}, d, 0, 0 FROM digests"
        ),
    ] {
        // The text contains no input of a client.
        transaction.execute(sqlx::AssertSqlSafe(insert)).await?;
    }
    transaction.commit().await?;
    pool.execute("ANALYZE").await?;
    pool.close().await;
    progress::show("");
    Ok(FilledDatabase { db, blobs })
}

impl FilledDatabase {
    /// The mean time of a lookup, over blobs from the whole database.
    async fn microseconds(&self) -> Result<f64> {
        let step = (self.blobs / LOOKUPS).max(1);
        let digests: Result<Vec<_>> =
            (0..LOOKUPS).map(|number| digest((number * step) % self.blobs)).collect();
        let started = Instant::now();
        for digest in &digests? {
            let size = self.db.linked_blob(GroupId(1), digest).await?;
            size.context("a blob that was filled in is not there")?;
        }
        Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(LOOKUPS))
    }
}

/// The digest that [`fill`] gives to this blob.
fn digest(number: u32) -> Result<Digest> {
    let hash = format!("{:08x}", number.wrapping_mul(2_654_435_761));
    Ok(format!("sha256:{}", hash.repeat(8)).parse()?)
}
