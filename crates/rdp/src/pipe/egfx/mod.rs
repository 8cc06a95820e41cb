//! Frames as graphics pipeline messages ([MS-RDPEGFX] 2.2.2) on a dynamic channel. Every monitor has a surface; all are
//! made anew, under new numbers, whenever the layout changes. Frames are checked, put into words and compressed here;
//! what carries the compressed parts to a client is the caller's.

mod check;
mod command;
mod join;
mod layout;
mod message;
mod video;

use std::collections::BTreeSet;

use ironrdp_egfx::pdu as gfx;
use rdpmux_model::{EncodedFrame, FrameCommand, FrameId};

use super::{Coders, CodersFactory, FrameError, FrameNumbers, GraphicsCaps, Monitor};
use check::Check;
use command::Commands;
use layout::{Layout, Surface};
use message::{END_FRAME, START_FRAME, control, message, timestamp};
use video::Videos;

/// A message is compressed and sent once it has grown to this many bytes, so that the client decodes while we go on.
const FLUSH: usize = 256 * 1024;

/// Entries in a cache offer ([MS-RDPEGFX] 2.2.2.16).
const MOST_OFFERED: usize = 5462;

/// Takes a compressed part, which it may keep by leaving an empty vector.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&mut Vec<u8>);

/// The graphics pipeline of one client, or of several that are in step.
pub(crate) struct Egfx {
    caps: GraphicsCaps,
    coders: Coders,
    make: CodersFactory,
    numbers: FrameNumbers,
    /// The client may still have the desktop's numbered surfaces from an earlier negotiation.
    again: bool,
    /// As the embedder wants it; empty: one monitor of the frame's size.
    set: Vec<Monitor>,
    /// The monitors of a desktop with one surface; empty: one.
    told: Vec<Monitor>,
    layout: Layout,
    videos: Videos,
    /// The answer to a cache offer, which goes out before the next frame.
    cache_reply: Option<Vec<u16>>,
    /// Cache slots that hold something. FreeRDP ends a session in which another one is evicted.
    held: BTreeSet<u16>,
    /// Messages of the frame in hand that are not compressed yet, and their compressed form; kept for their memory.
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl Egfx {
    pub(crate) fn new(caps: GraphicsCaps, make: CodersFactory, numbers: FrameNumbers, again: bool) -> Self {
        Self {
            caps,
            coders: make(),
            make,
            numbers,
            again,
            set: Vec::new(),
            told: Vec::new(),
            layout: Layout::default(),
            videos: Videos::default(),
            cache_reply: None,
            held: BTreeSet::new(),
            plain: Vec::new(),
            packed: Vec::new(),
        }
    }

    pub(super) fn caps(&self) -> GraphicsCaps {
        self.caps
    }

    /// See [`super::FrameWriter::set_layout`].
    pub(super) fn set_layout(&mut self, monitors: Vec<Monitor>) {
        self.set = monitors;
    }

    /// See [`super::FrameWriter::tell_monitors`].
    pub(super) fn tell_monitors(&mut self, monitors: &[Monitor]) -> bool {
        let is_news = self.told != monitors;
        if is_news {
            self.told = monitors.to_vec();
        }
        is_news
    }

    /// See [`super::FrameWriter::accept_cache`].
    pub(super) fn accept_cache(&mut self, slots: Vec<u16>) -> Result<(), FrameError> {
        if slots.iter().any(|slot| *slot > self.caps.cache_slots) {
            return Err(FrameError::Invalid("cache slot"));
        }
        if slots.len() > MOST_OFFERED {
            return Err(FrameError::Invalid("count of accepted cache entries"));
        }
        self.cache_reply = Some(slots);
        Ok(())
    }

    pub(super) fn write(
        &mut self,
        frames: &[(usize, &EncodedFrame)],
        timestamp_ms: u32,
        sink: Sink<'_>,
    ) -> Result<FrameId, FrameError> {
        let check = Check {
            caps: self.caps,
            raster: self.coders.raster.is_some(),
        };
        check.frames(frames)?;
        let wanted = layout::wanted(&self.set, frames)?;
        let told = layout::told(&self.told, &wanted);
        let id = self.numbers.next_frame();
        self.plain.clear();
        self.reply();
        if wanted != self.layout.monitors || told != self.layout.told {
            self.reset(wanted, told);
        }
        self.prepare_videos(frames);
        message(&mut self.plain, START_FRAME, |out| {
            out.extend_from_slice(&timestamp(timestamp_ms).to_le_bytes());
            out.extend_from_slice(&id.0.to_le_bytes());
            Ok(())
        })?;
        for (index, frame) in frames {
            self.commands(*index, frame, id, sink)?;
        }
        message(&mut self.plain, END_FRAME, |out| {
            out.extend_from_slice(&id.0.to_le_bytes());
            Ok(())
        })?;
        self.flush(sink);
        Ok(id)
    }

    fn commands(&mut self, index: usize, frame: &EncodedFrame, id: FrameId, sink: Sink<'_>) -> Result<(), FrameError> {
        for command in &frame.commands {
            Commands {
                plain: &mut self.plain,
                coders: &mut self.coders,
                held: &mut self.held,
                surface: &mut self.layout.surfaces[index],
                videos: &self.videos,
                progressive: self.caps.progressive,
                frame: id,
            }
            .write(command)?;
            if self.plain.len() >= FLUSH {
                self.flush(sink);
            }
        }
        Ok(())
    }

    /// Answers a cache offer, if there is an answer.
    fn reply(&mut self) {
        if let Some(cache_slots) = self.cache_reply.take() {
            self.held.extend(&cache_slots);
            let reply = gfx::CacheImportReplyPdu { cache_slots };
            control(&mut self.plain, &gfx::GfxPdu::CacheImportReply(reply));
        }
    }

    fn flush(&mut self, sink: Sink<'_>) {
        self.packed.clear();
        self.coders.bulk.compress(&self.plain, &mut self.packed);
        sink(&mut self.packed);
        self.plain.clear();
    }

    fn reset(&mut self, monitors: Vec<Monitor>, told: Vec<Monitor>) {
        self.videos.clear(&mut self.plain);
        let ids = if self.again {
            self.numbers.own_surfaces(&monitors)
        } else {
            self.numbers.surfaces(&monitors, &told)
        };
        self.again = false;
        self.layout = Layout::reset(&mut self.plain, &self.layout, (monitors, told), ids);
    }

    fn prepare_videos(&mut self, frames: &[(usize, &EncodedFrame)]) {
        for (index, frame) in frames {
            for command in &frame.commands {
                if let FrameCommand::Video { rect, .. } = command {
                    let surface = &self.layout.surfaces[*index];
                    self.videos.prepare(&mut self.plain, surface, *rect, &self.numbers);
                }
            }
        }
    }
}
