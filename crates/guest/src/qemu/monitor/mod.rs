//! QEMU's human monitor as a stream, without a character device: lines are edited here and run by QMP. Who may type into it
//! controls QEMU itself, which can read and write files of the host.

mod editor;

use std::fmt::Write as _;

use rdpmux_streams::hub::{Input, Label, Output};
use rdpmux_streams::{Kind, State, Text};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::info;

use super::qmp::{Control, QmpError};
use crate::port::{GuestEvent, StreamEnds, StreamPort};
use editor::Editor;

/// The stream's name.
pub const NAME: &str = "monitor";

/// The monitor of one connection; dropping it ends the stream's source.
pub(super) struct Monitor(JoinHandle<()>);

impl Drop for Monitor {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Monitor {
    pub(super) fn start(control: Control, events: mpsc::Sender<GuestEvent>, title: String) -> Self {
        Self(tokio::spawn(async move {
            let (port, ends) = StreamPort::open(Label {
                name: Text::cleaned(NAME),
                title: Text::cleaned("QEMU's monitor"),
                kind: Kind::Monitor,
            });
            if events.send(GuestEvent::StreamAdded(port)).await.is_ok() {
                // The owner, or QMP, is gone.
                let _ = serve(&control, ends, &title).await;
            }
        }))
    }
}

/// The connection, or whoever listened, is gone.
struct Gone;

async fn serve(control: &Control, mut ends: StreamEnds, title: &str) -> Result<(), Gone> {
    let say = async |bytes: Vec<u8>| match bytes.is_empty() {
        true => Ok(()),
        false => ends.output.send(Output::Bytes(bytes)).await.map_err(|_| Gone),
    };
    ends.output.send(Output::State(State::Open)).await.map_err(|_| Gone)?;
    say(editor::PROMPT.into()).await?;
    let mut editor = Editor::default();
    while let Some(input) = ends.input.recv().await {
        let Input::Bytes(bytes) = input else { continue };
        let mut echo = Vec::new();
        for byte in bytes {
            let Some(line) = editor.type_byte(byte, &mut echo) else {
                continue;
            };
            say(std::mem::take(&mut echo)).await?;
            if !line.trim().is_empty() {
                // What it says may be secret, that it was said is not.
                info!(
                    vm = title,
                    command = line.split_whitespace().next(),
                    "a command for QEMU's monitor"
                );
                say(run(control, &line).await?).await?;
            }
            echo.extend_from_slice(editor::PROMPT.as_bytes());
        }
        say(echo).await?;
    }
    Ok(())
}

/// What the monitor answers, as a terminal shows it.
async fn run(control: &Control, line: &str) -> Result<Vec<u8>, Gone> {
    let arguments = json!({ "command-line": line });
    let answer = control.turn().await.command(HUMAN, arguments).await;
    let mut text = match answer {
        Ok(Value::String(text)) => text,
        Ok(_) => String::new(),
        Err(QmpError::Refused { text, .. }) => text,
        Err(_) => return Err(Gone),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        let _ = text.write_char('\n');
    }
    Ok(text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes())
}

/// The QMP command that runs a line.
pub(super) const HUMAN: &str = "human-monitor-command";
