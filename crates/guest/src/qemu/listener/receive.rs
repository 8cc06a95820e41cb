//! Takes one message after the other off a listener's socket: bytes into one reused buffer, descriptors beside them.
//! Reads exactly up to a message's end, so that descriptors belong to the message that they came with.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::screen::PeerError;
use super::wire::{self, PREFIX, WireError};

/// Descriptors taken with one read; a message of QEMU's has at most 4.
const DESCRIPTORS: usize = 4;
/// The buffer grows by at most this much before the bytes for it have come.
const GROWTH: usize = 4 << 20;
/// A buffer beyond this is given back when messages have become small again.
const KEPT: usize = 16 << 20;

#[derive(Debug, Default)]
pub(in crate::qemu) struct Receiver {
    buffer: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Receiver {
    /// Waits for the next message: its length in [`Self::message`], or `None` at the end of the stream between two.
    pub(super) fn next(&mut self, socket: &UnixStream) -> Result<Option<usize>, PeerError> {
        self.next_within(socket, wire::MAX_MESSAGE)
    }

    /// The same for messages of at most `limit` bytes.
    pub(in crate::qemu) fn next_within(
        &mut self,
        socket: &UnixStream,
        limit: usize,
    ) -> Result<Option<usize>, PeerError> {
        self.descriptors.clear();
        if !self.fill(socket, 0, PREFIX)? {
            return Ok(None);
        }
        let prefix = self.buffer.first_chunk::<PREFIX>().expect("filled above");
        let length = wire::message_length(prefix).and_then(|length| match u32::try_from(length) {
            Ok(body) if length > limit => Err(WireError::TooLong { header: 0, body }),
            _ => Ok(length),
        });
        let length = length.map_err(|source| PeerError::Wire {
            member: "message".to_owned(),
            source,
        })?;
        if self.buffer.len() > KEPT && length < KEPT / 4 {
            self.buffer.truncate(KEPT / 4);
            self.buffer.shrink_to_fit();
        }
        if !self.fill(socket, PREFIX, length)? {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(Some(length))
    }

    /// The message that [`Self::next`] returned the length of.
    pub(in crate::qemu) fn message(&mut self, length: usize) -> (&[u8], Vec<OwnedFd>) {
        (&self.buffer[..length], std::mem::take(&mut self.descriptors))
    }

    /// Fills the buffer from `have` to `want` bytes; `false` at the end of the stream.
    fn fill(&mut self, socket: &UnixStream, mut have: usize, want: usize) -> Result<bool, PeerError> {
        while have < want {
            let room = want.min(have + GROWTH);
            if self.buffer.len() < room {
                self.buffer.resize(room, 0);
            }
            match self.receive(socket, have, room) {
                Ok(0) if have == 0 => return Ok(false),
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(count) => have += count,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
        Ok(true)
    }

    fn receive(&mut self, socket: &UnixStream, from: usize, to: usize) -> rustix::io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut self.buffer[from..to])];
        let received = recvmsg(socket, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.descriptors.extend(fds);
            }
        }
        Ok(received.bytes)
    }
}
