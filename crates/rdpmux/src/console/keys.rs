//! Escapes of a console, as ssh has them: `~` at the beginning of a line and one more key.

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Typed {
    /// For the guest.
    Bytes(Vec<u8>),
    /// `~.`: leave.
    Leave,
    /// `~B`: a break.
    Break,
    /// `~W`: take the right to write.
    TakeOver,
    /// `~?`: say what there is.
    Help,
}

/// Finds escapes across reads.
#[derive(Debug)]
pub(crate) struct Keys {
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Beginning,
    Within,
    Tilde,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            place: Place::Beginning,
        }
    }
}

impl Keys {
    /// What these bytes mean, in order.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Typed> {
        let mut typed = Vec::new();
        let mut plain = Vec::new();
        for byte in bytes {
            let escape = match (self.place, *byte) {
                (Place::Beginning, b'~') => {
                    self.place = Place::Tilde;
                    continue;
                }
                (Place::Tilde, b'.') => Some(Typed::Leave),
                (Place::Tilde, b'B') => Some(Typed::Break),
                (Place::Tilde, b'W') => Some(Typed::TakeOver),
                (Place::Tilde, b'?') => Some(Typed::Help),
                (Place::Tilde, b'~') => {
                    plain.push(b'~');
                    self.place = Place::Within;
                    continue;
                }
                (Place::Tilde, _) => {
                    plain.push(b'~');
                    None
                }
                _ => None,
            };
            match escape {
                Some(escape) => {
                    if !plain.is_empty() {
                        typed.push(Typed::Bytes(std::mem::take(&mut plain)));
                    }
                    typed.push(escape);
                    self.place = Place::Beginning;
                }
                None => {
                    plain.push(*byte);
                    let is_end = matches!(byte, b'\r' | b'\n');
                    self.place = if is_end { Place::Beginning } else { Place::Within };
                }
            }
        }
        if !plain.is_empty() {
            typed.push(Typed::Bytes(plain));
        }
        typed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Typed {
        Typed::Bytes(text.as_bytes().to_vec())
    }

    #[test]
    fn escapes_count_at_the_beginning_of_a_line_only() {
        for (text, wanted) in [
            ("~.", vec![Typed::Leave]),
            ("ls\r~B", vec![bytes("ls\r"), Typed::Break]),
            ("ls ~.", vec![bytes("ls ~.")]),
            ("~~.\r~?x", vec![bytes("~.\r"), Typed::Help, bytes("x")]),
            ("~/bin\r", vec![bytes("~/bin\r")]),
            ("~W~.", vec![Typed::TakeOver, Typed::Leave]),
        ] {
            assert_eq!(Keys::default().take(text.as_bytes()), wanted, "{text:?}");
            let mut keys = Keys::default();
            let single: Vec<_> = text.bytes().flat_map(|byte| keys.take(&[byte])).collect();
            let joined = |typed: &[Typed]| {
                let mut text = String::new();
                for one in typed {
                    match one {
                        Typed::Bytes(bytes) => text += &String::from_utf8_lossy(bytes),
                        other => text += &format!("<{other:?}>"),
                    }
                }
                text
            };
            assert_eq!(joined(&single), joined(&wanted), "{text:?} byte by byte");
        }
    }
}
