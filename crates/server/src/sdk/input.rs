//! Input events as handlers take them, and how they come from the desktop's.

use ironrdp_pdu::input::fast_path::SynchronizeFlags;
use rdpmux_model::{Button, InputEvent, LockKeys, Touch, TouchPhase, WheelAxis};

/// What happened on a client's keyboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyboardEvent {
    /// A key went down; auto-repeat is a further one.
    Pressed {
        /// PC/AT set 1 scan code, 7 bits.
        code: u8,
        /// With the prefix `E0`. The Pause key is the extended 0x46.
        extended: bool,
    },
    /// A key went up.
    Released {
        /// PC/AT set 1 scan code, 7 bits.
        code: u8,
        /// With the prefix `E0`.
        extended: bool,
    },
    /// A character was typed: a UTF-16 code unit; two of them for a character beyond the first 65536.
    UnicodePressed(u16),
    /// The same code unit was let go of.
    UnicodeReleased(u16),
    /// The lock keys of the client are in this state; sent when its window gains focus ([MS-RDPBCGR] 2.2.8.1.1.3.1.1.5).
    Synchronize(SynchronizeFlags),
}

/// What happened to a client's pointer. A finger on a touch screen is the left button.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of buttons say all")]
pub enum MouseEvent {
    /// It is at this pixel of the desktop.
    Move {
        /// Column.
        x: u16,
        /// Row.
        y: u16,
    },
    RightPressed,
    RightReleased,
    LeftPressed,
    LeftReleased,
    MiddlePressed,
    MiddleReleased,
    /// "Back".
    Button4Pressed,
    Button4Released,
    /// "Forward".
    Button5Pressed,
    Button5Released,
    /// The wheel turned.
    VerticalScroll {
        /// 120 is one notch, positive is away from the user.
        value: i16,
    },
    /// The horizontal wheel turned.
    Scroll {
        /// 120 is one notch, positive is to the right.
        x: i32,
        /// Likewise, positive is away from the user.
        y: i32,
    },
    /// It moved by so many pixels; from clients that send no positions.
    RelMove {
        /// To the right.
        x: i32,
        /// Downwards.
        y: i32,
    },
}

/// Takes what clients type and click.
///
/// It is called on a thread of its own, one event after the other, for all clients that may control the desktop: it may block.
/// A key or button that several clients hold is released once, by the last of them; what a client holds when it goes is
/// released. A panic in here is logged, and the next event comes as usual. A handler that never returns makes the queue of
/// events full; then the sessions end that type on.
///
/// ```
/// use rdpmux_server::{KeyboardEvent, MouseEvent, RdpServerInputHandler};
///
/// struct InputHandler;
///
/// impl RdpServerInputHandler for InputHandler {
///     fn keyboard(&mut self, event: KeyboardEvent) {
///         match event {
///             KeyboardEvent::Pressed { code, .. } => println!("Pressed {}", code),
///             KeyboardEvent::Released { code, .. } => println!("Released {}", code),
///             other => println!("unhandled event: {:?}", other),
///         };
///     }
///
///     fn mouse(&mut self, event: MouseEvent) {
///         match event {
///             MouseEvent::Move { x, y } => println!("Moved mouse to {} {}", x, y),
///             other => println!("unhandled event: {:?}", other),
///         };
///     }
/// }
/// ```
pub trait RdpServerInputHandler: Send {
    /// A key.
    fn keyboard(&mut self, event: KeyboardEvent);
    /// The pointer, a button or a wheel.
    fn mouse(&mut self, event: MouseEvent);
}

/// Hands an event of the desktop to the handler, as one or more of its own.
pub(super) fn deliver(event: InputEvent, handler: &mut dyn RdpServerInputHandler) {
    match event {
        InputEvent::Key { scancode, down } => {
            let (code, extended) = (scancode.code(), scancode.is_extended());
            handler.keyboard(match down {
                true => KeyboardEvent::Pressed { code, extended },
                false => KeyboardEvent::Released { code, extended },
            });
        }
        InputEvent::Character(c) => {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units);
            units
                .iter()
                .for_each(|unit| handler.keyboard(KeyboardEvent::UnicodePressed(*unit)));
            units
                .iter()
                .for_each(|unit| handler.keyboard(KeyboardEvent::UnicodeReleased(*unit)));
        }
        InputEvent::Locks(locks) => handler.keyboard(KeyboardEvent::Synchronize(lock_flags(locks))),
        InputEvent::MoveTo { x, y } => handler.mouse(place(x, y)),
        InputEvent::MoveBy { dx, dy } => handler.mouse(MouseEvent::RelMove { x: dx, y: dy }),
        InputEvent::Button { button, down } => handler.mouse(edge(button, down)),
        InputEvent::Wheel { axis, delta } => handler.mouse(match axis {
            WheelAxis::Vertical => MouseEvent::VerticalScroll { value: delta },
            WheelAxis::Horizontal => MouseEvent::Scroll {
                x: i32::from(delta),
                y: 0,
            },
        }),
        // Further fingers have no mouse.
        InputEvent::Touch(touch) if touch.contact == 0 => finger(touch, handler),
        InputEvent::Touch(_) => {}
    }
}

fn finger(touch: Touch, handler: &mut dyn RdpServerInputHandler) {
    if touch.phase != TouchPhase::Cancel {
        handler.mouse(place(touch.x, touch.y));
    }
    match touch.phase {
        TouchPhase::Begin => handler.mouse(MouseEvent::LeftPressed),
        TouchPhase::Update => {}
        TouchPhase::End | TouchPhase::Cancel => handler.mouse(MouseEvent::LeftReleased),
    }
}

fn place(x: u32, y: u32) -> MouseEvent {
    let narrow = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    MouseEvent::Move {
        x: narrow(x),
        y: narrow(y),
    }
}

fn edge(button: Button, down: bool) -> MouseEvent {
    match (button, down) {
        (Button::Left, true) => MouseEvent::LeftPressed,
        (Button::Left, false) => MouseEvent::LeftReleased,
        (Button::Right, true) => MouseEvent::RightPressed,
        (Button::Right, false) => MouseEvent::RightReleased,
        (Button::Middle, true) => MouseEvent::MiddlePressed,
        (Button::Middle, false) => MouseEvent::MiddleReleased,
        (Button::Side, true) => MouseEvent::Button4Pressed,
        (Button::Side, false) => MouseEvent::Button4Released,
        (Button::Extra, true) => MouseEvent::Button5Pressed,
        (Button::Extra, false) => MouseEvent::Button5Released,
    }
}

fn lock_flags(locks: LockKeys) -> SynchronizeFlags {
    let mut flags = SynchronizeFlags::empty();
    flags.set(SynchronizeFlags::SCROLL_LOCK, locks.scroll);
    flags.set(SynchronizeFlags::NUM_LOCK, locks.num);
    flags.set(SynchronizeFlags::CAPS_LOCK, locks.caps);
    flags
}

#[cfg(test)]
mod tests {
    use rdpmux_model::Scancode;

    use super::*;

    #[derive(Default)]
    struct Noted(Vec<String>);

    impl RdpServerInputHandler for Noted {
        fn keyboard(&mut self, event: KeyboardEvent) {
            self.0.push(format!("{event:?}"));
        }

        fn mouse(&mut self, event: MouseEvent) {
            self.0.push(format!("{event:?}"));
        }
    }

    fn told(event: InputEvent) -> Vec<String> {
        let mut noted = Noted::default();
        deliver(event, &mut noted);
        noted.0
    }

    #[test]
    fn keys_characters_and_lock_keys_come_as_the_document_says() {
        let scancode = Scancode::new(0x1D, true).unwrap();
        assert_eq!(
            told(InputEvent::Key { scancode, down: true }),
            ["Pressed { code: 29, extended: true }"]
        );
        assert_eq!(
            told(InputEvent::Character('😀')),
            [
                "UnicodePressed(55357)",
                "UnicodePressed(56832)",
                "UnicodeReleased(55357)",
                "UnicodeReleased(56832)"
            ]
        );
        let locks = LockKeys {
            caps: true,
            ..LockKeys::default()
        };
        assert_eq!(
            told(InputEvent::Locks(locks)),
            ["Synchronize(SynchronizeFlags(CAPS_LOCK))"]
        );
    }

    #[test]
    fn motion_buttons_and_wheels_come_as_the_document_says() {
        assert_eq!(
            told(InputEvent::MoveTo { x: 5, y: 70_000 }),
            ["Move { x: 5, y: 65535 }"]
        );
        assert_eq!(told(InputEvent::MoveBy { dx: -1, dy: 2 }), ["RelMove { x: -1, y: 2 }"]);
        let button = Button::Extra;
        assert_eq!(told(InputEvent::Button { button, down: false }), ["Button5Released"]);
        let wheel = |axis| told(InputEvent::Wheel { axis, delta: -120 });
        assert_eq!(wheel(WheelAxis::Vertical), ["VerticalScroll { value: -120 }"]);
        assert_eq!(wheel(WheelAxis::Horizontal), ["Scroll { x: -120, y: 0 }"]);
    }

    #[test]
    fn the_first_finger_is_the_left_button() {
        let touch = |contact, phase| {
            told(InputEvent::Touch(Touch {
                contact,
                phase,
                x: 3,
                y: 4,
            }))
        };
        assert_eq!(touch(0, TouchPhase::Begin), ["Move { x: 3, y: 4 }", "LeftPressed"]);
        assert_eq!(touch(0, TouchPhase::Update), ["Move { x: 3, y: 4 }"]);
        assert_eq!(touch(0, TouchPhase::Cancel), ["LeftReleased"]);
        assert!(touch(1, TouchPhase::Begin).is_empty());
    }
}
