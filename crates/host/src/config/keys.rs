//! First look at a configuration: is every key one of the table's, and is its value of the right kind? Says what the
//! nearest valid key is and where a key that stands in the wrong place belongs.

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Problems;
use super::settings::{Form, Kind, SECTIONS, Section};

/// Checks all keys of a file.
pub(super) fn check(root: &DeTable<'_>, problems: &mut Problems<'_>) {
    let top = &SECTIONS[0];
    for (key, value) in root {
        match SECTIONS
            .iter()
            .find(|section| section.form != Form::Top && section.name == key.get_ref())
        {
            Some(section) => check_section(section, key.span().start, value, problems),
            None => check_setting(top, key, value, problems),
        }
    }
}

fn check_section(section: &Section, at: usize, value: &Spanned<DeValue<'_>>, problems: &mut Problems<'_>) {
    match (section.form, value.get_ref()) {
        (Form::Table, DeValue::Table(table)) => check_table(section, table, problems),
        (Form::List, DeValue::Array(list)) => {
            for entry in list.iter() {
                match entry.get_ref() {
                    DeValue::Table(table) => check_table(section, table, problems),
                    _ => problems.at(entry.span().start, written_as(section)),
                }
            }
        }
        _ => problems.at(at, written_as(section)),
    }
}

fn written_as(section: &Section) -> String {
    format!("`{}` is written as a section: {}", section.name, section.header())
}

fn check_table(section: &Section, table: &DeTable<'_>, problems: &mut Problems<'_>) {
    for (key, value) in table {
        check_setting(section, key, value, problems);
    }
}

fn check_setting(
    section: &Section,
    key: &Spanned<impl AsRef<str>>,
    value: &Spanned<DeValue<'_>>,
    problems: &mut Problems<'_>,
) {
    let name = key.get_ref().as_ref();
    let Some(setting) = section.settings.iter().find(|setting| setting.key == name) else {
        problems.at(key.span().start, unknown(section, name));
        return;
    };
    if !is_kind(setting.kind, value.get_ref()) {
        let found = value.get_ref().type_str();
        problems.at(
            value.span().start,
            format!("`{name}` takes {}, not {}", setting.kind.words(), article(found)),
        );
    }
}

fn is_kind(kind: Kind, value: &DeValue<'_>) -> bool {
    match kind {
        Kind::Text => value.is_str(),
        Kind::Switch => value.is_bool(),
        Kind::Number => value.is_integer(),
        Kind::Table => value
            .as_table()
            .is_some_and(|table| table.values().all(|entry| entry.get_ref().is_str())),
        Kind::Texts => value
            .as_array()
            .is_some_and(|list| list.iter().all(|entry| entry.get_ref().is_str())),
    }
}

fn article(kind: &str) -> String {
    match kind {
        "string" => "a text".to_owned(),
        "array" => "this list".to_owned(),
        "integer" => "a number".to_owned(),
        "boolean" => "true or false".to_owned(),
        other => format!("a {other}"),
    }
}

fn unknown(section: &Section, name: &str) -> String {
    let place = match section.form {
        Form::Top => String::new(),
        _ => format!(" in {}", section.header()),
    };
    let mut keys: BTreeSet<&str> = section.settings.iter().map(|setting| setting.key).collect();
    if section.form == Form::Top {
        keys.extend(
            SECTIONS
                .iter()
                .map(|section| section.name)
                .filter(|name| !name.is_empty()),
        );
    }
    let elsewhere: Vec<String> = SECTIONS
        .iter()
        .filter(|other| other.settings.iter().any(|setting| setting.key == name))
        .map(|other| {
            if other.form == Form::Top {
                "the top of the file".to_owned()
            } else {
                other.header()
            }
        })
        .collect();
    let near = nearest(name, keys.iter().copied());
    let typo = near.is_some_and(|near| strsim::damerau_levenshtein(name, near) == 1);
    if !elsewhere.is_empty() && !typo {
        return format!("unknown key `{name}`{place}; it belongs to {}", elsewhere.join(" or "));
    }
    match near {
        Some(near) => format!("unknown key `{name}`{place}; did you mean `{near}`?"),
        None => format!(
            "unknown key `{name}`{place}; valid keys: {}",
            keys.into_iter().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// The word that `name` was probably meant to be: at most a third of its letters differ, two at least allowed.
pub(super) fn nearest<'a>(name: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_ascii_lowercase().replace('-', "_");
    let distance = |word: &&str| strsim::damerau_levenshtein(&lower, word);
    let near = words.into_iter().min_by_key(distance)?;
    (distance(&near) <= (near.len() / 3).max(2).min(near.len().saturating_sub(1))).then_some(near)
}
