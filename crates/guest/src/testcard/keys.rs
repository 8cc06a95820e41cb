//! Names and characters of the keys of a US keyboard by scan code (PC/AT set 1).

use rdpmux_model::Scancode;

/// Unshifted and shifted characters of codes 0x02 to 0x39 without prefix; a blank pair where the key types nothing.
const PLAIN: &[(u8, &[u8], &[u8])] = &[
    (0x02, b"1234567890-=", b"!@#$%^&*()_+"),
    (0x10, b"qwertyuiop[]", b"QWERTYUIOP{}"),
    (0x1E, b"asdfghjkl;'`", b"ASDFGHJKL:\"~"),
    (0x2B, b"\\zxcvbnm,./", b"|ZXCVBNM<>?"),
    (0x39, b" ", b" "),
];

/// The keypad with Num Lock on, codes 0x47 to 0x53.
const KEYPAD: &[u8] = b"789-456+1230.";

/// The character that a key types, if any.
pub(super) fn character(key: Scancode, shift: bool, caps: bool, num: bool) -> Option<char> {
    let code = key.code();
    if key.is_extended() {
        return (code == 0x35).then_some('/');
    }
    if code == 0x37 {
        return Some('*');
    }
    if let Some(&symbol) = code.checked_sub(0x47).and_then(|i| KEYPAD.get(usize::from(i))) {
        return (num || matches!(symbol, b'-' | b'+')).then_some(char::from(symbol));
    }
    let (plain, shifted) = PLAIN.iter().find_map(|(first, plain, shifted)| {
        let index = usize::from(code.checked_sub(*first)?);
        Some((*plain.get(index)?, *shifted.get(index)?))
    })?;
    let upper = shift != (caps && plain.is_ascii_lowercase());
    Some(char::from(if upper { shifted } else { plain }))
}

/// The key's name as it is printed on a US keyboard.
pub(super) fn name(key: Scancode) -> String {
    if let Some(name) = named(key) {
        return name.to_owned();
    }
    match character(key, false, false, true) {
        Some(c) if !key.is_extended() && (0x47..=0x53).contains(&key.code()) => format!("KP {c}"),
        Some(c) => c.to_ascii_uppercase().to_string(),
        None => format!("0x{:02X}", key.qnum()),
    }
}

fn named(key: Scancode) -> Option<&'static str> {
    let name = match (key.is_extended(), key.code()) {
        (false, 0x01) => "Esc",
        (false, 0x0E) => "Backspace",
        (false, 0x0F) => "Tab",
        (false, 0x1C) => "Enter",
        (false, 0x1D) => "Left Ctrl",
        (false, 0x2A) => "Left Shift",
        (false, 0x36) => "Right Shift",
        (false, 0x37) => "KP *",
        (false, 0x38) => "Left Alt",
        (false, 0x39) => "Space",
        (false, 0x3A) => "Caps Lock",
        (false, code @ 0x3B..=0x44) => FUNCTION[usize::from(code - 0x3B)],
        (false, 0x45) => "Num Lock",
        (false, 0x46) => "Scroll Lock",
        (false, 0x56) => "< >",
        (false, 0x57) => "F11",
        (false, 0x58) => "F12",
        (true, 0x1C) => "KP Enter",
        (true, 0x1D) => "Right Ctrl",
        (true, 0x35) => "KP /",
        (true, 0x37) => "Print",
        (true, 0x38) => "Right Alt",
        (true, 0x46) => "Pause",
        (true, 0x47) => "Home",
        (true, 0x48) => "Up",
        (true, 0x49) => "Page Up",
        (true, 0x4B) => "Left",
        (true, 0x4D) => "Right",
        (true, 0x4F) => "End",
        (true, 0x50) => "Down",
        (true, 0x51) => "Page Down",
        (true, 0x52) => "Insert",
        (true, 0x53) => "Delete",
        (true, 0x5B) => "Left Meta",
        (true, 0x5C) => "Right Meta",
        (true, 0x5D) => "Menu",
        _ => return None,
    };
    Some(name)
}

const FUNCTION: [&str; 10] = ["F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10"];
