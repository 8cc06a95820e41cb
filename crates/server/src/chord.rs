//! Key chords by name, such as `ctrl-alt-del`: the one place that knows these words. The names mean keys of a US
//! keyboard by their place; what they type is the guest's layout's business.

use std::fmt;
use std::str::FromStr;

use rdpmux_model::Scancode;

/// Keys that go down one after the other and up in reverse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chord(Vec<Scancode>);

/// A text that is no chord.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoChord {
    /// There is no key of that name.
    Unknown(String),
    /// No key at all, or more than [`Chord::MOST`].
    Count,
    /// The same key twice.
    Twice(String),
}

impl Chord {
    /// Keys at most.
    pub const MOST: usize = 8;

    /// The keys in the order in which they go down.
    pub fn keys(&self) -> &[Scancode] {
        &self.0
    }
}

impl FromStr for Chord {
    type Err = NoChord;

    /// Takes names joined by `-` or `+`, in any case: `ctrl-alt-del`, `Alt+F4`, `win-r`, `a`.
    fn from_str(text: &str) -> Result<Self, NoChord> {
        let mut keys = Vec::new();
        for name in text.split(['-', '+']) {
            let key = key(&name.to_ascii_lowercase()).ok_or_else(|| NoChord::Unknown(shown(name)))?;
            if keys.contains(&key) {
                return Err(NoChord::Twice(shown(name)));
            }
            if keys.len() == Self::MOST {
                return Err(NoChord::Count);
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }
}

impl fmt::Display for NoChord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(
                f,
                "there is no key `{name}`; keys are a to z, 0 to 9, f1 to f12, ctrl, alt, shift, win, altgr, enter, esc, \
                 tab, space, del, backspace, up, down, left, right, home, end, pgup, pgdn, ins, print, pause, minus, \
                 equal, comma, dot, slash and more"
            ),
            Self::Count => write!(f, "a chord has 1 to {} keys", Chord::MOST),
            Self::Twice(name) => write!(f, "`{name}` is in it twice"),
        }
    }
}
impl std::error::Error for NoChord {}

/// Short and printable.
fn shown(name: &str) -> String {
    let shown = name.chars().take(24);
    shown.map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn key(name: &str) -> Option<Scancode> {
    if let &[character] = name.as_bytes() {
        return character_key(character);
    }
    let (code, extended) = match name {
        "pause" | "break" => return Some(Scancode::PAUSE),
        "ctrl" | "control" | "lctrl" => (0x1D, false),
        "rctrl" => (0x1D, true),
        "alt" | "lalt" => (0x38, false),
        "altgr" | "ralt" => (0x38, true),
        "shift" | "lshift" => (0x2A, false),
        "rshift" => (0x36, false),
        "win" | "super" | "meta" | "lwin" => (0x5B, true),
        "rwin" => (0x5C, true),
        "menu" | "apps" => (0x5D, true),
        "esc" | "escape" => (0x01, false),
        "tab" => (0x0F, false),
        "enter" | "return" => (0x1C, false),
        "space" => (0x39, false),
        "backspace" => (0x0E, false),
        "del" | "delete" => (0x53, true),
        "ins" | "insert" => (0x52, true),
        "home" => (0x47, true),
        "end" => (0x4F, true),
        "pgup" | "pageup" => (0x49, true),
        "pgdn" | "pagedown" => (0x51, true),
        "up" => (0x48, true),
        "down" => (0x50, true),
        "left" => (0x4B, true),
        "right" => (0x4D, true),
        "print" | "prtsc" | "sysrq" => (0x37, true),
        "capslock" => (0x3A, false),
        "numlock" => (0x45, false),
        "scrolllock" => (0x46, false),
        "minus" => (0x0C, false),
        "equal" => (0x0D, false),
        "lbracket" => (0x1A, false),
        "rbracket" => (0x1B, false),
        "semicolon" => (0x27, false),
        "quote" | "apostrophe" => (0x28, false),
        "grave" | "backquote" => (0x29, false),
        "backslash" => (0x2B, false),
        "comma" => (0x33, false),
        "dot" | "period" => (0x34, false),
        "slash" => (0x35, false),
        // The key beside the left shift of keyboards that have one there.
        "less" => (0x56, false),
        "kpenter" => (0x1C, true),
        "kpslash" => (0x35, true),
        "kpstar" => (0x37, false),
        "kpminus" => (0x4A, false),
        "kpplus" => (0x4E, false),
        "kpdot" => (0x53, false),
        _ => return further_key(name),
    };
    Scancode::new(code, extended)
}

/// `f1` to `f12`, `kp0` to `kp9`.
fn further_key(name: &str) -> Option<Scancode> {
    const KEYPAD: [u8; 10] = [0x52, 0x4F, 0x50, 0x51, 0x4B, 0x4C, 0x4D, 0x47, 0x48, 0x49];
    let number = |prefix| name.strip_prefix(prefix)?.parse::<u8>().ok();
    let code = match (number("f"), number("kp")) {
        (Some(f @ 1..=10), _) => 0x3A + f,
        (Some(f @ 11..=12), _) => 0x57 + (f - 11),
        (_, Some(digit)) => *KEYPAD.get(usize::from(digit))?,
        _ => return None,
    };
    Scancode::new(code, false)
}

fn character_key(character: u8) -> Option<Scancode> {
    const ROWS: [(u8, &[u8]); 4] = [
        (0x02, b"1234567890"),
        (0x10, b"qwertyuiop"),
        (0x1E, b"asdfghjkl"),
        (0x2C, b"zxcvbnm"),
    ];
    ROWS.iter().find_map(|(first, keys)| {
        let index = keys.iter().position(|key| *key == character)?;
        Scancode::new(first + u8::try_from(index).ok()?, false)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn qnums(text: &str) -> Vec<u8> {
        let chord: Chord = text.parse().expect(text);
        chord.keys().iter().map(|key| key.qnum()).collect()
    }

    #[test]
    fn chords_are_read_by_name() {
        assert_eq!(qnums("ctrl-alt-del"), [0x1D, 0x38, 0xD3]);
        assert_eq!(qnums("Ctrl+Alt+F2"), [0x1D, 0x38, 0x3C]);
        assert_eq!(qnums("f10-f11-f12"), [0x44, 0x57, 0x58]);
        assert_eq!(qnums("p-0-m-l"), [0x19, 0x0B, 0x32, 0x26]);
        assert_eq!(qnums("kp0-kp7-kpenter-pause"), [0x52, 0x47, 0x9C, 0xC6]);
    }

    #[test]
    fn what_is_no_chord_is_said_by_name() {
        let error = |text: &str| text.parse::<Chord>().expect_err(text).to_string();
        for text in ["", "ctrl-", "-", "hyper-a", "f13", "f0", "kp10", "ä", "f1\n"] {
            assert!(error(text).starts_with("there is no key"), "{text:?}");
        }
        assert_eq!(error("ctrl-a-ctrl"), "`ctrl` is in it twice");
        assert_eq!(error("a-b-c-d-e-f-g-h-i"), "a chord has 1 to 8 keys");
        assert!(error(&"x".repeat(1_000_000)).len() < 400);
    }
}
