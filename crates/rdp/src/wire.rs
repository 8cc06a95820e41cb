//! Outer framing of what we send and bounded reading of what we get: TPKT, X.224 data, MCS, share headers, virtual
//! channel chunks, fast-path. It knows no PDU that goes inside; `session` and `pipe` do.

/// MCS channel of the server, which is the initiator of all that it sends ([MS-RDPBCGR] 3.3.1.5).
pub(crate) const SERVER_CHANNEL: u16 = 1002;
/// Share identifier; the client echoes it.
pub(crate) const SHARE_ID: u32 = 0x0001_03EA;

/// First byte of a TPKT header.
pub(crate) const TPKT_VERSION: u8 = 3;

const MCS_USER_BASE: u16 = 1001;
const MCS_SEND_DATA_INDICATION: u8 = 26 << 2;
const MCS_HEADER: usize = 8;
const TPKT_AND_X224: usize = 4 + 3;

/// Payload of one static channel chunk: `CHANNEL_CHUNK_LENGTH`, which every client takes ([MS-RDPBCGR] 3.1.5.2.1).
pub(crate) const CHANNEL_CHUNK: usize = 1600;
const CHANNEL_FLAG_FIRST: u32 = 1;
const CHANNEL_FLAG_LAST: u32 = 2;
const CHANNEL_FLAG_SHOW_PROTOCOL: u32 = 0x10;

const DYNVC_DATA_FIRST: u8 = 2 << 4;
const DYNVC_DATA: u8 = 3 << 4;

/// Longest payload of one fast-path PDU. The length field has 15 bits, and Windows itself stays below 16 KiB.
pub(crate) const FAST_PATH_PAYLOAD: usize = 0x3F00;
/// Longest payload of a fast-path PDU for clients that cannot put fragments together.
pub(crate) const FAST_PATH_SINGLE: usize = 0x7FFF - 6;
const FRAGMENT_SINGLE: u8 = 0 << 4;
const FRAGMENT_LAST: u8 = 1 << 4;
const FRAGMENT_FIRST: u8 = 2 << 4;
const FRAGMENT_NEXT: u8 = 3 << 4;

const PDU_TYPE_DEACTIVATE_ALL: u16 = 0x16;
const PDU_TYPE_DATA: u16 = 0x17;
const STREAM_LOW: u8 = 1;

/// Appends an MCS Send Data Indication around what `body` writes. The body must stay below 16 KiB.
pub(crate) fn send_data(out: &mut Vec<u8>, channel: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[3, 0, 0, 0, 2, 0xF0, 0x80, MCS_SEND_DATA_INDICATION]);
    out.extend_from_slice(&(SERVER_CHANNEL - MCS_USER_BASE).to_be_bytes());
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&[0x70, 0, 0]);
    let payload = out.len();
    debug_assert_eq!(payload - start, TPKT_AND_X224 + MCS_HEADER);
    body(out);
    let length = (out.len() - payload) as u16 & 0x3FFF | 0x8000;
    out[payload - 2..payload].copy_from_slice(&length.to_be_bytes());
    let total = (out.len() - start) as u16;
    out[start + 2..start + 4].copy_from_slice(&total.to_be_bytes());
}

/// Appends a Share Data PDU ([MS-RDPBCGR] 2.2.8.1.1.1.2) around what `body` writes.
pub(crate) fn share_data(out: &mut Vec<u8>, channel: u16, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    send_data(out, channel, |out| {
        let start = out.len();
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&PDU_TYPE_DATA.to_le_bytes());
        out.extend_from_slice(&SERVER_CHANNEL.to_le_bytes());
        out.extend_from_slice(&SHARE_ID.to_le_bytes());
        out.extend_from_slice(&[0, STREAM_LOW, 0, 0, kind, 0, 0, 0]);
        body(out);
        let total = (out.len() - start) as u16;
        out[start..start + 2].copy_from_slice(&total.to_le_bytes());
        // `uncompressedLength` counts from `pduType2` on.
        let uncompressed = total - 14;
        out[start + 12..start + 14].copy_from_slice(&uncompressed.to_le_bytes());
    });
}

/// Appends a Deactivate All PDU ([MS-RDPBCGR] 2.2.3.1).
pub(crate) fn deactivate_all(out: &mut Vec<u8>, channel: u16) {
    send_data(out, channel, |out| {
        for word in [13, PDU_TYPE_DEACTIVATE_ALL, SERVER_CHANNEL] {
            out.extend_from_slice(&u16::to_le_bytes(word));
        }
        out.extend_from_slice(&SHARE_ID.to_le_bytes());
        out.extend_from_slice(&[1, 0, 0]);
    });
}

/// Appends an MCS Disconnect Provider Ultimatum with the reason "user requested", as Windows sends it.
pub(crate) fn disconnect(out: &mut Vec<u8>) {
    out.extend_from_slice(&[3, 0, 0, 9, 2, 0xF0, 0x80, 0x21, 0x80]);
}

/// Appends one message of a static channel, in chunks ([MS-RDPBCGR] 2.2.6.1).
pub(crate) fn static_channel(out: &mut Vec<u8>, channel: u16, message: &[u8]) {
    let mut start = 0;
    loop {
        let end = message.len().min(start + CHANNEL_CHUNK);
        let place = Place {
            total: message.len(),
            first: start == 0,
            last: end == message.len(),
        };
        static_chunk(out, channel, place, |out| out.extend_from_slice(&message[start..end]));
        if place.last {
            return;
        }
        start = end;
    }
}

/// Where a chunk stands in its message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Bytes of the whole message.
    pub(crate) total: usize,
    pub(crate) first: bool,
    pub(crate) last: bool,
}

/// Appends one chunk of a message, at most [`CHANNEL_CHUNK`] bytes, which `body` writes.
pub(crate) fn static_chunk(out: &mut Vec<u8>, channel: u16, place: Place, body: impl FnOnce(&mut Vec<u8>)) {
    let mut flags = CHANNEL_FLAG_SHOW_PROTOCOL;
    if place.first {
        flags |= CHANNEL_FLAG_FIRST;
    }
    if place.last {
        flags |= CHANNEL_FLAG_LAST;
    }
    send_data(out, channel, |out| {
        out.extend_from_slice(&(place.total as u32).to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        body(out);
    });
}

/// Where a dynamic channel lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DynamicChannel {
    /// MCS channel of `drdynvc`.
    pub(crate) carrier: u16,
    /// Number inside of it.
    pub(crate) id: u32,
}

/// Appends one message of a dynamic channel ([MS-RDPEDYC] 2.2.3): one data PDU, or a first one and its followers.
pub(crate) fn dynamic_channel(out: &mut Vec<u8>, channel: DynamicChannel, message: &[u8]) {
    let (width, id, id_len) = variable(channel.id);
    let mut rest = message;
    let plain = 1 + id_len;
    if message.len() > CHANNEL_CHUNK - plain {
        let (len_width, total, total_len) = variable(message.len() as u32);
        let (chunk, after) = rest.split_at(CHANNEL_CHUNK - plain - total_len);
        single_chunk(out, channel.carrier, |out| {
            out.push(DYNVC_DATA_FIRST | len_width << 2 | width);
            out.extend_from_slice(&id[..id_len]);
            out.extend_from_slice(&total[..total_len]);
            out.extend_from_slice(chunk);
        });
        rest = after;
    }
    loop {
        let (chunk, after) = rest.split_at(rest.len().min(CHANNEL_CHUNK - plain));
        single_chunk(out, channel.carrier, |out| {
            out.push(DYNVC_DATA | width);
            out.extend_from_slice(&id[..id_len]);
            out.extend_from_slice(chunk);
        });
        rest = after;
        if rest.is_empty() {
            return;
        }
    }
}

fn single_chunk(out: &mut Vec<u8>, channel: u16, body: impl FnOnce(&mut Vec<u8>)) {
    send_data(out, channel, |out| {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        let flags = CHANNEL_FLAG_FIRST | CHANNEL_FLAG_LAST | CHANNEL_FLAG_SHOW_PROTOCOL;
        out.extend_from_slice(&flags.to_le_bytes());
        body(out);
        let length = (out.len() - start - 8) as u32;
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    });
}

/// A number in 1, 2 or 4 bytes with the code of its width ([MS-RDPEDYC] 2.2.2.1 `cbId`).
fn variable(value: u32) -> (u8, [u8; 4], usize) {
    let bytes = value.to_le_bytes();
    match value {
        0..=0xFF => (0, bytes, 1),
        0x100..=0xFFFF => (1, bytes, 2),
        _ => (2, bytes, 4),
    }
}

/// Appends a fast-path update ([MS-RDPBCGR] 2.2.9.1.2.1), in fragments if it is long.
///
/// The caller has checked that the client puts fragments of this total length together, or that the payload is at most
/// [`FAST_PATH_SINGLE`].
pub(crate) fn fast_path(out: &mut Vec<u8>, code: u8, payload: &[u8], fragments: bool) {
    let limit = if fragments { FAST_PATH_PAYLOAD } else { FAST_PATH_SINGLE };
    if payload.len() <= limit {
        fast_path_pdu(out, code | FRAGMENT_SINGLE, payload);
        return;
    }
    let last = payload.len().div_ceil(FAST_PATH_PAYLOAD) - 1;
    for (i, chunk) in payload.chunks(FAST_PATH_PAYLOAD).enumerate() {
        let position = match i {
            0 => FRAGMENT_FIRST,
            i if i == last => FRAGMENT_LAST,
            _ => FRAGMENT_NEXT,
        };
        fast_path_pdu(out, code | position, chunk);
    }
}

fn fast_path_pdu(out: &mut Vec<u8>, header: u8, payload: &[u8]) {
    let total = (payload.len() + 6) as u16;
    out.push(0);
    out.extend_from_slice(&(total | 0x8000).to_be_bytes());
    out.push(header);
    out.extend_from_slice(&(payload.len() as u16).to_le_bytes());
    out.extend_from_slice(payload);
}

/// The first whole PDU in `buf`, or `None` if it is not complete.
pub(crate) fn next_pdu(buf: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    Ok(match pdu_length(buf)? {
        Some(length) => buf.get(..length),
        None => None,
    })
}

/// Length of the PDU that `buf` starts with, by its TPKT or fast-path header; at most 64 KiB.
pub(crate) fn pdu_length(buf: &[u8]) -> Result<Option<usize>, &'static str> {
    let (Some(&first), Some(&second)) = (buf.first(), buf.get(1)) else {
        return Ok(None);
    };
    let (length, header) = match first & 3 {
        0 if second & 0x80 == 0 => (usize::from(second), 2),
        0 => {
            let Some(&third) = buf.get(2) else {
                return Ok(None);
            };
            (usize::from(second & 0x7F) << 8 | usize::from(third), 3)
        }
        3 if first == TPKT_VERSION => {
            let Some(&[_, _, high, low]) = buf.first_chunk::<4>() else {
                return Ok(None);
            };
            (usize::from(high) << 8 | usize::from(low), TPKT_AND_X224)
        }
        _ => return Err("PDU header"),
    };
    if length <= header {
        Err("PDU length")
    } else {
        Ok(Some(length))
    }
}

/// An MCS PDU from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mcs<'a> {
    Data { channel: u16, data: &'a [u8] },
    Disconnect,
    Other(u8),
}

/// Unwraps TPKT, X.224 data and MCS. The slice is one whole PDU.
pub(crate) fn mcs(pdu: &[u8]) -> Result<Mcs<'_>, &'static str> {
    const X224_DATA: [u8; 3] = [2, 0xF0, 0x80];
    const SEND_DATA_REQUEST: u8 = 25;
    const DISCONNECT_PROVIDER_ULTIMATUM: u8 = 8;
    let mut r = Reader(pdu);
    r.bytes::<4>().ok_or("TPKT header")?;
    if r.bytes::<3>() != Some(X224_DATA) {
        return Err("X.224 header");
    }
    match r.u8().ok_or("MCS header")? >> 2 {
        SEND_DATA_REQUEST => {
            let [_, _, high, low, _priority] = r.bytes().ok_or("MCS Send Data Request")?;
            let mut length = usize::from(r.u8().ok_or("MCS Send Data Request")?);
            if length & 0x80 != 0 {
                // 0xC0 and above would be PER fragments, which nobody sends.
                length = (length & 0x7F) << 8 | usize::from(r.u8().ok_or("MCS Send Data Request")?);
            }
            let data = r.slice(length).ok_or("MCS Send Data Request length")?;
            let channel = u16::from_be_bytes([high, low]);
            Ok(Mcs::Data { channel, data })
        }
        DISCONNECT_PROVIDER_ULTIMATUM => Ok(Mcs::Disconnect),
        code => Ok(Mcs::Other(code)),
    }
}

/// Reads little-endian fields and never beyond the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[b]| b)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(crate) fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }
}
