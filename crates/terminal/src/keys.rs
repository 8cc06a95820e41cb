//! Keys to bytes, as xterm sends them in its default configuration (its *ctlseqs* document, "PC-Style Function Keys").

use crate::Terminal;

/// A key, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// A key that types this character with the modifiers and locks that are down.
    Char(char),
    /// The Enter key.
    Enter,
    /// The Tab key.
    Tab,
    /// The Backspace key.
    Backspace,
    /// The Escape key.
    Escape,
    /// Cursor up.
    Up,
    /// Cursor down.
    Down,
    /// Cursor right.
    Right,
    /// Cursor left.
    Left,
    /// Home.
    Home,
    /// End.
    End,
    /// Insert.
    Insert,
    /// Delete.
    Delete,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// F1 to F12; others type nothing.
    Function(u8),
}

/// The modifiers that are down with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Modifiers {
    /// Shift.
    pub shift: bool,
    /// Alt, but not AltGr.
    pub alt: bool,
    /// Control.
    pub control: bool,
}

impl Modifiers {
    /// xterm's number of a combination, from 1.
    fn number(self) -> u8 {
        1 + u8::from(self.shift) + 2 * u8::from(self.alt) + 4 * u8::from(self.control)
    }
}

impl Key {
    /// What the key sends to the guest behind `terminal`, whose modes count.
    pub fn bytes(self, modifiers: Modifiers, terminal: &Terminal) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self {
            Self::Char(c) => character(c, modifiers, &mut bytes),
            Self::Enter => simple(b"\r", modifiers, &mut bytes),
            Self::Tab if modifiers.shift => bytes.extend_from_slice(b"\x1b[Z"),
            Self::Tab => simple(b"\t", modifiers, &mut bytes),
            Self::Backspace if modifiers.control => simple(b"\x08", modifiers, &mut bytes),
            Self::Backspace => simple(b"\x7f", modifiers, &mut bytes),
            Self::Escape => simple(b"\x1b", modifiers, &mut bytes),
            Self::Up => cursor(b'A', modifiers, terminal, &mut bytes),
            Self::Down => cursor(b'B', modifiers, terminal, &mut bytes),
            Self::Right => cursor(b'C', modifiers, terminal, &mut bytes),
            Self::Left => cursor(b'D', modifiers, terminal, &mut bytes),
            Self::Home => cursor(b'H', modifiers, terminal, &mut bytes),
            Self::End => cursor(b'F', modifiers, terminal, &mut bytes),
            Self::Insert => numbered(2, modifiers, &mut bytes),
            Self::Delete => numbered(3, modifiers, &mut bytes),
            Self::PageUp => numbered(5, modifiers, &mut bytes),
            Self::PageDown => numbered(6, modifiers, &mut bytes),
            Self::Function(number) => function(number, modifiers, &mut bytes),
        }
        bytes
    }
}

fn simple(plain: &[u8], modifiers: Modifiers, out: &mut Vec<u8>) {
    if modifiers.alt {
        out.push(0x1B);
    }
    out.extend_from_slice(plain);
}

fn character(c: char, modifiers: Modifiers, out: &mut Vec<u8>) {
    if modifiers.alt {
        out.push(0x1B);
    }
    if let Some(code) = controlled(c).filter(|_| modifiers.control) {
        return out.push(code);
    }
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// What Control makes of a character.
fn controlled(c: char) -> Option<u8> {
    match c {
        '@'..='_' | 'a'..='z' => Some(c as u8 & 0x1F),
        ' ' | '2' => Some(0),
        '3' => Some(0x1B),
        '4' => Some(0x1C),
        '5' => Some(0x1D),
        '6' | '~' => Some(0x1E),
        '7' | '/' | '-' => Some(0x1F),
        '8' | '?' => Some(0x7F),
        _ => None,
    }
}

fn cursor(last: u8, modifiers: Modifiers, terminal: &Terminal, out: &mut Vec<u8>) {
    match modifiers.number() {
        1 if terminal.screen().application_cursor() => out.extend_from_slice(&[0x1B, b'O', last]),
        1 => out.extend_from_slice(&[0x1B, b'[', last]),
        number => out.extend_from_slice(&[0x1B, b'[', b'1', b';', b'0' + number, last]),
    }
}

fn numbered(key: u8, modifiers: Modifiers, out: &mut Vec<u8>) {
    let text = match modifiers.number() {
        1 => format!("\x1b[{key}~"),
        number => format!("\x1b[{key};{number}~"),
    };
    out.extend_from_slice(text.as_bytes());
}

fn function(number: u8, modifiers: Modifiers, out: &mut Vec<u8>) {
    match number {
        1..=4 => {
            let last = b'P' + number - 1;
            match modifiers.number() {
                1 => out.extend_from_slice(&[0x1B, b'O', last]),
                with => out.extend_from_slice(&[0x1B, b'[', b'1', b';', b'0' + with, last]),
            }
        }
        5 => numbered(15, modifiers, out),
        6..=10 => numbered(number + 11, modifiers, out),
        11 | 12 => numbered(number + 12, modifiers, out),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Grid;

    const NONE: Modifiers = Modifiers {
        shift: false,
        alt: false,
        control: false,
    };
    const CONTROL: Modifiers = Modifiers { control: true, ..NONE };
    const ALT: Modifiers = Modifiers { alt: true, ..NONE };
    const SHIFT: Modifiers = Modifiers { shift: true, ..NONE };

    #[test]
    fn keys_send_what_xterm_sends() {
        let terminal = Terminal::new(Grid::USUAL);
        for (key, modifiers, expected) in [
            (Key::Char('a'), NONE, "a"),
            (Key::Char('ß'), NONE, "ß"),
            (Key::Char('c'), CONTROL, "\x03"),
            (Key::Char('C'), CONTROL, "\x03"),
            (Key::Char('['), CONTROL, "\x1b"),
            (Key::Char(' '), CONTROL, "\0"),
            (Key::Char('é'), CONTROL, "é"),
            (Key::Char('x'), ALT, "\x1bx"),
            (Key::Enter, NONE, "\r"),
            (Key::Tab, SHIFT, "\x1b[Z"),
            (Key::Backspace, NONE, "\x7f"),
            (Key::Escape, NONE, "\x1b"),
            (Key::Up, NONE, "\x1b[A"),
            (Key::Left, CONTROL, "\x1b[1;5D"),
            (Key::Home, NONE, "\x1b[H"),
            (Key::Delete, NONE, "\x1b[3~"),
            (Key::PageUp, ALT, "\x1b[5;3~"),
            (Key::Function(1), NONE, "\x1bOP"),
            (Key::Function(4), SHIFT, "\x1b[1;2S"),
            (Key::Function(5), NONE, "\x1b[15~"),
            (Key::Function(6), NONE, "\x1b[17~"),
            (Key::Function(10), NONE, "\x1b[21~"),
            (Key::Function(12), NONE, "\x1b[24~"),
            (Key::Function(77), NONE, ""),
        ] {
            let bytes = key.bytes(modifiers, &terminal);
            assert_eq!(String::from_utf8_lossy(&bytes), expected, "{key:?} {modifiers:?}");
        }
    }

    #[test]
    fn a_program_that_asks_for_application_cursor_keys_gets_them() {
        let mut terminal = Terminal::new(Grid::USUAL);
        terminal.feed(b"\x1b[?1h");
        assert_eq!(Key::Down.bytes(NONE, &terminal), b"\x1bOB");
        assert_eq!(Key::Down.bytes(SHIFT, &terminal), b"\x1b[1;2B");
        terminal.feed(b"\x1b[?1l");
        assert_eq!(Key::Down.bytes(NONE, &terminal), b"\x1b[B");
    }
}
