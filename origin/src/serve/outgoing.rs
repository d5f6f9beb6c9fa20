//! A response's body on its way into hyper.

use std::fs::File;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::BoxError;
use axum::body::Body;
use futures_util::StreamExt as _;
use http_body::{Body as _, Frame, SizeHint};

use super::exchange::Exchange;
use super::line::{Break, Line, SLICE};
use super::part::Part;
use crate::body::{Piece, Pieces};

/// Any body, its bytes counted for `exchange`.
pub(super) struct Outgoing {
    source: Source,
    exchange: Arc<Exchange>,
}

enum Source {
    Body(Body),
    Pieces { pieces: Pieces, line: Arc<Line>, rest: Option<(Arc<File>, Range<u64>)> },
}

impl Outgoing {
    pub(super) fn body(body: Body, exchange: Arc<Exchange>) -> Self {
        Self { source: Source::Body(body), exchange }
    }

    /// For HTTP/1 on this line only, whose socket knows where files' bytes belong.
    pub(super) fn pieces(pieces: Pieces, line: Arc<Line>, exchange: Arc<Exchange>) -> Self {
        Self { source: Source::Pieces { pieces, line, rest: None }, exchange }
    }
}

impl http_body::Body for Outgoing {
    type Data = Part;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Part>, BoxError>>> {
        let Self { source, exchange } = self.get_mut();
        let frame = ready!(source.poll(cx, exchange));
        match &frame {
            None => exchange.ended(),
            Some(Err(_)) => exchange.cut(),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Body(body) => body.is_end_stream(),
            Source::Pieces { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Body(body) => body.size_hint(),
            Source::Pieces { .. } => SizeHint::default(),
        }
    }
}

impl Source {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &Arc<Exchange>,
    ) -> Poll<Option<Result<Frame<Part>, BoxError>>> {
        match self {
            Self::Body(body) => Pin::new(body).poll_frame(cx).map(|frame| {
                let part = |bytes| Part::bytes(bytes, Arc::clone(exchange));
                frame.map(|frame| Ok(frame?.map_data(part)))
            }),
            Self::Pieces { pieces, line, rest } => {
                let part = poll_pieces(pieces, line, rest, exchange, cx);
                part.map(|part| part.map(|part| part.map(Frame::data)))
            }
        }
    }
}

fn poll_pieces(
    pieces: &mut Pieces,
    line: &Arc<Line>,
    rest: &mut Option<(Arc<File>, Range<u64>)>,
    exchange: &Arc<Exchange>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Part, BoxError>>> {
    loop {
        if let Some((file, range)) = rest.take_if(|(_, range)| !range.is_empty()) {
            let middle = range.end.min(range.start.saturating_add(SLICE as u64));
            let length = usize::try_from(middle - range.start).unwrap_or(SLICE);
            line.promise(Arc::clone(&file), range.start..middle);
            *rest = Some((file, middle..range.end));
            let part = Part::file(length, Arc::clone(line), Arc::clone(exchange));
            return Poll::Ready(Some(Ok(part)));
        }
        match ready!(pieces.poll_next_unpin(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => {
                line.end(Break::Source);
                return Poll::Ready(Some(Err(error.into())));
            }
            Some(Ok(Piece::File(file, range))) => *rest = Some((file, range)),
            Some(Ok(Piece::Bytes(bytes))) if bytes.is_empty() => {}
            Some(Ok(Piece::Bytes(bytes))) => {
                return Poll::Ready(Some(Ok(Part::bytes(bytes, Arc::clone(exchange)))));
            }
        }
    }
}
