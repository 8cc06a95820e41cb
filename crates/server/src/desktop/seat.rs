//! One session's place at a desktop: its input, whether its user looks and how fast, its wishes. Its end releases what the
//! session holds. Made by `DesktopHandle::join`, called by the session.

use std::sync::atomic::Ordering;

use rdpmux_model::{Audience, InputEvent, MonitorLayout, Rights, SessionId};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::onlookers::Look;
use super::{Command, DesktopHandle, InputRefused};

/// One session's place at a desktop.
pub(crate) struct Seat {
    desktop: DesktopHandle,
    session: SessionId,
    /// While its user sees the desktop.
    look: Option<Look>,
    rate: u8,
    rights: Rights,
    farewell: Option<mpsc::OwnedPermit<Command>>,
}

impl Seat {
    /// A viewer that is counted already.
    pub(super) fn new(
        desktop: DesktopHandle,
        session: SessionId,
        rights: Rights,
        farewell: mpsc::OwnedPermit<Command>,
    ) -> Self {
        Self {
            look: Some(desktop.0.onlookers.look(Audience::FIRST_RATE)),
            rate: Audience::FIRST_RATE,
            desktop,
            session,
            rights,
            farewell: Some(farewell),
        }
    }

    pub(crate) fn desktop(&self) -> &DesktopHandle {
        &self.desktop
    }

    /// What the session's user may do here.
    pub(crate) fn rights(&self) -> Rights {
        self.rights
    }

    /// Hands an event to the arbiter without waiting.
    pub(crate) fn input(&self, event: InputEvent) -> Result<(), InputRefused> {
        self.command(Command::Input {
            session: self.session,
            event,
        })
    }

    /// Has a character typed on the guest's keyboard, likewise.
    pub(crate) fn character(&self, c: char) -> Result<(), InputRefused> {
        self.command(Command::Character {
            session: self.session,
            c,
        })
    }

    fn command(&self, command: Command) -> Result<(), InputRefused> {
        self.desktop
            .0
            .commands
            .try_send(command)
            .map_err(|refused| match refused {
                TrySendError::Full(_) => InputRefused::Full,
                TrySendError::Closed(_) => InputRefused::Gone,
            })
    }

    /// Whether the session's user sees the desktop: a hidden window is no reason for the guest to make pictures.
    pub(crate) fn look(&mut self, looks: bool) {
        self.look = match self.look.take() {
            None if looks => Some(self.desktop.0.onlookers.look(self.rate)),
            look => look.filter(|_| looks),
        };
    }

    /// The session can use so many pictures per second now.
    pub(crate) fn set_rate(&mut self, rate: u8) {
        self.rate = rate;
        if let Some(look) = &mut self.look {
            look.set_rate(rate);
        }
    }

    /// Whether the session shows all there is and can take more.
    pub(crate) fn set_waits(&mut self, waits: bool) {
        if let Some(look) = &mut self.look {
            look.set_waits(waits);
        }
    }

    /// Takes the client's monitors as its wish for the guest's heads. `false` if it may not decide on them.
    pub(crate) fn wish(&self, layout: &MonitorLayout) -> bool {
        let part = self.desktop.0.part.as_ref().filter(|_| self.rights.may_resize());
        if let Some(part) = part {
            part.heads.wish(self.session, part.shown, layout);
        }
        part.is_some()
    }

    /// Resolves when the desktop has ended.
    pub(crate) async fn ended(&self) {
        self.desktop.0.commands.closed().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.look(false);
        self.desktop.0.viewers.fetch_sub(1, Ordering::Relaxed);
        if let Some(part) = &self.desktop.0.part {
            part.heads.leave(self.session);
        }
        if let Some(permit) = self.farewell.take() {
            permit.send(Command::Leave { session: self.session });
        }
    }
}
