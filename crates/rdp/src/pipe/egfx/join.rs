//! One stream for several clients that are in step, and how a client comes to it, leaves it, or goes to another desktop.
//!
//! Whoever is in has the same surfaces under the same numbers. A joiner's history, caches and count of ClearCodec
//! messages are others than those of the stream, so the stream refers to nothing before the joining, all caches are emptied, and
//! the joiner is brought to the stream's count.

use rdpmux_model::Size;

use super::command::evict;
use super::message::wire_to_surface;
use super::{Egfx, Layout, Sink, video};
use crate::pipe::{FrameNumbers, edges};

const CODEC_CLEAR: u16 = 0x8;
const DOT: Size = Size::new(1, 1);

impl Egfx {
    /// A writer for one client of this one's: it knows what the client has, and refers to none of it.
    pub(in crate::pipe) fn fork(&self) -> Self {
        let mut coders = (self.make)();
        if let (Some(raster), Some(old)) = (&mut coders.raster, &self.coders.raster) {
            raster.restart(old.sequence());
        }
        Self {
            caps: self.caps,
            coders,
            make: self.make.clone(),
            numbers: self.numbers.clone(),
            again: self.again,
            set: self.set.clone(),
            told: self.told.clone(),
            layout: self.layout.clone(),
            videos: self.videos.clone(),
            cache_reply: None,
            held: self.held.clone(),
            plain: Vec::new(),
            packed: Vec::new(),
        }
    }

    /// Whether a client of `other` has the surfaces, and can do, what this stream counts on.
    pub(in crate::pipe) fn is_joinable_by(&self, other: &Self) -> bool {
        let ids = |layout: &Layout| layout.surfaces.iter().map(|s| s.id).collect::<Vec<_>>();
        self.caps == other.caps
            && self.coders.raster.is_some() == other.coders.raster.is_some()
            && !self.layout.monitors.is_empty()
            && self.layout.monitors == other.layout.monitors
            && self.layout.told == other.layout.told
            && (&self.set, &self.told) == (&other.set, &other.told)
            && ids(&self.layout) == ids(&other.layout)
    }

    /// Ends what only the clients of this stream so far have. What comes after is for a joiner as well.
    pub(in crate::pipe) fn forget(&mut self, sink: Sink<'_>) {
        self.plain.clear();
        self.reply();
        self.part(sink);
        self.coders.bulk.forget();
        if let Some(raster) = &mut self.coders.raster {
            raster.restart(raster.sequence());
        }
        // A context that is sent twice does no harm; a joiner may not have it.
        self.layout.surfaces.iter_mut().for_each(|s| s.context = false);
    }

    /// See [`crate::FrameWriter::move_to`].
    pub(in crate::pipe) fn move_to(&mut self, numbers: FrameNumbers, sink: Sink<'_>) {
        self.forget(sink);
        self.numbers = numbers;
        // Another layout than any frame's: the surfaces stay known, and go with the next frame.
        self.layout.monitors.clear();
    }

    /// Brings this writer's client to where it can take the stream `to`.
    pub(in crate::pipe) fn leave_for(mut self, to: &Self, sink: Sink<'_>) {
        self.plain.clear();
        self.reply();
        if let (Some(raster), Some(target)) = (&mut self.coders.raster, &to.coders.raster)
            && raster.sequence() != target.sequence()
        {
            // Nobody sees this surface: its only use is the count of messages.
            let scratch = self.numbers.next_video_surface();
            video::create(&mut self.plain, scratch, DOT);
            while raster.sequence() != target.sequence() {
                let edges = edges(DOT.rect(), DOT).expect("a dot is inside of itself");
                wire_to_surface(&mut self.plain, scratch, CODEC_CLEAR, edges, |out| {
                    raster.compress(DOT, &[0; 4], out);
                    Ok(())
                })
                .expect("a dot is a bitmap");
            }
            video::delete(&mut self.plain, scratch);
        }
        self.part(sink);
    }

    /// Deletes the surfaces of videos and empties the cache, since others do not have the same, and sends what there is to send.
    fn part(&mut self, sink: Sink<'_>) {
        self.videos.clear(&mut self.plain);
        for slot in std::mem::take(&mut self.held) {
            evict(&mut self.plain, slot).expect("a slot is a word");
        }
        if !self.plain.is_empty() {
            self.flush(sink);
        }
    }
}
