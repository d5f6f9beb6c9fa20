//! The download of a blob from its upstream. If the connection breaks, it resumes with a Range
//! request.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;
use oci::Digest;
use tracing::info;

use super::backoff::ResumeBackoff;
use crate::cache::inflight::Incoming;
use crate::metrics::Metrics;
use crate::upstream::{BlobBody, Image, ProtocolError, UpstreamError};

/// A blob and where to download it from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) image: Image,
    pub(super) digest: Digest,
    pub(super) metrics: Arc<Metrics>,
}

/// A download of a blob from some position to its end.
pub(super) struct Download {
    source: Source,
    /// `None` while the connection is broken: a dead response would occupy a connection slot of the
    /// upstream that the next attempt needs.
    body: Option<BlobBody>,
    progress: Progress,
    backoff: ResumeBackoff,
}

/// How far a download has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    /// The length of the whole blob in bytes, if the upstream announced it.
    length: Option<u64>,
    /// The position of the next byte to pass on.
    position: u64,
    /// How many of the next bytes were already passed on before the connection broke.
    skip: u64,
}

impl Source {
    /// Requests the bytes from `from` on; `length` is the length of the whole blob if it is known.
    ///
    /// # Errors
    /// The upstream refuses or fails, or announces a different length.
    pub(super) async fn download(
        &self,
        from: u64,
        length: Option<u64>,
    ) -> Result<Download, UpstreamError> {
        let body = self.image.get_blob(&self.digest, from).await?;
        let progress = Progress { length, position: from, skip: 0 }.continued_by(&body)?;
        if progress.length == Some(0) && !self.digest.matches(b"") {
            return Err(ProtocolError::EmptyBlob.into());
        }
        let (body, backoff) = (Some(body), ResumeBackoff::default());
        Ok(Download { source: self.clone(), body, progress, backoff })
    }

    /// Reports that the bytes were wrong, so that a mirror that sent them is no longer used for
    /// this digest.
    pub(super) fn distrust(&self) {
        self.image.distrust_mirrors(&self.digest);
    }
}

impl Download {
    /// Returns the length of the whole blob in bytes, if the upstream announced it.
    pub(super) fn length(&self) -> Option<u64> {
        self.progress.length
    }

    /// Returns the bytes; the stream ends without an error only at the announced length.
    pub(super) fn into_stream(self) -> Incoming {
        try_unfold(self, |mut download| async move {
            Ok(download.next().await?.map(|bytes| (bytes, download)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        while !self.progress.is_complete() {
            let failure = match self.chunk().await {
                Ok(Some(chunk)) => match self.progress.take(chunk)? {
                    Some(new) => return Ok(Some(self.count(new))),
                    None => continue,
                },
                Ok(None) if self.progress.may_end() => return Ok(None),
                Ok(None) => UpstreamError::Unreachable("a blob ended early".to_owned()),
                Err(error) => error,
            };
            self.resume(failure).await?;
        }
        Ok(None)
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        match &mut self.body {
            Some(body) => body.chunk().await,
            None => Ok(None),
        }
    }

    fn count(&mut self, new: Bytes) -> Bytes {
        self.backoff.reset();
        self.source.metrics.blob_fetched_bytes.inc_by(new.len() as u64);
        new
    }

    async fn resume(&mut self, mut failure: UpstreamError) -> Result<(), UpstreamError> {
        self.body = None;
        loop {
            let Some(pause) = self.backoff.after(&failure, rand::random()) else {
                return Err(failure);
            };
            let (digest, position) = (&self.source.digest, self.progress.position);
            info!(%digest, position, error = %failure, "the download of a blob broke; resuming it");
            tokio::time::sleep(pause).await;
            self.source.metrics.blob_resumes.inc();
            match self.source.image.get_blob(digest, position).await {
                Ok(body) => {
                    self.progress = self.progress.continued_by(&body)?;
                    self.body = Some(body);
                    return Ok(());
                }
                Err(error) => failure = error,
            }
        }
    }
}

impl Progress {
    fn continued_by(self, body: &BlobBody) -> Result<Self, UpstreamError> {
        self.continued_at(body.from, body.length)
    }

    /// Continues with a response that starts at `from`: at the requested position, or at 0 if the
    /// upstream ignores ranges. Then the bytes passed on earlier are skipped.
    fn continued_at(self, from: u64, length: Option<u64>) -> Result<Self, UpstreamError> {
        let contradicts = |known: u64| length.is_some_and(|length| length != known);
        if self.length.is_some_and(contradicts) {
            return Err(ProtocolError::LengthChanged.into());
        }
        let skip = self.position.checked_sub(from);
        let skip = skip.ok_or(ProtocolError::WrongRange)?;
        Ok(Self { length: self.length.or(length), position: self.position, skip })
    }

    /// Returns the new bytes of a chunk, if it has any.
    fn take(&mut self, mut chunk: Bytes) -> Result<Option<Bytes>, UpstreamError> {
        let known = self.skip.min(chunk.len() as u64);
        self.skip -= known;
        chunk.advance(usize::try_from(known).unwrap_or(usize::MAX));
        self.position += chunk.len() as u64;
        if self.length.is_some_and(|length| self.position > length) {
            return Err(ProtocolError::BlobTooLong.into());
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    fn is_complete(self) -> bool {
        self.length == Some(self.position)
    }

    /// Returns whether a response that ends here ends the blob, which only a blob of unannounced
    /// length does.
    fn may_end(self) -> bool {
        self.length.is_none() && self.skip == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64, length: Option<u64>) -> Progress {
        Progress { length, position, skip: 0 }
    }

    #[test]
    fn bytes_before_the_position_are_skipped_when_the_upstream_ignores_the_range() {
        let mut progress = at(5, Some(8)).continued_at(0, Some(8)).unwrap();
        assert_eq!(progress.take(Bytes::from_static(b"012")).unwrap(), None);
        assert_eq!(progress.take(Bytes::from_static(b"3456")).unwrap().unwrap(), "56");
        assert_eq!(progress.take(Bytes::from_static(b"7")).unwrap().unwrap(), "7");
        assert!(progress.is_complete());
    }

    #[test]
    fn a_range_response_is_new_from_its_first_byte() {
        let mut progress = at(5, Some(8)).continued_at(5, Some(8)).unwrap();
        assert_eq!(progress.take(Bytes::from_static(b"567")).unwrap().unwrap(), "567");
        assert!(progress.is_complete());
    }

    #[test]
    fn a_response_that_contradicts_an_earlier_one_is_an_error() {
        assert!(at(5, Some(8)).continued_at(5, Some(9)).is_err());
        assert!(at(5, Some(8)).continued_at(6, Some(8)).is_err());
        assert_eq!(at(5, Some(8)).continued_at(5, None).unwrap(), at(5, Some(8)));
        assert_eq!(at(5, None).continued_at(5, Some(8)).unwrap(), at(5, Some(8)));
    }

    #[test]
    fn more_bytes_than_announced_are_an_error() {
        assert!(at(5, Some(8)).take(Bytes::from_static(b"5678")).is_err());
    }

    #[test]
    fn only_a_blob_of_unannounced_length_may_end_anywhere() {
        assert!(at(5, None).may_end());
        assert!(!at(5, Some(8)).may_end());
        assert!(
            !at(5, None).continued_at(0, None).unwrap().may_end(),
            "the response is shorter than the bytes passed on"
        );
    }
}
