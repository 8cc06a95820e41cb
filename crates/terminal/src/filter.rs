//! What stands between a guest's bytes and the emulator: strings (OSC, DCS, APC, PM, SOS) are dropped as they come, so that
//! an unterminated one holds no memory, and the line drawing characters of the VT100 (`ESC ( 0`, shift out) become those
//! of Unicode, which the emulator knows nothing of.

/// A filter of one stream. Sequences may be cut anywhere.
#[derive(Debug, Default)]
pub struct Filter {
    state: State,
    /// Whether G0 and G1 are the line drawing set.
    drawing: [bool; 2],
    /// Shift out chooses G1.
    shifted: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    /// After ESC and `(` or `)`: which set is chosen.
    Charset(usize),
    /// After ESC and another intermediate.
    Intermediate,
    /// After `ESC [`.
    Control,
    /// In a string, until BEL, ESC, CAN or SUB.
    Text,
}

const ESC: u8 = 0x1B;
const BEL: u8 = 0x07;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1A;
const SHIFT_OUT: u8 = 0x0E;
const SHIFT_IN: u8 = 0x0F;

/// DEC special graphics, 0x60 to 0x7E (VT100 User Guide, table 3-9).
const DRAWING: [char; 31] = [
    '◆', '▒', '␉', '␌', '␍', '␊', '°', '±', '␤', '␋', '┘', '┐', '┌', '└', '┼', '⎺', '⎻', '─', '⎼', '⎽', '├', '┤', '┴',
    '┬', '│', '≤', '≥', 'π', '≠', '£', '·',
];

impl Filter {
    /// Appends to `out` what the emulator should see of `bytes`; at most three bytes for each.
    pub fn run(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            self.take(byte, out);
        }
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte == ESC {
            // It ends whatever was under way. It is passed on with what follows it.
            self.state = State::Escape;
            return;
        }
        if matches!(byte, CAN | SUB) && self.state != State::Ground {
            if self.state != State::Text {
                out.push(byte);
            }
            self.state = State::Ground;
            return;
        }
        match self.state {
            State::Ground => self.print(byte, out),
            State::Escape => self.escape(byte, out),
            State::Charset(set) => {
                self.drawing[set] = byte == b'0';
                self.state = State::Ground;
            }
            State::Intermediate | State::Control => {
                out.push(byte);
                let ends = match self.state {
                    State::Control => (0x40..=0x7E).contains(&byte),
                    _ => (0x30..=0x7E).contains(&byte),
                };
                if ends {
                    self.state = State::Ground;
                }
            }
            State::Text if byte == BEL => self.state = State::Ground,
            State::Text => {}
        }
    }

    fn print(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            SHIFT_OUT => self.shifted = true,
            SHIFT_IN => self.shifted = false,
            0x60..=0x7E if self.drawing[usize::from(self.shifted)] => {
                let drawn = DRAWING[usize::from(byte - 0x60)];
                out.extend_from_slice(drawn.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => out.push(byte),
        }
    }

    fn escape(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.state = match byte {
            b']' | b'P' | b'_' | b'^' | b'X' => State::Text,
            b'(' => State::Charset(0),
            b')' => State::Charset(1),
            // The end of a string that was dropped.
            b'\\' => State::Ground,
            _ => {
                if byte == b'c' {
                    (self.drawing, self.shifted) = ([false; 2], false);
                }
                out.extend_from_slice(&[ESC, byte]);
                match byte {
                    b'[' => State::Control,
                    0x20..=0x2F => State::Intermediate,
                    // A control character is obeyed within a sequence.
                    0x00..=0x1F => {
                        out.truncate(out.len() - 2);
                        out.push(byte);
                        State::Escape
                    }
                    _ => State::Ground,
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole, and cut at each byte.
    fn filtered(bytes: &[u8]) -> String {
        let (mut whole, mut cut) = (Vec::new(), Vec::new());
        Filter::default().run(bytes, &mut whole);
        let mut filter = Filter::default();
        bytes.iter().for_each(|byte| filter.run(&[*byte], &mut cut));
        assert_eq!(whole, cut);
        String::from_utf8_lossy(&whole).into_owned()
    }

    #[test]
    fn strings_leave_no_trace_however_they_end() {
        assert_eq!(filtered(b"a\x1b]0;title\x07b"), "ab");
        assert_eq!(filtered(b"a\x1bP$q\"p\x1b\\b"), "ab");
        assert_eq!(filtered(b"a\x1b]52;c;aGVsbG8=\x18b"), "ab");
        assert_eq!(filtered(b"a\x1b_x\x1b[1mb"), "a\x1b[1mb");
        let endless = [b"\x1b]".as_slice(), &[b'x'; 100_000]].concat();
        assert_eq!(filtered(&endless), "");
    }

    #[test]
    fn line_drawing_becomes_unicode_by_designation_and_by_shift() {
        assert_eq!(filtered(b"\x1b(0lqk\x1b(Blqk"), "┌─┐lqk");
        assert_eq!(filtered(b"\x1b)0lq\x0elq\x0flq"), "lq┌─lq");
        assert_eq!(filtered(b"\x1b(0q\x1bcq"), "─\x1bcq");
    }

    #[test]
    fn other_sequences_and_text_pass() {
        for text in [
            "\x1b[1;31mred\x1b[0m\r\n",
            "\x1b7\x1b8\x1bM",
            "\x1b#8",
            "grüße ─ 界",
            "\x1b[?1049h",
        ] {
            assert_eq!(filtered(text.as_bytes()), text);
        }
        assert_eq!(
            filtered(b"\x1b\r[A"),
            "\r\x1b[A",
            "a control character within a sequence is obeyed first"
        );
        assert_eq!(filtered(b"\x1b[12\x18m"), "\x1b[12\x18m");
    }
}
