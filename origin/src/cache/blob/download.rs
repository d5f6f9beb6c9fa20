//! A blob's bytes from its upstream, gone on with where the connection breaks.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use futures_util::stream::try_unfold;
use oci::Digest;
use tracing::info;

use super::patience::Patience;
use crate::cache::flight::Incoming;
use crate::metrics::Metrics;
use crate::upstream::{BlobBody, Image, UpstreamError};

/// A blob and where to fetch it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) image: Image,
    pub(super) digest: Digest,
    pub(super) metrics: Arc<Metrics>,
}

/// A blob from a position on to its end.
pub(super) struct Download {
    source: Source,
    /// `None` while it is broken: a dead answer must not keep a place at the upstream that the next
    /// one needs.
    body: Option<BlobBody>,
    progress: Progress,
    patience: Patience,
}

/// What of a blob has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Progress {
    /// The whole blob's length in bytes, where the upstream said.
    length: Option<u64>,
    /// The next byte to hand on.
    position: u64,
    /// How many bytes come that were handed on before.
    skip: u64,
}

impl Source {
    /// Asks for the bytes from `from` on; `length` is what is known of the whole.
    ///
    /// # Errors
    /// The upstream refuses or fails, or tells another length than is known.
    pub(super) async fn download(
        &self,
        from: u64,
        length: Option<u64>,
    ) -> Result<Download, UpstreamError> {
        let body = self.image.get_blob(&self.digest, from).await?;
        let progress = Progress { length, position: from, skip: 0 }.answered(&body)?;
        if progress.length == Some(0) && !self.digest.matches(b"") {
            return Err(UpstreamError::Protocol("nothing for a digest that is not of nothing"));
        }
        let (body, patience) = (Some(body), Patience::default());
        Ok(Download { source: self.clone(), body, progress, patience })
    }
}

impl Source {
    /// What came was wrong: a mirror that sent it is passed by.
    pub(super) fn disbelieve(&self) {
        self.image.distrust_mirrors(&self.digest);
    }
}

impl Download {
    /// The whole blob's length in bytes, where the upstream said.
    pub(super) fn length(&self) -> Option<u64> {
        self.progress.length
    }

    /// The bytes; they end only where the announced length is reached.
    pub(super) fn into_stream(self) -> Incoming {
        try_unfold(self, |mut download| async move {
            Ok(download.next().await?.map(|bytes| (bytes, download)))
        })
        .boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        while !self.progress.is_complete() {
            let cut = match self.chunk().await {
                Ok(Some(chunk)) => match self.progress.take(chunk)? {
                    Some(fresh) => return Ok(Some(self.count(fresh))),
                    None => continue,
                },
                Ok(None) if self.progress.may_end() => return Ok(None),
                Ok(None) => UpstreamError::Unreachable("a blob ended early".to_owned()),
                Err(error) => error,
            };
            self.resume(cut).await?;
        }
        Ok(None)
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        match &mut self.body {
            Some(body) => body.chunk().await,
            None => Ok(None),
        }
    }

    fn count(&mut self, fresh: Bytes) -> Bytes {
        self.patience.progressed();
        self.source.metrics.blob_fetched_bytes.inc_by(fresh.len() as u64);
        fresh
    }

    async fn resume(&mut self, mut cut: UpstreamError) -> Result<(), UpstreamError> {
        self.body = None;
        loop {
            let Some(pause) = self.patience.after(&cut, rand::random()) else { return Err(cut) };
            let (digest, position) = (&self.source.digest, self.progress.position);
            info!(%digest, position, %cut, "a blob broke off; it is resumed");
            tokio::time::sleep(pause).await;
            self.source.metrics.blob_resumes.inc();
            match self.source.image.get_blob(digest, position).await {
                Ok(body) => {
                    self.progress = self.progress.answered(&body)?;
                    self.body = Some(body);
                    return Ok(());
                }
                Err(error) => cut = error,
            }
        }
    }
}

impl Progress {
    fn answered(self, body: &BlobBody) -> Result<Self, UpstreamError> {
        self.going_on(body.from, body.length)
    }

    /// With an answer that begins at `from`: what was asked for, or 0 where ranges are refused.
    fn going_on(self, from: u64, length: Option<u64>) -> Result<Self, UpstreamError> {
        let contradicts = |known: u64| length.is_some_and(|length| length != known);
        if self.length.is_some_and(contradicts) {
            return Err(UpstreamError::Protocol("a blob of another length than before"));
        }
        let skip = self.position.checked_sub(from);
        let skip = skip.ok_or(UpstreamError::Protocol("another range than it was asked for"))?;
        Ok(Self { length: self.length.or(length), position: self.position, skip })
    }

    /// The part of a chunk that is new, if any is.
    fn take(&mut self, mut chunk: Bytes) -> Result<Option<Bytes>, UpstreamError> {
        let known = self.skip.min(chunk.len() as u64);
        self.skip -= known;
        chunk.advance(usize::try_from(known).unwrap_or(usize::MAX));
        self.position += chunk.len() as u64;
        if self.length.is_some_and(|length| self.position > length) {
            return Err(UpstreamError::Protocol("more bytes than it announced"));
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    fn is_complete(self) -> bool {
        self.length == Some(self.position)
    }

    /// Without a length, an end that is clean is the end.
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
    fn a_refused_range_is_skipped_over_byte_by_byte() {
        let mut progress = at(5, Some(8)).going_on(0, Some(8)).unwrap();
        assert_eq!(progress.take(Bytes::from_static(b"012")).unwrap(), None);
        assert_eq!(progress.take(Bytes::from_static(b"3456")).unwrap().unwrap(), "56");
        assert_eq!(progress.take(Bytes::from_static(b"7")).unwrap().unwrap(), "7");
        assert!(progress.is_complete());
    }

    #[test]
    fn a_granted_range_is_new_from_its_first_byte() {
        let mut progress = at(5, Some(8)).going_on(5, Some(8)).unwrap();
        assert_eq!(progress.take(Bytes::from_static(b"567")).unwrap().unwrap(), "567");
        assert!(progress.is_complete());
    }

    #[test]
    fn an_answer_that_contradicts_the_first_one_is_no_answer() {
        assert!(at(5, Some(8)).going_on(5, Some(9)).is_err());
        assert!(at(5, Some(8)).going_on(6, Some(8)).is_err());
        assert_eq!(at(5, Some(8)).going_on(5, None).unwrap(), at(5, Some(8)));
        assert_eq!(at(5, None).going_on(5, Some(8)).unwrap(), at(5, Some(8)));
    }

    #[test]
    fn more_than_was_announced_is_refused() {
        assert!(at(5, Some(8)).take(Bytes::from_static(b"5678")).is_err());
    }

    #[test]
    fn only_without_a_length_an_early_end_is_the_end() {
        assert!(at(5, None).may_end());
        assert!(!at(5, Some(8)).may_end());
        assert!(!at(5, None).going_on(0, None).unwrap().may_end(), "it has less than before");
    }
}
