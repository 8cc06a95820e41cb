//! Pictures without the graphics pipeline, for light viewers: surface commands are walked, not decoded; ends of frames are
//! counted and acknowledged. A server that marks no frames is counted by its pictures.

use anyhow::Result;
use ironrdp_connector::{ConnectionResult, encode_send_data_request};
use ironrdp_core::{Decode, ReadCursor, WriteBuf};
use ironrdp_pdu::codecs::rfx::FrameAcknowledgePdu;
use ironrdp_pdu::fast_path::{FastPathHeader, FastPathUpdatePdu, Fragmentation, UpdateCode};
use ironrdp_pdu::rdp::client_info::CompressionType;
use ironrdp_pdu::rdp::headers::{
    CompressionFlags, ShareControlHeader, ShareControlPdu, ShareDataHeader, ShareDataPdu, StreamPriority,
};
use ironrdp_pdu::surface_commands::{FrameAction, SurfaceCommand};

/// What is known of the server's frames.
#[derive(Default)]
pub struct Legacy {
    pieces: Vec<u8>,
    has_markers: bool,
}

/// What an update held.
#[derive(Default)]
pub struct Heard {
    pub frames: u32,
    /// Frames to acknowledge.
    pub ended: Vec<u32>,
}

impl Legacy {
    /// Takes a fast-path PDU.
    ///
    /// # Errors
    /// When it is none.
    pub fn take(&mut self, pdu: &[u8]) -> Result<Heard> {
        let mut source = ReadCursor::new(pdu);
        FastPathHeader::decode(&mut source)?;
        let mut heard = Heard::default();
        while !source.is_empty() {
            let update = FastPathUpdatePdu::decode(&mut source)?;
            if update.update_code != UpdateCode::SurfaceCommands {
                continue;
            }
            if matches!(update.fragmentation, Fragmentation::Single | Fragmentation::First) {
                self.pieces.clear();
            }
            self.pieces.extend_from_slice(update.data);
            if matches!(update.fragmentation, Fragmentation::Single | Fragmentation::Last) {
                self.walk(&mut heard)?;
            }
        }
        Ok(heard)
    }

    fn walk(&mut self, heard: &mut Heard) -> Result<()> {
        let mut source = ReadCursor::new(&self.pieces);
        while !source.is_empty() {
            match SurfaceCommand::decode(&mut source)? {
                SurfaceCommand::FrameMarker(marker) => {
                    self.has_markers = true;
                    if let (FrameAction::End, Some(id)) = (marker.frame_action, marker.frame_id) {
                        heard.frames += 1;
                        heard.ended.push(id);
                    }
                }
                _ if !self.has_markers => heard.frames += 1,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The acknowledgement of a frame, for the server.
///
/// # Errors
/// When it cannot be encoded.
pub fn acknowledgement(session: &ConnectionResult, frame_id: u32) -> Result<Vec<u8>> {
    let pdu = ShareControlHeader {
        share_control_pdu: ShareControlPdu::Data(ShareDataHeader {
            share_data_pdu: ShareDataPdu::FrameAcknowledge(FrameAcknowledgePdu { frame_id }),
            stream_priority: StreamPriority::Medium,
            compression_flags: CompressionFlags::empty(),
            compression_type: CompressionType::K8,
        }),
        pdu_source: session.user_channel_id,
        share_id: session.share_id,
    };
    let mut out = WriteBuf::new();
    encode_send_data_request(session.user_channel_id, session.io_channel_id, &pdu, &mut out)?;
    Ok(out.into_inner())
}
