//! A byte stream with what was read ahead of it: before TLS it replays first bytes, before the session it collects PDUs.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// What carries a connection: a TCP socket, TLS on one, or whatever an embedder brings.
pub(crate) trait Carrier: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Carrier for T {}

/// The stream of a connection. One call through a table per read or write is nothing beside the kernel's and TLS's part.
pub(crate) type Stream = Box<dyn Carrier>;

/// A stream whose first bytes were read already; readers get them first.
pub(crate) struct Replay<S> {
    head: BytesMut,
    inner: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Replay<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.head.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, out);
        }
        let count = out.remaining().min(self.head.len());
        out.put_slice(&self.head[..count]);
        self.head.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Replay<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A stream with the bytes that no PDU has consumed yet.
pub(crate) struct Link<S> {
    pub(crate) stream: S,
    pub(crate) buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// Reads what there is, at least one byte.
    ///
    /// # Errors
    /// `UnexpectedEof` when the peer closed, `InvalidData` when more than [`BUFFERED`] bytes wait for a PDU to end.
    pub(crate) async fn fill(&mut self) -> io::Result<()> {
        if self.buffer.len() >= BUFFERED {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a message before the login is too long",
            ));
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Writes all of `out` and empties it.
    pub(crate) async fn send(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if !out.is_empty() {
            self.stream.write_all(out).await?;
            self.stream.flush().await?;
            out.clear();
        }
        Ok(())
    }

    /// The stream with the unconsumed bytes in front again.
    pub(crate) fn into_replay(self) -> Replay<S> {
        Replay {
            head: self.buffer,
            inner: self.stream,
        }
    }
}

/// Bytes that may wait for a PDU to end before a session exists: a TPKT holds 64 KiB at most.
const BUFFERED: usize = 72 * 1024;
