//! Going to another desktop of the machine within a session, which the viewer's chord asks for: the screen, its further
//! heads, its serial ports. The connection, its graphics, sound and streams stay; the seat is another one, and so are
//! keyboard, clipboard and picture.

use rdpmux_model::InputEvent;
use tracing::{debug, info};

use super::{Drive, End};
use crate::clipboard::ClipboardSeat;
use crate::desktop::Seat;
use crate::paste::Paster;
use crate::route::{self, Grant};
use crate::session;
use crate::typing::Layout;

/// A session that may go elsewhere.
pub(super) struct Elsewhere {
    user: String,
    asked: Option<Grant>,
    /// Taken there, while the client still has to be sent a frame of where it was.
    seat: Option<(Grant, Seat)>,
}

impl Drive {
    /// The user may see other desktops of the machine.
    pub(in crate::session) fn roaming(mut self, user: String) -> Self {
        self.elsewhere = Some(Elsewhere {
            user,
            asked: None,
            seat: None,
        });
        self
    }

    /// The chord was pressed. Without another desktop its letter is the guest's.
    pub(super) fn ask_for_next(&mut self, event: InputEvent) -> Result<(), End> {
        let directory = &*self.context.config.directory;
        let here = self.seat.desktop().name();
        let next = self.elsewhere.as_ref().and_then(|elsewhere| {
            let monitors = self.layout.as_ref().map_or(1, |layout| layout.monitors().len());
            let desktop = directory.beside(&elsewhere.user, here)?.for_monitors(monitors);
            route::grant(desktop, &elsewhere.user, directory).ok()
        });
        let (Some(next), Some(elsewhere)) = (next, &mut self.elsewhere) else {
            self.paster.let_pass();
            return self.on_input(event);
        };
        elsewhere.asked = Some(next);
        Paster::lifted().try_for_each(|event| self.on_input(event))
    }

    /// Goes where the viewer wants, as soon as the client has all frames of where it is.
    pub(super) async fn go_elsewhere(&mut self) -> Result<(), End> {
        let Some(elsewhere) = &mut self.elsewhere else {
            return Ok(());
        };
        if let Some(grant) = elsewhere.asked.take() {
            let layout = Layout::of_windows(self.rdp.info().keyboard_layout);
            // One that has ended meanwhile is nowhere to go.
            let seat = grant.desktop.join(self.id, grant.rights, layout).await.ok();
            elsewhere.seat = seat.map(|seat| (grant, seat));
        }
        let Some((grant, seat)) = elsewhere.seat.take() else {
            return Ok(());
        };
        let can_go = self
            .follow
            .as_mut()
            .is_none_or(|follow| follow.move_to(grant.desktop.surface(), grant.desktop.numbers()));
        if !can_go {
            elsewhere.seat = Some((grant, seat));
            return Ok(());
        }
        self.rdp.share_numbers(grant.desktop.numbers());
        let clipboard = session::clipboard(self.id, &grant, &elsewhere.user).await;
        info!(session = %self.id, desktop = %grant.desktop.name(), "session goes to another desktop");
        let sessions = &self.context.config.sessions;
        sessions.set_desktop(self.id, grant.desktop.name().clone(), grant.rights);
        self.context.cookies.follow(self.id, grant.desktop.name());
        self.settle(seat, clipboard)
    }

    fn settle(&mut self, seat: Seat, clipboard: Option<ClipboardSeat>) -> Result<(), End> {
        self.paster.stop();
        self.held_motion = None;
        // The old seat's end lifts the keys that are down there.
        self.seat = seat;
        self.seat.look(!self.suppressed);
        let desktop = self.seat.desktop();
        (self.frames, self.state) = (desktop.frames(), desktop.state());
        if let Some(layout) = &self.layout {
            let counts = self.seat.wish(layout);
            debug!(session = %self.id, counts, "the client's monitors, here");
        }
        self.change_clipboard(clipboard);
        let state = self.state.borrow_and_update().clone();
        let mut out = Vec::new();
        self.rdp.pointer(&state.pointer, &mut out);
        self.rdp.indicators(state.locks, &mut out);
        self.shown = state;
        self.push(out)
    }
}
