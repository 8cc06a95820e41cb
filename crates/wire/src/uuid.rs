//! The name of a virtual machine on the wire: a UUID in its usual 36 characters.

use core::fmt;
use core::str::FromStr;

/// A UUID as a program spelled it: `8-4-4-4-12` hexadecimal digits. Comparison ignores case; the spelling is kept,
/// because libraries compare what comes back byte by byte.
#[derive(Clone, Copy)]
pub struct Uuid36([u8; 36]);

/// A text that is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a uuid has 36 characters: 8, 4, 4, 4 and 12 hexadecimal digits with dashes between")]
pub struct InvalidUuid;

impl Uuid36 {
    /// Takes the bytes of a frame or a text.
    ///
    /// # Errors
    /// [`InvalidUuid`] if they are no UUID.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidUuid> {
        let bytes: [u8; 36] = bytes.try_into().map_err(|_| InvalidUuid)?;
        let fits = |(at, byte): (usize, &u8)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        };
        if bytes.iter().enumerate().all(fits) {
            Ok(Self(bytes))
        } else {
            Err(InvalidUuid)
        }
    }

    /// The text as it was spelled.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("hexadecimal digits and dashes")
    }

    /// The 32 digits without dashes, as spelled.
    pub fn digits(&self) -> String {
        self.as_str().chars().filter(|c| *c != '-').collect()
    }
}

impl FromStr for Uuid36 {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        Self::from_bytes(text.as_bytes())
    }
}

impl PartialEq for Uuid36 {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Uuid36 {}

impl core::hash::Hash for Uuid36 {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.0.to_ascii_lowercase().hash(state);
    }
}

impl fmt::Display for Uuid36 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Uuid36 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_36_characters_and_compares_without_case() {
        let uuid: Uuid36 = "6F9619FF-8b86-d011-b42d-00cf4fc964ff".parse().expect("a uuid");
        assert_eq!(uuid.to_string(), "6F9619FF-8b86-d011-b42d-00cf4fc964ff");
        assert_eq!(uuid.digits(), "6F9619FF8b86d011b42d00cf4fc964ff");
        assert_eq!("6f9619ff-8B86-d011-b42d-00cf4fc964ff".parse(), Ok(uuid));
    }

    #[test]
    fn what_is_no_uuid_is_refused() {
        let bad = [
            "",
            "6f9619ff8b86d011b42d00cf4fc964ff",
            "6f9619ff-8b86-d011-b42d-00cf4fc964f",
            "6f9619ff-8b86-d011-b42d-00cf4fc964fg",
            "6f9619ff-8b86-d011-b42d_00cf4fc964ff",
            "{6f9619ff-8b86-d011-b42d-00cf4fc964f}",
        ];
        for text in bad {
            assert_eq!(text.parse::<Uuid36>(), Err(InvalidUuid), "{text:?}");
        }
    }
}
