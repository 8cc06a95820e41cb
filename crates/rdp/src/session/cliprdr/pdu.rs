//! PDUs of the clipboard channel, [MS-RDPECLIP] 2.2: read with checked bounds, written into heads of messages. Content is
//! passed through and never looked at.

use bytes::Bytes;
use rdpmux_model::{ClipboardFormat, FilePart, FileRequest};

use super::ClipboardRefusal;
use crate::wire::Reader;

/// `CB_USE_LONG_FORMAT_NAMES`: names of any length.
pub(super) const LONG_NAMES: u32 = 0x02;
/// `CB_STREAM_FILECLIP_ENABLED`: contents of files on this channel.
pub(super) const FILES: u32 = 0x04;
/// `CB_FILECLIP_NO_FILE_PATHS`: names without the sender's folders.
const NO_PATHS: u32 = 0x08;
/// `CB_CAN_LOCK_CLIPDATA`: lists of files can be held.
pub(super) const LOCKS: u32 = 0x10;
/// `CB_HUGE_FILE_SUPPORT_ENABLED`: files above 4 GiB.
const HUGE_FILES: u32 = 0x20;

pub(super) const MONITOR_READY: u16 = 1;
pub(super) const FORMAT_LIST: u16 = 2;
pub(super) const FORMAT_LIST_RESPONSE: u16 = 3;
pub(super) const DATA_REQUEST: u16 = 4;
pub(super) const DATA_RESPONSE: u16 = 5;
const TEMP_DIRECTORY: u16 = 6;
pub(super) const CAPABILITIES: u16 = 7;
pub(super) const FILE_REQUEST: u16 = 8;
pub(super) const FILE_RESPONSE: u16 = 9;
pub(super) const LOCK: u16 = 10;
pub(super) const UNLOCK: u16 = 11;

const RESPONSE_OK: u16 = 1;
const RESPONSE_FAIL: u16 = 2;
const ASCII_NAMES: u16 = 4;

const GENERAL_CAPABILITY: u16 = 1;
const CAPABILITY_VERSION: u32 = 2;
const FILE_SIZE: u32 = 1;
const FILE_RANGE: u32 = 2;

/// Bytes before a message's body.
pub(super) const HEADER: usize = 8;
/// Bytes before the content of a file.
pub(super) const FILE_HEADER: usize = HEADER + 4;
/// Formats that one client may announce; office programs come to some forty.
pub(super) const FORMATS: usize = 256;
/// UTF-16 units of a name; a format with a longer one is left out.
const NAME: usize = 128;
/// Bytes of a name in the short form.
const SHORT_NAME: usize = 32;

/// A PDU of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pdu {
    Capabilities {
        flags: u32,
    },
    FormatList(Vec<ClipboardFormat>),
    FormatListResponse,
    DataRequest {
        format: u32,
    },
    DataResponse(Option<Bytes>),
    FileRequest(FileRequest),
    FileResponse {
        stream: u32,
        data: Option<Bytes>,
    },
    Lock(u32),
    Unlock(u32),
    /// Known and without a use.
    Nothing,
}

/// Reads one message. `long_names`: both sides use the long form of names.
pub(super) fn decode(message: Vec<u8>, long_names: bool) -> Result<Pdu, ClipboardRefusal> {
    let message = Bytes::from(message);
    let broken = |what| ClipboardRefusal::Malformed(what);
    let mut r = Reader(&message);
    let (kind, flags, length) = header(&mut r).ok_or(broken("header"))?;
    // Some clients send bytes behind the body.
    let body = r.slice(length).ok_or(broken("length"))?;
    let content = |from: usize| message.slice(HEADER + from..HEADER + length);
    let is_ok = flags & RESPONSE_OK != 0 && flags & RESPONSE_FAIL == 0;
    let mut r = Reader(body);
    Ok(match kind {
        FORMAT_LIST if long_names => Pdu::FormatList(long_list(body)?),
        FORMAT_LIST => Pdu::FormatList(short_list(body, flags & ASCII_NAMES != 0)?),
        FORMAT_LIST_RESPONSE => Pdu::FormatListResponse,
        DATA_REQUEST => Pdu::DataRequest {
            format: r.u32().ok_or(broken("format data request"))?,
        },
        DATA_RESPONSE => Pdu::DataResponse(is_ok.then(|| content(0))),
        CAPABILITIES => Pdu::Capabilities {
            flags: capabilities(body).ok_or(broken("capabilities"))?,
        },
        FILE_REQUEST => Pdu::FileRequest(file_request(body).ok_or(broken("file contents request"))?),
        FILE_RESPONSE => {
            let stream = r.u32().ok_or(broken("file contents response"))?;
            Pdu::FileResponse {
                stream,
                data: is_ok.then(|| content(4)),
            }
        }
        LOCK => Pdu::Lock(r.u32().ok_or(broken("lock"))?),
        UNLOCK => Pdu::Unlock(r.u32().ok_or(broken("unlock"))?),
        TEMP_DIRECTORY | MONITOR_READY => Pdu::Nothing,
        kind => return Err(ClipboardRefusal::Unknown(kind)),
    })
}

/// `msgType`, `msgFlags`, `dataLen`.
pub(super) fn header(r: &mut Reader<'_>) -> Option<(u16, u16, usize)> {
    Some((r.u16()?, r.u16()?, r.u32()? as usize))
}

fn capabilities(body: &[u8]) -> Option<u32> {
    let mut r = Reader(body);
    let count = r.u16()?;
    r.u16()?;
    for _ in 0..count {
        let (kind, length) = (r.u16()?, usize::from(r.u16()?));
        let mut set = Reader(r.slice(length.checked_sub(4)?)?);
        if kind == GENERAL_CAPABILITY {
            let (_version, flags) = (set.u32()?, set.u32()?);
            return Some(flags);
        }
    }
    Some(0)
}

fn long_list(body: &[u8]) -> Result<Vec<ClipboardFormat>, ClipboardRefusal> {
    let mut r = Reader(body);
    let mut formats = Vec::new();
    let mut announced = 0;
    // Fewer bytes than a number are padding.
    while let Some(id) = r.u32() {
        let mut units = Vec::new();
        loop {
            match r.u16() {
                Some(0) => break,
                Some(unit) if units.len() <= NAME => units.push(unit),
                Some(_) => {}
                None => return Err(ClipboardRefusal::Malformed("format name")),
            }
        }
        announced += 1;
        add(&mut formats, id, &units);
    }
    bounded(formats, announced)
}

fn short_list(body: &[u8], ascii: bool) -> Result<Vec<ClipboardFormat>, ClipboardRefusal> {
    let mut r = Reader(body);
    let mut formats = Vec::new();
    let mut announced = 0;
    while let (Some(id), Some(name)) = (r.u32(), r.bytes::<SHORT_NAME>()) {
        let units: Vec<u16> = if ascii {
            name.iter().map(|byte| u16::from(*byte)).collect()
        } else {
            name.chunks_exact(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect()
        };
        let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
        announced += 1;
        add(&mut formats, id, &units[..end]);
    }
    bounded(formats, announced)
}

fn add(formats: &mut Vec<ClipboardFormat>, id: u32, units: &[u16]) {
    if units.len() <= NAME && formats.len() < FORMATS {
        let name = (!units.is_empty()).then(|| String::from_utf16_lossy(units));
        formats.push(ClipboardFormat { id, name });
    }
}

fn bounded(formats: Vec<ClipboardFormat>, announced: usize) -> Result<Vec<ClipboardFormat>, ClipboardRefusal> {
    if announced > FORMATS {
        return Err(ClipboardRefusal::TooManyFormats { announced });
    }
    Ok(formats)
}

fn file_request(body: &[u8]) -> Option<FileRequest> {
    let mut r = Reader(body);
    let (stream, index, flags) = (r.u32()?, r.u32()?, r.u32()?);
    let (low, high, length) = (r.u32()?, r.u32()?, r.u32()?);
    // Old clients leave it out.
    let lock = r.u32();
    let part = match flags {
        FILE_SIZE => FilePart::Size,
        FILE_RANGE => FilePart::Range {
            position: u64::from(high) << 32 | u64::from(low),
            length,
        },
        _ => return None,
    };
    Some(FileRequest {
        stream,
        index,
        part,
        lock,
    })
}

/// Begins a message whose body will have `length` bytes.
fn begin(kind: u16, flags: u16, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + length.min(64));
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    out
}

fn words(kind: u16, words: &[u32]) -> Vec<u8> {
    let mut out = begin(kind, 0, words.len() * 4);
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out
}

/// What we can: long names, files, locks.
pub(super) fn server_capabilities() -> Vec<u8> {
    let mut out = begin(CAPABILITIES, 0, 16);
    for word in [1, 0, GENERAL_CAPABILITY, 12] {
        out.extend_from_slice(&u16::to_le_bytes(word));
    }
    out.extend_from_slice(&CAPABILITY_VERSION.to_le_bytes());
    out.extend_from_slice(&(LONG_NAMES | FILES | NO_PATHS | LOCKS | HUGE_FILES).to_le_bytes());
    out
}

pub(super) fn monitor_ready() -> Vec<u8> {
    begin(MONITOR_READY, 0, 0)
}

pub(super) fn format_list(formats: &[ClipboardFormat], long_names: bool) -> Vec<u8> {
    let mut body = Vec::new();
    for format in formats {
        body.extend_from_slice(&format.id.to_le_bytes());
        let mut units: Vec<u16> = format.name.as_deref().unwrap_or_default().encode_utf16().collect();
        if long_names {
            units.push(0);
        } else {
            units.truncate(SHORT_NAME / 2 - 1);
            units.resize(SHORT_NAME / 2, 0);
        }
        body.extend(units.into_iter().flat_map(u16::to_le_bytes));
    }
    let mut out = begin(FORMAT_LIST, 0, body.len());
    out.extend_from_slice(&body);
    out
}

pub(super) fn format_list_response(is_ok: bool) -> Vec<u8> {
    begin(FORMAT_LIST_RESPONSE, response(is_ok), 0)
}

pub(super) fn data_request(format: u32) -> Vec<u8> {
    words(DATA_REQUEST, &[format])
}

/// Head of a response; the content follows.
pub(super) fn data_response(data: Option<&Bytes>) -> Vec<u8> {
    begin(DATA_RESPONSE, response(data.is_some()), data.map_or(0, Bytes::len))
}

pub(super) fn file_contents_request(request: &FileRequest) -> Vec<u8> {
    let (flags, position, length) = match request.part {
        FilePart::Size => (FILE_SIZE, 0, 8),
        FilePart::Range { position, length } => (FILE_RANGE, position, length),
    };
    let (low, high) = (position as u32, (position >> 32) as u32);
    let fields = [request.stream, request.index, flags, low, high, length];
    match request.lock {
        Some(lock) => words(FILE_REQUEST, &[&fields[..], &[lock]].concat()),
        None => words(FILE_REQUEST, &fields),
    }
}

/// Head of a response; the content follows.
pub(super) fn file_contents_response(stream: u32, data: Option<&Bytes>) -> Vec<u8> {
    let mut out = begin(FILE_RESPONSE, response(data.is_some()), 4 + data.map_or(0, Bytes::len));
    out.extend_from_slice(&stream.to_le_bytes());
    out
}

pub(super) fn lock(id: u32) -> Vec<u8> {
    words(LOCK, &[id])
}

pub(super) fn unlock(id: u32) -> Vec<u8> {
    words(UNLOCK, &[id])
}

const fn response(is_ok: bool) -> u16 {
    if is_ok { RESPONSE_OK } else { RESPONSE_FAIL }
}
