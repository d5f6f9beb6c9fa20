//! Whose store it is: of one that two Cells share, each would sweep what the other keeps.

use anyhow::{Context as _, Result, ensure};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _, PutMode, PutOptions};

use super::Store;

/// Beside `blobs` and `manifests`; it holds the Cell's number as text.
const OWNER: &str = "cell";

impl Store {
    /// Makes the store this Cell's, or finds that it is.
    ///
    /// # Errors
    /// It is another Cell's, or cannot be reached.
    pub async fn claim(&self, cell: u64) -> Result<()> {
        let path = Path::from(OWNER);
        let found = match self.objects.get(&path).await {
            Ok(found) => found.bytes().await,
            Err(Error::NotFound { .. }) => {
                let create = PutOptions::from(PutMode::Create);
                match self.objects.put_opts(&path, cell.to_string().into(), create).await {
                    Ok(_) => return Ok(()),
                    // Another origin was faster; of which Cell?
                    Err(Error::AlreadyExists { .. }) => {
                        self.objects.get(&path).await?.bytes().await
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        let owner = found.context("[store] url: the store cannot be used")?;
        let owner = String::from_utf8_lossy(&owner).trim().to_owned();
        ensure!(
            owner == cell.to_string(),
            "[store] url: this store is cell {owner}'s, by its object `{OWNER}`, and this is cell \
             {cell}: each Cell needs a folder, a bucket or a prefix of its own"
        );
        Ok(())
    }
}
