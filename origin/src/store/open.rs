//! Opens the store that a URL and its options describe.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::signer::Signer;
use object_store::{ObjectStore, RetryConfig};
use url::Url;

use crate::config::{self, ExposeSecret as _, SecretString};

/// An opened store.
pub(super) struct Opened {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// Set if objects are local files.
    pub(super) local: Option<Arc<LocalFileSystem>>,
    /// Set if objects are in a bucket.
    pub(super) signer: Option<Arc<dyn Signer>>,
}

pub(super) fn open(config: &config::Store) -> Result<Opened> {
    match config.url.scheme() {
        "memory" => Ok(Opened { objects: Arc::new(InMemory::new()), local: None, signer: None }),
        "file" => folder(&config.url),
        _ => bucket(config).with_context(|| format!("[store] url {}", config.url)),
    }
}

fn folder(url: &Url) -> Result<Opened> {
    let path = url.to_file_path().ok().context("[store] url: a file: URL must contain an absolute path, as in file:///var/lib/origin/objects")?;
    std::fs::create_dir_all(&path)
        .with_context(|| format!("[store] url: cannot create the folder {}", path.display()))?;
    let local = Arc::new(LocalFileSystem::new_with_prefix(&path)?);
    let objects = Arc::clone(&local) as Arc<dyn ObjectStore>;
    Ok(Opened { objects, local: Some(local), signer: None })
}

/// Opens a bucket. Credentials come from the options, or else from where the cloud's own tools look:
/// the environment (`AWS_…`, `GOOGLE_…`, `AZURE_…`), files that it names, or the machine's identity.
fn bucket(config: &config::Store) -> Result<Opened> {
    let (url, options) = (&config.url, &config.options);
    let prefix = Path::from_url_path(url.path())?;
    match url.scheme() {
        "s3" | "s3a" => {
            let builder = AmazonS3Builder::from_env().with_url(url.as_str()).with_retry(RETRY);
            Ok(below(prefix, set(builder, options, AmazonS3Builder::with_config)?.build()?))
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env();
            let builder = builder.with_url(url.as_str()).with_retry(RETRY);
            let with = GoogleCloudStorageBuilder::with_config;
            Ok(below(prefix, set(builder, options, with)?.build()?))
        }
        "az" | "abfs" | "abfss" => {
            let builder = MicrosoftAzureBuilder::from_env();
            let builder = builder.with_url(url.as_str()).with_retry(RETRY);
            let with = MicrosoftAzureBuilder::with_config;
            Ok(below(prefix, set(builder, options, with)?.build()?))
        }
        scheme => anyhow::bail!("`{scheme}:` is not supported"),
    }
}

fn below<S: ObjectStore + Signer>(prefix: Path, store: S) -> Opened {
    let store = Arc::new(PrefixStore::new(store, prefix));
    let objects = Arc::clone(&store) as Arc<dyn ObjectStore>;
    Opened { objects, local: None, signer: Some(store) }
}

fn set<B, K: FromStr>(
    builder: B,
    options: &BTreeMap<String, SecretString>,
    with: impl Fn(B, K, String) -> B,
) -> Result<B> {
    let configured = options.iter().map(|(name, value)| (name.as_str(), value.expose_secret()));
    DEFAULTS.into_iter().chain(configured).try_fold(builder, |builder, (name, value)| {
        let key = name.parse::<K>().ok();
        let key = key.with_context(|| {
            format!("[store.options] `{name}`: this kind of store has no such option")
        })?;
        Ok(with(builder, key, value.to_owned()))
    })
}

/// The default request timeout of `object_store`, 30 s, would cut off a client that reads slowly.
const DEFAULTS: [(&str, &str); 2] = [("timeout", "1day"), ("read_timeout", "20s")];

/// Stops retrying well before clients give up, which is after 30 s.
const RETRY: RetryConfig = RetryConfig {
    backoff: object_store::BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(5),
        base: 2.,
    },
    max_retries: 5,
    retry_timeout: Duration::from_secs(15),
};
