//! The words of a grant: what its users may see, type, hear and read.

use rdpmux_model::{Rights, SoundRight};
use toml::Spanned;

use super::error::Problems;
use super::keys;
use crate::registry::StreamGrant;

pub(super) fn rights(words: &[Spanned<String>], problems: &mut Problems<'_>) -> Rights {
    let mut rights = Rights::default();
    for word in words {
        match word.get_ref().as_str() {
            "view" => rights.view = true,
            "control" => (rights.view, rights.control) = (true, true),
            "power" => (rights.view, rights.power) = (true, true),
            other => {
                let near = keys::nearest(other, RIGHTS).map(|near| format!("did you mean `{near}`?"));
                let near = near.unwrap_or_else(|| "the rights are view, control and power".to_owned());
                problems.at(
                    word.span().start,
                    format!("`rights`: there is no right `{other}`; {near}"),
                );
            }
        }
    }
    rights
}

/// What a console says may hold secrets, so it has to be asked for. Who may not type on the screen may not type there.
pub(super) fn streams(word: Option<&Spanned<String>>, rights: Rights, problems: &mut Problems<'_>) -> StreamGrant {
    use rdpmux_streams::Rights as Streams;
    let of = |rights, all| StreamGrant { rights, all };
    let Some(word) = word else {
        return of(Streams::NONE, false);
    };
    let watch = Streams::WATCH.with(Streams::HISTORY);
    match word.get_ref().as_str() {
        "off" => return of(Streams::NONE, false),
        "watch" => return of(watch, false),
        "write" if rights.control => return of(Streams::ALL, false),
        "all" if rights.control => return of(Streams::ALL, true),
        word_of_rights @ ("write" | "all") => problems.at(
            word.span().start,
            format!("`streams`: \"{word_of_rights}\" needs the right `control`"),
        ),
        other => {
            let near =
                keys::nearest(other, ["off", "watch", "write", "all"]).map(|near| format!("; did you mean `{near}`?"));
            let near = near.unwrap_or_default();
            problems.at(
                word.span().start,
                format!("`streams` takes off, watch, write or all, not `{other}`{near}"),
            );
        }
    }
    of(Streams::NONE, false)
}

const RIGHTS: [&str; 3] = ["view", "control", "power"];

/// Who sees also hears, unless the grant says otherwise; a microphone has to be asked for.
pub(super) fn sound(word: Option<&Spanned<String>>, problems: &mut Problems<'_>) -> SoundRight {
    let Some(word) = word else { return SoundRight::Out };
    match word.get_ref().as_str() {
        "off" => SoundRight::Off,
        "out" => SoundRight::Out,
        "both" => SoundRight::Both,
        other => {
            let near = keys::nearest(other, ["off", "out", "both"]).map(|near| format!("; did you mean `{near}`?"));
            problems.at(
                word.span().start,
                format!(
                    "`sound` takes off, out or both, not `{other}`{}",
                    near.unwrap_or_default()
                ),
            );
            SoundRight::Off
        }
    }
}
