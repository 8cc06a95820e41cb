//! What viewers do to a machine, in one form for both protocols, and back into the form of protocol 5 for programs that
//! know only that.

use rdpmux_model::{Button, LockKeys};
use rdpmux_wire::{v5, v6};

/// What the daemon wants of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A key goes down or up.
    Key(Key),
    /// Something happens to a mouse.
    Mouse(Mouse),
    /// Protocol 6: a character was typed that the guest should take as it is.
    Character(char),
    /// Protocol 6: a viewer's lock keys, those of the guest should be so.
    Locks(LockKeys),
    /// Protocol 6: how a viewer would like a head.
    Size(Size),
    /// Protocol 6: viewers copied something; it can be asked for by this number, if it `has_text`.
    ClipboardOffer {
        /// Counts up; the newest counts.
        serial: u32,
        /// It can be had as text.
        has_text: bool,
    },
    /// Protocol 6: a viewer pastes what the guest offered under this number.
    ClipboardRequest {
        /// Of the guest's offer.
        serial: u32,
    },
    /// Protocol 6: what the guest asked for; `None` if it cannot be had.
    ClipboardText {
        /// Of the viewers' offer.
        serial: u32,
        /// With `\n` at the ends of lines.
        text: Option<String>,
    },
    /// Protocol 6: what a viewer says into a microphone.
    Microphone {
        /// Frames per second.
        rate: u32,
        /// 16 bits, little-endian, left and right in turn.
        samples: Vec<u8>,
    },
}

/// A key's edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// QEMU's number of the key: its 7-bit code of PC/AT set 1, plus 128 if that has the prefix E0. Pause is 0xC6.
    pub qnum: u8,
    /// Down, else up.
    pub is_down: bool,
}

/// Something that happens to a mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mouse {
    /// Number of the head, 0 in protocol 5.
    pub head: u32,
    /// Column of the pointer in pixels, as far as it is known.
    pub x: u32,
    /// Row of the pointer.
    pub y: u32,
    /// What happens there.
    pub action: Action,
}

/// What happens to a mouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The pointer comes there.
    Move,
    /// Protocol 6: the mouse moves by so many pixels, to the right and downwards.
    MoveBy(i32, i32),
    /// A button goes down.
    Press(Button),
    /// A button goes up.
    Release(Button),
    /// The wheel turns, in 1/120 notch, positive away from the user.
    Wheel(i32),
    /// The horizontal wheel turns, in 1/120 notch, positive to the right.
    HorizontalWheel(i32),
}

/// How a viewer would like a head; a `width` of 0: off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Number of the head.
    pub head: u32,
    /// Left edge among the heads in pixels.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Width in millimetres, 0 if not known.
    pub width_mm: u32,
    /// Height in millimetres, 0 if not known.
    pub height_mm: u32,
}

/// Lock keys from the bits of protocol 6.
fn locks(bits: u32) -> LockKeys {
    LockKeys {
        scroll: bits & v6::lock::SCROLL != 0,
        num: bits & v6::lock::NUM != 0,
        caps: bits & v6::lock::CAPS != 0,
    }
}

/// The bits of protocol 6 for lock keys.
pub(crate) fn lock_bits(keys: LockKeys) -> u32 {
    let bit = |is_on, bit| if is_on { bit } else { 0 };
    bit(keys.scroll, v6::lock::SCROLL) | bit(keys.num, v6::lock::NUM) | bit(keys.caps, v6::lock::CAPS)
}

const BUTTONS_5: [(u16, Button); 3] = [
    (v5::mouse::LEFT, Button::Left),
    (v5::mouse::RIGHT, Button::Right),
    (v5::mouse::MIDDLE, Button::Middle),
];

const BUTTONS_6: [(u32, Button); 5] = [
    (v6::button::LEFT, Button::Left),
    (v6::button::RIGHT, Button::Right),
    (v6::button::MIDDLE, Button::Middle),
    (v6::button::SIDE, Button::Side),
    (v6::button::EXTRA, Button::Extra),
];

/// Where the mouse is and what is down, as far as one connection has told.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    at: [u32; 3],
    buttons: u32,
}

impl Reader {
    /// Appends what a message of protocol 5 says.
    pub(crate) fn take_5(&mut self, message: v5::ToGuest, out: &mut Vec<Event>) {
        match message {
            v5::ToGuest::Keyboard { code, flags } => {
                let prefix = if flags & v5::keyboard::EXTENDED == 0 { 0 } else { 0x80 };
                out.push(Event::Key(Key {
                    qnum: (code & 0x7F) as u8 | prefix,
                    is_down: flags & v5::keyboard::RELEASE == 0,
                }));
            }
            v5::ToGuest::Mouse { x, y, flags } => {
                self.at = [0, x.into(), y.into()];
                if flags & v5::mouse::MOVE != 0 {
                    self.push(Action::Move, out);
                }
                let edge = if flags & v5::mouse::DOWN == 0 {
                    Action::Release
                } else {
                    Action::Press
                };
                if flags & v5::mouse::WHEEL != 0 {
                    self.push(Action::Wheel(rotation(flags)), out);
                } else if flags & v5::mouse::HORIZONTAL_WHEEL != 0 {
                    self.push(Action::HorizontalWheel(rotation(flags)), out);
                } else {
                    for (_, button) in BUTTONS_5.iter().filter(|(bit, _)| flags & bit != 0) {
                        self.push(edge(*button), out);
                    }
                }
            }
            v5::ToGuest::UpdateComplete { .. } => {}
        }
    }

    /// Appends what a message of protocol 6 says.
    pub(crate) fn take_6(&mut self, message: v6::ToGuest, out: &mut Vec<Event>) {
        use v6::ToGuest as Message;
        match message {
            Message::Key { qnum, down } => out.push(Event::Key(Key { qnum, is_down: down })),
            Message::Unicode { character } => out.push(Event::Character(character)),
            Message::Pointer { head, x, y, buttons } => {
                if self.at != [head, x, y] {
                    self.at = [head, x, y];
                    self.push(Action::Move, out);
                }
                self.edges(buttons, out);
            }
            Message::Relative { head, dx, dy, buttons } => {
                self.at[0] = head;
                if (dx, dy) != (0, 0) {
                    self.push(Action::MoveBy(dx, dy), out);
                }
                self.edges(buttons, out);
            }
            Message::Wheel {
                head,
                vertical,
                horizontal,
            } => {
                self.at[0] = head;
                if vertical != 0 {
                    self.push(Action::Wheel(vertical), out);
                }
                if horizontal != 0 {
                    self.push(Action::HorizontalWheel(horizontal), out);
                }
            }
            Message::Locks { on } => out.push(Event::Locks(locks(on))),
            Message::Size {
                head,
                x,
                y,
                width,
                height,
                width_mm,
                height_mm,
            } => out.push(Event::Size(Size {
                head,
                x,
                y,
                width,
                height,
                width_mm,
                height_mm,
            })),
            Message::MicrophoneData { rate, samples } => out.push(Event::Microphone { rate, samples }),
            Message::ClipboardOffer(offer) => out.push(Event::ClipboardOffer {
                serial: offer.serial,
                has_text: offer.has_text,
            }),
            Message::ClipboardRequest { serial } => out.push(Event::ClipboardRequest { serial }),
            Message::ClipboardData(content) => out.push(Event::ClipboardText {
                serial: content.serial,
                text: content.text,
            }),
            Message::Welcome { .. } | Message::Complete { .. } => {}
        }
    }

    fn push(&self, action: Action, out: &mut Vec<Event>) {
        let [head, x, y] = self.at;
        out.push(Event::Mouse(Mouse { head, x, y, action }));
    }

    fn edges(&mut self, buttons: u32, out: &mut Vec<Event>) {
        let changed = self.buttons ^ buttons;
        self.buttons = buttons;
        for (bit, button) in BUTTONS_6.iter().filter(|(bit, _)| changed & bit != 0) {
            let edge = if buttons & bit == 0 {
                Action::Release
            } else {
                Action::Press
            };
            self.push(edge(*button), out);
        }
    }
}

/// The arguments of the C callbacks for an event, in the form of protocol 5: `[keycode, flags]` or `[x, y, flags]`. Nothing
/// for what that protocol has no word for.
pub(crate) fn in_old_form(event: &Event) -> Vec<v5::ToGuest> {
    match event {
        Event::Key(key) => {
            let extended = if key.qnum & 0x80 == 0 {
                0
            } else {
                v5::keyboard::EXTENDED
            };
            let edge = if key.is_down {
                v5::keyboard::DOWN
            } else {
                v5::keyboard::RELEASE
            };
            vec![v5::ToGuest::Keyboard {
                code: (key.qnum & 0x7F).into(),
                flags: extended | edge,
            }]
        }
        Event::Mouse(mouse) => {
            let flags = match mouse.action {
                Action::Move => vec![v5::mouse::MOVE],
                Action::Press(button) => old_bit(button).map(|bit| bit | v5::mouse::DOWN).into_iter().collect(),
                Action::Release(button) => old_bit(button).into_iter().collect(),
                Action::Wheel(turn) => turns(turn, v5::mouse::WHEEL),
                Action::HorizontalWheel(turn) => turns(turn, v5::mouse::HORIZONTAL_WHEEL),
                Action::MoveBy(..) => Vec::new(),
            };
            let short = |at: u32| u16::try_from(at).unwrap_or(u16::MAX);
            let (x, y) = (short(mouse.x), short(mouse.y));
            let message = |flags| v5::ToGuest::Mouse { x, y, flags };
            flags.into_iter().map(message).collect()
        }
        _ => Vec::new(),
    }
}

fn old_bit(button: Button) -> Option<u16> {
    let row = BUTTONS_5.iter().find(|(_, known)| *known == button);
    row.map(|(bit, _)| *bit)
}

/// The low 9 bits in two's complement.
fn rotation(flags: u16) -> i32 {
    let low = i32::from(flags & v5::mouse::ROTATION);
    if low >= 256 { low - 512 } else { low }
}

/// Turns of at most two notches each, which 9 bits hold; 16 of them at most.
fn turns(turn: i32, kind: u16) -> Vec<u16> {
    const MOST: i32 = 240;
    let mut rest = turn.clamp(-16 * MOST, 16 * MOST);
    let mut found = Vec::new();
    while rest != 0 {
        let part = rest.clamp(-MOST, MOST);
        rest -= part;
        found.push(kind | (part as u16 & v5::mouse::ROTATION));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_5(messages: &[v5::ToGuest]) -> Vec<Event> {
        let (mut reader, mut events) = (Reader::default(), Vec::new());
        for message in messages {
            reader.take_5(*message, &mut events);
        }
        events
    }

    #[test]
    fn messages_of_protocol_5_come_back_from_events_as_they_were() {
        let mouse = |flags| v5::ToGuest::Mouse { x: 17, y: 300, flags };
        let mut messages = vec![
            mouse(v5::mouse::MOVE),
            mouse(v5::mouse::WHEEL | 120),
            mouse(v5::mouse::WHEEL | (-120i16 as u16 & v5::mouse::ROTATION)),
            mouse(v5::mouse::HORIZONTAL_WHEEL | 60),
        ];
        for bit in [v5::mouse::LEFT, v5::mouse::RIGHT, v5::mouse::MIDDLE] {
            messages.extend([mouse(bit | v5::mouse::DOWN), mouse(bit)]);
        }
        for flags in [v5::keyboard::DOWN, v5::keyboard::RELEASE] {
            let extended = flags | v5::keyboard::EXTENDED;
            messages.push(v5::ToGuest::Keyboard { code: 0x1E, flags });
            messages.push(v5::ToGuest::Keyboard {
                code: 0x48,
                flags: extended,
            });
        }
        let events = from_5(&messages);
        assert_eq!(events.len(), messages.len());
        let back: Vec<v5::ToGuest> = events.iter().flat_map(in_old_form).collect();
        assert_eq!(back, messages);
    }

    #[test]
    fn the_buttons_of_protocol_6_become_edges() {
        let (mut reader, mut events) = (Reader::default(), Vec::new());
        let pointer = |x, buttons| v6::ToGuest::Pointer {
            head: 1,
            x,
            y: 5,
            buttons,
        };
        let both = v6::button::LEFT | v6::button::EXTRA;
        for message in [
            pointer(4, 0),
            pointer(4, both),
            pointer(9, v6::button::EXTRA),
            pointer(9, 0),
        ] {
            reader.take_6(message, &mut events);
        }
        let actions: Vec<Action> = events
            .iter()
            .map(|event| match event {
                Event::Mouse(mouse) => mouse.action,
                other => panic!("{other:?}"),
            })
            .collect();
        let expected = [
            Action::Move,
            Action::Press(Button::Left),
            Action::Press(Button::Extra),
            Action::Move,
            Action::Release(Button::Left),
            Action::Release(Button::Extra),
        ];
        assert_eq!(actions, expected);
    }

    #[test]
    fn a_long_turn_becomes_several_in_the_old_form() {
        let turned: i32 = turns(-600, v5::mouse::WHEEL).into_iter().map(rotation).sum();
        assert_eq!(turned, -600);
        assert_eq!(turns(i32::MIN, v5::mouse::WHEEL).len(), 16);
        assert!(turns(0, v5::mouse::WHEEL).is_empty());
    }
}
