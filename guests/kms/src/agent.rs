//! A clipboard agent as spice-vdagent is one, on the virtio port `com.redhat.spice.0`: the part of its protocol that carries
//! text, with its rule that a grab must bear exactly the next serial. F6 copies a text, F7 pastes what the host offers.
//!
//! Serial lines: `AGENT` when the host has said hello, `GRABBED serial` and `STALE serial` for offers that it takes and
//! ignores, `COPIED text`, `PASTED text`, both quoted.

use crate::boot::say;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const PORT: &str = "com.redhat.spice.0";
const CLIENT_PORT: u32 = 1;
const PROTOCOL: u32 = 1;
const CLIPBOARD: u32 = 4;
const CAPABILITIES: u32 = 6;
const GRAB: u32 = 7;
const REQUEST: u32 = 8;
/// By demand, with selections, with serials.
const CAN: u32 = 1 << 5 | 1 << 6 | 1 << 17;
const TEXT: u32 = 1;
/// The clipboard, not the primary selection.
const SELECTION: u32 = 0;
const CHUNK: usize = 2048;

/// The agent as the keyboard drives it. Clones are the same one.
#[derive(Clone, Default)]
pub struct Agent(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    port: Option<File>,
    /// The serial of the next grab, whosever.
    serial: u32,
    copies: u32,
    copied: String,
}

impl Agent {
    /// Serves the port, if there is one, on a thread of its own.
    pub fn start() -> Self {
        let agent = Self::default();
        if let Some(path) = port() {
            let served = agent.clone();
            std::thread::spawn(move || served.serve(&path));
        }
        agent
    }

    /// Copies a text with what two encodings would spoil.
    pub fn copy(&self) {
        self.with(|state| {
            state.copies += 1;
            state.copied = format!("copy {} of the guest: Grüße, 日本\nline two\n", state.copies);
            let serial = state.serial;
            state.serial += 1;
            let body = [SELECTION, serial, TEXT].map(u32::to_le_bytes).concat();
            state.send(GRAB, &body);
            say(&format!("COPIED {:?}", state.copied));
        });
    }

    /// Asks the host for what it offers.
    pub fn paste(&self) {
        self.with(|state| state.send(REQUEST, &[SELECTION, TEXT].map(u32::to_le_bytes).concat()));
    }

    fn with(&self, act: impl FnOnce(&mut State)) {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn serve(&self, path: &PathBuf) {
        loop {
            // The host closes the port when a client comes or goes; a new start has new serials.
            if let Ok(mut port) = OpenOptions::new().read(true).write(true).open(path) {
                self.with(|state| {
                    state.serial = 0;
                    state.port = port.try_clone().ok();
                    // Once per start: a second time would make newer QEMUs begin anew.
                    state.send(CAPABILITIES, &[1, CAN].map(u32::to_le_bytes).concat());
                });
                self.listen(&mut port);
                self.with(|state| state.port = None);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Reads messages until the host closes the port.
    fn listen(&self, port: &mut File) {
        let mut message = Vec::new();
        loop {
            let mut header = [0; 8];
            if port.read_exact(&mut header).is_err() {
                return;
            }
            let length = word(&header, 4) as usize;
            let start = message.len();
            message.resize(start + length, 0);
            if port.read_exact(&mut message[start..]).is_err() {
                return;
            }
            while message.len() >= 20 && message.len() >= 20 + word(&message, 16) as usize {
                let body = 20 + word(&message, 16) as usize;
                self.take(word(&message, 4), &message[20..body]);
                message.drain(..body);
            }
        }
    }

    fn take(&self, kind: u32, body: &[u8]) {
        self.with(|state| match kind {
            CAPABILITIES => say("AGENT"),
            GRAB if word(body, 0) == SELECTION => {
                let serial = word(body, 4);
                if serial == state.serial {
                    state.serial += 1;
                    say(&format!("GRABBED {serial}"));
                } else {
                    say(&format!("STALE {serial}"));
                }
            }
            REQUEST if word(body, 0) == SELECTION => {
                let head = [SELECTION, TEXT].map(u32::to_le_bytes).concat();
                let answer = [&head, state.copied.as_bytes()].concat();
                state.send(CLIPBOARD, &answer);
            }
            CLIPBOARD => {
                let text = String::from_utf8_lossy(body.get(8..).unwrap_or_default());
                say(&format!("PASTED {text:?}"));
            }
            _ => {}
        });
    }
}

impl State {
    fn send(&mut self, kind: u32, body: &[u8]) {
        let Some(port) = &mut self.port else { return };
        let size = body.len() as u32;
        let mut message = [PROTOCOL, kind, 0, 0, size].map(u32::to_le_bytes).concat();
        message.extend_from_slice(body);
        for chunk in message.chunks(CHUNK) {
            let header = [CLIENT_PORT, chunk.len() as u32].map(u32::to_le_bytes).concat();
            // A port that is closed is opened again by whoever listens.
            let _ = port.write_all(&[&header, chunk].concat());
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    word.map_or(0, u32::from_le_bytes)
}

/// The device of the agent's port.
fn port() -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    let ours = ports.filter_map(Result::ok).find(|port| {
        let name = fs::read_to_string(port.path().join("name")).unwrap_or_default();
        name.trim() == PORT
    })?;
    Some(PathBuf::from("/dev").join(ours.file_name()))
}
