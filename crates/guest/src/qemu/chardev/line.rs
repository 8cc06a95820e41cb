//! One character device: a socket of which QEMU has the other end. It is always read, so the device never waits for a
//! viewer; what is typed is written as QEMU takes it.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdpmux_streams::hub::{Input, Output};
use rdpmux_streams::{Gather, State};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep_until, timeout};
use tracing::debug;

use super::super::display::Display;
use crate::port::StreamEnds;

/// Longest wait for QEMU to take a socket, or a break.
const STEP: Duration = Duration::from_secs(5);
/// A device whose socket was closed is gone by then, or is there and can be had again.
const SETTLE: Duration = Duration::from_secs(1);
/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// Why a device cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// No socket pair.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// QEMU refused.
    #[error("d-bus: {0}")]
    Bus(#[from] zbus::Error),
    /// QEMU does not answer.
    #[error("no answer within {STEP:?}")]
    Silent,
}

/// Gives QEMU one end of a connection and keeps the other.
pub(super) async fn register(display: &Display, path: &str) -> Result<TcpStream, LineError> {
    let (ours, theirs) = pair().await?;
    let theirs = theirs.into_std()?;
    let registered = timeout(STEP, display.register_chardev(path, theirs.as_fd())).await;
    registered.map_err(|_| LineError::Silent)??;
    Ok(ours)
}

/// Over TCP: of single bytes, which a UART writes, a Unix socket takes 278 before it is full, this one 300,000.
pub(super) async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let ours = TcpStream::connect(listener.local_addr()?).await?;
    let us = ours.local_addr()?;
    loop {
        // Another program of this host may have been quicker.
        let (theirs, peer) = listener.accept().await?;
        if peer == us {
            ours.set_nodelay(true)?;
            theirs.set_nodelay(true)?;
            return Ok((ours, theirs));
        }
    }
}

/// For more than single bytes. A guest that prints makes some two hundred in this time, and QEMU, which wakes nobody
/// meanwhile, is the faster for it.
const PAUSE: Duration = Duration::from_millis(2);

/// Reads a device's socket in pieces that are worth it.
pub(super) struct Gathering(Mutex<Gather>);

impl Default for Gathering {
    fn default() -> Self {
        Self(Mutex::new(Gather::new(PAUSE)))
    }
}

impl Gathering {
    /// Somebody typed.
    pub(super) fn typed(&self) {
        self.0.lock().typed(Instant::now());
    }

    /// Appends what there is. Cancel-safe.
    pub(super) async fn read(&self, reader: &mut OwnedReadHalf, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let until = self.0.lock().until();
        if let Some(until) = until {
            sleep_until(until.into()).await;
        }
        let count = reader.read_buf(buffer).await?;
        self.0.lock().took(count, Instant::now());
        Ok(count)
    }
}

/// How a device is, told from outside of its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Open(bool),
    Unplugged,
}

pub(super) struct Line {
    name: String,
    word: watch::Sender<Word>,
}

impl Line {
    pub(super) fn new(name: &str, is_open: bool) -> Self {
        Self {
            name: name.to_owned(),
            word: watch::Sender::new(Word::Open(is_open)),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The guest opened or closed its end.
    pub(super) fn set_open(&self, is_open: bool) {
        let word = Word::Open(is_open);
        self.word.send_if_modified(|now| std::mem::replace(now, word) != word);
    }

    /// The device is gone for good.
    pub(super) fn unplug(&self) {
        self.word.send_replace(Word::Unplugged);
    }

    /// Carries bytes until the device, QEMU or the owner of the stream is gone.
    pub(super) async fn run(&self, socket: TcpStream, display: &Display, path: &str, mut ends: StreamEnds) {
        let mut words = self.word.subscribe();
        words.mark_changed();
        let (mut reader, mut writer) = socket.into_split();
        let (breaks, mut broken) = mpsc::channel(1);
        let gather = Gathering::default();
        let typing = async {
            while let Some(input) = ends.input.recv().await {
                gather.typed();
                match input {
                    Input::Bytes(bytes) => writer.write_all(&bytes).await?,
                    // QEMU's break has a length of its own.
                    Input::Break(_) => {
                        let _ = breaks.send(()).await;
                    }
                }
            }
            io::Result::Ok(())
        };
        let breaking = async {
            while let Some(()) = broken.recv().await {
                match timeout(STEP, display.chardev_break(path)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => debug!(stream = self.name, %error, "the device takes no break"),
                    Err(_) => debug!(stream = self.name, "no answer to a break"),
                }
            }
        };
        let output = &ends.output;
        let reading = async {
            let mut buffer = Vec::with_capacity(PIECE);
            loop {
                buffer.clear();
                tokio::select! {
                    biased;
                    changed = words.changed() => {
                        let word = *words.borrow_and_update();
                        if changed.is_err() || !tell(output, word).await {
                            return;
                        }
                    }
                    read = gather.read(&mut reader, &mut buffer) => match read {
                        Ok(0) | Err(_) => return,
                        Ok(_) => if output.send(Output::Bytes(buffer.clone())).await.is_err() {
                            return;
                        },
                    },
                }
            }
        };
        tokio::select! {
            _ = typing => {}
            () = breaking => {}
            () = reading => {}
        }
        // QEMU closes the socket of a device before it says that it is gone.
        let gone = timeout(SETTLE, words.wait_for(|word| *word == Word::Unplugged)).await;
        let is_gone = gone.is_ok_and(|gone| gone.is_ok());
        if is_gone {
            let _ = ends.output.send(Output::Unplugged).await;
        }
    }
}

/// `false`: that was the last.
async fn tell(output: &mpsc::Sender<Output>, word: Word) -> bool {
    let state = match word {
        Word::Open(true) => State::Open,
        Word::Open(false) => State::GuestClosed,
        Word::Unplugged => return false,
    };
    output.send(Output::State(state)).await.is_ok()
}
