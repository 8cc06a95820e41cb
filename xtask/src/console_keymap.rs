//! A German keyboard for the Linux text console, by its print and not by our table of layouts: what the kernel makes of our
//! keys checks that table. The form is that of busybox's `loadkmap`.

/// Evdev code of the first key of a row, and what the row types.
type Row = (usize, &'static str);

const PLAIN: [Row; 6] = [
    (41, "\u{302}"),
    (2, "1234567890ß\u{301}"),
    (16, "qwertzuiopü+"),
    (30, "asdfghjklöä"),
    (43, "#yxcvbnm,.-"),
    (86, "<"),
];
const SHIFT: [Row; 6] = [
    (41, "°"),
    (2, "!\"§$%&/()=?\u{300}"),
    (16, "QWERTZUIOPÜ*"),
    (30, "ASDFGHJKLÖÄ"),
    (43, "'YXCVBNM;:_"),
    (86, ">"),
];
const ALTGR: [Row; 8] = [
    (3, "²³"),
    (8, "{[]}\\"),
    (16, "@"),
    (18, "€"),
    (27, "~"),
    (50, "µ"),
    (86, "|"),
    (57, " "),
];

const KEYS: usize = 128;
const MAPS: usize = 256;
/// `K_HOLE` of the kernel's `keyboard.h`.
const NOTHING: u16 = 0x0200;

/// The file for `loadkmap`: which maps there are, and those of no modifier, Shift and AltGr.
pub fn german() -> Vec<u8> {
    let mut file = b"bkeymap".to_vec();
    file.extend((0..MAPS).map(|map| u8::from(map < 3)));
    for rows in [&PLAIN[..], &SHIFT, &ALTGR] {
        let mut map = [NOTHING; KEYS];
        for (key, value) in [
            (14, 0x007F),
            (15, 0x0009),
            (28, 0x0201),
            (29, 0x0702),
            (42, 0x0700),
            (54, 0x0700),
            (56, 0x0703),
            (57, 0x0020),
            (58, 0x0207),
            (69, 0x0208),
            (100, 0x0701),
        ] {
            map[key] = value;
        }
        for (first, row) in rows {
            for (key, c) in (*first..).zip(row.chars()) {
                map[key] = value(c);
            }
        }
        file.extend(map.into_iter().flat_map(u16::to_le_bytes));
    }
    file
}

/// The kernel's word for a character or, for a combining mark, for its dead key.
fn value(c: char) -> u16 {
    const LETTER: u16 = 11 << 8;
    const DEAD: u16 = 4 << 8;
    match (c, u32::from(c) as u16) {
        ('\u{300}', _) => DEAD,
        ('\u{301}', _) => DEAD | 1,
        ('\u{302}', _) => DEAD | 2,
        // Letters heed Caps Lock.
        ('a'..='z' | 'A'..='Z' | 'à'..='ö' | 'À'..='Ö' | 'ø'..='ü' | 'Ø'..='Ü', code) => LETTER | code,
        (_, code) if code < 0x100 => code,
        (_, code) => code ^ 0xF000,
    }
}
