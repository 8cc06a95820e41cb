//! Bytes that wait for a socket, and the descriptors that go with the first byte of some.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    written: usize,
    descriptor: Option<OwnedFd>,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    chunks: VecDeque<Chunk>,
}

impl Outbox {
    /// Appends bytes; the descriptor goes with the first.
    pub(super) fn push(&mut self, bytes: Vec<u8>, descriptor: Option<OwnedFd>) {
        self.chunks.push_back(Chunk {
            bytes,
            written: 0,
            descriptor,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes that wait.
    pub(super) fn waiting(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes.len() - chunk.written).sum()
    }

    /// Writes what the socket takes now.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn flush(&mut self, stream: &UnixStream) -> io::Result<()> {
        while let Some(chunk) = self.chunks.front_mut() {
            match send(stream, chunk) {
                Ok(length) => {
                    chunk.descriptor = None;
                    chunk.written += length;
                    if chunk.written >= chunk.bytes.len() {
                        self.chunks.pop_front();
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The daemon may be gone: that must not be a SIGPIPE of the hypervisor.
fn send(stream: &UnixStream, chunk: &Chunk) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = chunk.descriptor.as_ref().map(|descriptor| [descriptor.as_fd()]);
    if let Some(descriptors) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let bytes = [IoSlice::new(&chunk.bytes[chunk.written..])];
    sendmsg(stream, &bytes, &mut control, SendFlags::NOSIGNAL)
}
