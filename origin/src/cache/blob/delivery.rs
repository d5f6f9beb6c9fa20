//! One client's way to a blob's bytes: the spool as far as it grew, then a download of its own.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::try_unfold;
use futures_util::{StreamExt as _, TryStreamExt as _};
use oci::Hasher;

use super::download::{Download, Source};
use crate::body::{self, Piece, Pieces};
use crate::cache::flight::{Flight, Grounding, Incoming, Next};

/// Where a client stands.
enum Leg {
    Spooled(Arc<Flight>, Source),
    Alone(Pieces),
}

/// The bytes of `range`, which may end beyond the blob.
pub(super) fn deliver(flight: Arc<Flight>, source: Source, range: Range<u64>) -> Pieces {
    let start = (Leg::Spooled(flight, source), range);
    try_unfold(start, |(leg, range)| step(leg, range)).boxed()
}

async fn step(leg: Leg, range: Range<u64>) -> io::Result<Option<(Piece, (Leg, Range<u64>))>> {
    let mut pieces = match leg {
        Leg::Alone(pieces) => pieces,
        Leg::Spooled(flight, source) => match flight.next(range.clone()).await? {
            Next::End => return Ok(None),
            Next::Piece(piece, got) => {
                return Ok(Some((piece, (Leg::Spooled(flight, source), got.end..range.end))));
            }
            Next::Grounded(grounding) => {
                let seam = Seam::of(&grounding, range.start);
                // The last one to leave the flight frees the place at the upstream that it holds.
                drop((grounding, flight));
                alone(source, seam, range.clone()).await?
            }
        },
    };
    Ok(pieces.try_next().await?.map(|piece| (piece, (Leg::Alone(pieces), range))))
}

/// What a reader takes along from where a spool stopped.
struct Seam {
    /// The whole blob's length in bytes, where the upstream said.
    length: Option<u64>,
    /// The hash of all before; `None` for who begins beyond.
    hasher: Option<Hasher>,
    /// What follows, for the first who stands right there.
    rest: Option<Incoming>,
}

impl Seam {
    fn of(grounding: &Grounding, position: u64) -> Self {
        let here = position == grounding.at;
        Self {
            length: grounding.length,
            hasher: here.then(|| grounding.hasher.clone()),
            rest: here.then(|| grounding.take_rest()).flatten(),
        }
    }
}

/// The rest of `range`, which begins where the spool stopped or beyond.
async fn alone(source: Source, seam: Seam, range: Range<u64>) -> io::Result<Pieces> {
    let incoming = match seam.rest {
        Some(rest) => rest,
        None => {
            let download = source.download(range.start, seam.length).await;
            download.map_err(io::Error::other)?.into_stream()
        }
    };
    let check = seam.hasher.map(|hasher| Check { hasher, source });
    Ok(tail(incoming, seam.length, range, check))
}

/// The bytes of `range`, which may end beyond the blob; the download begins where it does.
pub(super) fn all_of(download: Download, source: &Source, range: Range<u64>) -> Pieces {
    let hasher = || Hasher::new(source.digest.algorithm());
    let check = (range.start == 0).then(|| Check { hasher: hasher(), source: source.clone() });
    let length = download.length();
    tail(download.into_stream(), length, range, check)
}

/// What comes in, as far as it is wanted, and checked where that is to the blob's end.
fn tail(
    incoming: Incoming,
    length: Option<u64>,
    range: Range<u64>,
    check: Option<Check>,
) -> Pieces {
    let end = length.map_or(range.end, |length| length.min(range.end));
    let to_the_end = length.is_none_or(|length| range.end >= length);
    let left = end.saturating_sub(range.start);
    let tail = Tail { incoming, left, check: check.filter(|_| to_the_end), held: None };
    try_unfold(tail, |mut tail| async move {
        Ok(tail.next().await?.map(|bytes| (Piece::Bytes(bytes), tail)))
    })
    .boxed()
}

/// Bytes that no spool holds.
struct Tail {
    incoming: Incoming,
    /// How many are wanted; without a length, more than there are.
    left: u64,
    /// Set where everything before was hashed and nothing after is left out.
    check: Option<Check>,
    /// The blob's last byte, until the digest is checked.
    held: Option<Bytes>,
}

struct Check {
    hasher: Hasher,
    source: Source,
}

impl Tail {
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if self.left == 0 {
                self.verify()?;
                return Ok(self.held.take());
            }
            let Some(mut chunk) = self.incoming.try_next().await.map_err(io::Error::other)? else {
                self.verify()?;
                return Ok(None);
            };
            chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= chunk.len() as u64;
            let shown = self.hash(chunk).await?;
            if !shown.is_empty() {
                return Ok(Some(shown));
            }
        }
    }

    /// Adds to the hash, off the runtime's threads, and holds the last byte back.
    async fn hash(&mut self, mut chunk: Bytes) -> io::Result<Bytes> {
        let Some(Check { mut hasher, source }) = self.check.take() else { return Ok(chunk) };
        let hashed = chunk.clone();
        let hasher = body::blocking(move || {
            hasher.update(&hashed);
            Ok(hasher)
        });
        self.check = Some(Check { hasher: hasher.await?, source });
        if self.left == 0 {
            self.held = Some(chunk.split_off(chunk.len().saturating_sub(1)));
        }
        Ok(chunk)
    }

    fn verify(&mut self) -> io::Result<()> {
        let Some(Check { hasher, source }) = self.check.take() else { return Ok(()) };
        if hasher.finish() == source.digest {
            return Ok(());
        }
        source.disbelieve();
        Err(io::Error::other("the upstream registry sent a blob that is not its digest"))
    }
}
