//! Fails when hyper changes what the crate relies on: the four points in README.md.
//!
//! A server of hyper writes bodies whose chunks record how they are read, to a socket that records the
//! addresses of what it gets.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers fail by panic")]

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Buf;
use http::Response;
use http_body::Frame;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const LENGTH: usize = 300_000;

/// What bodies are made of; a slice of it is recognised by its address.
static MEMORY: [u8; LENGTH] = [7; LENGTH];

#[derive(Debug, Default)]
struct Calls {
    chunk: AtomicUsize,
    advanced: AtomicUsize,
}

/// A chunk that counts the calls of hyper.
struct Probe {
    start: usize,
    end: usize,
    calls: Arc<Calls>,
}

impl Buf for Probe {
    fn remaining(&self) -> usize {
        self.end - self.start
    }

    /// Also what the default methods that copy call.
    fn chunk(&self) -> &[u8] {
        self.calls.chunk.fetch_add(1, Ordering::Relaxed);
        &MEMORY[self.start..self.end]
    }

    fn chunks_vectored<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        if slices.is_empty() || self.start == self.end {
            return 0;
        }
        slices[0] = IoSlice::new(&MEMORY[self.start..self.end]);
        1
    }

    fn advance(&mut self, length: usize) {
        self.calls.advanced.fetch_add(length, Ordering::Relaxed);
        self.start += length;
        assert!(self.start <= self.end, "hyper advances beyond the chunk");
    }
}

/// All of the memory, in chunks of `size` bytes.
struct ProbeBody {
    next: usize,
    size: usize,
    calls: Arc<Calls>,
}

impl http_body::Body for ProbeBody {
    type Data = Probe;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Probe>, Infallible>>> {
        let this = self.get_mut();
        if this.next == LENGTH {
            return Poll::Ready(None);
        }
        let (start, end) = (this.next, LENGTH.min(this.next + this.size));
        this.next = end;
        Poll::Ready(Some(Ok(Frame::data(Probe { start, end, calls: Arc::clone(&this.calls) }))))
    }
}

/// A socket that takes at most `limit` bytes at once.
struct Recorder {
    request: io::Cursor<Vec<u8>>,
    limit: usize,
    written: Arc<Mutex<Written>>,
}

#[derive(Debug, Default)]
struct Written {
    /// Where in the memory each slice began, and its length.
    body: Vec<(usize, usize)>,
    /// Everything else: heads, and the frames around chunks.
    other: Vec<u8>,
}

impl Written {
    fn write(&mut self, bytes: &[u8]) {
        let memory = MEMORY.as_ptr_range();
        if memory.contains(&bytes.as_ptr()) {
            self.body.push((bytes.as_ptr() as usize - memory.start as usize, bytes.len()));
        } else {
            self.other.extend(bytes);
        }
    }

    /// The length of the body, which must have come from the memory in order and without a gap.
    fn body_length(&self) -> usize {
        self.body.iter().fold(0, |expected, (start, length)| {
            assert_eq!(*start, expected, "hyper reorders, repeats or copies chunks");
            start + length
        })
    }
}

impl AsyncRead for Recorder {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // An end after the request would be that of the client, on which hyper gives up.
        if this.request.position() == this.request.get_ref().len() as u64 {
            return Poll::Pending;
        }
        Pin::new(&mut this.request).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut left = self.limit;
        let mut written = self.written.lock().unwrap();
        for slice in slices {
            let taken = left.min(slice.len());
            if taken > 0 {
                written.write(&slice[..taken]);
            }
            left -= taken;
        }
        Poll::Ready(Ok(self.limit - left))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Observed {
    written: Written,
    calls: Arc<Calls>,
}

/// Serves one request whose response announces this length, from chunks of `size` bytes, to a socket
/// that takes at most `limit` bytes at once.
async fn serve(announced: Option<usize>, size: usize, limit: usize) -> Observed {
    let (calls, written) = (Arc::new(Calls::default()), Arc::<Mutex<Written>>::default());
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec();
    let request = io::Cursor::new(request);
    let socket = Recorder { request, limit, written: Arc::clone(&written) };
    let service = service_fn(|_| {
        let body = ProbeBody { next: 0, size, calls: Arc::clone(&calls) };
        let mut response = Response::new(body);
        if let Some(length) = announced {
            response.headers_mut().insert("content-length", length.into());
        }
        async { Ok::<_, Infallible>(response) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    sendfile::configure(&mut builder);
    // A body that is longer than announced ends the connection with an error.
    let _ = builder.serve_connection(TokioIo::new(socket), service).await;
    let written = std::mem::take(&mut *written.lock().unwrap());
    Observed { written, calls }
}

const CHUNK_SIZES: [usize; 4] = [1000, 8192, 100_000, LENGTH];
const SOCKET_LIMITS: [usize; 3] = [777, 65_536, usize::MAX];

#[tokio::test]
async fn chunks_reach_the_socket_uncopied_and_in_order() {
    for (size, limit) in CHUNK_SIZES.into_iter().flat_map(|size| SOCKET_LIMITS.map(|l| (size, l))) {
        for announced in [Some(LENGTH), None] {
            let Observed { written, .. } = serve(announced, size, limit).await;
            let case = format!("{announced:?} {size} {limit}");
            assert_eq!(written.body_length(), LENGTH, "{case}");
            assert!(written.other.starts_with(b"HTTP/1.1 200 OK\r\n"), "{case}");
        }
    }
}

#[tokio::test]
async fn chunks_are_read_with_chunks_vectored_only() {
    for (size, limit) in CHUNK_SIZES.into_iter().flat_map(|size| SOCKET_LIMITS.map(|l| (size, l))) {
        let Observed { calls, .. } = serve(Some(LENGTH), size, limit).await;
        assert_eq!(calls.chunk.load(Ordering::Relaxed), 0, "{size} {limit}");
    }
}

#[tokio::test]
async fn chunks_are_advanced_by_what_was_written() {
    for limit in SOCKET_LIMITS {
        for announced in [Some(LENGTH), None] {
            let Observed { calls, .. } = serve(announced, 8192, limit).await;
            assert_eq!(calls.advanced.load(Ordering::Relaxed), LENGTH, "{announced:?} {limit}");
        }
    }
}

#[tokio::test]
async fn a_body_never_exceeds_the_length_that_it_announces() {
    for size in CHUNK_SIZES {
        let Observed { written, calls } = serve(Some(1500), size, usize::MAX).await;
        assert_eq!(written.body_length(), 1500, "{size}");
        assert_eq!(calls.chunk.load(Ordering::Relaxed), 0, "{size}");
    }
}
