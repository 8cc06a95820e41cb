//! Numbers that are inside of compressed frames. Viewers of one desktop draw from the same ones, so that one stream can
//! be for several of them; nothing here is of one connection.

use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdpmux_model::FrameId;

use super::Monitor;

/// Frame and surface numbers of one desktop: give every session of it a clone
/// ([`crate::Session::share_numbers`]). Sessions that are not given any have their own.
#[derive(Debug, Clone, Default)]
pub struct FrameNumbers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    frame: AtomicU32,
    video: AtomicU16,
    surfaces: Mutex<Surfaces>,
}

#[derive(Debug, Default)]
struct Surfaces {
    next: u16,
    /// The layout that was asked for last, the monitors that went with it, and the numbers of its surfaces.
    latest: Option<(Vec<Monitor>, Vec<Monitor>, Vec<u16>)>,
}

/// Surfaces that show the desktop have numbers below this, those of videos the others.
const VIDEO: u16 = 0x8000;

impl FrameNumbers {
    /// Numbers from the beginning.
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn next_frame(&self) -> FrameId {
        FrameId(self.0.frame.fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }

    pub(super) fn next_video_surface(&self) -> u16 {
        self.0.video.fetch_add(1, Ordering::Relaxed) | VIDEO
    }

    /// The surfaces of a layout: the same for all who ask for the same layout, until somebody asks for another one.
    pub(super) fn surfaces(&self, layout: &[Monitor], told: &[Monitor]) -> Vec<u16> {
        let mut surfaces = self.lock();
        if let Some((known, known_told, ids)) = &surfaces.latest
            && (&known[..], &known_told[..]) == (layout, told)
        {
            return ids.clone();
        }
        let ids = surfaces.take(layout.len());
        surfaces.latest = Some((layout.to_vec(), told.to_vec(), ids.clone()));
        ids
    }

    /// Surfaces for one client alone, which may still have those of the layout.
    pub(super) fn own_surfaces(&self, layout: &[Monitor]) -> Vec<u16> {
        self.lock().take(layout.len())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Surfaces> {
        self.0.surfaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Surfaces {
    fn take(&mut self, count: usize) -> Vec<u16> {
        let mut next = || {
            let id = self.next;
            self.next = (id + 1) % VIDEO;
            id
        };
        (0..count).map(|_| next()).collect()
    }
}
