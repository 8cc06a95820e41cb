//! Known keys of known layouts, by their print.

use super::*;

fn layout(name: &str) -> Layout {
    Layout::by_name(name).unwrap_or_else(|| panic!("no layout {name}"))
}

/// `s` for Shift, `g` for AltGr, then the code; dead keys first.
fn typed(name: &str, c: char) -> String {
    let Some(strokes) = layout(name).strokes(c) else {
        return "-".to_owned();
    };
    let words: Vec<String> = strokes
        .into_iter()
        .map(|stroke| {
            let shift = if stroke.shift { "s" } else { "" };
            let altgr = if stroke.altgr { "g" } else { "" };
            format!("{shift}{altgr}{:02x}", stroke.scancode.code())
        })
        .collect();
    words.join(" ")
}

#[test]
fn known_keys_of_known_layouts() {
    for (name, c, expected) in [
        ("us", 'a', "1e"),
        ("us", 'Z', "s2c"),
        ("us", '<', "s33"),
        ("us", '\\', "2b"),
        ("us", '@', "s03"),
        ("us", 'ä', "-"),
        ("us-intl", '\'', "28 39"),
        ("us-intl", '"', "s28 39"),
        ("us-intl", '¨', "-"),
        ("us-intl", 'ñ', "g31"),
        ("gb", '"', "s03"),
        ("gb", '£', "s04"),
        ("gb", '#', "2b"),
        ("gb", '\\', "56"),
        ("gb", '@', "s28"),
        ("de", 'z', "15"),
        ("de", 'Y', "s2c"),
        ("de", '@', "g10"),
        ("de", '€', "g12"),
        ("de", '^', "29 39"),
        ("de", '`', "s0d 39"),
        ("de", '~', "g1b"),
        ("de", '<', "56"),
        ("de", '|', "g56"),
        ("de", '{', "g08"),
        ("de", 'ß', "0c"),
        ("de", 'ê', "29 12"),
        ("de", 'é', "0d 12"),
        ("de", 'À', "s0d s1e"),
        ("de", '漢', "-"),
        ("de-nodeadkeys", '^', "29"),
        ("ch", 'ü', "1a"),
        ("ch", 'è', "s1a"),
        ("ch-fr", 'è', "1a"),
        ("fr", 'a', "10"),
        ("fr", '1', "s02"),
        ("fr", '.', "s33"),
        ("fr", '@', "g0b"),
        ("fr", '~', "g03"),
        ("fr", 'ê', "1a 12"),
        ("fr", 'ç', "0a"),
        ("be", '@', "g03"),
        ("be", '{', "g0a"),
        ("ch", '|', "g08"),
        ("es", '|', "g02"),
        ("it", '@', "g27"),
        ("hu", '>', "g2c"),
        ("es", 'ñ', "27"),
        ("es", '\\', "g29"),
        ("es", 'á', "28 1e"),
        ("it", 'è', "1a"),
        ("it", 'é', "s1a"),
        ("pt", 'ç', "27"),
        ("pt", 'ã', "2b 1e"),
        ("br", '/', "73"),
        ("br", 'ç', "27"),
        ("se", 'å', "1a"),
        ("fi", 'ö', "27"),
        ("no", 'ø', "27"),
        ("dk", 'ø', "28"),
        ("dk", '@', "g03"),
        ("nl", '@', "29"),
        ("pl", 'ą', "g1e"),
        ("pl", 'Ź', "sg2d"),
        ("cz", 'ě', "03"),
        ("cz", '2', "s03"),
        ("cz", '@', "g2f"),
        ("cz", 'ď', "s0d 20"),
        ("hu", 'ő', "1a"),
        ("hu", 'ű', "2b"),
        ("tr", 'ı', "17"),
        ("tr", 'İ', "s28"),
        ("jp", '@', "1a"),
        ("jp", '^', "0d"),
        ("jp", '_', "s73"),
        ("jp", '|', "s7d"),
        ("ru", 'я', "2c"),
        ("ru", 'z', "2c"),
        ("ua", 'ї', "1b"),
    ] {
        assert_eq!(typed(name, c), expected, "{c} on {name}");
    }
}

#[test]
fn every_layout_types_all_of_ascii() {
    for name in Layout::names() {
        let missing: String = (' '..='~').filter(|c| layout(name).strokes(*c).is_none()).collect();
        assert_eq!(missing, "", "missing on {name}");
    }
}

#[test]
fn controls_are_their_keys() {
    for (c, code) in [
        ('\n', "1c"),
        ('\r', "1c"),
        ('\t', "0f"),
        ('\u{8}', "0e"),
        ('\u{1B}', "01"),
    ] {
        assert_eq!(typed("de", c), code);
    }
    assert_eq!(typed("de", '\u{0}'), "-");
    assert_eq!(typed("de", '\u{FEFF}'), "-");
}

#[test]
fn a_text_joins_marks_and_line_ends_and_names_what_is_missing() {
    let layout = layout("de");
    let of = |text: &str| layout.text(text).collect::<Vec<_>>();
    assert_eq!(of("e\u{301}\r\nu\u{308}"), of("é\nü"));
    assert_eq!(of("a漢b").iter().filter(|typed| **typed == Err('漢')).count(), 1);
    assert_eq!(of("\u{301}"), [Err('\u{301}')]);
}

#[test]
fn windows_numbers_lead_to_layouts_of_the_language_at_least() {
    for (id, name) in [
        (0x0000_0407, "de"),
        (0x0000_0409, "us"),
        (0x0002_0409, "us-intl"),
        (0x0000_0809, "gb"),
        // An input method; a variant that we do not know; German of Luxembourg.
        (0xE001_0411, "jp"),
        (0x0005_0409, "us"),
        (0x0000_1007, "de"),
        (0x0000_0419, "ru"),
    ] {
        assert_eq!(Layout::of_windows(id).map(Layout::name), Some(name), "{id:x}");
    }
    assert_eq!(Layout::of_windows(0), None);
    assert_eq!(Layout::of_windows(0x0000_0439), None);
}

#[test]
fn names_are_found_again_and_others_are_not() {
    for name in Layout::names() {
        assert_eq!(layout(name).name(), name);
    }
    assert_eq!(Layout::by_name("xx"), None);
}

#[test]
fn what_is_typed_as_strokes_reads_as_the_same_text() {
    for name in Layout::names() {
        let layout = layout(name);
        let mut read = 0;
        for c in (0x20..0x250).chain(0x370..0x600).filter_map(char::from_u32) {
            let Some(strokes) = layout.strokes(c).filter(|_| !c.is_control()) else {
                continue;
            };
            // Latin of a layout without it is that of `us`, which no key of its own types.
            if !layout.0.has_latin() && c.is_ascii_graphic() {
                continue;
            }
            let mut mark = None;
            let mut text = String::new();
            for stroke in strokes {
                match layout.typed(stroke.scancode, stroke.shift, stroke.altgr, false) {
                    Some(Typed::Dead(dead)) => mark = Some(dead),
                    Some(Typed::Character(typed)) => match mark.take() {
                        Some(mark) => text.extend(layout.composed(mark, typed)),
                        None => text.push(typed),
                    },
                    None => {}
                }
            }
            assert_eq!(text, c.to_string(), "{name}");
            read += 1;
        }
        assert!(read > 25, "{name}");
    }
}

#[test]
fn caps_lock_changes_letters_only() {
    let de = layout("de");
    let key = |code| Scancode::new(code, false).unwrap();
    for (code, shift, caps, expected) in [
        (0x1E, false, true, 'A'),
        (0x1E, true, true, 'a'),
        (0x27, false, true, 'Ö'),
        (0x02, false, true, '1'),
        (0x0C, false, true, 'ß'),
    ] {
        assert_eq!(
            de.typed(key(code), shift, false, caps),
            Some(Typed::Character(expected))
        );
    }
    assert_eq!(de.typed(key(0x0D), false, false, false), Some(Typed::Dead('\u{301}')));
    assert_eq!(de.typed(key(0x3B), false, false, false), None);
}
