//! Ties a store to one Cell.
//!
//! If two Cells shared a store, each would remove the other's objects, because its own database has no
//! rows for them. The object `cell` names the owner. It is not protected against a person who deletes
//! it: then the next origin that starts becomes the owner.

use anyhow::{Context as _, Result, ensure};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt as _, PutMode, PutOptions};

use super::Store;

/// The path of the object that holds the owner's Cell ID as text.
const OWNER: &str = "cell";

impl Store {
    /// Records this Cell as the owner of the store, or verifies that it already is.
    ///
    /// # Errors
    /// The store belongs to another Cell or cannot be reached.
    pub async fn claim(&self, cell: u64) -> Result<()> {
        let path = Path::from(OWNER);
        let found = match self.objects.get(&path).await {
            Ok(found) => found.bytes().await,
            Err(Error::NotFound { .. }) => {
                let create = PutOptions::from(PutMode::Create);
                match self.objects.put_opts(&path, cell.to_string().into(), create).await {
                    Ok(_) => return Ok(()),
                    // Another origin created it first; it may be one of another Cell.
                    Err(Error::AlreadyExists { .. }) => {
                        self.objects.get(&path).await?.bytes().await
                    }
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        let owner = found.context("[store] url: cannot read or write the store")?;
        let owner = String::from_utf8_lossy(&owner).trim().to_owned();
        ensure!(
            owner == cell.to_string(),
            "[store] url: the object `{OWNER}` says that this store belongs to Cell {owner}, but this \
             is Cell {cell}; each Cell needs its own folder, bucket or prefix"
        );
        Ok(())
    }
}
