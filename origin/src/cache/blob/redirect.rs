//! Sending a client to the bucket itself.

use url::Url;

use super::{BlobRequest, Blobs};
use crate::error::Error;
use crate::store::Key;

impl Blobs {
    /// Where the client may fetch the blob for a short while. `None`: it is served here, as the store
    /// offers no such thing, or the blob is not there yet, no more or not whole, which only a fetch can heal.
    ///
    /// # Errors
    /// The database or the store fails.
    pub async fn redirect(&self, request: BlobRequest<'_>) -> Result<Option<Url>, Error> {
        if !self.store.redirects() {
            return Ok(None);
        }
        let (BlobRequest { group, digest, .. }, key) = (request, Key::Blob(request.digest));
        let Some(size) = self.linked(request).await? else { return Ok(None) };
        let object = self.store.stat(&key).await?;
        if object.is_none_or(|object| object.size != size) {
            return Ok(None);
        }
        self.read_times.record_blob(group, digest);
        Ok(self.store.signed_url(&key).await?)
    }
}
