//! What a guest prints, for a terminal of ours: text, colours and the cursor pass; what would make the terminal answer,
//! change its title, its size or the clipboard does not. A terminal's answer would be typed into the guest, or into the
//! shell that comes after.

/// Longest control sequence that passes, in bytes.
const LONGEST: usize = 64;

/// Who may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queries {
    /// The terminal answers: it is the writer's, and the output is live.
    Pass,
    /// Nobody.
    Drop,
}

#[derive(Debug, Default)]
pub(crate) struct Filter {
    state: State,
    /// A sequence that began.
    held: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    /// After `ESC [`.
    Csi,
    /// One that is too long.
    LongCsi,
    /// A string (OSC, DCS, SOS, PM, APC) is swallowed to its end.
    String,
    StringEscape,
}

impl Filter {
    /// Appends what may be printed to `out`.
    pub(crate) fn take(&mut self, bytes: &[u8], queries: Queries, out: &mut Vec<u8>) {
        for byte in bytes {
            self.state = self.next(*byte, queries, out);
        }
    }

    fn next(&mut self, byte: u8, queries: Queries, out: &mut Vec<u8>) -> State {
        match (self.state, byte) {
            // CAN and SUB end everything.
            (State::String | State::StringEscape | State::Csi | State::LongCsi, 0x18 | 0x1a) => State::Text,
            (State::String, 0x07) => State::Text,
            (State::String, 0x1b) => State::StringEscape,
            (State::StringEscape, b'\\') => State::Text,
            (State::String | State::StringEscape, _) => State::String,
            (_, 0x1b) => {
                self.held = vec![byte];
                State::Escape
            }
            (State::Text, 0x05) => State::Text,
            (State::Text, _) => {
                out.push(byte);
                State::Text
            }
            (State::Escape, b'[') => {
                self.held.push(byte);
                State::Csi
            }
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::String,
            // DECID asks who the terminal is.
            (State::Escape, b'Z') if queries == Queries::Drop => State::Text,
            (State::Escape, 0x20..=0x2f) if self.held.len() < LONGEST => {
                self.held.push(byte);
                State::Escape
            }
            (State::Escape, _) => {
                out.append(&mut self.held);
                out.push(byte);
                State::Text
            }
            (State::Csi, 0x20..=0x3f) if self.held.len() < LONGEST => {
                self.held.push(byte);
                State::Csi
            }
            (State::Csi | State::LongCsi, 0x20..=0x3f) => State::LongCsi,
            (State::Csi, 0x40..=0x7e) => {
                if may_print(byte, &self.held, queries) {
                    out.append(&mut self.held);
                    out.push(byte);
                }
                State::Text
            }
            (State::LongCsi, 0x40..=0x7e) => State::Text,
            // A control character within a sequence does what it does.
            (state @ (State::Csi | State::LongCsi), byte) => {
                if byte != 0x05 {
                    out.push(byte);
                }
                state
            }
        }
    }
}

/// Whether a control sequence that ends with `last` only prints.
fn may_print(last: u8, held: &[u8], queries: Queries) -> bool {
    match last {
        // Window operations, which also report titles.
        b't' => false,
        // Reports of status, attributes, modes, parameters and checksums.
        b'n' | b'c' | b'x' => queries == Queries::Pass && held.len() <= 5,
        b'p' | b'y' | b'q' | b'w' | b'u' if held.contains(&b'$') || held.contains(&b'*') || held.contains(&b'>') => {
            false
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(text: &str, queries: Queries) -> String {
        let mut whole = Vec::new();
        Filter::default().take(text.as_bytes(), queries, &mut whole);
        let (mut filter, mut single) = (Filter::default(), Vec::new());
        for byte in text.bytes() {
            filter.take(&[byte], queries, &mut single);
            assert!(filter.held.len() <= LONGEST);
        }
        assert_eq!(whole, single, "{text:?} byte by byte");
        String::from_utf8(whole).expect("was utf-8")
    }

    #[test]
    fn what_prints_passes() {
        for text in [
            "login: grüße\r\n\t\x08",
            "\x1b[1;31mred\x1b[0m",
            "\x1b[2J\x1b[H\x1b[?25l\x1b(0qx\x1b(B",
            "\x1b7\x1b8\x1bM",
        ] {
            assert_eq!(printed(text, Queries::Drop), text);
        }
    }

    #[test]
    fn what_would_do_more_does_not() {
        for text in [
            "\x1b]0;title\x07",
            "\x1b]52;c;cm0gLXJmIC8=\x1b\\",
            "\x1bP$qm\x1b\\",
            "\x1b_app\x1b\\",
            "\x1b[21t",
            "\x1b[?1$p",
            "\x1b[>q",
            "\x05",
        ] {
            assert_eq!(printed(&format!("a{text}b"), Queries::Pass), "ab", "{text:?}");
        }
        let flood = format!("a\x1b[{}mb", "1;".repeat(1000));
        assert_eq!(printed(&flood, Queries::Pass), "ab");
        assert_eq!(printed(&"\x1b]0;x".repeat(1000), Queries::Pass), "");
    }

    #[test]
    fn only_the_writers_terminal_answers() {
        for text in ["\x1b[6n", "\x1b[c", "\x1bZ"] {
            assert_eq!(printed(text, Queries::Pass), text);
            assert_eq!(printed(text, Queries::Drop), "", "{text:?}");
        }
    }
}
