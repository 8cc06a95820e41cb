//! Input PDUs to [`InputEvent`]s and characters: fast-path ([MS-RDPBCGR] 2.2.8.1.2) and slow-path (2.2.8.1.1.3). It
//! decides nothing about who may type; coordinates stay the client's.

use rdpmux_model::{Button, InputEvent, LockKeys, Scancode, WheelAxis};

use crate::wire::Reader;

/// One thing in an input PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Typed {
    Event(InputEvent),
    /// A unicode key went down ([MS-RDPBCGR] 2.2.8.1.1.3.1.1.2). Its going up says nothing more.
    Character(char),
}

const FAST_SCANCODE: u8 = 0;
const FAST_MOUSE: u8 = 1;
const FAST_MOUSE_EXTENDED: u8 = 2;
const FAST_SYNC: u8 = 3;
const FAST_UNICODE: u8 = 4;
const FAST_MOUSE_RELATIVE: u8 = 5;
const FAST_QOE_TIMESTAMP: u8 = 6;
const FAST_RELEASE: u8 = 1;
const FAST_EXTENDED: u8 = 2;
const FAST_EXTENDED1: u8 = 4;

const SLOW_SYNC: u16 = 0;
const SLOW_SCANCODE: u16 = 4;
const SLOW_UNICODE: u16 = 5;
const SLOW_MOUSE: u16 = 0x8001;
const SLOW_MOUSE_EXTENDED: u16 = 0x8002;
const SLOW_MOUSE_RELATIVE: u16 = 0x8004;
const SLOW_EXTENDED: u16 = 0x0100;
const SLOW_EXTENDED1: u16 = 0x0200;
const SLOW_RELEASE: u16 = 0x8000;

const POINTER_HWHEEL: u16 = 0x0400;
const POINTER_WHEEL: u16 = 0x0200;
const POINTER_WHEEL_NEGATIVE: u16 = 0x0100;
const POINTER_MOVE: u16 = 0x0800;
const POINTER_DOWN: u16 = 0x8000;
const POINTER_BUTTON1: u16 = 0x1000;
const POINTER_BUTTON2: u16 = 0x2000;
const POINTER_BUTTON3: u16 = 0x4000;
const EXTENDED_BUTTON1: u16 = 0x0001;
const EXTENDED_BUTTON2: u16 = 0x0002;

const CODE_CONTROL: u8 = 0x1D;
const CODE_NUM_LOCK: u8 = 0x45;

/// Turns one client's PDUs into events. Holds what Pause needs, which comes in two halves.
#[derive(Debug, Default)]
pub(crate) struct InputDecoder {
    /// `E1 1D` came; the `45` behind it belongs to Pause.
    pause: bool,
    /// The first half of a surrogate pair: clients send the halves as two keys.
    high: Option<u16>,
    /// Halves without their other one.
    cut_surrogates: u64,
}

impl InputDecoder {
    /// Reads a whole fast-path input PDU, header included. `None` if it is malformed; events before the fault are kept.
    pub(crate) fn fast_path(&mut self, pdu: &[u8], mut sink: impl FnMut(Typed)) -> Option<()> {
        let mut r = Reader(pdu);
        let header = r.u8()?;
        if r.u8()? & 0x80 != 0 {
            r.u8()?;
        }
        // Encryption flags: TLS does that, a set bit would mean a MAC follows.
        if header & 0xC0 != 0 {
            return None;
        }
        let count = match (header >> 2) & 0xF {
            0 => r.u8()?,
            count => count,
        };
        for _ in 0..count {
            let header = r.u8()?;
            let flags = header & 0x1F;
            match header >> 5 {
                FAST_SCANCODE => {
                    let extended1 = flags & FAST_EXTENDED1 != 0;
                    let code = r.u8()?;
                    self.key(
                        code,
                        flags & FAST_EXTENDED != 0,
                        extended1,
                        flags & FAST_RELEASE == 0,
                        &mut sink,
                    );
                }
                FAST_MOUSE => mouse(r.bytes()?, &mut sink),
                FAST_MOUSE_EXTENDED => mouse_extended(r.bytes()?, &mut sink),
                FAST_MOUSE_RELATIVE => mouse_relative(r.bytes()?, &mut sink),
                FAST_SYNC => sink(Typed::Event(locks(flags))),
                FAST_UNICODE => self.unicode(r.u16()?, flags & FAST_RELEASE == 0, &mut sink),
                FAST_QOE_TIMESTAMP => {
                    r.u32()?;
                }
                // An unknown event has no length to step over it.
                _ => return None,
            }
        }
        Some(())
    }

    /// Reads the body of a slow-path Input PDU. `None` if it is malformed.
    pub(crate) fn slow_path(&mut self, body: &[u8], mut sink: impl FnMut(Typed)) -> Option<()> {
        let mut r = Reader(body);
        let (count, _pad) = (r.u16()?, r.u16()?);
        for _ in 0..count {
            let (_time, kind) = (r.u32()?, r.u16()?);
            let data = r.bytes::<6>()?;
            let flags = u16::from_le_bytes([data[0], data[1]]);
            match kind {
                SLOW_SYNC => sink(Typed::Event(locks(data[2]))),
                SLOW_SCANCODE => {
                    let extended1 = flags & SLOW_EXTENDED1 != 0;
                    self.key(
                        data[2],
                        flags & SLOW_EXTENDED != 0,
                        extended1,
                        flags & SLOW_RELEASE == 0,
                        &mut sink,
                    );
                }
                SLOW_UNICODE => {
                    let unit = u16::from_le_bytes([data[2], data[3]]);
                    self.unicode(unit, flags & SLOW_RELEASE == 0, &mut sink);
                }
                SLOW_MOUSE => mouse(data, &mut sink),
                SLOW_MOUSE_EXTENDED => mouse_extended(data, &mut sink),
                SLOW_MOUSE_RELATIVE => mouse_relative(data, &mut sink),
                // Every slow-path event has six bytes, so unknown ones are stepped over.
                _ => {}
            }
        }
        Some(())
    }

    /// Halves of surrogate pairs that came without their other one, so far.
    pub(crate) fn cut_surrogates(&self) -> u64 {
        self.cut_surrogates
    }

    fn unicode(&mut self, unit: u16, down: bool, sink: &mut impl FnMut(Typed)) {
        if !down {
            return;
        }
        if let Some(high) = self.high.take() {
            if let Some(Ok(c)) = char::decode_utf16([high, unit]).next() {
                return sink(Typed::Character(c));
            }
            self.refuse_half();
        }
        match char::decode_utf16([unit]).next() {
            // What no keyboard types: 0 comes from clients that have nothing to say.
            Some(Ok('\0')) | None => {}
            Some(Ok(c)) => sink(Typed::Character(c)),
            Some(Err(_)) if unit < 0xDC00 => self.high = Some(unit),
            Some(Err(_)) => self.refuse_half(),
        }
    }

    fn refuse_half(&mut self) {
        self.cut_surrogates += 1;
        if self.cut_surrogates == 1 {
            tracing::info!("the client sends halves of unicode surrogate pairs; such are left out");
        }
    }

    fn key(&mut self, code: u8, extended: bool, extended1: bool, down: bool, sink: &mut impl FnMut(Typed)) {
        // Pause is E1 1D 45 down and E1 9D C5 up ([MS-RDPBCGR] 2.2.8.1.1.3.1.1.1): the first half carries the edge.
        let pending = core::mem::take(&mut self.pause);
        let scancode = match code & 0x7F {
            CODE_CONTROL if extended1 => {
                self.pause = true;
                Some(Scancode::PAUSE)
            }
            CODE_NUM_LOCK if pending && !extended => None,
            code => Scancode::new(code, extended),
        };
        if let Some(scancode) = scancode {
            sink(Typed::Event(InputEvent::Key { scancode, down }));
        }
    }
}

fn locks(toggles: u8) -> InputEvent {
    InputEvent::Locks(LockKeys {
        scroll: toggles & 1 != 0,
        num: toggles & 2 != 0,
        caps: toggles & 4 != 0,
    })
}

fn words(data: [u8; 6]) -> (u16, u16, u16) {
    let word = |i: usize| u16::from_le_bytes([data[i], data[i + 1]]);
    (word(0), word(2), word(4))
}

fn mouse(data: [u8; 6], sink: &mut impl FnMut(Typed)) {
    let (flags, x, y) = words(data);
    for (bit, axis) in [
        (POINTER_WHEEL, WheelAxis::Vertical),
        (POINTER_HWHEEL, WheelAxis::Horizontal),
    ] {
        if flags & bit != 0 {
            // `WheelRotationMask` and the sign bit above it are one 9-bit two's complement number.
            let low = (flags & 0xFF) as i16;
            let delta = if flags & POINTER_WHEEL_NEGATIVE != 0 {
                low - 256
            } else {
                low
            };
            sink(Typed::Event(InputEvent::Wheel { axis, delta }));
        }
    }
    // A wheel event's position is to be ignored. Touch screens send a click with its position and no move before it.
    if flags & (POINTER_WHEEL | POINTER_HWHEEL) != 0 {
        return;
    }
    if flags & (POINTER_MOVE | POINTER_BUTTON1 | POINTER_BUTTON2 | POINTER_BUTTON3) != 0 {
        sink(Typed::Event(InputEvent::MoveTo {
            x: u32::from(x),
            y: u32::from(y),
        }));
    }
    buttons(flags, sink);
}

fn buttons(flags: u16, sink: &mut impl FnMut(Typed)) {
    let down = flags & POINTER_DOWN != 0;
    for (bit, button) in [
        (POINTER_BUTTON1, Button::Left),
        (POINTER_BUTTON2, Button::Right),
        (POINTER_BUTTON3, Button::Middle),
    ] {
        if flags & bit != 0 {
            sink(Typed::Event(InputEvent::Button { button, down }));
        }
    }
}

fn extended_buttons(flags: u16, sink: &mut impl FnMut(Typed)) {
    let down = flags & POINTER_DOWN != 0;
    for (bit, button) in [(EXTENDED_BUTTON1, Button::Side), (EXTENDED_BUTTON2, Button::Extra)] {
        if flags & bit != 0 {
            sink(Typed::Event(InputEvent::Button { button, down }));
        }
    }
}

fn mouse_extended(data: [u8; 6], sink: &mut impl FnMut(Typed)) {
    let (flags, x, y) = words(data);
    sink(Typed::Event(InputEvent::MoveTo {
        x: u32::from(x),
        y: u32::from(y),
    }));
    extended_buttons(flags, sink);
}

/// [MS-RDPBCGR] 2.2.8.1.1.3.1.1.6: deltas, the three buttons, and the extended two in the lowest bits.
fn mouse_relative(data: [u8; 6], sink: &mut impl FnMut(Typed)) {
    let (flags, dx, dy) = words(data);
    if dx != 0 || dy != 0 {
        sink(Typed::Event(InputEvent::MoveBy {
            dx: i32::from(dx.cast_signed()),
            dy: i32::from(dy.cast_signed()),
        }));
    }
    buttons(flags, sink);
    extended_buttons(flags, sink);
}
