//! Uploads a complete file to a bucket, in parts of equal size, several at a time.

use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::StoreError;

/// The number of parts of one file that are uploaded concurrently. One more part is in memory: the one
/// being read.
const CONCURRENT_PARTS: usize = 3;

/// Stores a file as an object. On an error the object does not exist.
pub(super) async fn upload(
    objects: &Arc<dyn ObjectStore>,
    path: &ObjectPath,
    file: &Path,
    part_size: usize,
) -> Result<(), StoreError> {
    let mut file = File::open(file).await?;
    let size = file.metadata().await?.len();
    let sent = send(objects, path, &mut file, part_size).await;
    match sent {
        // The path contains the digest, so an object that another origin stored there is identical.
        Err(error) if stored_meanwhile(objects, path, size).await => {
            tracing::debug!(%path, %error, "another origin has stored this object first");
            Ok(())
        }
        sent => sent,
    }
}

async fn stored_meanwhile(objects: &Arc<dyn ObjectStore>, path: &ObjectPath, size: u64) -> bool {
    objects.head(path).await.is_ok_and(|found| found.size == size)
}

pub(super) async fn send(
    objects: &Arc<dyn ObjectStore>,
    path: &ObjectPath,
    file: &mut (impl AsyncRead + Unpin),
    part_size: usize,
) -> Result<(), StoreError> {
    let first = part(file, part_size).await?;
    if first.len() < part_size {
        objects.put(path, first.into()).await?;
        return Ok(());
    }
    let mut upload =
        WriteMultipart::new_with_chunk_size(objects.put_multipart(path).await?, part_size);
    upload.put(first);
    match send_rest(&mut upload, file, part_size).await {
        Ok(()) => Ok(upload.finish().await.map(drop)?),
        Err(error) => {
            // If the parts cannot be removed now, the bucket's lifecycle rule removes them later.
            if let Err(left) = upload.abort().await {
                tracing::warn!(%path, error = %StoreError::from(left), "could not remove the parts of a failed upload");
            }
            Err(error)
        }
    }
}

async fn send_rest(
    upload: &mut WriteMultipart,
    file: &mut (impl AsyncRead + Unpin),
    part_size: usize,
) -> Result<(), StoreError> {
    loop {
        upload.wait_for_capacity(CONCURRENT_PARTS).await?;
        let next = part(file, part_size).await?;
        if next.is_empty() {
            return Ok(());
        }
        upload.put(next);
    }
}

/// Reads the next part. It is shorter than `part_size` only at the end of the file.
async fn part(file: &mut (impl AsyncRead + Unpin), part_size: usize) -> std::io::Result<Bytes> {
    let mut part = BytesMut::with_capacity(part_size);
    let mut rest = file.take(u64::try_from(part_size).unwrap_or(u64::MAX));
    while rest.read_buf(&mut part).await? > 0 {}
    Ok(part.freeze())
}
