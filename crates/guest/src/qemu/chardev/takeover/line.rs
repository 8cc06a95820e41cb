//! One device that was taken over: always read, for the stream and for whoever was there before.

use std::io;
use std::time::Duration;

use rdpmux_streams::State;
use rdpmux_streams::hub::{Input, Output};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::relay::Relay;
use super::swap;
use crate::port::StreamEnds;
use crate::qemu::chardev::line::Gathering;
use crate::qemu::qmp::Control;

/// Bytes that are read at once.
const PIECE: usize = 16 << 10;
/// QEMU's main loop has written what a stopped device still had when nothing came for so long.
const QUIET: Duration = Duration::from_millis(20);
/// Longest wait for the end of a connection that QEMU has let go of.
const END: Duration = Duration::from_secs(2);
/// Why a connection ended is known by then.
const SETTLE: Duration = Duration::from_secs(1);
/// Bytes that were typed and wait for the device.
const TYPED: usize = 16;

/// What the owner of a line may ask.
#[derive(Debug)]
pub(super) enum Word {
    /// The guest opened or closed its end.
    Open(bool),
    /// The place of the old backend is to be free, and nothing on its way; answers then.
    MakeRoom(oneshot::Sender<()>),
    /// QEMU has let go; ends when all that it had said is where it belongs. `true`: the device is gone.
    End(bool),
}

pub(super) struct Line {
    pub(super) label: String,
    pub(super) control: Control,
    pub(super) relay: Relay,
    pub(super) ends: StreamEnds,
    pub(super) words: mpsc::Receiver<Word>,
}

impl Line {
    /// Until QEMU, the owner of the stream or our owner is gone.
    pub(super) async fn run(self, socket: TcpStream) {
        let Self {
            label,
            control,
            mut relay,
            ends,
            mut words,
        } = self;
        let (mut reader, mut writer) = socket.into_split();
        let StreamEnds { output, mut input } = ends;
        let (type_it, mut typed) = mpsc::channel::<Vec<u8>>(TYPED);
        let for_stream = type_it.clone();
        let from_stream = async {
            while let Some(input) = input.recv().await {
                match input {
                    Input::Bytes(bytes) => {
                        if for_stream.send(bytes).await.is_err() {
                            return;
                        }
                    }
                    // QEMU's break has a length of its own.
                    Input::Break(_) => {
                        if let Err(error) = swap::send_break(&control.turn().await, &label).await {
                            tracing::debug!(%error, stream = label, "no break");
                        }
                    }
                }
            }
        };
        let gather = Gathering::default();
        let writing = async {
            while let Some(bytes) = typed.recv().await {
                gather.typed();
                if writer.write_all(&bytes).await.is_err() {
                    // The reader sees the end and what came before it.
                    return std::future::pending().await;
                }
            }
        };
        let reading = async {
            let mut buffer = Vec::with_capacity(PIECE);
            let mut from_relay: Option<Vec<u8>> = None;
            loop {
                buffer.clear();
                tokio::select! {
                    biased;
                    word = words.recv() => match word {
                        Some(Word::Open(is_open)) => {
                            let state = if is_open { State::Open } else { State::GuestClosed };
                            let _ = output.send(Output::State(state)).await;
                        }
                        Some(Word::MakeRoom(done)) => {
                            while let Ok(Ok(1..)) = timeout(QUIET, reader.read_buf(&mut buffer)).await {
                                spread(&mut relay, &output, &buffer).await;
                                buffer.clear();
                            }
                            relay.give_up_place().await;
                            let _ = done.send(());
                        }
                        Some(Word::End(is_gone)) => {
                            let _ = timeout(END, rest(&mut reader, &mut relay, &output)).await;
                            if is_gone {
                                let _ = output.send(Output::Unplugged).await;
                            }
                            return;
                        }
                        None => return,
                    },
                    permit = type_it.reserve(), if from_relay.is_some() => {
                        if let (Ok(permit), Some(bytes)) = (permit, from_relay.take()) {
                            permit.send(bytes);
                        }
                    }
                    read = gather.read(&mut reader, &mut buffer) => match read {
                        Ok(0) | Err(_) => return last_words(&mut words, &mut relay, &output).await,
                        Ok(_) => spread(&mut relay, &output, &buffer).await,
                    },
                    bytes = relay.input(), if from_relay.is_none() => from_relay = Some(bytes),
                }
            }
        };
        tokio::select! {
            () = from_stream => {}
            () = writing => {}
            () = reading => {}
        }
    }
}

/// QEMU closes the connection before it is told here why.
async fn last_words(words: &mut mpsc::Receiver<Word>, relay: &mut Relay, output: &mpsc::Sender<Output>) {
    let ended = timeout(SETTLE, async {
        loop {
            match words.recv().await {
                Some(Word::End(is_gone)) => return is_gone,
                Some(Word::MakeRoom(done)) => {
                    relay.give_up_place().await;
                    let _ = done.send(());
                }
                Some(Word::Open(_)) => {}
                None => return false,
            }
        }
    });
    if ended.await == Ok(true) {
        let _ = output.send(Output::Unplugged).await;
    }
}

/// What the device said goes to all.
async fn spread(relay: &mut Relay, output: &mpsc::Sender<Output>, bytes: &[u8]) {
    if let Err(error) = relay.output(bytes).await {
        tracing::warn!(%error, "what a taken stream says is not written where it was before");
    }
    let _ = output.send(Output::Bytes(bytes.to_vec())).await;
}

async fn rest(reader: &mut OwnedReadHalf, relay: &mut Relay, output: &mpsc::Sender<Output>) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(PIECE);
    while reader.read_buf(&mut buffer).await? > 0 {
        spread(relay, output, &buffer).await;
        buffer.clear();
    }
    Ok(())
}
