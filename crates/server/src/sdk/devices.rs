//! What a program brings besides its display and its input handler: clipboard, sound, channels, echo requests. It becomes the desktop's
//! peripherals while the server runs.

use std::sync::Arc;

use rdpmux_model::DesktopName;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::clipboard::{Clipboard, CliprdrServerFactory};
use super::events::{EchoServerMessage, ServerEvent};
use super::gfx::{Gfx, WithGfx};
use super::oversight::Calls;
use super::sound::SoundServerFactory;
use super::speaker::Speaker;
use crate::channels::ChannelFactory;
use crate::clipboard::ClipboardHub;
use crate::desktop::Peripherals;
use crate::echo::EchoServerHandle;
use crate::sessions::Sessions;

/// As the builder has brought it together.
#[derive(Default)]
pub(super) struct Devices {
    pub(super) clipboard: Option<Box<dyn CliprdrServerFactory>>,
    pub(super) sound: Option<Box<dyn SoundServerFactory>>,
    pub(super) channels: Option<Arc<dyn ChannelFactory>>,
    pub(super) gfx: Option<Gfx>,
    pub(super) echo: EchoServerHandle,
}

/// The same while the server runs. Dropping it ends what runs.
pub(super) struct Running {
    clipboard: Option<Clipboard>,
    speaker: Option<Speaker>,
    gfx: Option<(Gfx, Sessions)>,
    echo: EchoServerHandle,
    _overseers: JoinSet<()>,
}

impl Devices {
    /// Tells the factories where their messages go.
    pub(super) fn set_sender(&mut self, sender: &mpsc::UnboundedSender<ServerEvent>) {
        if let Some(sound) = &mut self.sound {
            sound.set_sender(sender.clone());
        }
        if let Some(clipboard) = &mut self.clipboard {
            clipboard.set_sender(sender.clone());
        }
        if let Some(gfx) = &self.gfx {
            gfx.set_sender(sender.clone());
        }
    }

    /// Starts everything.
    pub(super) fn start(&self, name: &DesktopName, sessions: &Sessions) -> std::io::Result<(Running, Peripherals)> {
        let mut overseers = JoinSet::new();
        let mut calls = || {
            let (calls, oversee) = Calls::new();
            overseers.spawn(oversee);
            calls
        };
        let mut peripherals = Peripherals {
            echo: Some(self.echo.clone()),
            channels: self.channels(),
            ..Peripherals::default()
        };
        let (mut clipboard, mut speaker) = (None, None);
        if let Some(factory) = &self.clipboard {
            let calls = calls();
            if let Some(backend) = calls.call("clipboard factory", || factory.build_cliprdr_backend()) {
                let hub = ClipboardHub::spawn(name.clone(), None);
                clipboard = Some(Clipboard::start(&hub, backend, calls)?);
                peripherals.clipboard = Some(hub);
            }
        }
        if let Some(sound) = &self.sound {
            let calls = calls();
            if let Some(handler) = calls.call("sound factory", || sound.build_backend()) {
                let (started, hub) = Speaker::start(handler, calls)?;
                (speaker, peripherals.sound) = (Some(started), Some(hub));
            }
        }
        let running = Running {
            clipboard,
            speaker,
            gfx: self.gfx.clone().map(|gfx| (gfx, sessions.clone())),
            echo: self.echo.clone(),
            _overseers: overseers,
        };
        Ok((running, peripherals))
    }
}

impl Devices {
    fn channels(&self) -> Option<Arc<dyn ChannelFactory>> {
        match &self.gfx {
            Some(gfx) => Some(Arc::new(WithGfx {
                gfx: gfx.clone(),
                others: self.channels.clone(),
            })),
            None => self.channels.clone(),
        }
    }
}

impl Running {
    /// Takes a message of the program's. What does not fit is dropped: the program's queue has no end.
    pub(super) fn take(&self, event: ServerEvent) {
        match event {
            ServerEvent::Rdpsnd(message) => {
                if let Some(speaker) = &self.speaker {
                    speaker.say(message);
                }
            }
            ServerEvent::Clipboard(message) => {
                if let Some(clipboard) = &self.clipboard {
                    clipboard.say(message);
                }
            }
            ServerEvent::Egfx(message) => {
                if let Some((gfx, sessions)) = &self.gfx
                    && let Some(session) = gfx.send(message)
                {
                    warn!(%session, "the client takes the program's graphics too slowly; it is closed");
                    sessions.close(session, crate::CloseReason::Limit);
                }
            }
            ServerEvent::Echo(EchoServerMessage::SendRequest { payload }) => {
                if let Err(error) = self.echo.send_request(payload) {
                    debug!(%error, "echo request");
                }
            }
            _ => {}
        }
    }
}
