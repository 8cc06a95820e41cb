//! Scan codes to keys of a terminal: modifiers, locks, dead keys and the keypad, as a PC keyboard of one layout has them.
//! One for all viewers of a console, as the guest's is on its screen.

use rdpmux_model::{LockKeys, Scancode};
use rdpmux_terminal::{Key, Modifiers};

use crate::typing::{Layout, Typed};

/// A console's keyboard.
#[derive(Debug)]
pub(super) struct Keyboard {
    layout: Layout,
    locks: LockKeys,
    held: Held,
    /// The mark of a dead key that waits for its character.
    mark: Option<char>,
}

/// Modifier and lock keys that are down.
#[derive(Debug, Default, Clone, Copy)]
struct Held {
    left_shift: bool,
    right_shift: bool,
    left_control: bool,
    right_control: bool,
    alt: bool,
    altgr: bool,
    caps: bool,
    num: bool,
    scroll: bool,
}

/// What a key press means at a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Press {
    /// Goes to the guest.
    Key(Key, Modifiers),
    /// A break on the line: Ctrl with Pause.
    Break,
    /// Shift with page up or down: through what has scrolled away, in pages; positive is back.
    Scroll(i32),
}

impl Keyboard {
    /// With nothing down and Num Lock on, as PCs start.
    pub(super) fn new(layout: Layout) -> Self {
        Self {
            layout,
            locks: LockKeys {
                num: true,
                ..LockKeys::default()
            },
            held: Held::default(),
            mark: None,
        }
    }

    /// The client's locks, which are its user's keyboard's.
    pub(super) fn set_locks(&mut self, locks: LockKeys) {
        self.locks = locks;
    }

    /// The locks as they are now.
    pub(super) fn locks(&self) -> LockKeys {
        self.locks
    }

    /// A key went down or up; auto-repeat is a further "down". A dead key that makes nothing of a character gives both.
    pub(super) fn take(&mut self, scancode: Scancode, down: bool) -> impl Iterator<Item = Press> {
        let presses = match self.modifier(scancode, down) {
            true => [None; 2],
            false if down => self.press(scancode),
            false => [None; 2],
        };
        presses.into_iter().flatten()
    }

    /// A character that the client's own layout made.
    pub(super) fn character(&mut self, c: char) -> Press {
        self.mark = None;
        let key = match c {
            '\r' | '\n' => Key::Enter,
            '\t' => Key::Tab,
            '\u{8}' => Key::Backspace,
            '\u{1B}' => Key::Escape,
            _ => Key::Char(c),
        };
        Press::Key(key, Modifiers::default())
    }

    /// Whether it is a modifier or a lock, which is all that it does.
    fn modifier(&mut self, scancode: Scancode, down: bool) -> bool {
        let held = &mut self.held;
        let key = match (scancode.code(), scancode.is_extended()) {
            (0x2A, false) => &mut held.left_shift,
            (0x36, false) => &mut held.right_shift,
            (0x1D, false) => &mut held.left_control,
            (0x1D, true) => &mut held.right_control,
            (0x38, false) => &mut held.alt,
            (0x38, true) => &mut held.altgr,
            (0x3A, false) => return toggle(&mut self.locks.caps, &mut held.caps, down),
            (0x45, false) => return toggle(&mut self.locks.num, &mut held.num, down),
            (0x46, false) => return toggle(&mut self.locks.scroll, &mut held.scroll, down),
            // Some keyboards send a Shift around their cursor keys.
            (0x2A | 0x36, true) => return true,
            _ => return false,
        };
        *key = down;
        true
    }

    fn modifiers(&self) -> Modifiers {
        let held = self.held;
        Modifiers {
            shift: held.left_shift || held.right_shift,
            alt: held.alt,
            // Windows says Control with AltGr, too.
            control: (held.left_control || held.right_control) && !held.altgr,
        }
    }

    fn press(&mut self, scancode: Scancode) -> [Option<Press>; 2] {
        let modifiers = self.modifiers();
        if scancode == Scancode::PAUSE {
            return [modifiers.control.then_some(Press::Break), None];
        }
        let key = named(scancode).or_else(|| self.keypad(scancode));
        match key {
            Some(Key::PageUp) if modifiers.shift => [Some(Press::Scroll(1)), None],
            Some(Key::PageDown) if modifiers.shift => [Some(Press::Scroll(-1)), None],
            Some(key) => {
                self.mark = None;
                // Shift is in the character already.
                let shift = modifiers.shift && !matches!(key, Key::Char(_));
                [Some(Press::Key(key, Modifiers { shift, ..modifiers })), None]
            }
            None => self.printed(scancode, modifiers),
        }
    }

    /// A key of the layout.
    fn printed(&mut self, scancode: Scancode, modifiers: Modifiers) -> [Option<Press>; 2] {
        if scancode.is_extended() {
            return [None; 2];
        }
        let press = |c| {
            let shift = false;
            Some(Press::Key(Key::Char(c), Modifiers { shift, ..modifiers }))
        };
        let typed = self
            .layout
            .typed(scancode, modifiers.shift, self.held.altgr, self.locks.caps);
        match (typed, self.mark.take()) {
            (None, mark) => {
                self.mark = mark;
                [None; 2]
            }
            (Some(Typed::Dead(mark)), None) => {
                self.mark = Some(mark);
                [None; 2]
            }
            // Twice the same: its sign.
            (Some(Typed::Dead(_)), Some(mark)) => [self.layout.composed(mark, ' ').and_then(press), None],
            (Some(Typed::Character(c)), None) => [press(c), None],
            (Some(Typed::Character(c)), Some(mark)) => match self.layout.composed(mark, c) {
                Some(composed) => [press(composed), None],
                None => [self.layout.composed(mark, ' ').and_then(press), press(c)],
            },
        }
    }

    /// The keypad: digits while Num Lock is on, otherwise the cursor keys that are printed below them.
    fn keypad(&self, scancode: Scancode) -> Option<Key> {
        if scancode.is_extended() {
            return match scancode.code() {
                0x1C => Some(Key::Enter),
                0x35 => Some(Key::Char('/')),
                _ => None,
            };
        }
        let (digit, key) = match scancode.code() {
            0x37 => return Some(Key::Char('*')),
            0x4A => return Some(Key::Char('-')),
            0x4E => return Some(Key::Char('+')),
            0x47 => ('7', Some(Key::Home)),
            0x48 => ('8', Some(Key::Up)),
            0x49 => ('9', Some(Key::PageUp)),
            0x4B => ('4', Some(Key::Left)),
            0x4C => ('5', None),
            0x4D => ('6', Some(Key::Right)),
            0x4F => ('1', Some(Key::End)),
            0x50 => ('2', Some(Key::Down)),
            0x51 => ('3', Some(Key::PageDown)),
            0x52 => ('0', Some(Key::Insert)),
            0x53 => ('.', Some(Key::Delete)),
            _ => return None,
        };
        if self.locks.num { Some(Key::Char(digit)) } else { key }
    }
}

/// A lock key that is held repeats, and its lock does not.
fn toggle(lock: &mut bool, held: &mut bool, down: bool) -> bool {
    *lock ^= down && !*held;
    *held = down;
    true
}

/// Keys that are the same in every layout.
fn named(scancode: Scancode) -> Option<Key> {
    Some(match (scancode.code(), scancode.is_extended()) {
        (0x01, false) => Key::Escape,
        (0x0E, false) => Key::Backspace,
        (0x0F, false) => Key::Tab,
        (0x1C, false) => Key::Enter,
        (code @ 0x3B..=0x44, false) => Key::Function(code - 0x3A),
        (code @ 0x57..=0x58, false) => Key::Function(code - 0x4C),
        (0x47, true) => Key::Home,
        (0x48, true) => Key::Up,
        (0x49, true) => Key::PageUp,
        (0x4B, true) => Key::Left,
        (0x4D, true) => Key::Right,
        (0x4F, true) => Key::End,
        (0x50, true) => Key::Down,
        (0x51, true) => Key::PageDown,
        (0x52, true) => Key::Insert,
        (0x53, true) => Key::Delete,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Modifiers = Modifiers {
        shift: false,
        alt: false,
        control: false,
    };

    /// Types codes of two hexadecimal digits, `E` before extended ones; `+` holds a key, `-` lets it go.
    fn type_on(keyboard: &mut Keyboard, words: &str) -> Vec<Press> {
        let mut presses = Vec::new();
        for word in words.split(' ') {
            let bare = word.trim_start_matches(['+', '-']);
            let (code, extended) = bare.strip_prefix('E').map_or((bare, false), |code| (code, true));
            let scancode = Scancode::new(u8::from_str_radix(code, 16).unwrap(), extended).unwrap();
            if !word.starts_with('-') {
                presses.extend(keyboard.take(scancode, true));
            }
            if !word.starts_with('+') {
                presses.extend(keyboard.take(scancode, false));
            }
        }
        presses
    }

    fn text(layout: &str, words: &str) -> String {
        let mut keyboard = Keyboard::new(Layout::by_name(layout).unwrap());
        let presses = type_on(&mut keyboard, words);
        presses
            .into_iter()
            .map(|press| match press {
                Press::Key(Key::Char(c), NONE) => c,
                _ => '?',
            })
            .collect()
    }

    #[test]
    fn layouts_shift_altgr_dead_keys_and_caps_lock() {
        assert_eq!(text("us", "23 +2A 23 -2A 02"), "hH1");
        assert_eq!(text("de", "15 +1D +E38 10 -E38 -1D 28"), "z@ä");
        assert_eq!(text("de", "0D 12 0D 39 0D 0D 0D 10"), "é´´´q");
        assert_eq!(text("de", "+3A +3A 3A 1E 27 3A 1E"), "AÖa");
        assert_eq!(text("fr", "1A 12"), "ê");
    }

    #[test]
    fn the_keypad_follows_num_lock_and_cursor_keys_do_not() {
        assert_eq!(text("us", "47 4C 37 E35"), "75*/");
        let mut keyboard = Keyboard::new(Layout::by_name("us").unwrap());
        let press = |key| Press::Key(key, NONE);
        assert_eq!(
            type_on(&mut keyboard, "45 47 4C E47 E1C"),
            [press(Key::Home), press(Key::Home), press(Key::Enter)]
        );
        keyboard.set_locks(LockKeys {
            num: true,
            ..LockKeys::default()
        });
        assert_eq!(
            type_on(&mut keyboard, "47 E48"),
            [press(Key::Char('7')), press(Key::Up)]
        );
    }

    #[test]
    fn control_alt_break_scrolling_and_function_keys() {
        let mut keyboard = Keyboard::new(Layout::by_name("us").unwrap());
        let control = Modifiers { control: true, ..NONE };
        let alt = Modifiers { alt: true, ..NONE };
        assert_eq!(
            type_on(&mut keyboard, "+1D 2E E46 -1D +38 21 -38 E46 3B 58"),
            [
                Press::Key(Key::Char('c'), control),
                Press::Break,
                Press::Key(Key::Char('f'), alt),
                Press::Key(Key::Function(1), NONE),
                Press::Key(Key::Function(12), NONE),
            ]
        );
        assert_eq!(
            type_on(&mut keyboard, "+36 E49 E51 0F -36 E49"),
            [
                Press::Scroll(1),
                Press::Scroll(-1),
                Press::Key(Key::Tab, Modifiers { shift: true, ..NONE }),
                Press::Key(Key::PageUp, NONE),
            ]
        );
        assert_eq!(keyboard.character('\n'), Press::Key(Key::Enter, NONE));
    }
}
