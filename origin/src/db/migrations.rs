//! The schema's migrations, forward only.

use std::sync::LazyLock;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The files of `migrations/`: version, description and text of each, as `sqlx` reads their names.
const FILES: [(i64, &str, &str); 3] = [
    (1, "cache", include_str!("../../migrations/0001_cache.sql")),
    (2, "roles", include_str!("../../migrations/0002_roles.sql")),
    (3, "answers", include_str!("../../migrations/0003_answers.sql")),
];

/// All migrations this program knows. Listed by hand, because the macro that lists them compiles
/// every database driver a second time, for itself.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let migrations = FILES.map(|(version, description, sql)| {
        let (kind, sql) = (MigrationType::Simple, sql.into_sql_str());
        Migration::new(version, description.into(), kind, sql, false)
    });
    Migrator::with_migrations(migrations.into())
});

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[tokio::test]
    async fn every_migration_file_is_listed_under_its_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let read = Migrator::new(folder.as_path()).await.unwrap();
        let known = |migrator: &Migrator| {
            let rows = migrator.iter().map(|file| {
                (file.version, file.description.to_string(), file.checksum.to_vec(), file.no_tx)
            });
            rows.collect::<Vec<_>>()
        };
        assert_eq!(known(&MIGRATIONS), known(&read));
    }
}
