//! The client's side of the graphics pipeline ([MS-RDPEGFX]): capabilities, acknowledgements, cache offers. What goes to
//! the client is `pipe::egfx`'s.

use ironrdp_core::{decode, impl_as_any};
use ironrdp_dvc::{DvcEncode, DvcMessage, DvcProcessor, DvcServerProcessor};
use ironrdp_egfx::pdu as egfx;
use ironrdp_pdu::{PduResult, decode_err, pdu_other_err};
use rdpmux_model::{FrameId, QueueDepth};

use crate::pipe::GraphicsCaps;

pub(super) const CHANNEL_NAME: &str = "Microsoft::Windows::RDS::Graphics";

/// `RDPGFX_CAPS_FLAG_THINCLIENT` of versions 8.0 and 8.1: RemoteFX must go as `CAVIDEO`.
const FLAG_THIN_CLIENT: u32 = 0x01;
/// `RDPGFX_CAPS_FLAG_SMALL_CACHE` of all versions that have flags but 10.3, where it goes without saying.
const FLAG_SMALL_CACHE: u32 = 0x02;
/// `RDPGFX_CAPS_FLAG_AVC420_ENABLED` of version 8.1.
const FLAG_AVC420_ENABLED: u32 = 0x10;
/// `RDPGFX_CAPS_FLAG_AVC_DISABLED` of versions 10 and above: without it they decode AVC444, and from 10.4 on AVC420.
const FLAG_AVC_DISABLED: u32 = 0x20;
/// `RDPGFX_CAPS_FLAG_AVC_THINCLIENT` of versions 10.3 and above: the client would like AVC444 best.
const FLAG_AVC_THIN_CLIENT: u32 = 0x40;

/// The bitmap cache ([MS-RDPEGFX] 3.3.1.4).
const CACHE_SLOTS: u16 = 25_600;
const CACHE_BYTES: u32 = 100 << 20;
const SMALL_CACHE_SLOTS: u16 = 4_096;
const SMALL_CACHE_BYTES: u32 = 16 << 20;
/// Entries in one offer ([MS-RDPEGFX] 2.2.2.16).
const MOST_OFFERED: usize = 5_462;

const COMMAND_FRAME_ACKNOWLEDGE: u16 = 0x0D;
const COMMAND_CACHE_IMPORT_OFFER: u16 = 0x10;
const COMMAND_CAPS_ADVERTISE: u16 = 0x12;
const COMMAND_QOE_FRAME_ACKNOWLEDGE: u16 = 0x16;

/// Best first.
const VERSIONS: [egfx::CapabilityVersion; 11] = [
    egfx::CapabilityVersion::V10_7,
    egfx::CapabilityVersion::V10_6_ERR,
    egfx::CapabilityVersion::V10_6,
    egfx::CapabilityVersion::V10_5,
    egfx::CapabilityVersion::V10_4,
    egfx::CapabilityVersion::V10_3,
    egfx::CapabilityVersion::V10_2,
    egfx::CapabilityVersion::V10_1,
    egfx::CapabilityVersion::V10,
    egfx::CapabilityVersion::V8_1,
    egfx::CapabilityVersion::V8,
];

/// What came from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GraphicsEvent {
    /// Capabilities were agreed on, for the first time or anew.
    Confirmed(GraphicsCaps),
    /// A frame was acknowledged.
    Ack { id: FrameId, queue_depth: QueueDepth },
    /// The client offers what it kept of an earlier session; it may be answered once.
    CacheOffer(Vec<CacheOffer>),
}

/// A bitmap that a client kept from an earlier session ([MS-RDPEGFX] 2.2.2.16.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheOffer {
    /// The key of [`rdpmux_model::FrameCommand::CacheStore`], if it was stored by us.
    pub key: u64,
    /// Its size in bytes, by the client's word.
    pub bytes: u32,
}

/// Processor of the graphics channel.
#[derive(Debug)]
pub(crate) struct Graphics {
    /// We have H.264.
    video: bool,
    events: Vec<GraphicsEvent>,
}

impl_as_any!(Graphics);

impl Graphics {
    pub(crate) fn new(video: bool) -> Self {
        Self {
            video,
            events: Vec::new(),
        }
    }

    pub(crate) fn take_events(&mut self) -> Vec<GraphicsEvent> {
        core::mem::take(&mut self.events)
    }

    fn take(&mut self, command: u16, pdu: &[u8], answers: &mut Vec<DvcMessage>) -> PduResult<()> {
        // Only these come from a client; all else is stepped over.
        if !matches!(
            command,
            COMMAND_CAPS_ADVERTISE | COMMAND_FRAME_ACKNOWLEDGE | COMMAND_CACHE_IMPORT_OFFER
        ) {
            if command != COMMAND_QOE_FRAME_ACKNOWLEDGE {
                tracing::debug!(command, "unexpected graphics message");
            }
            return Ok(());
        }
        match decode::<egfx::GfxPdu>(pdu).map_err(|e| decode_err!(e))? {
            egfx::GfxPdu::CapabilitiesAdvertise(offer) => {
                let Some((confirm, caps)) = choose(&offer.0, self.video) else {
                    tracing::debug!("the client offers no known version of the graphics pipeline");
                    return Ok(());
                };
                self.events.push(GraphicsEvent::Confirmed(caps));
                let confirm = egfx::GfxPdu::CapabilitiesConfirm(egfx::CapabilitiesConfirmPdu(confirm));
                answers.push(Box::new(Answer(confirm)));
            }
            egfx::GfxPdu::FrameAcknowledge(ack) => self.events.push(GraphicsEvent::Ack {
                id: FrameId(ack.frame_id),
                queue_depth: match ack.queue_depth {
                    egfx::QueueDepth::Unavailable => QueueDepth::Unavailable,
                    egfx::QueueDepth::Suspend => QueueDepth::Suspended,
                    egfx::QueueDepth::AvailableBytes(bytes) => QueueDepth::Bytes(bytes),
                },
            }),
            egfx::GfxPdu::CacheImportOffer(offer) => {
                let entry = |entry: &egfx::CacheEntryMetadata| CacheOffer {
                    key: entry.cache_key,
                    bytes: entry.bitmap_len,
                };
                let entries = offer.cache_entries.iter().take(MOST_OFFERED).map(entry);
                self.events.push(GraphicsEvent::CacheOffer(entries.collect()));
            }
            _ => {}
        }
        Ok(())
    }
}

impl DvcProcessor for Graphics {
    fn channel_name(&self) -> &str {
        CHANNEL_NAME
    }

    fn start(&mut self, _channel: u32) -> PduResult<Vec<DvcMessage>> {
        Ok(Vec::new())
    }

    fn process(&mut self, _channel: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        let mut answers = Vec::new();
        let mut rest = payload;
        while let Some(&[c0, c1, _, _, l0, l1, l2, l3]) = rest.first_chunk::<8>() {
            let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
            let Some((pdu, after)) = rest.split_at_checked(length).filter(|_| length >= 8) else {
                return Err(pdu_other_err!("RDPGFX_HEADER length"));
            };
            self.take(u16::from_le_bytes([c0, c1]), pdu, &mut answers)?;
            rest = after;
        }
        Ok(answers)
    }
}

impl DvcServerProcessor for Graphics {}

/// Picks the best version. The confirmed flags are the client's, without the codecs that we do not have.
fn choose(offered: &[egfx::RawCapabilitySet], video: bool) -> Option<(egfx::RawCapabilitySet, GraphicsCaps)> {
    use egfx::CapabilityVersion as V;
    let of = |v: &V| offered.iter().find(|set| set.version == *v);
    let flag = |set: &egfx::RawCapabilitySet, flag: u32| {
        let flags = set.data.first_chunk().map_or(0, |flags| u32::from_le_bytes(*flags));
        flags & flag != 0
    };
    let newest = VERSIONS.iter().find_map(of)?;
    // Who decodes 4:2:0 but not 4:4:4 can only say so in 8.1, which lacks nothing else that we use.
    let only_420 = of(&V::V8_1).filter(|old| flag(old, FLAG_AVC420_ENABLED) && flag(newest, FLAG_AVC_DISABLED));
    let best = only_420.filter(|_| video).unwrap_or(newest);
    let mut confirm = best.clone();
    let version = confirm.version;
    let old = matches!(version, V::V8 | V::V8_1);
    // 10.1 has no flags, only reserved bytes that look like them.
    let mut none = [0; 4];
    let data = match version {
        V::V10_1 => &mut none,
        _ => confirm.data.first_chunk_mut::<4>().unwrap_or(&mut none),
    };
    let mut flags = u32::from_le_bytes(*data);
    if !video && version == V::V8_1 {
        flags &= !FLAG_AVC420_ENABLED;
    }
    if !video && !old {
        // The two exclude each other.
        flags = flags & !FLAG_AVC_THIN_CLIENT | FLAG_AVC_DISABLED;
    }
    *data = flags.to_le_bytes();
    let thin = old && flags & FLAG_THIN_CLIENT != 0;
    let small = thin || version == V::V10_3 || flags & FLAG_SMALL_CACHE != 0;
    let avc444 = !old && flags & FLAG_AVC_DISABLED == 0;
    let caps = GraphicsCaps {
        version: version.0,
        progressive: !thin,
        avc420: match version {
            V::V8 | V::V10 | V::V10_1 | V::V10_2 | V::V10_3 => false,
            V::V8_1 => flags & FLAG_AVC420_ENABLED != 0,
            _ => avc444,
        },
        avc444,
        cache_slots: if small { SMALL_CACHE_SLOTS } else { CACHE_SLOTS },
        cache_bytes: if small { SMALL_CACHE_BYTES } else { CACHE_BYTES },
    };
    Some((confirm, caps))
}

/// A graphics message in one segment without compression ([MS-RDPEGFX] 2.2.5.1), which leaves no trace in the history.
struct Answer(egfx::GfxPdu);

impl ironrdp_core::Encode for Answer {
    fn encode(&self, dst: &mut ironrdp_core::WriteCursor<'_>) -> ironrdp_core::EncodeResult<()> {
        const SINGLE_SEGMENT: u8 = 0xE0;
        const UNCOMPRESSED_RDP8: u8 = 0x04;
        ironrdp_core::ensure_size!(in: dst, size: self.size());
        dst.write_u8(SINGLE_SEGMENT);
        dst.write_u8(UNCOMPRESSED_RDP8);
        self.0.encode(dst)
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn size(&self) -> usize {
        2 + self.0.size()
    }
}

impl DvcEncode for Answer {}
