use tempfile::TempDir;

use super::*;

/// Opens the store that these lines of `[store]` configure.
fn open(lines: &str) -> anyhow::Result<Store> {
    let store = format!("{lines}\nspool = \"/tmp/spool\"\npart_size = 5242880\n");
    Store::open(&toml::from_str(&store)?)
}

/// Returns the error that opening it fails with.
fn error_of(lines: &str) -> String {
    format!("{:#}", open(lines).unwrap_err())
}

mod folder {
    use super::*;

    async fn store() -> (TempDir, Store) {
        let folder = TempDir::new().unwrap();
        let url = Url::from_directory_path(folder.path().join("objects")).unwrap();
        (folder, open(&format!("url = \"{url}\"")).unwrap())
    }

    crate::store_conformance!(store);
}

mod memory {
    use super::*;

    async fn store() -> ((), Store) {
        ((), open("url = \"memory:\"").unwrap())
    }

    crate::store_conformance!(store);
}

#[test]
fn an_unknown_option_is_named_in_the_error_and_its_value_is_hidden() {
    for url in ["s3://bucket", "gs://bucket/a", "az://container"] {
        let text = error_of(&format!("url = \"{url}\"\noptions.colour = \"hunter2\""));
        assert!(text.contains("[store.options] `colour`"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn the_debug_output_of_a_bucket_hides_its_credentials() {
    for lines in [
        "url = \"s3://bucket/a/b\"\noptions.region = \"x\"\noptions.access_key_id = \"id\"\n\
         options.secret_access_key = \"hunter2\"",
        "url = \"az://container/a\"\noptions.account_name = \"x\"\noptions.access_key = \"aHVudGVyMg==\"",
        "url = \"abfs://container@account.dfs.core.windows.net/a\"\noptions.access_key = \"aHVudGVyMg==\"",
    ] {
        let store = open(lines).unwrap();
        let shown = format!("{store:?}{:?}", toml::from_str::<toml::Table>(lines).map(|_| ()));
        assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
    }
}
