//! The desktop of a server of the SDK, with the two threads that call the program: one for its display, one for its input
//! handler. Dropping it ends both.

use std::sync::Arc;

use anyhow::Context;
use rdpmux_model::{Audience, DesktopName, Rights, Size};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::display::DesktopSize;
use super::feed::Feed;
use super::hands::{self, Hands};
use super::oversight::Calls;
use super::shelf::Shelf;
use super::show::{self, Screen, Show};
use crate::access::Directory;
use crate::desktop::{Desktop, DesktopHandle, DesktopSource, HeadSource, Heads, Peripherals};
use crate::listen::{Stopper, stop_pair};

/// What runs while a server runs.
pub(super) struct Stage {
    desktop: Desktop,
    /// Told the screen of the first client, if the display is to know.
    arrived: Option<watch::Sender<Option<DesktopSize>>>,
    /// Ends the display's thread when it is dropped.
    _stopper: Stopper,
    _overseers: JoinSet<()>,
}

impl Stage {
    /// What logs call the desktop.
    pub(super) fn name() -> DesktopName {
        DesktopName::new("desktop").expect("a constant that keeps the rule")
    }

    /// Asks the display for its size and starts everything.
    /// If it is to honour sizes, it hears of the first client's screen.
    pub(super) async fn open(
        screen: &Screen,
        hands: &Hands,
        peripherals: Peripherals,
        honors_sizes: bool,
    ) -> anyhow::Result<Self> {
        let mut overseers = JoinSet::new();
        let mut calls = || {
            let (calls, oversee) = Calls::new();
            overseers.spawn(oversee);
            calls
        };
        let calls_of_display = calls();
        let size = {
            let mut display = screen.lock().await;
            calls_of_display.call_async("display", display.size()).await
        };
        let size = size.context("the display has no size")?;
        anyhow::ensure!(
            Size::from(size).is_valid(),
            "the display's size {}x{} is not within 1x1 and 8192x8192",
            size.width,
            size.height
        );
        let (feed, fed) = Feed::new(size);
        let name = Self::name();
        let heads = Heads::new(name.clone(), true);
        let (audience, audience_seen) = watch::channel(Audience::default());
        let (shape, wishes) = watch::channel(None);
        let (arrived, arrival) = watch::channel(None);
        let source = DesktopSource {
            surface: fed.surface,
            frames: fed.frames,
            state: fed.state,
            input: hands::start(hands, calls())?,
            peripherals,
            audience,
            head: Some(HeadSource { heads, index: 0, shape }),
        };
        let desktop = Desktop::spawn(name, source);
        let (stopper, stop) = stop_pair();
        let show = Show {
            feed,
            calls: calls_of_display,
            audience: audience_seen,
            wishes,
            arrival,
            waiting: desktop.handle().waiting(),
            shelf: Shelf::default(),
            stop,
            refused: 0,
        };
        show::start(screen, show)?;
        Ok(Self {
            desktop,
            arrived: honors_sizes.then_some(arrived),
            _stopper: stopper,
            _overseers: overseers,
        })
    }

    /// The door's directory: this desktop, whatever a client calls it.
    pub(super) fn directory(&self, rights: Arc<dyn Fn(&str) -> Rights + Send + Sync>) -> OneDesktop {
        OneDesktop {
            desktop: self.desktop.handle(),
            arrived: self.arrived.clone(),
            rights,
        }
    }
}

/// One desktop for everybody.
pub(super) struct OneDesktop {
    desktop: DesktopHandle,
    arrived: Option<watch::Sender<Option<DesktopSize>>>,
    rights: Arc<dyn Fn(&str) -> Rights + Send + Sync>,
}

impl Directory for OneDesktop {
    fn find(&self, _name: &DesktopName) -> Option<DesktopHandle> {
        Some(self.desktop.clone())
    }

    fn default_desktop(&self) -> Option<DesktopHandle> {
        Some(self.desktop.clone())
    }

    fn rights(&self, user: &str, _desktop: &DesktopName) -> Rights {
        (self.rights)(user)
    }

    fn arrives(&self, _user: &str, _desktop: &DesktopName, screen: Size) {
        let edge = |pixels: u32| u16::try_from(pixels).ok();
        if let Some(arrived) = &self.arrived
            && let (Some(width), Some(height)) = (edge(screen.width), edge(screen.height))
            && self.desktop.viewers() == 0
            && screen.is_valid()
        {
            arrived.send_replace(Some(DesktopSize { width, height }));
        }
    }
}
