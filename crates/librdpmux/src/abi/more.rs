//! The C functions that the old librdpmux did not have: what protocol 6 adds, under new names. A program allows it before it
//! registers; without that, nothing is different from what it was.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::slice;

use rdpmux_wire::v5;
use rdpmux_wire::v6::{self, Content, Features, Offer};

use super::{NO_DISPLAY, guarded, shown, state, text};
use crate::display::{LONGEST_SOUND, LONGEST_TEXT};
use crate::event::{Action, Event, lock_bits};
use crate::machine::Error;
use crate::picture::{Cursor, cursor_message};
use rdpmux_model::Button;

/// `MuxEvent` of the header.
#[repr(C)]
#[derive(Debug)]
pub struct MuxEvent {
    kind: u32,
    head: u32,
    x: i32,
    y: i32,
    code: u32,
    is_on: bool,
    width: u32,
    height: u32,
    width_mm: u32,
    height_mm: u32,
    data: *const u8,
    length: usize,
}

/// Whom events are told.
#[derive(Clone, Copy)]
pub(super) struct Handler {
    call: extern "C" fn(*const MuxEvent, *mut c_void),
    data: *mut c_void,
}

// SAFETY: the pointer is handed back to the program, which knows that the thread in its main loop gets it.
unsafe impl Send for Handler {}

const KEY: u32 = 1;
const MOTION: u32 = 2;
const MOTION_BY: u32 = 3;
const BUTTON: u32 = 4;
const WHEEL: u32 = 5;
const CHARACTER: u32 = 6;
const LOCKS: u32 = 7;
const SIZE: u32 = 8;
const CLIPBOARD_OFFER: u32 = 9;
const CLIPBOARD_REQUEST: u32 = 10;
const CLIPBOARD_TEXT: u32 = 11;
const MICROPHONE: u32 = 12;

impl Handler {
    pub(super) fn call(self, event: &Event) {
        (self.call)(&in_c(event), self.data);
    }
}

fn in_c(event: &Event) -> MuxEvent {
    let mut out = MuxEvent {
        kind: 0,
        head: 0,
        x: 0,
        y: 0,
        code: 0,
        is_on: false,
        width: 0,
        height: 0,
        width_mm: 0,
        height_mm: 0,
        data: ptr::null(),
        length: 0,
    };
    let mut bytes: Option<&[u8]> = None;
    match event {
        Event::Key(key) => (out.kind, out.code, out.is_on) = (KEY, key.qnum.into(), key.is_down),
        Event::Mouse(mouse) => {
            out.head = mouse.head;
            (out.x, out.y) = (signed(mouse.x), signed(mouse.y));
            match mouse.action {
                Action::Move => out.kind = MOTION,
                Action::MoveBy(dx, dy) => (out.kind, out.x, out.y) = (MOTION_BY, dx, dy),
                Action::Press(button) => (out.kind, out.code, out.is_on) = (BUTTON, number(button), true),
                Action::Release(button) => (out.kind, out.code) = (BUTTON, number(button)),
                Action::Wheel(turn) => (out.kind, out.x, out.y) = (WHEEL, 0, turn),
                Action::HorizontalWheel(turn) => (out.kind, out.x, out.y) = (WHEEL, turn, 0),
            }
        }
        Event::Character(character) => (out.kind, out.code) = (CHARACTER, u32::from(*character)),
        Event::Locks(keys) => (out.kind, out.code) = (LOCKS, lock_bits(*keys)),
        Event::Size(size) => {
            (out.kind, out.head) = (SIZE, size.head);
            (out.x, out.y) = (signed(size.x), signed(size.y));
            (out.width, out.height) = (size.width, size.height);
            (out.width_mm, out.height_mm) = (size.width_mm, size.height_mm);
        }
        Event::ClipboardOffer { serial, has_text } => {
            (out.kind, out.code, out.is_on) = (CLIPBOARD_OFFER, *serial, *has_text);
        }
        Event::ClipboardRequest { serial } => (out.kind, out.code) = (CLIPBOARD_REQUEST, *serial),
        Event::ClipboardText { serial, text } => {
            (out.kind, out.code) = (CLIPBOARD_TEXT, *serial);
            bytes = text.as_ref().map(String::as_bytes);
        }
        Event::Microphone { rate, samples } => {
            (out.kind, out.code) = (MICROPHONE, *rate);
            bytes = Some(samples);
        }
    }
    if let Some(bytes) = bytes {
        (out.data, out.length) = (bytes.as_ptr(), bytes.len());
    }
    out
}

fn signed(at: u32) -> i32 {
    i32::try_from(at).unwrap_or(i32::MAX)
}

fn number(button: Button) -> u32 {
    match button {
        Button::Left => 1,
        Button::Right => 2,
        Button::Middle => 3,
        Button::Side => 4,
        Button::Extra => 5,
    }
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_allow_protocol(version: c_int, features: u32) -> bool {
    guarded("mux_allow_protocol", false, || {
        if ![v5::VERSION, v6::VERSION].contains(&version) {
            return Err(Error::Range("this library speaks protocols 5 and 6"));
        }
        let mut state = state();
        let shown = state.display.as_mut().ok_or(NO_DISPLAY)?;
        shown.newest = version;
        shown.machine.add_features(Features(features));
        Ok(true)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_register_event_handler(
    handler: Option<extern "C" fn(*const MuxEvent, *mut c_void)>,
    data: *mut c_void,
) {
    state().handler = handler.map(|call| Handler { call, data });
}

/// See the header.
///
/// # Safety
/// `surface` is NULL or a `pixman_image_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mux_head_switch(head: u32, surface: *mut c_void) {
    // SAFETY: as the caller promises.
    guarded("mux_head_switch", (), || unsafe { super::switch(head, surface) });
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_head_update(head: u32, x: c_int, y: c_int, w: c_int, h: c_int) {
    guarded("mux_head_update", (), || super::update(head, [x, y, w, h]));
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_head_refresh(head: u32) -> u32 {
    guarded("mux_head_refresh", crate::feed::FIRST_RATE, || super::refresh(head))
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_head_gone(head: u32) {
    guarded("mux_head_gone", (), || {
        let machine = shown()?;
        machine.remove_head(head)?;
        if let Some(shown) = state().display.as_mut() {
            shown.images.remove(&head);
        }
        Ok::<_, Error>(())
    });
}

/// See the header.
///
/// # Safety
/// `bgra` is NULL or has `w * h * 4` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mux_set_cursor(head: u32, w: u32, h: u32, hot_x: u32, hot_y: u32, bgra: *const u8) {
    guarded("mux_set_cursor", (), || {
        let machine = shown()?;
        if bgra.is_null() || w == 0 || h == 0 {
            return machine.set(cursor_message(head, None)?);
        }
        if w > v6::CURSOR_EDGE || h > v6::CURSOR_EDGE {
            return Err(Error::Range("a pointer has 1 x 1 to 1024 x 1024 pixels"));
        }
        // SAFETY: as the caller promises; at most 4 MiB.
        let bgra = unsafe { slice::from_raw_parts(bgra, w as usize * h as usize * 4) };
        let cursor = Cursor {
            bgra,
            width: w,
            height: h,
            hot: (hot_x, hot_y),
        };
        machine.set(cursor_message(head, Some(&cursor))?)
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_set_leds(lit: u32) {
    guarded("mux_set_leds", (), || shown()?.set(v6::ToDaemon::Leds { lit: lit & 7 }));
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_set_absolute_mouse(absolute: bool) {
    guarded("mux_set_absolute_mouse", (), || {
        shown()?.set(v6::ToDaemon::MouseMode { absolute })
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_clipboard_offer(has_text: bool) -> u32 {
    guarded("mux_clipboard_offer", 0, || {
        let (machine, serial) = {
            let mut state = state();
            let shown = state.display.as_mut().ok_or(NO_DISPLAY)?;
            shown.offers = shown.offers.wrapping_add(1).max(1);
            (shown.machine.clone(), shown.offers)
        };
        let offer = v6::ToDaemon::ClipboardOffer(Offer { serial, has_text });
        machine.tell(Features::CLIPBOARD, &offer).map(|()| serial)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_clipboard_request(serial: u32) -> bool {
    guarded("mux_clipboard_request", false, || {
        let request = v6::ToDaemon::ClipboardRequest { serial };
        shown()?.tell(Features::CLIPBOARD, &request).map(|()| true)
    })
}

/// See the header.
///
/// # Safety
/// `utf8` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mux_clipboard_give(serial: u32, utf8: *const c_char) -> bool {
    guarded("mux_clipboard_give", false, || {
        // SAFETY: as the caller promises.
        let text = unsafe { text(utf8) }?.map(str::to_owned);
        if text.as_ref().is_some_and(|text| text.len() > LONGEST_TEXT) {
            return Err(Error::Range("a text of a clipboard has 8 MiB at most"));
        }
        let content = v6::ToDaemon::ClipboardData(Content { serial, text });
        shown()?.tell(Features::CLIPBOARD, &content).map(|()| true)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_sound_rate(rate: u32) -> bool {
    guarded("mux_sound_rate", false, || {
        let message = v6::ToDaemon::SoundFormat { rate };
        shown()?.tell(Features::SOUND, &message).map(|()| true)
    })
}

/// See the header.
///
/// # Safety
/// `samples` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mux_sound_play(samples: *const u8, length: usize) -> bool {
    guarded("mux_sound_play", false, || {
        if samples.is_null() || length > LONGEST_SOUND || !length.is_multiple_of(4) {
            return Err(Error::Range("sound is given in frames of 4 bytes, 32 KiB at most"));
        }
        // SAFETY: as the caller promises.
        let samples = unsafe { slice::from_raw_parts(samples, length) }.to_vec();
        let message = v6::ToDaemon::SoundData { samples };
        shown()?.tell(Features::SOUND, &message).map(|()| true)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_sound_volume(left: u16, right: u16) -> bool {
    guarded("mux_sound_volume", false, || {
        let message = v6::ToDaemon::SoundVolume { left, right };
        shown()?.tell(Features::SOUND, &message).map(|()| true)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn mux_sound_record(rate: u32) -> bool {
    guarded("mux_sound_record", false, || {
        let message = v6::ToDaemon::Recording { rate };
        shown()?.tell(Features::MICROPHONE, &message).map(|()| true)
    })
}
