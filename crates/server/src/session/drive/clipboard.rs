//! The clipboard of one session: what its client does goes to the machine's hub, what the hub wants goes to the client.
//! Messages leave in pieces between frames: a big one waits for them, never they for it.

use bytes::Bytes;
use rdpmux_model::InputEvent;
use rdpmux_rdp::ClipboardEvent;
use tracing::{debug, warn};

use super::{Drive, End};
use crate::clipboard::{ClipboardSeat, Notice};
use crate::paste::{Fate, Paster};
use crate::typing::Layout;

impl Drive {
    /// Opens the client's clipboard, if it may have a part in the machine's.
    pub(super) fn start_clipboard(&mut self) {
        if self.clipboard.is_some() && !self.rdp.clipboard_start() {
            // Without the channel there is nothing to wait for.
            self.clipboard = None;
        }
    }

    /// Takes part in another clipboard instead, or in none. What the client has copied is there, too.
    pub(super) fn change_clipboard(&mut self, seat: Option<ClipboardSeat>) {
        self.clipboard = seat;
        self.start_clipboard();
        if let Some(formats) = self.copied.clone() {
            self.on_clipboard(ClipboardEvent::Copied {
                formats,
                crossed: false,
            });
        }
    }

    pub(super) fn on_clipboard(&mut self, event: ClipboardEvent) {
        if let ClipboardEvent::Copied { formats, .. } = &event {
            self.copied = Some(formats.clone());
        }
        let takes = |event| self.clipboard.as_ref().is_some_and(|seat| seat.client(event));
        match event {
            ClipboardEvent::Refused(refusal) => warn!(session = %self.id, %refusal, "clipboard"),
            ClipboardEvent::Wanted { .. } => {
                if !takes(event) {
                    self.rdp.clipboard_answer(None);
                }
            }
            ClipboardEvent::FileWanted(request) => {
                if !takes(event) {
                    self.rdp.clipboard_answer_file(request.stream, None);
                }
            }
            event => {
                if !takes(event) {
                    debug!(session = %self.id, "the client does more with the clipboard than is taken");
                }
            }
        }
    }

    pub(super) fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Announce(formats) => {
                self.copied = Some(Vec::new());
                self.rdp.clipboard_announce(&formats);
            }
            Notice::Fetch { format, token, limit } => {
                if !self.rdp.clipboard_fetch(format, token, limit) {
                    self.on_clipboard(ClipboardEvent::Data { token, data: None });
                }
            }
            Notice::Answer(data) => self.rdp.clipboard_answer(data),
            Notice::FetchFile(request) => {
                if !self.rdp.clipboard_fetch_file(request) {
                    let stream = request.stream;
                    self.on_clipboard(ClipboardEvent::FileData { stream, data: None });
                }
            }
            Notice::AnswerFile { stream, data } => self.rdp.clipboard_answer_file(stream, data),
            Notice::Lock(id) => self.rdp.clipboard_lock(id),
            Notice::Unlock(id) => self.rdp.clipboard_unlock(id),
        }
    }

    /// A viewer's input, unless it is one of its chords, or stops what one began.
    pub(super) fn on_viewer_input(&mut self, event: InputEvent) -> Result<(), End> {
        match self.paster.input(event) {
            Fate::Pass => self.on_input(event),
            Fate::Keep => Ok(()),
            Fate::Next => self.ask_for_next(event),
            Fate::Paste => {
                let Some(seat) = &self.clipboard else {
                    self.paster.let_pass();
                    return self.on_input(event);
                };
                let layout = Layout::of_windows(self.rdp.info().keyboard_layout);
                self.paster.start(seat, self.seat.desktop(), layout);
                Paster::lifted().try_for_each(|event| self.on_input(event))
            }
        }
    }

    /// Sends pieces while little waits: frames, which may fill more, go first.
    pub(super) fn pump_clipboard(&mut self) -> Result<(), End> {
        while self.rdp.clipboard_waits() && self.outbox.backlog() < ROOM {
            let mut out = Vec::with_capacity(PIECE + 2048);
            self.rdp.clipboard_transmit(PIECE, &mut out);
            self.outbox.push(Bytes::from(out))?;
        }
        Ok(())
    }
}

/// The next thing that the hub wants. Cancel-safe.
pub(super) async fn notice(seat: &mut Option<ClipboardSeat>) -> Notice {
    match seat {
        Some(seat) => seat.next().await,
        None => std::future::pending().await,
    }
}

/// Bytes in the outbox up to which a piece is added; frames are made up to four times as many.
const ROOM: u64 = 16 * 1024;
const PIECE: usize = 16 * 1024;
