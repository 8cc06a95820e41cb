//! The writing half of a session: a task of its own, so that input never waits for output. The session sees how far the
//! writer came and never has more than a bounded amount on the way.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The session's side of its writer task. Dropping it cuts the writer.
pub(crate) struct Outbox {
    queue: mpsc::Sender<Bytes>,
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
        let (progress, written) = watch::channel(0);
        let task = tokio::spawn(write(stream, inbox, progress, deadline));
        Self {
            queue,
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

async fn write(
    mut stream: impl AsyncWrite + Send + Unpin,
    mut inbox: mpsc::Receiver<Bytes>,
    progress: watch::Sender<u64>,
    deadline: Duration,
) -> io::Result<()> {
    let mut total = 0;
    while let Some(mut bytes) = inbox.recv().await {
        while !bytes.is_empty() {
            let chunk = &bytes[..bytes.len().min(CHUNK)];
            let count = timeout(deadline, stream.write(chunk)).await??;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let _ = bytes.split_to(count);
            total += count as u64;
            progress.send_replace(total);
        }
        if inbox.is_empty() {
            timeout(deadline, stream.flush()).await??;
        }
    }
    timeout(deadline, stream.shutdown()).await?
}

/// Messages that may wait: frames are bounded by the pacer, the rest are short answers and pointers.
const CHUNKS: usize = 256;
/// Bytes given to TLS at once: progress is seen in these steps.
const CHUNK: usize = 16 * 1024;
