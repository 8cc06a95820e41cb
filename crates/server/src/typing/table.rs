//! The table of layouts, read once from its text. The text is ours and a test reads all of it, so a fault in it is a bug
//! and panics.

use std::sync::LazyLock;

use rdpmux_model::Scancode;

use super::Stroke;

/// One layout.
pub(super) struct LayoutTable {
    pub(super) name: &'static str,
    /// Windows' numbers of it.
    pub(super) windows: Vec<u32>,
    /// Sorted by character; the first of each is the best way to type it.
    keys: Vec<(char, Stroke)>,
    /// Combining marks of the dead keys, sorted likewise.
    dead: Vec<(char, Stroke)>,
    /// What each key types alone, with Shift, with AltGr, with both.
    levels: Vec<(Scancode, [Meaning; 4])>,
}

struct Tables {
    layouts: Vec<LayoutTable>,
    /// Letter, mark and base, sorted.
    compositions: Vec<(char, char, char)>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| read(include_str!("layouts.txt")));

pub(super) fn layouts() -> &'static [LayoutTable] {
    &TABLES.layouts
}

/// The mark and the base of which a dead key makes this letter.
pub(super) fn decompose(letter: char) -> Option<(char, char)> {
    let table = &TABLES.compositions;
    let at = table.partition_point(|(known, ..)| *known < letter);
    let (_, mark, base) = table.get(at).filter(|(known, ..)| *known == letter)?;
    Some((*mark, *base))
}

/// The letter that a mark makes of a base.
pub(super) fn compose(mark: char, base: char) -> Option<char> {
    // Marks are few in any text, so a search of all is as good as an index.
    let is_mark = matches!(mark, '\u{300}'..='\u{36F}');
    let mut all = TABLES.compositions.iter().filter(|_| is_mark);
    all.find(|(_, m, b)| (*m, *b) == (mark, base))
        .map(|(letter, ..)| *letter)
}

impl LayoutTable {
    pub(super) fn key(&self, c: char) -> Option<Stroke> {
        find(&self.keys, c)
    }

    pub(super) fn dead(&self, mark: char) -> Option<Stroke> {
        find(&self.dead, mark)
    }

    /// What a key means at a level, and whether it types a letter, small and capital, there.
    pub(super) fn meaning(&self, scancode: Scancode, shift: bool, altgr: bool) -> (Meaning, bool) {
        let levels = self.levels.iter().find(|(known, _)| *known == scancode);
        levels.map_or((Meaning::Nothing, false), |(_, meanings)| {
            let pair = &meanings[usize::from(altgr) * 2..][..2];
            (pair[usize::from(shift)], is_letter(pair))
        })
    }

    pub(super) fn has_latin(&self) -> bool {
        self.key('a').is_some()
    }
}

fn find(sorted: &[(char, Stroke)], c: char) -> Option<Stroke> {
    let at = sorted.partition_point(|(known, _)| *known < c);
    sorted
        .get(at)
        .filter(|(known, _)| *known == c)
        .map(|(_, stroke)| *stroke)
}

/// What a key types on one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    Nothing,
    Character(char),
    Dead(char),
}

#[derive(Default)]
struct Draft {
    name: &'static str,
    windows: Vec<u32>,
    keys: Vec<(char, u8, Stroke)>,
    dead: Vec<(char, u8, Stroke)>,
    levels: Vec<(Scancode, [Meaning; 4])>,
}

fn read(text: &'static str) -> Tables {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut compositions = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        let mut words = line.split(' ');
        match words.next().expect("a line has a word") {
            "#" => {}
            "layout" => drafts.push(Draft {
                name: words.next().expect("a layout has a name"),
                windows: words.map(hexadecimal).collect(),
                ..Draft::default()
            }),
            "compose" => {
                let mark = character(words.next().expect("a composition has a mark"));
                compositions.extend(words.map(|pair| {
                    let mut pair = pair.chars();
                    let mut next = || pair.next().expect("a pair has two letters");
                    (next(), mark, next())
                }));
            }
            code => {
                let draft = drafts.last_mut().expect("keys follow a layout");
                draft.take(u8::from_str_radix(code, 16).expect("a key has a code"), words);
            }
        }
    }
    compositions.sort_unstable();
    Tables {
        layouts: drafts.into_iter().map(Draft::finish).collect(),
        compositions,
    }
}

impl Draft {
    fn take(&mut self, code: u8, words: impl Iterator<Item = &'static str>) {
        let scancode = Scancode::new(code, false).expect("a scan code");
        let mut meanings = [Meaning::Nothing; 4];
        meanings
            .iter_mut()
            .zip(words)
            .for_each(|(level, word)| *level = meaning(word));
        self.levels.push((scancode, meanings));
        for (level, meaning) in (0..4).zip(&meanings) {
            let pair = &meanings[usize::from(level & 2)..];
            let stroke = Stroke {
                scancode,
                shift: level & 1 != 0,
                altgr: level & 2 != 0,
                letter: is_letter(pair),
            };
            let cost = cost(code, level);
            match *meaning {
                Meaning::Nothing => {}
                Meaning::Character(c) => self.keys.push((c, cost, stroke)),
                Meaning::Dead(mark) => self.dead.push((mark, cost, stroke)),
            }
        }
    }

    fn finish(self) -> LayoutTable {
        LayoutTable {
            name: self.name,
            windows: self.windows,
            keys: best(self.keys),
            dead: best(self.dead),
            levels: self.levels,
        }
    }
}

/// Whether a key types a letter, alone and with Shift.
fn is_letter(pair: &[Meaning]) -> bool {
    match pair {
        [Meaning::Character(small), Meaning::Character(capital), ..] => {
            small != capital && small.to_uppercase().eq(capital.to_uppercase())
        }
        _ => false,
    }
}

/// The least where several keys type the same. The key beside the left Shift comes after the plain ones, since keyboards
/// of 104 keys lack it. The digits with AltGr come before the letters: they have the print. AltGr with Shift comes last,
/// as hardly any keyboard has print for it.
fn cost(code: u8, level: u8) -> u8 {
    const BESIDE_SHIFT: u8 = 0x56;
    match (level, code) {
        (0 | 1, BESIDE_SHIFT) => 2 + level,
        (0 | 1, _) => level,
        (2, BESIDE_SHIFT) => 4,
        (2, _) => 5,
        _ => 6,
    }
}

fn best(mut found: Vec<(char, u8, Stroke)>) -> Vec<(char, Stroke)> {
    found.sort_by_key(|(c, cost, _)| (*c, *cost));
    found.dedup_by_key(|(c, ..)| *c);
    found.into_iter().map(|(c, _, stroke)| (c, stroke)).collect()
}

fn meaning(word: &str) -> Meaning {
    let mut chars = word.chars();
    match (chars.next(), chars.as_str()) {
        (Some(c), "") => Meaning::Character(c),
        (Some('*'), mark) => Meaning::Dead(character(mark)),
        (Some('U'), code) => Meaning::Character(character(code.trim_start_matches('+'))),
        _ => Meaning::Nothing,
    }
}

fn character(code: &str) -> char {
    char::from_u32(hexadecimal(code)).expect("a character's code")
}

fn hexadecimal(text: &str) -> u32 {
    u32::from_str_radix(text, 16).expect("a hexadecimal number")
}
