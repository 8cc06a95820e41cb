//! What a grant says of the clipboard: directions, kinds and a limit become one policy.

use rdpmux_model::{ClipboardKinds, ClipboardPolicy};
use toml::Spanned;

use super::error::Problems;
use super::{keys, raw};

const DIRECTIONS: [&str; 4] = ["off", "in", "out", "both"];
const KINDS: [&str; 3] = ["text", "images", "files"];
/// MiB at most: 1 TiB.
const MOST: i64 = 1 << 20;

/// The policy of a grant; everything in both directions unless it says otherwise.
pub(super) fn policy(grant: &raw::Grant, problems: &mut Problems<'_>) -> ClipboardPolicy {
    let kinds = match &grant.clipboard_kinds {
        None => ClipboardKinds::ALL,
        Some(words) => kinds(words, problems),
    };
    let direction = grant
        .clipboard
        .as_ref()
        .map_or("both", |word| direction(word, problems));
    let only = |wanted: bool| if wanted { kinds } else { ClipboardKinds::NONE };
    ClipboardPolicy {
        inward: only(matches!(direction, "in" | "both")),
        outward: only(matches!(direction, "out" | "both")),
        limit: limit(grant.clipboard_mib.as_ref(), problems),
    }
}

fn direction<'a>(word: &'a Spanned<String>, problems: &mut Problems<'_>) -> &'a str {
    let text = word.get_ref().as_str();
    if !DIRECTIONS.contains(&text) {
        let what = format!("`clipboard` takes \"off\", \"in\", \"out\" or \"both\", not `{text}`");
        problems.at(word.span().start, what);
    }
    text
}

fn kinds(words: &[Spanned<String>], problems: &mut Problems<'_>) -> ClipboardKinds {
    let mut kinds = ClipboardKinds::NONE;
    for word in words {
        match word.get_ref().as_str() {
            "text" => kinds.text = true,
            "images" => kinds.images = true,
            "files" => kinds.files = true,
            other => {
                let near = keys::nearest(other, KINDS).map(|near| format!("did you mean `{near}`?"));
                let near = near.unwrap_or_else(|| "the kinds are text, images and files".to_owned());
                let what = format!("`clipboard_kinds`: there is no kind `{other}`; {near}");
                problems.at(word.span().start, what);
            }
        }
    }
    kinds
}

fn limit(mib: Option<&Spanned<i64>>, problems: &mut Problems<'_>) -> u64 {
    let Some(mib) = mib else {
        return ClipboardPolicy::DEFAULT_LIMIT;
    };
    let number = *mib.get_ref();
    if !(1..=MOST).contains(&number) {
        let what = format!("`clipboard_mib` takes 1 to {MOST}, not {number}");
        problems.at(mib.span().start, what);
    }
    u64::try_from(number).unwrap_or_default().saturating_mul(1 << 20)
}
