//! Text heads: a character device as a desktop that any RDP client can open. The desktop is as every other one (sharing,
//! rights, pacing); what is behind it is a terminal instead of a guest's screen. While nobody looks it has nothing open
//! and keeps no terminal.

mod head;
mod keyboard;
mod typist;

use rdpmux_model::{DesktopName, Generation, HeadState, LockKeys, Presence, Size};
use rdpmux_streams::Text;
use tokio::sync::{mpsc, watch};

use crate::clipboard::{ClipboardHub, GuestClipboard};
use crate::desktop::{Desktop, DesktopSource, HeadSource, Heads, Peripherals};
use crate::streams::Streams;
use crate::typing::Layout;

use head::{Head, Selected};

/// A stream as a desktop.
pub struct Console {
    /// Of the desktop, for example `web1/serial0`.
    pub name: DesktopName,
    /// The machine's streams.
    pub streams: Streams,
    /// Which of them.
    pub stream: Text<'static>,
    /// The layout that scan codes are read in; `None`: US.
    pub layout: Option<Layout>,
}

/// Input events that may wait.
const INPUT: usize = 256;
/// Before a viewer says how large its window is.
const FIRST_SIZE: Size = Size {
    width: 1024,
    height: 768,
};

impl Console {
    /// Starts the desktop. Call it on a tokio runtime; the terminal's task ends with the desktop.
    pub fn spawn(self) -> Desktop {
        let (surface, reader) = rdpmux_engine::surface(FIRST_SIZE);
        let (frames, frames_seen) = watch::channel(Generation(1));
        let locks = LockKeys {
            num: true,
            ..LockKeys::default()
        };
        let (state, state_seen) = watch::channel(HeadState {
            presence: Presence::Running,
            characters: true,
            resting: true,
            locks,
            ..HeadState::default()
        });
        let (input, typed) = mpsc::channel(INPUT);
        let audience = watch::Sender::default();
        let shape = watch::Sender::new(None);
        let (selected, clipboard) = Selected::open();
        let layout = self.layout.or_else(|| Layout::by_name("us"));
        let head = Head {
            surface,
            frames,
            state,
            typed,
            audience: audience.subscribe(),
            shape: shape.subscribe(),
            selected,
            streams: self.streams,
            stream: self.stream,
            title: self.name.to_string(),
            layout,
        };
        let source = DesktopSource {
            surface: reader,
            frames: frames_seen,
            state: state_seen,
            input,
            peripherals: peripherals(&self.name, layout, clipboard),
            audience,
            head: Some(HeadSource {
                heads: Heads::new(self.name.clone(), true),
                index: 0,
                shape,
            }),
        };
        let desktop = Desktop::spawn(self.name, source);
        // Ends when the desktop drops its end of the input.
        tokio::spawn(head.run());
        desktop
    }
}

fn peripherals(name: &DesktopName, layout: Option<Layout>, clipboard: GuestClipboard) -> Peripherals {
    Peripherals {
        layout,
        sound: None,
        echo: None,
        channels: None,
        clipboard: Some(ClipboardHub::spawn(name.clone(), Some(clipboard))),
    }
}

#[cfg(test)]
mod tests;
