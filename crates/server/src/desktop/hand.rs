//! A hand on a desktop's keyboard that is no viewer: what an operator's command types. It goes through the arbiter as
//! everybody's keys do, so what it holds goes up when it leaves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdpmux_model::{Audience, InputEvent, Rights, Scancode, SessionId, Size};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::{Command, DesktopHandle};
use crate::chord::Chord;
use crate::typing::{Layout, Stroke};

/// The desktop ended while it was typed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the desktop was removed")]
pub struct DesktopEnded;

/// What came of a text that was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Typed {
    /// Characters that were typed.
    pub characters: usize,
    /// Characters that the layout lacks.
    pub left_out: usize,
}

/// A hand on the keyboard. Dropping it lifts its keys.
pub struct Hand {
    commands: mpsc::Sender<Command>,
    session: SessionId,
    leave: Option<mpsc::OwnedPermit<Command>>,
}

impl DesktopHandle {
    /// Lays a hand on the keyboard. Whoever asks has checked that it may type here.
    ///
    /// # Errors
    /// [`DesktopEnded`].
    pub async fn hand(&self) -> Result<Hand, DesktopEnded> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let commands = self.0.commands.clone();
        let leave = commands.clone().reserve_owned().await.map_err(|_| DesktopEnded)?;
        let session = SessionId(FIRST_HAND + NEXT.fetch_add(1, Ordering::Relaxed));
        let rights = Rights::CONTROL;
        let join = Command::Join {
            session,
            rights,
            layout: None,
        };
        commands.send(join).await.map_err(|_| DesktopEnded)?;
        Ok(Hand {
            commands,
            session,
            leave: Some(leave),
        })
    }
}

impl DesktopHandle {
    /// The keyboard layout that the guest's system is set to, if it is known.
    pub fn layout(&self) -> Option<Layout> {
        self.0.peripherals.layout
    }

    /// What the desktop shows now: its size and rows of B, G, R, X. A guest that rests because nobody looks is woken and
    /// waited for, one second at most.
    pub async fn picture(&self) -> (Size, Vec<u8>) {
        let glance = self.0.onlookers.look(Audience::IDLE_RATE);
        let mut state = self.state();
        let awake = state.wait_for(|state| !state.resting);
        // A desktop that ends meanwhile shows what it showed last.
        let _ = timeout(WAKING, awake).await;
        let picture = self.0.surface.snapshot();
        drop(glance);
        picture
    }
}

impl Hand {
    /// Presses or lifts a key; waits while the guest takes nothing.
    ///
    /// # Errors
    /// [`DesktopEnded`].
    pub async fn key(&self, scancode: Scancode, down: bool) -> Result<(), DesktopEnded> {
        let event = InputEvent::Key { scancode, down };
        let session = self.session;
        let command = Command::Input { session, event };
        self.commands.send(command).await.map_err(|_| DesktopEnded)
    }

    /// Presses the keys of a chord in their order, holds them for a moment and lifts them again.
    ///
    /// # Errors
    /// [`DesktopEnded`].
    pub async fn press(&self, chord: &Chord) -> Result<(), DesktopEnded> {
        for key in chord.keys() {
            self.key(*key, true).await?;
        }
        sleep(HELD).await;
        for key in chord.keys().iter().rev() {
            self.key(*key, false).await?;
        }
        sleep(HELD).await;
        Ok(())
    }

    /// Types a text on the keys of a guest's layout, slowly enough for a PC keyboard's queue: some 40 characters per second.
    /// What the layout lacks is left out. Caps Lock is reckoned with where the guest lights it; what viewers hold
    /// meanwhile does not change a character. Dropping the future stops it between two characters.
    ///
    /// # Errors
    /// [`DesktopEnded`].
    pub async fn type_text(&self, text: &str, layout: Layout) -> Result<Typed, DesktopEnded> {
        let mut typed = Typed::default();
        for strokes in layout.text(text) {
            let Ok(strokes) = strokes else {
                typed.left_out += 1;
                continue;
            };
            let session = self.session;
            let command = Command::Strokes { session, strokes };
            self.commands.send(command).await.map_err(|_| DesktopEnded)?;
            typed.characters += 1;
            sleep(EDGE * strokes.into_iter().map(edges).sum()).await;
        }
        Ok(typed)
    }
}

/// How often keys go down and up for a stroke.
fn edges(stroke: Stroke) -> u32 {
    2 + 2 * u32::from(stroke.shift) + 2 * u32::from(stroke.altgr)
}

impl Drop for Hand {
    fn drop(&mut self) {
        if let Some(permit) = self.leave.take() {
            permit.send(Command::Leave { session: self.session });
        }
    }
}

/// Numbers of hands; those of sessions count from 1.
const FIRST_HAND: u64 = 1 << 63;
/// Guests that poll their keyboard see a key that is down for so long.
const HELD: Duration = Duration::from_millis(30);
/// How long a resting guest may take to show something.
const WAKING: Duration = Duration::from_secs(1);
/// After each edge of a typed key: the queue holds 16 bytes, an edge takes up to three, and a guest may be busy.
const EDGE: Duration = Duration::from_millis(8);
