//! What the messages of both directions share: numbers of types, values that several have, and how a message begins and
//! ends. Types go from 16 on, so that no message of protocol 5 can be taken for one.

use super::{HEADS, LONG, SHORT};
use crate::msgpack::{self, MessageError, Reader};

pub(super) const HELLO: u32 = 16;
pub(super) const SURFACE: u32 = 17;
pub(super) const UPDATE: u32 = 18;
pub(super) const CURSOR: u32 = 19;
pub(super) const LEDS: u32 = 20;
pub(super) const MOUSE_MODE: u32 = 21;
pub(super) const HEAD_GONE: u32 = 22;
pub(super) const SOUND_FORMAT: u32 = 23;
pub(super) const SOUND_DATA: u32 = 24;
pub(super) const SOUND_VOLUME: u32 = 25;
pub(super) const RECORDING: u32 = 26;
pub(super) const SHUTDOWN: u32 = 27;
pub(super) const CLIPBOARD_OFFER: u32 = 32;
pub(super) const CLIPBOARD_REQUEST: u32 = 33;
pub(super) const CLIPBOARD_DATA: u32 = 34;
pub(super) const WELCOME: u32 = 48;
pub(super) const COMPLETE: u32 = 49;
pub(super) const KEY: u32 = 50;
pub(super) const UNICODE: u32 = 51;
pub(super) const POINTER: u32 = 52;
pub(super) const RELATIVE: u32 = 53;
pub(super) const WHEEL: u32 = 54;
pub(super) const LOCKS: u32 = 55;
pub(super) const SIZE: u32 = 56;
pub(super) const MICROPHONE_DATA: u32 = 57;

/// Reads the values of one type of message.
pub(super) type Read<T> = fn(&mut Reader<'_>) -> Result<T, MessageError>;

/// Bytes that a message of this type may have.
pub(super) fn longest(kind: u32) -> u64 {
    match kind {
        CURSOR | CLIPBOARD_DATA => LONG,
        _ => SHORT,
    }
}

/// Something was copied; the newest offer is the one that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Each side counts its own, from 1.
    pub serial: u32,
    /// It can be had as text; otherwise the clipboard is empty, or has nothing that can be had.
    pub has_text: bool,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Of the offer that it was asked by.
    pub serial: u32,
    /// UTF-8, `\n` at the ends of lines; `None`: it cannot be had.
    pub text: Option<String>,
}

pub(super) fn version(r: &mut Reader<'_>) -> Result<(), MessageError> {
    match r.uint("version")? {
        version if version == super::VERSION as u32 => Ok(()),
        _ => Err(r.wrong("version")),
    }
}

pub(super) fn head(r: &mut Reader<'_>) -> Result<u32, MessageError> {
    match r.uint("head")? {
        head if head < HEADS => Ok(head),
        _ => Err(r.wrong("head")),
    }
}

pub(super) fn short(r: &mut Reader<'_>, field: &'static str) -> Result<u16, MessageError> {
    u16::try_from(r.uint(field)?).map_err(|_| r.wrong(field))
}

/// Whole frames of two channels of 16 bits.
pub(super) fn samples(r: &mut Reader<'_>) -> Result<Vec<u8>, MessageError> {
    let bytes = r.bytes("samples")?;
    if !bytes.len().is_multiple_of(4) {
        return Err(r.wrong("samples"));
    }
    Ok(bytes.to_vec())
}

pub(super) fn offer(r: &mut Reader<'_>) -> Result<Offer, MessageError> {
    Ok(Offer {
        serial: r.uint("serial")?,
        has_text: r.truth("has text")?,
    })
}

pub(super) fn content(r: &mut Reader<'_>) -> Result<Content, MessageError> {
    let serial = r.uint("serial")?;
    let text = match r.nil() {
        true => None,
        false => Some(r.text("text")?.to_owned()),
    };
    Ok(Content { serial, text })
}

pub(super) fn put_offer(out: &mut Vec<u8>, offer: Offer) {
    put(out, CLIPBOARD_OFFER, &[offer.serial], 1);
    msgpack::put_truth(out, offer.has_text);
}

pub(super) fn put_content(out: &mut Vec<u8>, content: &Content) {
    put(out, CLIPBOARD_DATA, &[content.serial], 1);
    match &content.text {
        Some(text) => msgpack::put_text(out, text),
        None => msgpack::put_nil(out),
    }
}

pub(super) fn begin(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

pub(super) fn end(out: &mut [u8], start: usize) {
    let length = (out.len() - start) as u32;
    assert!(
        u64::from(length) <= LONG,
        "a message of {length} bytes is longer than any may be"
    );
    out[start - 4..start].copy_from_slice(&length.to_le_bytes());
}

/// The array's start and the type; `values` follow.
pub(super) fn put_array(out: &mut Vec<u8>, kind: u32, values: usize) {
    msgpack::put_array(out, values + 1);
    msgpack::put_uint(out, u64::from(kind));
}

/// The same with integers; `more` values follow.
pub(super) fn put(out: &mut Vec<u8>, kind: u32, values: &[u32], more: usize) {
    put_array(out, kind, values.len() + more);
    for value in values {
        msgpack::put_uint(out, u64::from(*value));
    }
}
