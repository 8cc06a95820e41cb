//! One line under a cursor that stays at its end, and the lines before it: erase (Backspace, Ctrl+U), give up (Ctrl+C),
//! bring back (arrow up and down). No IO.

use std::collections::VecDeque;

/// Stands before each line.
pub(super) const PROMPT: &str = "(qemu) ";
/// Bytes of a line.
const LINE: usize = 1024;
/// Lines that can be brought back.
const KEPT: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Editor {
    line: Vec<u8>,
    /// The newest first.
    kept: VecDeque<Vec<u8>>,
    /// Which of them is shown; 0: none.
    shown: usize,
    sequence: Sequence,
    after_return: bool,
}

/// Where in a key's escape sequence we are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Sequence {
    #[default]
    None,
    Escape,
    Open,
}

impl Editor {
    /// Takes a byte; what a terminal is to show is appended to `echo`. `Some`: a line is complete.
    pub(super) fn type_byte(&mut self, byte: u8, echo: &mut Vec<u8>) -> Option<String> {
        let after_return = std::mem::take(&mut self.after_return);
        match (self.sequence, byte) {
            (Sequence::Escape, b'[' | b'O') => self.sequence = Sequence::Open,
            (Sequence::Open, 0x20..=0x3F) => {}
            (Sequence::Open, key) => {
                self.sequence = Sequence::None;
                self.key(key, echo);
            }
            (_, 0x1B) => self.sequence = Sequence::Escape,
            (Sequence::Escape, _) => self.sequence = Sequence::None,
            // As one key by some programs.
            (_, b'\n') if after_return => {}
            (_, b'\r' | b'\n') => {
                self.after_return = byte == b'\r';
                return Some(self.enter(echo));
            }
            (_, 0x08 | 0x7F) => self.erase(echo),
            (_, 0x15) => self.erase_all(echo),
            (_, 0x03) => {
                self.line.clear();
                self.shown = 0;
                echo.extend_from_slice(b"^C\r\n");
                echo.extend_from_slice(PROMPT.as_bytes());
            }
            (_, 0x20..) => {
                if self.line.len() < LINE {
                    self.line.push(byte);
                    echo.push(byte);
                } else {
                    echo.push(0x07);
                }
            }
            _ => {}
        }
        None
    }

    fn enter(&mut self, echo: &mut Vec<u8>) -> String {
        echo.extend_from_slice(b"\r\n");
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line).into_owned();
        self.shown = 0;
        if !line.is_empty() && self.kept.front() != Some(&line) {
            self.kept.truncate(KEPT - 1);
            self.kept.push_front(line);
        }
        text
    }

    /// The last character, whatever it takes in bytes.
    fn erase(&mut self, echo: &mut Vec<u8>) {
        while let Some(byte) = self.line.pop() {
            if byte & 0xC0 != 0x80 {
                echo.extend_from_slice(b"\x08 \x08");
                return;
            }
        }
    }

    fn erase_all(&mut self, echo: &mut Vec<u8>) {
        while !self.line.is_empty() {
            self.erase(echo);
        }
    }

    fn key(&mut self, key: u8, echo: &mut Vec<u8>) {
        let shown = match key {
            b'A' if self.shown < self.kept.len() => self.shown + 1,
            b'B' if self.shown > 0 => self.shown - 1,
            _ => return,
        };
        self.erase_all(echo);
        self.shown = shown;
        if let Some(line) = shown.checked_sub(1).and_then(|index| self.kept.get(index)) {
            self.line.clone_from(line);
            echo.extend_from_slice(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that come of it, and what a terminal is told.
    fn typed(editor: &mut Editor, text: &str) -> (Vec<String>, String) {
        let (mut lines, mut echo) = (Vec::new(), Vec::new());
        lines.extend(text.bytes().filter_map(|byte| editor.type_byte(byte, &mut echo)));
        (lines, String::from_utf8_lossy(&echo).into_owned())
    }

    #[test]
    fn a_line_is_edited_and_entered() {
        for (text, line) in [
            ("info status\r", "info status"),
            ("infx\x7fo\r\n", "info"),
            ("wrong\x15right\n", "right"),
            ("é\x7fü\r", "ü"),
            ("\x7f\x7fa\x1b[1;5Cb\x1bOP\x1bxc\t\r", "abc"),
        ] {
            let (lines, _) = typed(&mut Editor::default(), text);
            assert_eq!(lines, [line], "{text:?}");
        }
        let (lines, echo) = typed(&mut Editor::default(), "ab\x08\x03c");
        assert_eq!((lines.len(), echo.as_str()), (0, "ab\x08 \x08^C\r\n(qemu) c"));
    }

    #[test]
    fn earlier_lines_come_back() {
        let mut editor = Editor::default();
        typed(&mut editor, "one\rtwo\rtwo\r\r");
        for (keys, line) in [
            ("\x1b[A", "two"),
            ("\x1b[A\x1b[A", "one"),
            ("\x1bOA\x1bOA\x1bOA\x1bOA\x1b[B!", "two!"),
            ("x\x1b[A\x1b[B", ""),
        ] {
            let mut copy = Editor {
                kept: editor.kept.clone(),
                ..Editor::default()
            };
            assert_eq!(typed(&mut copy, &format!("{keys}\r")).0, [line], "{keys:?}");
        }
    }

    #[test]
    fn a_line_and_what_is_kept_have_an_end() {
        let mut editor = Editor::default();
        let (lines, echo) = typed(&mut editor, &format!("{}\r", "x".repeat(5000)));
        assert_eq!(lines[0].len(), LINE);
        assert!(echo.contains('\x07'));
        for number in 0..1000 {
            typed(&mut editor, &format!("{number}\r"));
        }
        assert_eq!(editor.kept.len(), KEPT);
        let noise: Vec<u8> = (0..20_000u32)
            .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let mut echo = Vec::new();
        for byte in noise {
            editor.type_byte(byte, &mut echo);
        }
        assert!(editor.line.len() <= LINE);
    }
}
