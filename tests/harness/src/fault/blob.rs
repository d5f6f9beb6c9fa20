//! Blobs.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use oci::ByteRange;
use tokio::sync::watch;

use super::{Context, Faults, corrupted, lock};

/// How one GET of a blob breaks. Positions count from the start of the blob, also in a range.
#[derive(Debug, Clone, Copy)]
pub enum Break {
    /// The connection breaks at this byte.
    Cut(usize),
    /// The body stalls at this byte; the connection stays open.
    Stall(usize),
    /// The body ends at this byte without an error, as it has no `Content-Length`.
    End(usize),
    /// The response has this status, and waits for [`super::FaultRegistry::release`].
    Refuse(u16),
}

/// What is wrong with the response to a range.
#[derive(Debug, Clone, Copy)]
pub enum RangeLie {
    /// The range starts one byte too late.
    Shifted,
    /// The total length is one byte too long.
    OtherTotal,
    /// The body is longer than the range.
    MoreBytes,
}

/// One step in sending a body.
#[derive(Debug)]
enum Step {
    Send(Bytes),
    Pause(Duration),
    Hold,
    Stall,
    Cut,
}

pub(super) async fn blob(
    context: &Context,
    path: &str,
    faults: &Faults,
    headers: &HeaderMap,
    head: bool,
) -> Response {
    if let Some(elsewhere) = &faults.redirect_blobs_to {
        let location = format!("{elsewhere}/v2/{path}");
        return (StatusCode::TEMPORARY_REDIRECT, [("location", location)]).into_response();
    }
    let Some(found) = lock(&context.contents).blobs.get(path).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let bytes = Bytes::from(corrupted(found.to_vec(), faults));
    let broken = if head { None } else { next_break(context, path, faults) };
    if let Some(Break::Refuse(status)) = broken {
        let _ = after_now(&context.released).changed().await;
        return StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT).into_response();
    }
    respond(context, &bytes, faults, broken, range_of(headers, faults))
}

fn range_of(headers: &HeaderMap, faults: &Faults) -> Option<ByteRange> {
    let range = headers.get("range")?.to_str().ok()?;
    ByteRange::parse(range).filter(|_| !faults.refuse_ranges)
}

fn next_break(context: &Context, path: &str, faults: &Faults) -> Option<Break> {
    let (_, digest) = path.rsplit_once('/')?;
    let planned =
        lock(&context.contents).faults.breaks.get_mut(digest).and_then(VecDeque::pop_front);
    planned.or(faults.cut_blobs_at.map(Break::Cut))
}

fn respond(
    context: &Context,
    bytes: &Bytes,
    faults: &Faults,
    broken: Option<Break>,
    range: Option<ByteRange>,
) -> Response {
    let total = bytes.len();
    let positions = match range.map(|range| range.resolve(total as u64)) {
        None => 0..total,
        Some(Some(range)) => offset(*range.start())..offset(*range.end()) + 1,
        Some(None) => return StatusCode::RANGE_NOT_SATISFIABLE.into_response(),
    };
    let lie = faults.range_lie.filter(|_| range.is_some());
    let steps = match lie {
        Some(RangeLie::MoreBytes) => {
            let too_long = [&*bytes.slice(positions.clone()), b"more"].concat();
            VecDeque::from([Step::Send(too_long.into())])
        }
        _ => steps(bytes, &positions, faults, broken),
    };
    let mut response = Response::new(body(steps, after_now(&context.released)));
    let headers = response.headers_mut();
    let open_ended =
        matches!(broken, Some(Break::End(_))) || matches!(lie, Some(RangeLie::MoreBytes));
    if !faults.without_length && !open_ended {
        headers.insert("content-length", positions.len().into());
    }
    if faults.encoded {
        headers.insert("content-encoding", axum::http::HeaderValue::from_static("gzip"));
    }
    if range.is_some() {
        let range = content_range(&positions, total, lie);
        headers.extend(range.parse().map(|range| (axum::http::header::CONTENT_RANGE, range)));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

fn content_range(positions: &Range<usize>, total: usize, lie: Option<RangeLie>) -> String {
    let (first, total) = match lie {
        Some(RangeLie::Shifted) => (positions.start + 1, total),
        Some(RangeLie::OtherTotal) => (positions.start, total + 1),
        _ => (positions.start, total),
    };
    format!("bytes {first}-{}/{total}", positions.end - 1)
}

/// Sends the part before the fault, the fault, and the part after it.
fn steps(
    bytes: &Bytes,
    positions: &Range<usize>,
    faults: &Faults,
    broken: Option<Break>,
) -> VecDeque<Step> {
    let (at, fault) = match broken {
        Some(Break::Cut(at)) => (Some(at), Some(Step::Cut)),
        Some(Break::Stall(at)) => (Some(at), Some(Step::Stall)),
        Some(Break::End(at)) => (Some(at), None),
        Some(Break::Refuse(_)) | None => {
            let hold = faults.hold_blobs_at.filter(|at| positions.contains(at));
            (hold, hold.map(|_| Step::Hold))
        }
    };
    let middle = at.unwrap_or(positions.end).clamp(positions.start, positions.end);
    let complete = broken.is_none();
    let mut steps = sent(bytes.slice(positions.start..middle), faults.drip);
    steps.extend(fault);
    if complete {
        steps.extend(sent(bytes.slice(middle..positions.end), faults.drip));
    }
    steps
}

fn sent(bytes: Bytes, drip: Option<(usize, Duration)>) -> VecDeque<Step> {
    let Some((size, pause)) = drip else { return VecDeque::from([Step::Send(bytes)]) };
    let drops = bytes.chunks(size).map(Bytes::copy_from_slice);
    drops.flat_map(|drop| [Step::Send(drop), Step::Pause(pause)]).collect()
}

/// A body of these bytes at the registry's pace.
pub(super) fn paced(context: &Context, bytes: Bytes, faults: &Faults) -> Body {
    body(sent(bytes, faults.drip), after_now(&context.released))
}

fn body(steps: VecDeque<Step>, released: watch::Receiver<u64>) -> Body {
    let start = (steps, released);
    Body::from_stream(stream::unfold(start, |(mut steps, mut released)| async move {
        loop {
            match steps.pop_front()? {
                Step::Send(bytes) => return Some((Ok(bytes), (steps, released))),
                Step::Pause(pause) => tokio::time::sleep(pause).await,
                Step::Hold => {
                    let _ = released.changed().await;
                }
                Step::Stall => std::future::pending().await,
                Step::Cut => {
                    // The bytes before must leave, or they are lost with the connection.
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    return Some((Err(io::Error::other("cut")), (VecDeque::new(), released)));
                }
            }
        }
    }))
}

fn after_now(released: &watch::Receiver<u64>) -> watch::Receiver<u64> {
    let mut released = released.clone();
    released.mark_unchanged();
    released
}

fn offset(position: u64) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}
