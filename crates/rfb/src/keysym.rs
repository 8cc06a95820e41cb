//! X11's names of keys (keysyms, RFB 7.5.4): what a key means, from viewers that do not say which key it is. A name is
//! either a key that every PC keyboard has at one place, or a character, whose place is the layout's business.

use rdpmux_model::Scancode;

/// The key of a name that is no character; `None`: it is one, or no PC keyboard has it.
pub fn key(keysym: u32) -> Option<Scancode> {
    let (code, is_extended) = match keysym {
        0xFF13 | 0xFF6B => return Some(Scancode::PAUSE),
        // Keypad digits, their other names, and the letters between.
        0xFFB0..=0xFFB9 => (KEYPAD[(keysym - 0xFFB0) as usize], false),
        0xFF95..=0xFF9F => (KEYPAD_MOTION[(keysym - 0xFF95) as usize], false),
        0xFFBE..=0xFFC7 => ((keysym - 0xFFBE) as u8 + 0x3B, false),
        _ => {
            let at = KEYS.binary_search_by_key(&keysym, |(name, ..)| *name).ok()?;
            let (_, code, is_extended) = KEYS[at];
            (code, is_extended)
        }
    };
    Scancode::new(code, is_extended)
}

/// The character of a name, if it is one: Latin 1, Unicode, and the older names of Latin 2, Cyrillic and Greek.
pub fn character(keysym: u32) -> Option<char> {
    match keysym {
        0x20..=0x7E | 0xA0..=0xFF => char::from_u32(keysym),
        0x0100_0000..=0x0110_FFFF => char::from_u32(keysym - 0x0100_0000).filter(|c| !c.is_control()),
        0x20AC => Some('€'),
        0x01A0..=0x01FF => LATIN_2.chars().nth((keysym - 0x01A0) as usize),
        0x06C0..=0x06FF => KOI8.chars().nth((keysym - 0x06C0) as usize),
        0x06A3 => Some('ё'),
        0x06B3 => Some('Ё'),
        0x07C1..=0x07D9 => GREEK.chars().nth((keysym - 0x07C1) as usize),
        0x07F3 => Some('ς'),
        0x07E1..=0x07F9 => GREEK.chars().nth((keysym - 0x07E1) as usize)?.to_lowercase().next(),
        _ => None,
    }
}

const KEYPAD: [u8; 10] = [0x52, 0x4F, 0x50, 0x51, 0x4B, 0x4C, 0x4D, 0x47, 0x48, 0x49];
/// Home, left, up, right, down, page up, page down, end, begin, insert, delete.
const KEYPAD_MOTION: [u8; 11] = [0x47, 0x4B, 0x48, 0x4D, 0x50, 0x49, 0x51, 0x4F, 0x4C, 0x52, 0x53];
/// Name, XT code, after E0; sorted.
const KEYS: &[(u32, u8, bool)] = &[
    (0xFE03, 0x38, true),
    (0xFE20, 0x0F, false),
    (0xFF08, 0x0E, false),
    (0xFF09, 0x0F, false),
    (0xFF0A, 0x1C, false),
    (0xFF0D, 0x1C, false),
    (0xFF14, 0x46, false),
    (0xFF15, 0x54, false),
    (0xFF1B, 0x01, false),
    (0xFF50, 0x47, true),
    (0xFF51, 0x4B, true),
    (0xFF52, 0x48, true),
    (0xFF53, 0x4D, true),
    (0xFF54, 0x50, true),
    (0xFF55, 0x49, true),
    (0xFF56, 0x51, true),
    (0xFF57, 0x4F, true),
    (0xFF61, 0x37, true),
    (0xFF63, 0x52, true),
    (0xFF67, 0x5D, true),
    (0xFF7E, 0x38, true),
    (0xFF7F, 0x45, false),
    (0xFF8D, 0x1C, true),
    (0xFFAA, 0x37, false),
    (0xFFAB, 0x4E, false),
    (0xFFAC, 0x53, false),
    (0xFFAD, 0x4A, false),
    (0xFFAE, 0x53, false),
    (0xFFAF, 0x35, true),
    (0xFFC8, 0x57, false),
    (0xFFC9, 0x58, false),
    (0xFFE1, 0x2A, false),
    (0xFFE2, 0x36, false),
    (0xFFE3, 0x1D, false),
    (0xFFE4, 0x1D, true),
    (0xFFE5, 0x3A, false),
    (0xFFE7, 0x5B, true),
    (0xFFE8, 0x5C, true),
    (0xFFE9, 0x38, false),
    (0xFFEA, 0x38, true),
    (0xFFEB, 0x5B, true),
    (0xFFEC, 0x5C, true),
    (0xFFFF, 0x53, true),
];

const LATIN_2: &str =
    "\u{A0}Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u{AD}ŽŻ°ą˛ł´ľśˇ¸šşťź˝žżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙";
const KOI8: &str = "юабцдефгхийклмнопярстужвьызшэщчъЮАБЦДЕФГХИЙКЛМНОПЯРСТУЖВЬЫЗШЭЩЧЪ";
const GREEK: &str = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΣΤΥΦΧΨΩ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_places_and_characters_are_characters() {
        assert!(KEYS.is_sorted_by_key(|(name, ..)| *name));
        assert_eq!(LATIN_2.chars().count(), 96);
        assert_eq!(KOI8.chars().count(), 64);
        assert_eq!(GREEK.chars().count(), 25);
        for (keysym, code, is_extended) in [
            (0xFF0D, 0x1C, false),
            (0xFFC9, 0x58, false),
            (0xFFBE, 0x3B, false),
            (0xFFC7, 0x44, false),
            (0xFF9F, 0x53, false),
            (0xFFB5, 0x4C, false),
            (0xFFFF, 0x53, true),
        ] {
            assert_eq!(key(keysym), Scancode::new(code, is_extended), "{keysym:#x}");
            assert_eq!(character(keysym), None, "{keysym:#x}");
        }
        assert_eq!(key(0xFF13), Some(Scancode::PAUSE));
        for (keysym, c) in [
            (0x61, 'a'),
            (0xE4, 'ä'),
            (0x20AC, '€'),
            (0x0100_20AC, '€'),
            (0x01EA, 'ę'),
            (0x06CA, 'й'),
            (0x06FA, 'З'),
            (0x07E1, 'α'),
            (0x07F9, 'ω'),
        ] {
            assert_eq!(character(keysym), Some(c), "{keysym:#x}");
            assert_eq!(key(keysym), None, "{keysym:#x}");
        }
        for nothing in [0, 0x7F, 0x0100_0009, 0x0100_D800, 0x0111_0000, u32::MAX] {
            assert_eq!((key(nothing), character(nothing)), (None, None), "{nothing:#x}");
        }
    }
}
