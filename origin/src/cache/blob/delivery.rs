//! The body of a blob for one client: the spooled part, then, if the fetch left its spool, a
//! download of the client's own.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::try_unfold;
use futures_util::{StreamExt as _, TryStreamExt as _};
use oci::Hasher;

use super::download::{Download, Source};
use crate::body::{self, Piece, Pieces};
use crate::cache::inflight::{Detached, Fetch, Incoming, NextRead};

/// Where a client's bytes come from.
enum Reader {
    Spool(Arc<Fetch>, Source),
    Own(Pieces),
}

/// Returns the bytes of `range`, which may end beyond the blob, as the fetch receives them.
pub(super) fn from_fetch(fetch: Arc<Fetch>, source: Source, range: Range<u64>) -> Pieces {
    let start = (Reader::Spool(fetch, source), range);
    try_unfold(start, |(reader, range)| step(reader, range)).boxed()
}

async fn step(
    reader: Reader,
    range: Range<u64>,
) -> io::Result<Option<(Piece, (Reader, Range<u64>))>> {
    let mut pieces = match reader {
        Reader::Own(pieces) => pieces,
        Reader::Spool(fetch, source) => match fetch.next(range.clone()).await? {
            NextRead::End => return Ok(None),
            NextRead::Piece(piece, got) => {
                return Ok(Some((piece, (Reader::Spool(fetch, source), got.end..range.end))));
            }
            NextRead::Detached(detached) => {
                let seam = Seam::of(&detached, range.start);
                // The fetch may still hold the upstream's response and with it a connection slot
                // that the own download needs; the last reader to drop it frees the slot.
                drop((detached, fetch));
                own_download(source, seam, range.clone()).await?
            }
        },
    };
    Ok(pieces.try_next().await?.map(|piece| (piece, (Reader::Own(pieces), range))))
}

/// The seam between the spool and a reader's own download. The digest covers the whole blob, so a
/// reader can verify it only if it carries on the hash exactly where the spool stopped.
struct Seam {
    /// The length of the whole blob in bytes, if the upstream announced it.
    length: Option<u64>,
    /// The hash of everything before; `None` for a reader that starts beyond the spooled part.
    hasher: Option<Hasher>,
    /// The rest of the fetch's response, for the first reader that arrives at the seam.
    rest: Option<Incoming>,
}

impl Seam {
    fn of(detached: &Detached, position: u64) -> Self {
        let at_seam = position == detached.spooled;
        Self {
            length: detached.length,
            hasher: at_seam.then(|| detached.hasher.clone()),
            rest: at_seam.then(|| detached.take_rest()).flatten(),
        }
    }
}

/// Returns the rest of `range`, which starts at the seam or beyond.
async fn own_download(source: Source, seam: Seam, range: Range<u64>) -> io::Result<Pieces> {
    let incoming = match seam.rest {
        Some(rest) => rest,
        None => {
            let download = source.download(range.start, seam.length).await;
            download.map_err(io::Error::other)?.into_stream()
        }
    };
    let check = seam.hasher.map(|hasher| DigestCheck { hasher, source });
    Ok(tail(incoming, seam.length, range, check))
}

/// Returns the bytes of `range`, which may end beyond the blob, from a download that starts at
/// `range.start`.
pub(super) fn from_download(download: Download, source: &Source, range: Range<u64>) -> Pieces {
    let hasher = || Hasher::new(source.digest.algorithm());
    let check =
        (range.start == 0).then(|| DigestCheck { hasher: hasher(), source: source.clone() });
    let length = download.length();
    tail(download.into_stream(), length, range, check)
}

/// Returns the wanted part of what arrives, verified if it reaches the end of the blob.
fn tail(
    incoming: Incoming,
    length: Option<u64>,
    range: Range<u64>,
    check: Option<DigestCheck>,
) -> Pieces {
    let end = length.map_or(range.end, |length| length.min(range.end));
    let reaches_end = length.is_none_or(|length| range.end >= length);
    let left = end.saturating_sub(range.start);
    let tail = Tail { incoming, left, check: check.filter(|_| reaches_end), withheld: None };
    try_unfold(tail, |mut tail| async move {
        Ok(tail.next().await?.map(|bytes| (Piece::Bytes(bytes), tail)))
    })
    .boxed()
}

/// Bytes that are sent without being spooled.
struct Tail {
    incoming: Incoming,
    /// How many bytes are wanted; for a blob of unknown length, more than it has.
    left: u64,
    /// Set if everything before was hashed and everything after is wanted.
    check: Option<DigestCheck>,
    /// The last byte of the blob, until the digest is verified.
    withheld: Option<Bytes>,
}

struct DigestCheck {
    hasher: Hasher,
    source: Source,
}

impl Tail {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if self.left == 0 {
                self.verify()?;
                return Ok(self.withheld.take());
            }
            let Some(mut chunk) = self.incoming.try_next().await.map_err(io::Error::other)? else {
                self.verify()?;
                return Ok(None);
            };
            chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= chunk.len() as u64;
            let sendable = self.hash(chunk).await?;
            if !sendable.is_empty() {
                return Ok(Some(sendable));
            }
        }
    }

    /// Hashes a chunk on a blocking thread and withholds the blob's last byte.
    async fn hash(&mut self, mut chunk: Bytes) -> io::Result<Bytes> {
        let Some(DigestCheck { mut hasher, source }) = self.check.take() else { return Ok(chunk) };
        let hashed = chunk.clone();
        let hasher = body::blocking(move || {
            hasher.update(&hashed);
            Ok(hasher)
        });
        self.check = Some(DigestCheck { hasher: hasher.await?, source });
        if self.left == 0 {
            self.withheld = Some(chunk.split_off(chunk.len().saturating_sub(1)));
        }
        Ok(chunk)
    }

    fn verify(&mut self) -> io::Result<()> {
        let Some(DigestCheck { hasher, source }) = self.check.take() else { return Ok(()) };
        if hasher.finish() == source.digest {
            return Ok(());
        }
        source.distrust();
        Err(io::Error::other("the upstream registry sent a blob that does not match its digest"))
    }
}
