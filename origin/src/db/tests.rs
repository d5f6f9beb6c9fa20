use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::config::SecretString;

/// A migrated database; dropping the guard deletes it.
pub(crate) async fn database() -> (TempDir, Db) {
    let (folder, config) = sqlite().await;
    let db = Db::open(&config).await.unwrap();
    db.migrate().await.unwrap();
    (folder, db)
}

mod conforms {
    use super::sqlite;

    crate::database_conformance!(sqlite);
}

async fn sqlite() -> (TempDir, config::Database) {
    let folder = TempDir::new().unwrap();
    let url = SecretString::from(format!("sqlite:{}", folder.path().join("origin.db").display()));
    let acquire_timeout = Duration::from_secs(5);
    (folder, config::Database { url, max_connections: 8, acquire_timeout })
}
