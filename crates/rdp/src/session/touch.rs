//! The client's side of the touch channel ([MS-RDPEI]): fingers on a client's screen. The server says once that it is
//! there; all else comes from the client. Pens and hovering are not taken: version 1.0.1 is announced, which has no pens.

use ironrdp_core::impl_as_any;
use ironrdp_dvc::{DvcEncode, DvcMessage, DvcProcessor, DvcServerProcessor};
use ironrdp_pdu::PduResult;
use rdpmux_model::{Touch, TouchPhase};

use crate::wire::Reader;

const CHANNEL_NAME: &str = "Microsoft::Windows::RDS::Input";

const EVENT_SC_READY: u16 = 1;
const EVENT_CS_READY: u16 = 2;
const EVENT_TOUCH: u16 = 3;
const EVENT_DISMISS_HOVERING: u16 = 6;
/// `RDPINPUT_HEADER`.
const HEADER: usize = 6;
/// `RDPINPUT_PROTOCOL_V101`.
const VERSION: u32 = 0x0001_0001;

const FIELD_RECT: u16 = 1;
const FIELD_ORIENTATION: u16 = 2;
const FIELD_PRESSURE: u16 = 4;

const FLAG_DOWN: u32 = 0x01;
const FLAG_UPDATE: u32 = 0x02;
const FLAG_UP: u32 = 0x04;
const FLAG_IN_CONTACT: u32 = 0x10;
const FLAG_CANCELED: u32 = 0x20;

/// Events that one message may make: a second of ten fingers at 120 Hz is less.
const MOST_EVENTS: usize = 2048;

/// Processor of the touch channel.
#[derive(Debug, Default)]
pub(crate) struct Touches {
    events: Vec<Touch>,
    /// Messages that could not be read.
    refused: u64,
}

impl_as_any!(Touches);

impl Touches {
    pub(crate) fn take_events(&mut self) -> Vec<Touch> {
        core::mem::take(&mut self.events)
    }
}

impl DvcProcessor for Touches {
    fn channel_name(&self) -> &str {
        CHANNEL_NAME
    }

    fn start(&mut self, _channel: u32) -> PduResult<Vec<DvcMessage>> {
        Ok(vec![Box::new(Ready)])
    }

    /// A malformed message is left out, from its fault on; fingers are not worth a session.
    fn process(&mut self, _channel: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        if self.messages(payload).is_none() {
            self.refused += 1;
            if self.refused == 1 {
                tracing::warn!("a malformed touch message of the client is left out");
            }
        }
        Ok(Vec::new())
    }
}

impl DvcServerProcessor for Touches {}

impl Touches {
    fn messages(&mut self, mut rest: &[u8]) -> Option<()> {
        while let Some((&[e0, e1, l0, l1, l2, l3], _)) = rest.split_first_chunk::<HEADER>() {
            let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
            let (pdu, after) = rest.split_at_checked(length).filter(|_| length >= HEADER)?;
            self.take(u16::from_le_bytes([e0, e1]), &pdu[HEADER..])?;
            rest = after;
        }
        Some(())
    }

    fn take(&mut self, event: u16, body: &[u8]) -> Option<()> {
        let mut r = Reader(body);
        match event {
            EVENT_CS_READY => {
                let (_flags, version, contacts) = (r.u32()?, r.u32()?, r.u16()?);
                tracing::debug!(
                    version = format_args!("{version:#x}"),
                    contacts,
                    "the client sends touches"
                );
            }
            EVENT_TOUCH => {
                let _encode_time = unsigned4(&mut r)?;
                for _ in 0..unsigned2(&mut r)? {
                    self.frame(&mut r)?;
                }
            }
            // A finger that hovered has touched nothing.
            EVENT_DISMISS_HOVERING => {}
            event => tracing::debug!(event, "unexpected touch message"),
        }
        Some(())
    }

    fn frame(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let contacts = unsigned2(r)?;
        let _offset = unsigned8(r)?;
        for _ in 0..contacts {
            let contact = r.u8()?;
            let fields = unsigned2(r)?;
            let (x, y) = (signed4(r)?, signed4(r)?);
            let flags = unsigned4(r)?;
            if fields & FIELD_RECT != 0 {
                // Two bytes each, with or without a sign: only their length counts.
                for _ in 0..4 {
                    unsigned2(r)?;
                }
            }
            for field in [FIELD_ORIENTATION, FIELD_PRESSURE] {
                if fields & field != 0 {
                    unsigned4(r)?;
                }
            }
            let phase = phase(flags);
            if self.events.len() < MOST_EVENTS
                && let Some(phase) = phase
            {
                let at = |v: i32| u32::try_from(v).unwrap_or(0);
                self.events.push(Touch {
                    contact,
                    phase,
                    x: at(x),
                    y: at(y),
                });
            }
        }
        Some(())
    }
}

/// What the flags of a contact mean ([MS-RDPEI] 3.1.1.1 has the states). `None` for a finger that only hovers.
fn phase(flags: u32) -> Option<TouchPhase> {
    if flags & FLAG_DOWN != 0 {
        Some(TouchPhase::Begin)
    } else if flags & FLAG_CANCELED != 0 {
        Some(TouchPhase::Cancel)
    } else if flags & FLAG_UP != 0 {
        Some(TouchPhase::End)
    } else if flags & FLAG_UPDATE != 0 && flags & FLAG_IN_CONTACT != 0 {
        Some(TouchPhase::Update)
    } else {
        None
    }
}

/// `TWO_BYTE_UNSIGNED_INTEGER` ([MS-RDPEI] 2.2.2.1): the highest bit says that there is a second byte.
fn unsigned2(r: &mut Reader<'_>) -> Option<u16> {
    let first = r.u8()?;
    let value = u16::from(first & 0x7F);
    if first & 0x80 == 0 {
        return Some(value);
    }
    Some(value << 8 | u16::from(r.u8()?))
}

/// `FOUR_BYTE_UNSIGNED_INTEGER` (2.2.2.3): the two highest bits count the bytes behind the first.
fn unsigned4(r: &mut Reader<'_>) -> Option<u32> {
    let first = r.u8()?;
    (0..first >> 6).try_fold(u32::from(first & 0x3F), |value, _| {
        Some(value << 8 | u32::from(r.u8()?))
    })
}

/// `FOUR_BYTE_SIGNED_INTEGER` (2.2.2.4): as above, and then a bit for the sign.
fn signed4(r: &mut Reader<'_>) -> Option<i32> {
    let first = r.u8()?;
    let value = (0..first >> 6).try_fold(i32::from(first & 0x1F), |value, _| {
        Some(value << 8 | i32::from(r.u8()?))
    })?;
    Some(if first & 0x20 != 0 { -value } else { value })
}

/// `EIGHT_BYTE_UNSIGNED_INTEGER` (2.2.2.5): three bits count.
fn unsigned8(r: &mut Reader<'_>) -> Option<u64> {
    let first = r.u8()?;
    (0..first >> 5).try_fold(u64::from(first & 0x1F), |value, _| {
        Some(value << 8 | u64::from(r.u8()?))
    })
}

/// `RDPINPUT_SC_READY_PDU` (2.2.3.1).
struct Ready;

impl ironrdp_core::Encode for Ready {
    fn encode(&self, dst: &mut ironrdp_core::WriteCursor<'_>) -> ironrdp_core::EncodeResult<()> {
        ironrdp_core::ensure_size!(in: dst, size: self.size());
        dst.write_u16(EVENT_SC_READY);
        dst.write_u32(self.size() as u32);
        dst.write_u32(VERSION);
        Ok(())
    }

    fn name(&self) -> &'static str {
        "RDPINPUT_SC_READY_PDU"
    }

    fn size(&self) -> usize {
        HEADER + 4
    }
}

impl DvcEncode for Ready {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a message, and whether it was refused.
    fn touches(body: &[u8]) -> (Vec<Touch>, bool) {
        let mut pdu = vec![3, 0];
        pdu.extend_from_slice(&(body.len() as u32 + 6).to_le_bytes());
        pdu.extend_from_slice(body);
        let mut touches = Touches::default();
        touches.process(0, &pdu).unwrap();
        (touches.take_events(), touches.refused > 0)
    }

    #[test]
    fn numbers_are_as_the_specification_has_them() {
        assert_eq!(unsigned2(&mut Reader(&[0x9A, 0x1B])), Some(0x1A1B));
        assert_eq!(unsigned2(&mut Reader(&[0x80])), None);
        assert_eq!(unsigned4(&mut Reader(&[0x9A, 0x1B, 0x1C])), Some(0x001A_1B1C));
        assert_eq!(unsigned4(&mut Reader(&[0xFF, 0xFF, 0xFF, 0xFF])), Some(0x3FFF_FFFF));
        assert_eq!(signed4(&mut Reader(&[0xBA, 0x1B, 0x1C])), Some(-0x001A_1B1C));
        assert_eq!(signed4(&mut Reader(&[0xFF, 0xFF, 0xFF, 0xFF])), Some(-0x1FFF_FFFF));
        assert_eq!(unsigned8(&mut Reader(&[0x5A, 0x1B, 0x1C])), Some(0x001A_1B1C));
        assert_eq!(unsigned8(&mut Reader(&[0xFF; 8])), Some(0x1FFF_FFFF_FFFF_FFFF));
        assert_eq!(unsigned8(&mut Reader(&[0xFF; 7])), None);
    }

    #[test]
    fn a_finger_comes_down_moves_and_goes_up() {
        // Two frames in one message: down with a rectangle and pressure at 0x0102, 3, then an update.
        let body = [
            0x05, 2, 1, 0, 9, 5, 0x41, 0x02, 3, 0x19, 0x41, 1, 2, 3, 0x4F, 1, 1, 5, 9, 0, 4, 5, 0x1A,
        ];
        let at = |phase, x, y| Touch {
            contact: 9,
            phase,
            x,
            y,
        };
        let expected = vec![at(TouchPhase::Begin, 0x0102, 3), at(TouchPhase::Update, 4, 5)];
        assert_eq!(touches(&body), (expected, false));
        let up = [0, 1, 1, 0, 9, 0, 4, 5, 0x04];
        assert_eq!(touches(&up), (vec![at(TouchPhase::End, 4, 5)], false));
        let cancelled = [0, 1, 1, 0, 9, 0, 0x21, 5, 0x24];
        assert_eq!(touches(&cancelled), (vec![at(TouchPhase::Cancel, 0, 5)], false));
        let hovers = [0, 1, 1, 0, 9, 0, 4, 5, 0x0A];
        assert_eq!(touches(&hovers), (vec![], false));
    }

    #[test]
    fn cut_messages_are_refused_and_long_ones_bounded() {
        let whole = [0, 1, 1, 0, 9, 0, 4, 5, 0x19];
        for end in 0..whole.len() {
            assert_eq!(touches(&whole[..end]), (vec![], true), "{end}");
        }
        let refused = |pdu: &[u8]| {
            let mut touches = Touches::default();
            touches.process(0, pdu).unwrap();
            touches.refused
        };
        assert_eq!(refused(&[3, 0, 5, 0, 0, 0]), 1);
        assert_eq!(refused(&[3, 0, 255, 255, 255, 255]), 1);
        assert_eq!(refused(&[9, 0, 7, 0, 0, 0, 1]), 0);
        let mut many = vec![0, 1, 0xFF, 0xFF, 0];
        many.extend([9, 0, 4, 5, 0x32].repeat(0x7FFF));
        assert_eq!(touches(&many).0.len(), MOST_EVENTS);
    }
}
