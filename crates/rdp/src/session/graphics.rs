//! The client's side of the graphics pipeline ([MS-RDPEGFX]): capabilities, acknowledgements, cache offers. What goes to
//! the client is `pipe::egfx`'s.

use ironrdp_core::{decode, impl_as_any};
use ironrdp_dvc::{DvcEncode, DvcMessage, DvcProcessor, DvcServerProcessor};
use ironrdp_egfx::pdu as egfx;
use ironrdp_pdu::{PduResult, decode_err, pdu_other_err};
use rdpmux_model::FrameId;

use rdpmux_model::QueueDepth;

const CHANNEL_NAME: &str = "Microsoft::Windows::RDS::Graphics";

/// `RDPGFX_CAPS_FLAG_THINCLIENT` of versions 8.0 and 8.1: RemoteFX must go as `CAVIDEO`.
const FLAG_THIN_CLIENT: u32 = 0x01;
/// `RDPGFX_CAPS_FLAG_AVC420_ENABLED` of version 8.1, which we do not use and so do not confirm.
const FLAG_AVC420_ENABLED: u32 = 0x10;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GraphicsEvent {
    /// Capabilities were agreed on, for the first time or anew.
    Confirmed { version: u32, progressive: bool },
    /// A frame was acknowledged.
    Ack { id: FrameId, queue_depth: QueueDepth },
    /// The client offers what it kept of an earlier session; it waits for an answer.
    CacheOffer,
}

/// Processor of the graphics channel.
#[derive(Debug, Default)]
pub(crate) struct Graphics {
    events: Vec<GraphicsEvent>,
}

impl_as_any!(Graphics);

impl Graphics {
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
                let Some((confirm, progressive)) = choose(&offer.0) else {
                    tracing::debug!("the client offers no known version of the graphics pipeline");
                    return Ok(());
                };
                self.events.push(GraphicsEvent::Confirmed {
                    version: confirm.version.0,
                    progressive,
                });
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
            egfx::GfxPdu::CacheImportOffer(_) => self.events.push(GraphicsEvent::CacheOffer),
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

/// Picks the best version. The confirmed flags are the client's, without those for codecs that we do not send.
fn choose(offered: &[egfx::RawCapabilitySet]) -> Option<(egfx::RawCapabilitySet, bool)> {
    let best = VERSIONS
        .iter()
        .find_map(|v| offered.iter().find(|set| set.version == *v))?;
    let mut confirm = best.clone();
    let old = matches!(
        confirm.version,
        egfx::CapabilityVersion::V8 | egfx::CapabilityVersion::V8_1
    );
    let mut progressive = true;
    if old && let Some(data) = confirm.data.first_chunk_mut::<4>() {
        let flags = u32::from_le_bytes(*data) & !FLAG_AVC420_ENABLED;
        *data = flags.to_le_bytes();
        progressive = flags & FLAG_THIN_CLIENT == 0;
    }
    Some((confirm, progressive))
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
