//! Keys of a viewer that names what it means (keysyms), as keys of the guest's keyboard. A character whose key types it
//! with the modifiers that are held is that key, so that it can be held and be a part of a chord; others are typed.

use std::collections::HashMap;

use rdpmux_model::Scancode;
use rdpmux_rfb::keysym;

use crate::typing::{Layout, Stroke};

/// What the guest gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pressed {
    Key(Scancode),
    Character(char),
    Nothing,
}

/// One viewer's keys.
#[derive(Debug)]
pub(super) struct Keyboard {
    layout: Option<Layout>,
    /// Which key went down for a name.
    held: HashMap<u32, Scancode>,
}

/// Keys that one viewer can hold at once.
const HELD: usize = 256;

impl Keyboard {
    /// For a guest with this layout; an unknown one is taken for `us`.
    pub(super) fn new(layout: Option<Layout>) -> Self {
        Self {
            layout: layout.or_else(|| Layout::by_name("us")),
            held: HashMap::new(),
        }
    }

    /// A key that the viewer names; `caps`: the guest's Caps Lock is lit.
    pub(super) fn key(&mut self, name: u32, down: bool, caps: bool) -> Pressed {
        if !down {
            return self.held.remove(&name).map_or(Pressed::Nothing, Pressed::Key);
        }
        if let Some(held) = self.held.get(&name) {
            return Pressed::Key(*held);
        }
        let c = keysym::character(name);
        let key = keysym::key(name).or_else(|| self.place(c?, caps));
        match (key, c) {
            (Some(key), _) if self.held.len() < HELD => {
                self.held.insert(name, key);
                Pressed::Key(key)
            }
            (None, Some(c)) => Pressed::Character(c),
            _ => Pressed::Nothing,
        }
    }

    /// The key that types a character with what is held now.
    fn place(&self, c: char, caps: bool) -> Option<Scancode> {
        let mut strokes = self.layout?.strokes(c)?.into_iter();
        let stroke = strokes.next()?.under_caps(caps);
        let is_held = |keys: &[Scancode]| self.held.values().any(|held| keys.contains(held));
        let fits = stroke.shift == is_held(&[Stroke::SHIFT, Stroke::RIGHT_SHIFT])
            && stroke.altgr == is_held(&[Stroke::ALTGR])
            && strokes.next().is_none();
        fits.then_some(stroke.scancode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Scancode = Scancode::new(0x1E, false).expect("a key");
    const CONTROL: Scancode = Scancode::new(0x1D, false).expect("a key");

    #[test]
    fn what_the_held_modifiers_type_is_a_key_and_the_rest_a_character() {
        let mut keyboard = Keyboard::new(Layout::by_name("de"));
        assert_eq!(keyboard.key(0x61, true, false), Pressed::Key(A));
        assert_eq!(keyboard.key(0x61, true, false), Pressed::Key(A), "auto-repeat");
        assert_eq!(keyboard.key(0x61, false, false), Pressed::Key(A));
        assert_eq!(keyboard.key(0x61, false, false), Pressed::Nothing);
        assert_eq!(
            keyboard.key(0x41, true, false),
            Pressed::Character('A'),
            "no Shift is held"
        );
        assert_eq!(keyboard.key(0x41, false, false), Pressed::Nothing);
        assert_eq!(keyboard.key(0x41, true, true), Pressed::Key(A), "the guest's Caps Lock");
        assert_eq!(keyboard.key(0x41, false, true), Pressed::Key(A));
        assert_eq!(keyboard.key(0xFFE1, true, false), Pressed::Key(Stroke::SHIFT));
        assert_eq!(keyboard.key(0x41, true, false), Pressed::Key(A));
        assert_eq!(keyboard.key(0xFFE1, false, false), Pressed::Key(Stroke::SHIFT));
        assert_eq!(
            keyboard.key(0x41, false, false),
            Pressed::Key(A),
            "the key that went down"
        );
        assert_eq!(keyboard.key(0xFFE3, true, false), Pressed::Key(CONTROL));
        assert_eq!(keyboard.key(0x61, true, false), Pressed::Key(A), "Ctrl+A");
        assert_eq!(
            keyboard.key(0x0100_00E9, true, false),
            Pressed::Character('é'),
            "a dead key"
        );
        assert_eq!(keyboard.key(0, true, false), Pressed::Nothing);
    }

    #[test]
    fn nobody_holds_more_keys_than_there_are() {
        let mut keyboard = Keyboard::new(None);
        let names = (0x0100_0000..0x0101_0000).chain(0xFF00..=0xFFFF);
        let pressed: Vec<_> = names.map(|name| keyboard.key(name, true, false)).collect();
        assert!(pressed.contains(&Pressed::Key(A)) && keyboard.held.len() <= HELD);
    }
}
