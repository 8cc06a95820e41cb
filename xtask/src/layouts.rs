//! `cargo xtask layouts`: writes `crates/server/src/typing/layouts.txt`, the keyboard layouts that guests may have, from the
//! facts of xkeyboard-config (compiled by xkbcomp), X11's keysym names and its compose table. The result is committed;
//! this runs only when a layout is added.

use crate::root;
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Our name, the layout and variant of xkeyboard-config, levels that Windows has too, Windows' keyboard layout numbers.
const LAYOUTS: &[(&str, &str, usize, &[u32])] = &[
    ("us", "us", 2, &[0x409, 0x804, 0x404, 0x412, 0x4009]),
    ("us-intl", "us(intl)", 4, &[0x2_0409]),
    ("us-dvorak", "us(dvorak)", 2, &[0x1_0409]),
    ("gb", "gb", 4, &[0x809]),
    ("ie", "ie", 4, &[0x1809]),
    ("de", "de", 4, &[0x407]),
    ("de-nodeadkeys", "de(nodeadkeys)", 4, &[]),
    ("at", "at", 4, &[0xC07]),
    ("ch", "ch", 4, &[0x807]),
    ("ch-fr", "ch(fr)", 4, &[0x100C]),
    ("fr", "fr", 4, &[0x40C]),
    ("be", "be", 4, &[0x80C, 0x813, 0x1_080C]),
    ("ca", "ca", 4, &[0x1009, 0xC0C]),
    ("es", "es", 4, &[0x40A, 0xC0A]),
    ("latam", "latam", 4, &[0x80A]),
    ("it", "it", 4, &[0x410]),
    ("pt", "pt", 4, &[0x816]),
    ("br", "br", 4, &[0x416, 0x1_0416]),
    ("nl", "nl", 4, &[0x413]),
    ("se", "se", 4, &[0x41D]),
    ("fi", "fi", 4, &[0x40B]),
    ("no", "no", 4, &[0x414]),
    ("dk", "dk", 4, &[0x406]),
    ("is", "is", 4, &[0x40F]),
    ("pl", "pl", 4, &[0x415]),
    ("cz", "cz", 4, &[0x405]),
    ("cz-qwerty", "cz(qwerty)", 4, &[0x1_0405]),
    ("sk", "sk", 4, &[0x41B]),
    ("hu", "hu", 4, &[0x40E]),
    ("si", "si", 4, &[0x424]),
    ("hr", "hr", 4, &[0x41A]),
    ("ro", "ro", 4, &[0x1_0418, 0x2_0418, 0x418]),
    ("tr", "tr", 4, &[0x41F]),
    ("tr-f", "tr(f)", 4, &[0x1_041F]),
    ("ee", "ee", 4, &[0x425]),
    ("lv", "lv", 4, &[0x426, 0x1_0426]),
    ("lt", "lt", 4, &[0x1_0427, 0x427]),
    ("gr", "gr", 4, &[0x408]),
    ("bg", "bg", 4, &[0x402, 0x3_0402]),
    ("ru", "ru", 2, &[0x419]),
    ("ua", "ua", 4, &[0x422, 0x2_0422]),
    ("by", "by", 2, &[0x423]),
    ("il", "il", 2, &[0x40D]),
    // The kana are on further levels that only an input method reaches.
    ("jp", "jp", 2, &[0x411]),
];

/// Layouts whose digits with AltGr are dead keys in Windows, where Linux has what some letters type with AltGr in both.
const DEAD_DIGITS: &[&str] = &["cz", "cz-qwerty", "sk"];

/// Where Linux types a sign on several keys: the one with AltGr that does so in Windows, too, and has it printed.
const AS_WINDOWS: &[(&str, &[(u8, char)])] = &[
    ("ch", &[(0x08, '|'), (0x03, '@'), (0x1B, ']'), (0x2B, '}')]),
    ("ch-fr", &[(0x08, '|'), (0x03, '@'), (0x1B, ']'), (0x2B, '}')]),
    ("fr", &[(0x03, '~'), (0x07, '|'), (0x0B, '@')]),
    ("be", &[(0x03, '@'), (0x0A, '{'), (0x1A, '['), (0x56, '\\')]),
    (
        "es",
        &[
            (0x02, '|'),
            (0x03, '@'),
            (0x28, '{'),
            (0x1A, '['),
            (0x1B, ']'),
            (0x2B, '}'),
            (0x29, '\\'),
        ],
    ),
    ("latam", &[(0x10, '@'), (0x1B, '~'), (0x0C, '\\')]),
    ("it", &[(0x1A, '['), (0x1B, ']'), (0x27, '@')]),
    ("hu", &[(0x2C, '>'), (0x56, '<')]),
    ("si", &[(0x11, '|')]),
    ("hr", &[(0x11, '|')]),
    ("tr", &[(0x0D, '|')]),
    ("tr-f", &[(0x0D, '|')]),
    ("cz", &[(0x21, '['), (0x22, ']')]),
    ("cz-qwerty", &[(0x21, '['), (0x22, ']')]),
    ("sk", &[(0x21, '['), (0x22, ']')]),
];

const ALTGR: usize = 2;

/// Names of keys in xkeyboard-config and their PC/AT set 1 codes, by row.
const KEYS: &[(&str, u8, u8)] = &[
    ("TLDE", 0, 0x29),
    ("AE", 12, 0x02),
    ("AE13", 0, 0x7D),
    ("AD", 12, 0x10),
    ("AC", 11, 0x1E),
    ("BKSL", 0, 0x2B),
    ("LSGT", 0, 0x56),
    ("AB", 10, 0x2C),
    ("AB11", 0, 0x73),
    ("SPCE", 0, 0x39),
];

/// Dead keys and the combining marks that they stand for.
const DEAD: &[(&str, char)] = &[
    ("grave", '\u{300}'),
    ("acute", '\u{301}'),
    ("circumflex", '\u{302}'),
    ("tilde", '\u{303}'),
    ("macron", '\u{304}'),
    ("breve", '\u{306}'),
    ("abovedot", '\u{307}'),
    ("diaeresis", '\u{308}'),
    ("hook", '\u{309}'),
    ("abovering", '\u{30A}'),
    ("doubleacute", '\u{30B}'),
    ("caron", '\u{30C}'),
    ("horn", '\u{31B}'),
    ("belowdot", '\u{323}'),
    ("belowcomma", '\u{326}'),
    ("cedilla", '\u{327}'),
    ("ogonek", '\u{328}'),
    ("stroke", '\u{335}'),
];

const KEYSYMS: &str = "/usr/include/X11/keysymdef.h";
const COMPOSE: &str = "/usr/share/X11/locale/en_US.UTF-8/Compose";

/// Runs the subcommand.
///
/// # Errors
/// When xkbcomp (x11-xkb-utils, xkb-data), the keysym names (x11proto-dev) or the compose table (libx11-data) are missing
/// or of an unknown form.
pub fn run() -> Result<()> {
    let names = keysyms(&fs::read_to_string(KEYSYMS).context("install x11proto-dev")?);
    let mut page = String::from(HEADER);
    for (name, symbols, levels, windows) in LAYOUTS {
        let keymap = compile(symbols)?;
        let _ = write!(page, "\nlayout {name}");
        for id in *windows {
            let _ = write!(page, " {id:08X}");
        }
        page.push('\n');
        let mut keys = keys(&keymap, &names, *levels);
        if DEAD_DIGITS.contains(name) {
            prefer_letters(&mut keys);
        }
        prefer_windows(name, &mut keys);
        if keys.len() < 47 {
            bail!("layout {name} has {} keys only", keys.len());
        }
        for (code, tokens) in keys {
            let _ = writeln!(page, "{code:02X} {}", tokens.join(" "));
        }
    }
    page.push('\n');
    let compose = fs::read_to_string(COMPOSE).context("install libx11-data")?;
    for (mark, pairs) in compositions(&compose, &names) {
        let _ = writeln!(page, "compose {:04X} {}", u32::from(mark), pairs.join(" "));
    }
    let path = root::path().join("crates/server/src/typing/layouts.txt");
    fs::write(&path, page)?;
    println!("{} layouts in {}", LAYOUTS.len(), path.display());
    Ok(())
}

/// Names of keysyms and their characters.
fn keysyms(header: &str) -> HashMap<String, char> {
    header
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix("#define XK_")?;
            let name = rest.split_whitespace().next()?;
            // `/* U+00E4 … */` is exact; `/*(U+…)*/` marks names that mean something else too.
            let (_, code) = rest.split_once("/* U+")?;
            let code = u32::from_str_radix(code.get(..4)?, 16).ok()?;
            Some((name.to_owned(), char::from_u32(code)?))
        })
        .collect()
}

fn character(name: &str, names: &HashMap<String, char>) -> Option<char> {
    if let Some(found) = names.get(name) {
        return Some(*found);
    }
    let digits = name.strip_prefix('U').filter(|digits| digits.len() >= 4)?;
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

fn compile(symbols: &str) -> Result<String> {
    let source = format!(
        "xkb_keymap {{ xkb_keycodes {{ include \"evdev\" }}; xkb_types {{ include \"complete\" }}; \
         xkb_compat {{ include \"complete\" }}; xkb_symbols {{ include \"pc+{symbols}\" }}; }};"
    );
    let mut child = Command::new("xkbcomp")
        .args(["-w0", "-xkb", "-", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("install x11-xkb-utils and xkb-data")?;
    let mut stdin = child.stdin.take().context("xkbcomp has no input")?;
    stdin.write_all(source.as_bytes())?;
    drop(stdin);
    let out = child.wait_with_output()?;
    let text = String::from_utf8(out.stdout)?;
    let at = text
        .find("xkb_symbols")
        .with_context(|| format!("xkbcomp makes nothing of {symbols}"))?;
    Ok(text[at..].to_owned())
}

/// The set 1 code of each key that types something, with what it types on each level.
fn keys(keymap: &str, names: &HashMap<String, char>, levels: usize) -> BTreeMap<u8, Vec<String>> {
    let mut keys = BTreeMap::new();
    for part in keymap.split("key ").skip(1) {
        let Some((name, rest)) = part.trim_start().strip_prefix('<').and_then(|p| p.split_once('>')) else {
            continue;
        };
        // `symbols[Group1]= [ … ]` or `{ [ … ] }`.
        let list = match rest.split_once("symbols[Group1]=") {
            Some((_, list)) => list,
            None => rest,
        };
        let Some((list, _)) = list.split_once('[').and_then(|(_, list)| list.split_once(']')) else {
            continue;
        };
        let Some(code) = code_of(name) else { continue };
        let mut tokens: Vec<String> = list.split(',').take(levels).map(|s| token(s.trim(), names)).collect();
        while tokens.last().is_some_and(|token| token == NOTHING) {
            tokens.pop();
        }
        if !tokens.is_empty() {
            keys.insert(code, tokens);
        }
    }
    keys
}

/// Takes from the digits what a letter types with AltGr, too.
fn prefer_letters(keys: &mut BTreeMap<u8, Vec<String>>) {
    const DIGITS: std::ops::RangeInclusive<u8> = 0x02..=0x0D;
    let others: HashSet<String> = keys
        .iter()
        .filter(|(code, _)| !DIGITS.contains(code))
        .filter_map(|(_, tokens)| tokens.get(ALTGR).cloned())
        .collect();
    for tokens in keys.range_mut(DIGITS).map(|(_, tokens)| tokens) {
        if let Some(token) = tokens.get_mut(ALTGR).filter(|token| others.contains(*token)) {
            NOTHING.clone_into(token);
        }
    }
}

fn prefer_windows(name: &str, keys: &mut BTreeMap<u8, Vec<String>>) {
    let signs = AS_WINDOWS.iter().filter(|(layout, _)| *layout == name);
    for (code, sign) in signs.flat_map(|(_, signs)| *signs) {
        for (_, tokens) in keys.iter_mut().filter(|(other, _)| *other != code) {
            for token in tokens.iter_mut().filter(|token| **token == sign.to_string()) {
                NOTHING.clone_into(token);
            }
        }
    }
}

fn code_of(name: &str) -> Option<u8> {
    KEYS.iter().find_map(|(prefix, count, first)| {
        if *count == 0 {
            return (name == *prefix).then_some(*first);
        }
        let number: u8 = name.strip_prefix(prefix)?.parse().ok()?;
        (1..=*count).contains(&number).then(|| first + number - 1)
    })
}

const NOTHING: &str = "--";

fn token(keysym: &str, names: &HashMap<String, char>) -> String {
    if let Some(dead) = keysym.strip_prefix("dead_") {
        return match DEAD.iter().find(|(name, _)| *name == dead) {
            Some((_, mark)) => format!("*{:04X}", u32::from(*mark)),
            None => NOTHING.to_owned(),
        };
    }
    match character(keysym, names) {
        None => NOTHING.to_owned(),
        Some(c) if c.is_whitespace() || c.is_control() || is_invisible(c) => format!("U+{:04X}", u32::from(c)),
        Some(c) => c.to_string(),
    }
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{300}'..='\u{36F}' | '\u{591}'..='\u{5C7}' | '\u{200B}'..='\u{200F}')
}

/// For each mark its letters: `âa` is what the mark makes of `a`.
fn compositions(compose: &str, names: &HashMap<String, char>) -> BTreeMap<char, Vec<String>> {
    let mut marks: BTreeMap<char, Vec<String>> = BTreeMap::new();
    for line in compose.lines() {
        let Some((keys, rest)) = line.strip_prefix("<dead_").and_then(|line| line.split_once(':')) else {
            continue;
        };
        let keys: Vec<&str> = keys
            .split(['<', '>', ' ', '\t'])
            .filter(|key| !key.is_empty())
            .collect();
        let [dead, base] = keys[..] else { continue };
        let mark = DEAD.iter().find(|(name, _)| *name == dead).map(|(_, mark)| *mark);
        let result = rest.split('"').nth(1).and_then(|text| {
            let mut chars = text.chars();
            chars.next().filter(|_| chars.next().is_none())
        });
        let (Some(mark), Some(base), Some(result)) = (mark, character(base, names), result) else {
            continue;
        };
        if base.is_alphabetic() && result.is_alphabetic() {
            marks.entry(mark).or_default().push(format!("{result}{base}"));
        }
    }
    marks
}

const HEADER: &str = "\
# Keyboard layouts: what each key types. Written by `cargo xtask layouts` from xkeyboard-config, X11's keysym names and
# its compose table (all under MIT licences); do not edit.
#
# `layout NAME` with Windows' numbers of it. Then a line for each key: its PC/AT set 1 code, and what it types alone, with
# Shift, with AltGr, with both: a character, `U+` and its code, `*` and the mark of a dead key, or `--` for nothing.
# `compose MARK` and pairs: `âa` is what the dead key of this mark makes of `a`.
";
