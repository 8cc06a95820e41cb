//! Characters to key strokes: which keys of a guest's keyboard layout type a text. Used for unicode key events and for
//! pasting as typing; it knows nothing of who types and when.
//!
//! The layouts are those of Linux, which agree with Windows in all that is printed on the keys. A character that needs a
//! dead key is that key and then its letter.

mod table;

use rdpmux_model::Scancode;

use table::{LayoutTable, Meaning};

/// One press and release of a key, with the modifiers that are down meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stroke {
    /// The key.
    pub scancode: Scancode,
    /// Shift is down.
    pub shift: bool,
    /// AltGr is down, which is [`Stroke::ALTGR`].
    pub altgr: bool,
    /// Caps Lock does to this key what Shift does: it types a letter, small and capital.
    pub letter: bool,
}

impl Stroke {
    /// The left Shift key.
    pub const SHIFT: Scancode = key(0x2A, false);
    /// The right one.
    pub const RIGHT_SHIFT: Scancode = key(0x36, false);
    /// The key that AltGr is on every PC keyboard.
    pub const ALTGR: Scancode = key(0x38, true);

    const fn plain(code: u8) -> Self {
        Self {
            scancode: key(code, false),
            shift: false,
            altgr: false,
            letter: false,
        }
    }

    /// The stroke that types the same while the guest's Caps Lock is on, if `caps`.
    pub fn under_caps(mut self, caps: bool) -> Self {
        self.shift ^= caps && self.letter;
        self
    }
}

const fn key(code: u8, extended: bool) -> Scancode {
    match Scancode::new(code, extended) {
        Some(scancode) => scancode,
        None => panic!("not a scan code"),
    }
}

/// The strokes of one character: one, or two if it takes a dead key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Strokes {
    dead: Option<Stroke>,
    last: Stroke,
}

impl Strokes {
    const fn one(last: Stroke) -> Self {
        Self { dead: None, last }
    }

    /// A dead key without AltGr, and the space bar.
    fn is_sign(self) -> bool {
        const SPACE: Scancode = key(0x39, false);
        self.last.scancode == SPACE && self.dead.is_some_and(|dead| !dead.altgr)
    }
}

impl IntoIterator for Strokes {
    type Item = Stroke;
    type IntoIter = core::iter::Chain<core::option::IntoIter<Stroke>, core::option::IntoIter<Stroke>>;

    fn into_iter(self) -> Self::IntoIter {
        self.dead.into_iter().chain(Some(self.last))
    }
}

/// A keyboard layout that a guest may have.
#[derive(Clone, Copy)]
pub struct Layout(&'static LayoutTable);

impl Layout {
    /// The layout of this name: that of xkeyboard-config, for example `de`, `gb` or `us-intl`. `None` if there is none.
    pub fn by_name(name: &str) -> Option<Self> {
        table::layouts().iter().find(|table| table.name == name).map(Self)
    }

    /// The layout that a client has by Windows' number of it ([MS-RDPBCGR] 2.2.1.3.2 `keyboardLayout`), or that of its
    /// language if the number itself is unknown.
    pub fn of_windows(id: u32) -> Option<Self> {
        let named = |id: u32| table::layouts().iter().find(|table| table.windows.contains(&id));
        let language = |table: &&LayoutTable| table.windows.iter().any(|known| known & 0x3FF == id & 0x3FF);
        named(id)
            .or_else(|| named(id & 0xFFFF))
            .or_else(|| table::layouts().iter().find(language).filter(|_| id & 0x3FF != 0))
            .map(Self)
    }

    /// All names, in the order of the table.
    pub fn names() -> impl Iterator<Item = &'static str> {
        table::layouts().iter().map(|table| table.name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// How to type a character; `None` if the layout lacks it. New line, tabulator, backspace and escape are their keys.
    /// Latin characters that a Cyrillic, Greek or Hebrew layout lacks are those of the `us` layout, which is what such
    /// a keyboard types when it is switched to Latin.
    pub fn strokes(self, c: char) -> Option<Strokes> {
        control(c).or_else(|| self.printed(c)).or_else(|| {
            let latin = Self::by_name("us").filter(|_| !self.0.has_latin())?;
            latin.printed(c)
        })
    }

    /// What a key types: a character, or the combining mark of a dead key. `caps` is whether Caps Lock is on.
    pub fn typed(self, scancode: Scancode, shift: bool, altgr: bool, caps: bool) -> Option<Typed> {
        let (_, is_letter) = self.0.meaning(scancode, shift, altgr);
        let (meaning, _) = self.0.meaning(scancode, shift ^ (caps && is_letter), altgr);
        match meaning {
            Meaning::Nothing => None,
            Meaning::Character(c) => Some(Typed::Character(c)),
            Meaning::Dead(mark) => Some(Typed::Dead(mark)),
        }
    }

    /// What a dead key makes of the character that is typed after it; `None` if it makes nothing of it.
    pub fn composed(self, mark: char, c: char) -> Option<char> {
        if c != ' ' {
            return table::compose(mark, c);
        }
        // What has a key of its own is not what the dead key is for.
        let has_key = |sign: char| self.0.key(sign).is_some_and(|stroke| !stroke.altgr);
        let mut signs = SIGNS.iter().filter(|(_, known)| *known == mark).map(|(sign, _)| *sign);
        signs.find(|sign| !has_key(*sign))
    }

    /// How to type a text, character by character; `Err` for those that the layout lacks. A letter with a combining mark
    /// behind it counts as one character if it has a code of its own, and a carriage return with a line feed as one
    /// new line.
    pub fn text(self, text: &str) -> impl Iterator<Item = Result<Strokes, char>> {
        let mut rest = text.chars().peekable();
        core::iter::from_fn(move || {
            let mut c = rest.next()?;
            if c == '\r' {
                rest.next_if_eq(&'\n');
            }
            while let Some(composed) = rest.peek().and_then(|mark| table::compose(*mark, c)) {
                c = composed;
                rest.next();
            }
            Some(self.strokes(c).ok_or(c))
        })
    }

    fn printed(self, c: char) -> Option<Strokes> {
        let own = self.0.key(c);
        let composed = || {
            let (mark, base) = table::decompose(c).or_else(|| self.spacing(c))?;
            Some(Strokes {
                dead: Some(self.0.dead(mark)?),
                last: self.0.key(base)?,
            })
        };
        match own {
            Some(stroke) if !stroke.altgr => Some(Strokes::one(stroke)),
            // Where Linux has a sign on AltGr and as a dead key, Windows has the dead key only.
            Some(stroke) => composed()
                .filter(|strokes| strokes.is_sign())
                .or(Some(Strokes::one(stroke))),
            None => composed(),
        }
    }

    /// The sign that a dead key types with the space bar, as that key's mark and the space.
    fn spacing(self, c: char) -> Option<(char, char)> {
        let (_, mark) = SIGNS.iter().find(|(sign, _)| *sign == c)?;
        // Layouts whose apostrophe is dead type that, the others the accent.
        (self.composed(*mark, ' ') == Some(c)).then_some((*mark, ' '))
    }
}

/// Signs that dead keys type with the space bar.
const SIGNS: [(char, char); 14] = [
    ('\'', '\u{301}'),
    ('´', '\u{301}'),
    ('"', '\u{308}'),
    ('`', '\u{300}'),
    ('^', '\u{302}'),
    ('~', '\u{303}'),
    ('¨', '\u{308}'),
    ('°', '\u{30A}'),
    ('˘', '\u{306}'),
    ('˙', '\u{307}'),
    ('˝', '\u{30B}'),
    ('ˇ', '\u{30C}'),
    ('¸', '\u{327}'),
    ('˛', '\u{328}'),
];

/// What a key types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// A character.
    Character(char),
    /// Nothing yet: this combining mark goes over the next character.
    Dead(char),
}

impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Layout {}

impl core::fmt::Debug for Layout {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("Layout").field(&self.0.name).finish()
    }
}

fn control(c: char) -> Option<Strokes> {
    let code = match c {
        '\r' | '\n' => 0x1C,
        '\t' => 0x0F,
        '\u{8}' => 0x0E,
        '\u{1B}' => 0x01,
        _ => return None,
    };
    Some(Strokes::one(Stroke::plain(code)))
}

#[cfg(test)]
mod tests;
