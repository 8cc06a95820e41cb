//! The surfaces of a desktop, one for each monitor, and how a client is told of them ([MS-RDPEGFX] 2.2.2.9 to 2.2.2.15).

use ironrdp_egfx::pdu as gfx;
use ironrdp_pdu::gcc;
use rdpmux_model::{EncodedFrame, Size};

use super::message::control;
use super::video::{create, delete};
use crate::pipe::{FrameError, Monitor};

/// What the client has: a surface for each monitor. Empty before the first frame.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) monitors: Vec<Monitor>,
    /// The monitors that it was told of: these, or those that are on one surface together.
    pub(super) told: Vec<Monitor>,
    pub(super) surfaces: Vec<Surface>,
}

/// One surface.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Surface {
    pub(super) id: u16,
    pub(super) size: Size,
    /// The progressive context was sent.
    pub(super) context: bool,
}

/// The layout that these frames ask for: as it was set, or the one frame's size. A single monitor follows its frame.
pub(super) fn wanted(set: &[Monitor], frames: &[(usize, &EncodedFrame)]) -> Result<Vec<Monitor>, FrameError> {
    if let ([] | [_], [(0, frame)]) = (set, frames) {
        return Ok(vec![Monitor::whole(frame.size)]);
    }
    for (index, frame) in frames {
        let monitor = set.get(*index).ok_or(FrameError::Invalid("number of a monitor"))?;
        if frame.size != monitor.size() {
            return Err(FrameError::Invalid("size of a frame for its monitor"));
        }
    }
    if frames.is_empty() {
        return Err(FrameError::Invalid("count of frames"));
    }
    Ok(set.to_vec())
}

/// The monitors to tell of: a desktop with one surface may have several.
pub(super) fn told(set: &[Monitor], wanted: &[Monitor]) -> Vec<Monitor> {
    match wanted {
        [single] => Monitor::of_desktop(set, single.size()),
        several => several.to_vec(),
    }
}

impl Layout {
    /// Takes the place of `old`, which is deleted first.
    pub(super) fn reset(
        out: &mut Vec<u8>,
        old: &Self,
        (monitors, told): (Vec<Monitor>, Vec<Monitor>),
        ids: Vec<u16>,
    ) -> Self {
        old.surfaces.iter().for_each(|surface| delete(out, surface.id));
        control(out, &reset_graphics(&told));
        let mut surfaces = Vec::with_capacity(ids.len());
        for (monitor, id) in monitors.iter().zip(ids) {
            create(out, id, monitor.size());
            let map = gfx::MapSurfaceToOutputPdu {
                surface_id: id,
                output_origin_x: monitor.rect.x,
                output_origin_y: monitor.rect.y,
            };
            control(out, &gfx::GfxPdu::MapSurfaceToOutput(map));
            surfaces.push(Surface {
                id,
                size: monitor.size(),
                context: false,
            });
        }
        Self {
            monitors,
            told,
            surfaces,
        }
    }
}

/// The true monitors; the primary one is at (0, 0) as everywhere in RDP. Clients on macOS want at least one.
fn reset_graphics(monitors: &[Monitor]) -> gfx::GfxPdu {
    let edge = |value: fn(&Monitor) -> u32| monitors.iter().map(value).max().unwrap_or(0);
    let definition = |([left, top, right, bottom], is_primary): ([i32; 4], bool)| gcc::Monitor {
        left,
        top,
        right,
        bottom,
        flags: if is_primary {
            gcc::MonitorFlags::PRIMARY
        } else {
            gcc::MonitorFlags::empty()
        },
    };
    gfx::GfxPdu::ResetGraphics(gfx::ResetGraphicsPdu {
        width: edge(|m| m.rect.right()),
        height: edge(|m| m.rect.bottom()),
        monitors: Monitor::edges_from_primary(monitors).map(definition).collect(),
    })
}
