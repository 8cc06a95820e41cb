//! A desktop that only shows a card: what a user sees who logged in but gets no VM.

use rdpmux_engine::{SurfaceWriter, draw_card, surface};
use rdpmux_model::{DesktopName, HeadState, Presence, Size};
use tokio::sync::{mpsc, watch};

use crate::access::Denied;
use crate::desktop::{Desktop, DesktopHandle, DesktopSource, Peripherals};

/// Keeps the card's desktop alive while its one viewer reads it.
pub(super) struct Card {
    desktop: Desktop,
    _writer: SurfaceWriter,
    _frames: watch::Sender<rdpmux_model::Generation>,
    _state: watch::Sender<HeadState>,
    _input: mpsc::Receiver<rdpmux_model::InputEvent>,
}

impl Card {
    /// The refusal. Unknown and forbidden names read the same.
    pub(super) fn refusal(denied: &Denied) -> Self {
        match denied {
            Denied::NotYours { wanted } => Self::new(
                "No such desktop for you",
                &[
                    &format!("You asked for \"{wanted}\"."),
                    "It does not exist, or your account may not see it.",
                    "Ask the administrator of this server for access.",
                ],
            ),
            Denied::NoneNamed => Self::new(
                "Which desktop?",
                &[
                    "This server has several desktops and you named none.",
                    "Log in as  user#desktop  or  desktop\\user,",
                    "or open the .rdp file of the desktop.",
                ],
            ),
        }
    }

    pub(super) fn desktop(&self) -> DesktopHandle {
        self.desktop.handle()
    }

    fn new(title: &str, lines: &[&str]) -> Self {
        let (mut writer, reader) = surface(SIZE);
        writer.draw(|canvas| draw_card(canvas, title, lines));
        let (_frames, frames) = watch::channel(reader.generation());
        let (_state, state) = watch::channel(HeadState {
            presence: Presence::Running,
            ..HeadState::default()
        });
        let (input, _input) = mpsc::channel(1);
        let name = DesktopName::new("card").expect("a constant that keeps the rule");
        let desktop = Desktop::spawn(
            name,
            DesktopSource {
                surface: reader,
                frames,
                state,
                input,
                peripherals: Peripherals::default(),
                audience: watch::Sender::default(),
                head: None,
            },
        );
        Self {
            desktop,
            _writer: writer,
            _frames,
            _state,
            _input,
        }
    }
}

const SIZE: Size = Size::new(800, 600);
