//! The socket of a connection, which sends the files behind placeholders.

use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::fs::sendfile;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::queue::{Failure, FileQueue, FileRange, is_placeholder};

/// What one client may get before other tasks run. A client that reads as fast as the server writes
/// never makes the socket pending, and would otherwise keep the thread.
const TURN: usize = 4 * 1024 * 1024;

/// The buffer of one copy, on a filesystem without `sendfile`.
const COPY: usize = 64 * 1024;

/// A TCP socket that writes bytes as they are, and sends files in the place of placeholders.
#[derive(Debug)]
pub struct SendfileStream {
    stream: TcpStream,
    queue: Arc<FileQueue>,
    /// Bytes written in this turn.
    turn: usize,
    copies: bool,
}

impl SendfileStream {
    /// Wraps the socket of a connection.
    #[must_use]
    pub fn new(stream: TcpStream, queue: Arc<FileQueue>) -> Self {
        Self { stream, queue, turn: 0, copies: false }
    }

    /// Copies files through a buffer from the start, as it happens anyway on a filesystem without
    /// `sendfile`.
    #[must_use]
    pub fn copying(mut self) -> Self {
        self.copies = true;
        self
    }

    /// Writes the leading bytes up to the first placeholder, or the file behind a leading one.
    fn write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.queue.check()?;
        let begin = slices.iter().position(|slice| !slice.is_empty()).unwrap_or_default();
        let slices = slices.get(begin..).unwrap_or_default();
        match slices.first() {
            Some(first) if is_placeholder(first) => self.write_file(cx, first.len()),
            _ => {
                let end = slices.iter().position(|slice| is_placeholder(slice));
                let bytes = slices.get(..end.unwrap_or(slices.len())).unwrap_or_default();
                Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
            }
        }
    }

    fn write_file(&mut self, cx: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        let range = self.queue.front(length)?;
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let attempt = self.stream.try_io(Interest::WRITABLE, || {
                if self.copies { self.copy(&range, length) } else { self.send(&range, length) }
            });
            match attempt {
                // The file is shorter than announced, and the client waits for bytes that do not exist.
                Ok(0) => {
                    self.queue.fail(Failure::Source);
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(sent) => {
                    self.queue.consume(sent);
                    return Poll::Ready(Ok(sent));
                }
                Err(error) if lacks_sendfile(&error) && !self.copies => self.copies = true,
                Err(error) if is_transient(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn send(&self, range: &FileRange, length: usize) -> io::Result<usize> {
        let mut offset = range.range.start;
        Ok(sendfile(&self.stream, &*range.file, Some(&mut offset), length)?)
    }

    fn copy(&self, range: &FileRange, length: usize) -> io::Result<usize> {
        let mut buffer = vec![0; length.min(COPY)];
        let read = range.file.read_at(&mut buffer, range.range.start)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        Ok(rustix::io::write(&self.stream, bytes)?)
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn lacks_sendfile(error: &io::Error) -> bool {
    let lacking = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|error| lacking.contains(&error))
}

impl AsyncWrite for SendfileStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.turn >= TURN {
            this.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let written = this.write(cx, slices);
        match &written {
            Poll::Pending => this.turn = 0,
            Poll::Ready(Ok(length)) => this.turn += length,
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.queue.check()?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for SendfileStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl Drop for SendfileStream {
    /// Resets a connection that failed. A regular close would end the body of an HTTP/1.0 response in
    /// good order, and the kernel would keep the unsent bytes for a client that does not read.
    fn drop(&mut self) {
        if self.queue.failure().is_some() {
            let _ = self.stream.set_zero_linger();
        }
    }
}
