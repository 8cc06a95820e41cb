//! The writing half of a session: a task of its own, so that input never waits for output. The session sees how far the
//! writer came and never has more than a bounded amount on the way.
//!
//! Sound has a lane of its own and overtakes frames between two PDUs; what is too old there is dropped.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// The session's side of its writer task. Dropping it cuts the writer.
pub(crate) struct Outbox {
    queue: mpsc::Sender<Bytes>,
    /// With the time after which nobody wants to hear it.
    sound: mpsc::Sender<(Bytes, Instant)>,
    written: watch::Receiver<u64>,
    queued: u64,
    task: JoinHandle<io::Result<()>>,
}

/// The queue is full: the client takes nothing while it makes us answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overflow;

impl Outbox {
    /// Starts the writer. A write without progress for `deadline` ends it with `TimedOut`.
    pub(crate) fn spawn(stream: impl AsyncWrite + Send + Unpin + 'static, deadline: Duration) -> Self {
        let (queue, inbox) = mpsc::channel(CHUNKS);
        let (sound, sound_inbox) = mpsc::channel(SOUNDS);
        let (progress, written) = watch::channel(0);
        let writer = Writer {
            stream,
            sound: sound_inbox,
            deadline,
        };
        let task = tokio::spawn(writer.run(inbox, progress));
        Self {
            queue,
            sound,
            written,
            queued: 0,
            task,
        }
    }

    /// Queues bytes behind what is queued already.
    pub(crate) fn push(&mut self, bytes: Bytes) -> Result<(), Overflow> {
        if bytes.is_empty() {
            return Ok(());
        }
        let length = bytes.len() as u64;
        // A writer that ended shows in `ended`, so a closed queue is no matter here.
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(bytes) {
            return Err(Overflow);
        }
        self.queued += length;
        Ok(())
    }

    /// Queues whole PDUs of sound before everything else; they are dropped if they are not written by `due`. `false` if
    /// there is no room. Not counted among what is queued and written.
    pub(crate) fn push_sound(&mut self, bytes: Bytes, due: Instant) -> bool {
        self.sound.try_send((bytes, due)).is_ok()
    }

    /// Bytes given to [`push`](Self::push) so far.
    pub(crate) fn queued(&self) -> u64 {
        self.queued
    }

    /// Bytes that the socket has taken so far.
    pub(crate) fn written(&self) -> u64 {
        *self.written.borrow()
    }

    /// Bytes between the two.
    pub(crate) fn backlog(&self) -> u64 {
        self.queued - self.written()
    }

    /// Resolves when the writer made progress, or with how it ended. Cancel-safe.
    pub(crate) async fn progress(&mut self) -> Option<io::Result<()>> {
        if self.written.changed().await.is_ok() {
            return None;
        }
        let ended = (&mut self.task).await;
        Some(ended.unwrap_or_else(|_| Err(io::Error::other("the writer was cut"))))
    }

    /// Lets the writer finish what is queued and close the stream, for a limited time.
    pub(crate) async fn finish(mut self, limit: Duration) {
        let (closed, _) = mpsc::channel(1);
        self.queue = closed;
        let _ = timeout(limit, &mut self.task).await;
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Writer<S> {
    stream: S,
    sound: mpsc::Receiver<(Bytes, Instant)>,
    deadline: Duration,
}

impl<S: AsyncWrite + Send + Unpin> Writer<S> {
    async fn run(mut self, mut inbox: mpsc::Receiver<Bytes>, progress: watch::Sender<u64>) -> io::Result<()> {
        let mut total = 0;
        loop {
            tokio::select! {
                biased;
                Some((bytes, due)) = self.sound.recv() => self.play(bytes, due).await?,
                bytes = inbox.recv() => match bytes {
                    Some(bytes) => self.write(bytes, &mut total, &progress).await?,
                    None => break,
                },
            }
            if inbox.is_empty() && self.sound.is_empty() {
                timeout(self.deadline, self.stream.flush()).await??;
            }
        }
        timeout(self.deadline, self.stream.shutdown()).await?
    }

    async fn write(&mut self, mut bytes: Bytes, total: &mut u64, progress: &watch::Sender<u64>) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut piece = bytes.split_to(whole_pdus(&bytes));
            while !piece.is_empty() {
                let count = self.some(&piece).await?;
                let _ = piece.split_to(count);
                *total += count as u64;
                progress.send_replace(*total);
            }
            while let Ok((bytes, due)) = self.sound.try_recv() {
                self.play(bytes, due).await?;
            }
        }
        Ok(())
    }

    async fn play(&mut self, mut bytes: Bytes, due: Instant) -> io::Result<()> {
        if Instant::now() > due {
            return Ok(());
        }
        while !bytes.is_empty() {
            let count = self.some(&bytes).await?;
            let _ = bytes.split_to(count);
        }
        Ok(())
    }

    async fn some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = timeout(self.deadline, self.stream.write(bytes)).await??;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(count)
    }
}

/// Length of the PDUs at the start of `bytes` that fit into [`CHUNK`], of one at least.
fn whole_pdus(bytes: &[u8]) -> usize {
    let mut length = 0;
    while length < bytes.len() {
        // All that is queued are whole PDUs; without a length, the rest is taken as one.
        let Some(next) = rdpmux_rdp::pdu_length(&bytes[length..]) else {
            return bytes.len();
        };
        if length > 0 && length + next > CHUNK {
            break;
        }
        length = (length + next).min(bytes.len());
    }
    length
}

/// Messages that may wait: frames are bounded by the pacer, the rest are short answers and pointers.
const CHUNKS: usize = 256;
/// Pieces of sound that may wait: a fifth of a second.
const SOUNDS: usize = 24;
/// Bytes given to TLS at once, as far as PDUs allow: progress is seen in these steps, and sound waits for no more.
const CHUNK: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// A PDU with a TPKT header that is `length` bytes long.
    fn pdu(length: u16, fill: u8) -> Vec<u8> {
        let mut out = vec![fill; length.into()];
        out[..2].copy_from_slice(&[3, 0]);
        out[2..4].copy_from_slice(&length.to_be_bytes());
        out
    }

    #[test]
    fn pieces_end_where_pdus_end() {
        let frame: Vec<u8> = (0..20).flat_map(|_| pdu(1600, 7)).collect();
        assert_eq!(whole_pdus(&frame), 16_000);
        assert_eq!(whole_pdus(&pdu(40_000, 7)), 40_000);
        assert_eq!(whole_pdus(&[9; 100]), 100);
        assert_eq!(whole_pdus(&[]), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn sound_overtakes_frames_between_two_pdus_and_what_is_too_old_is_dropped() {
        let (ours, theirs) = tokio::io::duplex(1000);
        let mut outbox = Outbox::spawn(ours, Duration::from_secs(15));
        let frame: Vec<u8> = (0..40).flat_map(|_| pdu(1600, 1)).collect();
        outbox.push(frame.into()).expect("room");
        // The writer is in the middle of the frame now.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = Instant::now();
        assert!(outbox.push_sound(pdu(100, 2).into(), now + Duration::from_millis(200)));
        assert!(outbox.push_sound(pdu(100, 3).into(), now));
        tokio::time::sleep(Duration::from_millis(1)).await;
        let reader = tokio::spawn(read_all(theirs));
        outbox.finish(Duration::from_secs(5)).await;
        let bytes = reader.await.expect("read");
        let first_sound = bytes.iter().position(|byte| *byte == 2).expect("the sound was written");
        assert_eq!(first_sound, 16_000 + 4);
        assert_eq!(bytes.len(), 64_000 + 100, "the second piece of sound was too old");
    }

    async fn read_all(mut stream: tokio::io::DuplexStream) -> Vec<u8> {
        use tokio::io::AsyncReadExt;
        let mut out = Vec::new();
        stream.read_to_end(&mut out).await.expect("read");
        out
    }
}
