//! The client's monitors in its GCC request: `TS_UD_CS_MONITOR` and `TS_UD_CS_MONITOR_EX` ([MS-RDPBCGR] 2.2.1.3.6 and
//! 2.2.1.3.9). They are read here and hidden from IronRDP's decoder, which would end the connection over a bad list; a
//! bad list only costs the client its list.

use rdpmux_model::{ClientMonitor, LayoutError, MonitorLayout, Size};

use crate::wire::Reader;

const MONITOR: u16 = 0xC005;
const MONITOR_EX: u16 = 0xC008;
/// A type that no specification has: decoders step over it.
const HIDDEN: u16 = 0xCFFF;
/// In front of the client's blocks: the H.221 key, then their length in PER.
const KEY: &[u8] = b"Duca";
const FLAG_PRIMARY: u32 = 1;
/// Bytes of an entry of both lists.
const ENTRY: usize = 20;

/// The monitors in an MCS Connect Initial, or why they cannot be; `None` if it has no list of them.
pub fn in_request(pdu: &[u8]) -> Option<Result<MonitorLayout, LayoutError>> {
    Some(set_apart(pdu).monitors?.and_then(MonitorLayout::new))
}

/// The monitors of a Connect Initial, and the message without them.
pub(super) struct Found {
    /// `None`: the client sent no list.
    pub(super) monitors: Option<Result<Vec<ClientMonitor>, LayoutError>>,
    /// The message with its lists hidden.
    pub(super) pdu: Vec<u8>,
}

/// Looks for lists of monitors; whatever is wrong with the message around them is for others to find.
pub(super) fn set_apart(pdu: &[u8]) -> Found {
    let mut found = Found {
        monitors: None,
        pdu: pdu.to_vec(),
    };
    let mut further = None;
    let mut at = blocks(pdu).unwrap_or(pdu.len());
    while let Some(&[t0, t1, l0, l1]) = pdu.get(at..).and_then(<[u8]>::first_chunk) {
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        let Some(body) = pdu.get(at + 4..at + length) else {
            break;
        };
        match u16::from_le_bytes([t0, t1]) {
            MONITOR => found.monitors = Some(monitors(body)),
            MONITOR_EX => further = attributes(body),
            _ => {
                at += length;
                continue;
            }
        }
        found.pdu[at..at + 2].copy_from_slice(&HIDDEN.to_le_bytes());
        at += length;
    }
    if let (Some(Ok(monitors)), Some(further)) = (&mut found.monitors, further) {
        for (monitor, [width_mm, height_mm, scale]) in monitors.iter_mut().zip(further) {
            *monitor = monitor.with_physical(width_mm, height_mm).with_scale(scale);
        }
    }
    found
}

/// Where the first block begins.
fn blocks(pdu: &[u8]) -> Option<usize> {
    let key = pdu.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let is_long = pdu.get(key)? & 0x80 != 0;
    Some(key + if is_long { 2 } else { 1 })
}

fn monitors(body: &[u8]) -> Result<Vec<ClientMonitor>, LayoutError> {
    let mut r = Reader(body);
    let (Some(_flags), Some(count)) = (r.u32(), r.u32()) else {
        return Err(LayoutError::Malformed);
    };
    if count as usize > MonitorLayout::MOST {
        return Err(LayoutError::TooMany { count });
    }
    (0..count).map(|_| monitor(&mut r)).collect()
}

fn monitor(r: &mut Reader<'_>) -> Result<ClientMonitor, LayoutError> {
    let entry = r.bytes::<ENTRY>().ok_or(LayoutError::Malformed)?;
    let mut r = Reader(&entry);
    let mut word = || r.u32().unwrap_or_default();
    let [left, top, right, bottom] = [word(), word(), word(), word()].map(u32::cast_signed);
    // The right and lower edges belong to the monitor.
    let length = |from: i32, to: i32| i64::from(to) - i64::from(from) + 1;
    let (width, height) = (length(left, right), length(top, bottom));
    let (Ok(columns), Ok(rows)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(LayoutError::Edge { width, height });
    };
    Ok(ClientMonitor {
        left,
        top,
        size: Size::new(columns, rows),
        physical_mm: None,
        scale_percent: None,
        primary: word() & FLAG_PRIMARY != 0,
    })
}

/// Physical width and height and scale of each monitor; `None` if the list is not whole, as it adds nothing then.
fn attributes(body: &[u8]) -> Option<Vec<[u32; 3]>> {
    let mut r = Reader(body);
    let (_flags, size, count) = (r.u32()?, r.u32()?, r.u32()?);
    if size as usize != ENTRY || count as usize > MonitorLayout::MOST {
        return None;
    }
    let entry = |_| {
        let [width_mm, height_mm, _orientation, scale, _device_scale] =
            [r.u32()?, r.u32()?, r.u32()?, r.u32()?, r.u32()?];
        Some([width_mm, height_mm, scale])
    };
    (0..count).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u16, words: &[i32]) -> Vec<u8> {
        let length = 4 + words.len() as u16 * 4;
        let head = [kind.to_le_bytes(), length.to_le_bytes()].concat();
        let words = words.iter().flat_map(|word| word.to_le_bytes());
        head.into_iter().chain(words).collect()
    }

    fn request(blocks: &[Vec<u8>]) -> Vec<u8> {
        let blocks = blocks.concat();
        let length = (blocks.len() as u16 | 0x8000).to_be_bytes();
        [&b"..Duca"[..], &length, &blocks].concat()
    }

    fn found(blocks: &[Vec<u8>]) -> Option<Result<MonitorLayout, LayoutError>> {
        in_request(&request(blocks))
    }

    #[test]
    fn both_lists_are_read_and_hidden() {
        let before = block(0xC001, &[1, 2]);
        let list = block(MONITOR, &[0, 2, 0, 0, 1279, 799, 1, -1024, 0, -1, 767, 0]);
        let more = block(MONITOR_EX, &[0, 20, 2, 500, 300, 0, 150, 100, 5, 5, 0, 600, 100]);
        let blocks = [before.clone(), list, more, block(0xC006, &[0])];
        let layout = found(&blocks).expect("a list").expect("a good one");
        let [first, second] = layout.monitors() else {
            panic!("{layout:?}");
        };
        assert_eq!((first.size, second.left), (Size::new(1280, 800), -1024));
        assert_eq!((first.physical_mm, first.scale_percent), (Some((500, 300)), Some(150)));
        assert_eq!((second.physical_mm, second.scale_percent), (None, None));
        let hidden = set_apart(&request(&blocks)).pdu;
        assert!(found(&[before]).is_none());
        assert!(set_apart(&hidden).monitors.is_none());
        assert_eq!(hidden.len(), request(&blocks).len());
    }

    #[test]
    fn bad_lists_are_refused_by_name() {
        let refused = |words: &[i32]| found(&[block(MONITOR, words)]).expect("a list").expect_err("a bad one");
        assert_eq!(refused(&[0, 65]), LayoutError::TooMany { count: 65 });
        assert_eq!(refused(&[0, -1]), LayoutError::TooMany { count: u32::MAX });
        assert_eq!(refused(&[0, 0]), LayoutError::NoMonitor);
        assert_eq!(refused(&[0]), LayoutError::Malformed);
        assert_eq!(refused(&[0, 1, 0, 0, 99]), LayoutError::Malformed);
        let negative = LayoutError::Edge {
            width: -639,
            height: 480,
        };
        assert_eq!(refused(&[0, 1, 640, 0, 0, 479, 1]), negative);
        let edge = LayoutError::Edge {
            width: 1 << 32,
            height: 480,
        };
        assert_eq!(refused(&[0, 1, i32::MIN, 0, i32::MAX, 479, 1]), edge);
        let two = [0, 2, 0, 0, 1279, 799, 0, 1280, 0, 2559, 799, 0];
        assert_eq!(refused(&two), LayoutError::Primaries { count: 0 });
    }

    #[test]
    fn a_message_cut_anywhere_is_no_reason_to_stop() {
        let whole = request(&[block(MONITOR, &[0, 1, 0, 0, 639, 479, 1])]);
        for end in 0..whole.len() {
            assert!(set_apart(&whole[..end]).monitors.is_none());
        }
    }
}
