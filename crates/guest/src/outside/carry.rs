//! Bytes between a device's other end and its stream.

use rdpmux_streams::State;
use rdpmux_streams::hub::{Input, Output};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::port::StreamEnds;

/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// Carries bytes until the device, or the owner of the stream, is gone. A break cannot be said here and is left out.
pub(super) async fn carry(device: impl AsyncRead + AsyncWrite, ends: StreamEnds) {
    let (mut reader, mut writer) = tokio::io::split(device);
    let StreamEnds { output, mut input } = ends;
    if output.send(Output::State(State::Open)).await.is_err() {
        return;
    }
    let typing = async {
        while let Some(input) = input.recv().await {
            if let Input::Bytes(bytes) = input
                && writer.write_all(&bytes).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! {
        () = typing => {}
        () = read(&mut reader, &output) => {}
    }
}

async fn read(reader: &mut (impl AsyncRead + Unpin), output: &mpsc::Sender<Output>) {
    let mut buffer = Vec::with_capacity(PIECE);
    while let Ok(1..) = reader.read_buf(&mut buffer).await {
        let bytes = std::mem::replace(&mut buffer, Vec::with_capacity(PIECE));
        if output.send(Output::Bytes(bytes)).await.is_err() {
            return;
        }
    }
}
