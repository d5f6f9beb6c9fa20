//! A finished file on its way into a bucket: in equal parts, a few at a time.

use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::StoreError;

/// Parts of one file under way at once; with the one being read, as many are in memory.
const AT_ONCE: usize = 3;

/// Stores a file; on any error the object is not there, unless another origin stored it meanwhile.
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
        // A name is a digest: what another origin stored under it is the same, and whole.
        Err(error) if stored_meanwhile(objects, path, size).await => {
            tracing::debug!(%path, %error, "another origin was first to store an object");
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
            // What cannot be removed now is the bucket's lifecycle rule's to remove.
            if let Err(left) = upload.abort().await {
                tracing::warn!(%path, error = %StoreError::from(left), "parts of an upload are left");
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
        upload.wait_for_capacity(AT_ONCE).await?;
        let next = part(file, part_size).await?;
        if next.is_empty() {
            return Ok(());
        }
        upload.put(next);
    }
}

/// The next part, whole unless the file ends in it.
async fn part(file: &mut (impl AsyncRead + Unpin), part_size: usize) -> std::io::Result<Bytes> {
    let mut part = BytesMut::with_capacity(part_size);
    let mut rest = file.take(u64::try_from(part_size).unwrap_or(u64::MAX));
    while rest.read_buf(&mut part).await? > 0 {}
    Ok(part.freeze())
}
