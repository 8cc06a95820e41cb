//! Plain text in the encodings of the clipboard: UTF-16, the ANSI and the OEM code page of Windows, UTF-8 of guests. Text
//! inside of the daemon is UTF-8 with `\n`; on the wire it has `\r\n` and ends with a NUL.
//!
//! A client does not say which code pages it has: 1252 and 437 are taken, and what is valid UTF-8 counts as that, since
//! clients that are not Windows send it so.

use rdpmux_model::ClipboardFormat;

/// Reads text of a plain format. `None`: the format is no plain text.
pub(super) fn decode(format: u32, data: &[u8]) -> Option<String> {
    let text = match format {
        ClipboardFormat::UNICODE_TEXT => {
            let units = data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
            String::from_utf16_lossy(&units)
        }
        ClipboardFormat::TEXT => bytes(data, |byte| match byte {
            0x80..0xA0 => WINDOWS_1252[usize::from(byte - 0x80)],
            _ => char::from(byte),
        }),
        ClipboardFormat::OEM_TEXT => bytes(data, |byte| match byte {
            0x80.. => OEM_437[usize::from(byte - 0x80)],
            _ => char::from(byte),
        }),
        _ => return None,
    };
    Some(unix_lines(&text))
}

/// Writes text in a plain format. What the code page lacks becomes `?`. `None`: the format is no plain text.
pub(super) fn encode(format: u32, text: &str) -> Option<Vec<u8>> {
    let text = windows_lines(text);
    let mut out: Vec<u8> = match format {
        ClipboardFormat::UNICODE_TEXT => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ClipboardFormat::TEXT => text.chars().map(ansi).collect(),
        ClipboardFormat::OEM_TEXT => text.chars().map(oem).collect(),
        _ => return None,
    };
    out.push(0);
    if format == ClipboardFormat::UNICODE_TEXT {
        out.push(0);
    }
    Some(out)
}

fn bytes(data: &[u8], code_page: impl Fn(u8) -> char) -> String {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let data = &data[..end];
    match std::str::from_utf8(data) {
        Ok(text) => text.to_owned(),
        Err(_) => data.iter().map(|byte| code_page(*byte)).collect(),
    }
}

/// `\r\n` and lone `\r` become `\n`; everything after a NUL goes.
pub(super) fn unix_lines(text: &str) -> String {
    let text = text.split('\0').next().unwrap_or_default();
    text.replace("\r\n", "\n").replace('\r', "\n")
}

fn windows_lines(text: &str) -> String {
    unix_lines(text).replace('\n', "\r\n")
}

fn ansi(c: char) -> u8 {
    match u32::from(c) {
        code @ (0..0x80 | 0xA0..0x100) => code as u8,
        _ => place(&WINDOWS_1252, c),
    }
}

fn oem(c: char) -> u8 {
    match u32::from(c) {
        code @ 0..0x80 => code as u8,
        _ => place(&OEM_437, c),
    }
}

fn place(page: &[char], c: char) -> u8 {
    page.iter()
        .position(|known| *known == c)
        .map_or(b'?', |at| 0x80 + at as u8)
}

/// 0x80 to 0x9F of Windows-1252; the five without a character are control codes.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// 0x80 to 0xFF of code page 437.
const OEM_437: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', 'É', 'æ', 'Æ', 'ô', 'ö', 'ò', 'û',
    'ù', 'ÿ', 'Ö', 'Ü', '¢', '£', '¥', '₧', 'ƒ', 'á', 'í', 'ó', 'ú', 'ñ', 'Ñ', 'ª', 'º', '¿', '⌐', '¬', '½', '¼', '¡',
    '«', '»', '░', '▒', '▓', '│', '┤', '╡', '╢', '╖', '╕', '╣', '║', '╗', '╝', '╜', '╛', '┐', '└', '┴', '┬', '├', '─',
    '┼', '╞', '╟', '╚', '╔', '╩', '╦', '╠', '═', '╬', '╧', '╨', '╤', '╥', '╙', '╘', '╒', '╓', '╫', '╪', '┘', '┌', '█',
    '▄', '▌', '▐', '▀', 'α', 'ß', 'Γ', 'π', 'Σ', 'σ', 'µ', 'τ', 'Φ', 'Θ', 'Ω', 'δ', '∞', 'φ', 'ε', '∩', '≡', '±', '≥',
    '≤', '⌠', '⌡', '÷', '≈', '°', '∙', '·', '√', 'ⁿ', '²', '■', '\u{a0}',
];

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [u32; 3] = [
        ClipboardFormat::UNICODE_TEXT,
        ClipboardFormat::TEXT,
        ClipboardFormat::OEM_TEXT,
    ];

    #[test]
    fn text_of_both_code_pages_survives_every_encoding() {
        let text = "Grüße, ½ £ ñ\nzwei Zeilen\n";
        for format in ALL {
            let wire = encode(format, text).expect("plain");
            assert_eq!(decode(format, &wire).as_deref(), Some(text), "{format}");
        }
        assert_eq!(encode(8, text), None);
        assert_eq!(decode(8, b"x"), None);
    }

    #[test]
    fn line_ends_are_windows_on_the_wire_and_never_doubled() {
        for text in ["a\nb", "a\r\nb", "a\rb"] {
            assert_eq!(encode(ClipboardFormat::TEXT, text).expect("plain"), b"a\r\nb\0");
        }
        assert_eq!(decode(ClipboardFormat::TEXT, b"a\r\nb\0tail").expect("plain"), "a\nb");
    }

    #[test]
    fn code_pages_and_utf8_are_told_apart() {
        assert_eq!(decode(ClipboardFormat::TEXT, b"\x80 5 \xFC").expect("plain"), "€ 5 ü");
        assert_eq!(decode(ClipboardFormat::OEM_TEXT, b"\x81\x9C").expect("plain"), "ü£");
        assert_eq!(
            decode(ClipboardFormat::TEXT, "日本 ü".as_bytes()).expect("plain"),
            "日本 ü"
        );
        assert_eq!(
            encode(ClipboardFormat::TEXT, "€ 日 ü").expect("plain"),
            b"\x80 ? \xFC\0"
        );
        assert_eq!(encode(ClipboardFormat::OEM_TEXT, "ü▒").expect("plain"), b"\x81\xB1\0");
    }

    #[test]
    fn halves_of_surrogates_and_odd_lengths_do_not_stop_it() {
        let cut = [0x3D, 0xD8, b'a', 0, 7];
        assert_eq!(decode(ClipboardFormat::UNICODE_TEXT, &cut).expect("plain"), "\u{fffd}a");
        assert_eq!(decode(ClipboardFormat::UNICODE_TEXT, &[]).expect("plain"), "");
        let emoji = encode(ClipboardFormat::UNICODE_TEXT, "😀").expect("plain");
        assert_eq!(emoji, [0x3D, 0xD8, 0x00, 0xDE, 0, 0]);
    }
}
