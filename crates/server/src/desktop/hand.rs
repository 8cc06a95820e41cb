//! A hand on a desktop's keyboard that is no viewer: what an operator's command types. It goes through the arbiter as
//! everybody's keys do, so what it holds goes up when it leaves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdpmux_model::{InputEvent, Rights, Scancode, SessionId};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::{Command, DesktopHandle};
use crate::chord::Chord;

/// The desktop ended while it was typed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the desktop was removed")]
pub struct DesktopEnded;

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
