//! The socket of a connection, which sends placeholders' bytes straight from their files.

use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::fs::sendfile;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::line::{Break, Line, Promise, is_placeholder};

/// What a client that reads fast may get before others are served.
const TURN: usize = 4 * 1024 * 1024;

/// What one copy takes where a filesystem knows no `sendfile`.
const COPY: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    line: Arc<Line>,
    /// Bytes written in this turn.
    turn: usize,
    copies: bool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        Self { stream, line, turn: 0, copies: false }
    }

    /// Reads files and writes their bytes, as if the filesystem knew no `sendfile`.
    #[cfg(test)]
    pub(super) fn copying(mut self) -> Self {
        self.copies = true;
        self
    }

    fn write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.line.check()?;
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
        let promise = self.line.due(length)?;
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let attempt = if self.copies {
                self.stream.try_io(Interest::WRITABLE, || self.copy(&promise, length))
            } else {
                self.stream.try_io(Interest::WRITABLE, || self.splice(&promise, length))
            };
            match attempt {
                Ok(0) => {
                    self.line.end(Break::Source);
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(sent) => {
                    self.line.kept(sent);
                    return Poll::Ready(Ok(sent));
                }
                Err(error) if knows_no_sendfile(&error) && !self.copies => self.copies = true,
                Err(error) if again(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn splice(&self, promise: &Promise, length: usize) -> io::Result<usize> {
        let mut offset = promise.range.start;
        Ok(sendfile(&self.stream, &*promise.file, Some(&mut offset), length)?)
    }

    fn copy(&self, promise: &Promise, length: usize) -> io::Result<usize> {
        let mut buffer = vec![0; length.min(COPY)];
        let read = promise.file.read_at(&mut buffer, promise.range.start)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        Ok(rustix::io::write(&self.stream, bytes)?)
    }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

fn knows_no_sendfile(error: &io::Error) -> bool {
    let unknown = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];
    Errno::from_io_error(error).is_some_and(|error| unknown.contains(&error))
}

impl AsyncWrite for Wire {
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
            Poll::Pending => {
                this.turn = 0;
                this.line.stalls();
            }
            Poll::Ready(Ok(length)) => {
                this.turn += length;
                this.line.flows();
            }
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
        this.line.check()?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.line.heard();
        }
        read
    }
}

impl Drop for Wire {
    /// To an HTTP/1.0 client a plain end is a good one, and of a client that takes nothing the kernel
    /// would keep the bytes.
    fn drop(&mut self) {
        if !matches!(self.line.broken(), None | Some(Break::Head | Break::Idle)) {
            let _ = self.stream.set_zero_linger();
        }
    }
}
