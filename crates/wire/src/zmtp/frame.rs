//! Frames of ZMTP 3 (rfc 23, "Framing"): flags, a length of one or eight bytes, the body.

use super::{FRAME, ZmtpError};

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// A frame in the input.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) is_command: bool,
    pub(super) has_more: bool,
    pub(super) body: &'a [u8],
}

/// The first frame of the input and what follows it; `None` until all of it has arrived.
pub(super) fn frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, &[u8])>, ZmtpError> {
    let Some((flags, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    if flags & !(MORE | LONG | COMMAND) != 0 || (flags & COMMAND != 0 && flags & MORE != 0) {
        return Err(ZmtpError::Flags(*flags));
    }
    let (length, rest) = if flags & LONG != 0 {
        match rest.split_first_chunk::<8>() {
            Some((length, rest)) => (u64::from_be_bytes(*length), rest),
            None => return Ok(None),
        }
    } else {
        match rest.split_first() {
            Some((length, rest)) => (u64::from(*length), rest),
            None => return Ok(None),
        }
    };
    if length > FRAME as u64 {
        return Err(ZmtpError::TooLong(length));
    }
    let Some((body, rest)) = rest.split_at_checked(length as usize) else {
        return Ok(None);
    };
    let frame = Frame {
        is_command: flags & COMMAND != 0,
        has_more: flags & MORE != 0,
        body,
    };
    Ok(Some((frame, rest)))
}

/// Appends a frame of a message.
pub(super) fn put_frame(out: &mut Vec<u8>, body: &[u8], has_more: bool) {
    put(out, if has_more { MORE } else { 0 }, &[body]);
}

/// Appends a command.
pub(super) fn put_command(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    put(out, COMMAND, &[&[name.len() as u8], name.as_bytes(), data]);
}

fn put(out: &mut Vec<u8>, flags: u8, body: &[&[u8]]) {
    let length: usize = body.iter().map(|part| part.len()).sum();
    match u8::try_from(length) {
        Ok(length) => out.extend_from_slice(&[flags, length]),
        Err(_) => {
            out.push(flags | LONG);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    body.iter().for_each(|part| out.extend_from_slice(part));
}
