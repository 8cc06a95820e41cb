//! Strings of the protocol: names, titles, reasons. Short, UTF-8 and without control characters, so that they can be
//! shown and logged as they are.

use std::borrow::Cow;
use std::fmt;

/// A checked string of 0 to [`Text::MAX`] bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
// INVARIANT: at most MAX bytes, no control character.
pub struct Text<'a>(Cow<'a, str>);

/// Why a string cannot be a [`Text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name has at most {} bytes and no control characters", Text::MAX)]
pub struct BadText;

impl<'a> Text<'a> {
    /// Longest string in bytes.
    pub const MAX: usize = 255;

    /// Checks a string.
    ///
    /// # Errors
    /// [`BadText`] if it is too long or has control characters.
    pub fn new(text: &'a str) -> Result<Self, BadText> {
        let is_good = text.len() <= Self::MAX && !text.chars().any(is_bad);
        is_good.then_some(Self(Cow::Borrowed(text))).ok_or(BadText)
    }

    /// What can be said of any string: control characters become `?`, and what is too long is cut.
    pub fn cleaned(text: &str) -> Text<'static> {
        let mut clean: String = text.chars().map(|c| if is_bad(c) { '?' } else { c }).collect();
        let end = (0..=Self::MAX.min(clean.len()))
            .rev()
            .find(|end| clean.is_char_boundary(*end));
        clean.truncate(end.unwrap_or_default());
        Text(Cow::Owned(clean))
    }

    /// The string.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same, on its own.
    pub fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }
}

/// Control characters, and those that change the direction of the text around them.
fn is_bad(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
