//! Who types into a console: its own writer's right, asked for with the first key, and what waits for it. Pure.

use rdpmux_streams::{Wish, Writer};

use crate::streams::line::Line;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Typist {
    writer: Option<Writer>,
    who: String,
    /// Typed while the right to write is asked for.
    held: Vec<u8>,
    /// A break, likewise.
    held_break: bool,
    asked: bool,
}

/// Bytes that wait for the right to write.
const HELD: usize = 256;

impl Typist {
    /// Somebody at the console types.
    pub(super) fn types(&mut self, bytes: &[u8], line: &mut Line) {
        match self.writer {
            Some(Writer::You) => line.write(bytes),
            Some(Writer::Other) => {}
            Some(Writer::Nobody) | None => {
                let room = HELD.saturating_sub(self.held.len());
                self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
                self.ask(line);
            }
        }
    }

    /// Somebody at the console wants a break.
    pub(super) fn breaks(&mut self, line: &mut Line) {
        match self.writer {
            Some(Writer::You) => line.send_break(),
            Some(Writer::Other) => {}
            Some(Writer::Nobody) | None => {
                self.held_break = true;
                self.ask(line);
            }
        }
    }

    fn ask(&mut self, line: &mut Line) {
        if !std::mem::replace(&mut self.asked, true) {
            line.wish(Wish::Ask);
        }
    }

    /// Somebody at the console wants to write, whoever does.
    pub(super) fn takes_over(&mut self, line: &mut Line) {
        if self.writer != Some(Writer::You) {
            line.wish(Wish::TakeOver);
        }
    }

    /// The daemon said who writes.
    pub(super) fn told(&mut self, writer: Writer, who: String, line: &mut Line) {
        (self.writer, self.who) = (Some(writer), who);
        match writer {
            Writer::You => {
                line.write(&std::mem::take(&mut self.held));
                if std::mem::take(&mut self.held_break) {
                    line.send_break();
                }
            }
            Writer::Other => {
                self.held.clear();
                self.held_break = false;
            }
            // Before the answer to what was asked.
            Writer::Nobody => return,
        }
        self.asked = false;
    }

    /// Whether questions of the guest are this console's to answer.
    pub(super) fn answers(&self) -> bool {
        self.writer == Some(Writer::You)
    }

    /// What the status line says of it.
    pub(super) fn status(&self) -> String {
        match self.writer {
            Some(Writer::Other) => format!("{} types here; Ctrl+Shift+Enter takes over", self.who),
            Some(Writer::You) => "typed from this screen".to_owned(),
            Some(Writer::Nobody) | None => String::new(),
        }
    }
}
