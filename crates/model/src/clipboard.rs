//! Words of the clipboard: which kinds of content there are, who may give and take which, and what a client announces.
//! Content itself never appears here.

/// Kinds of content, as far as a policy tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClipboardKind {
    /// Plain text, HTML, RTF.
    Text,
    /// Pictures.
    Images,
    /// Files with their contents.
    Files,
}

impl ClipboardKind {
    /// The word of configuration and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Images => "images",
            Self::Files => "files",
        }
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClipboardKinds {
    /// Plain text, HTML, RTF.
    pub text: bool,
    /// Pictures.
    pub images: bool,
    /// Files with their contents.
    pub files: bool,
}

impl ClipboardKinds {
    /// Every kind.
    pub const ALL: Self = Self {
        text: true,
        images: true,
        files: true,
    };
    /// No kind.
    pub const NONE: Self = Self {
        text: false,
        images: false,
        files: false,
    };

    /// Whether `kind` is in the set.
    pub const fn has(self, kind: ClipboardKind) -> bool {
        match kind {
            ClipboardKind::Text => self.text,
            ClipboardKind::Images => self.images,
            ClipboardKind::Files => self.files,
        }
    }

    /// What is in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            text: self.text || other.text,
            images: self.images || other.images,
            files: self.files || other.files,
        }
    }
}

/// What a viewer may do with a machine's clipboard. [`Self::default`] is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClipboardPolicy {
    /// What it may bring in: its copies reach the guest and the other viewers.
    pub inward: ClipboardKinds,
    /// What it may take out: copies of the guest and of other viewers reach it.
    pub outward: ClipboardKinds,
    /// Most bytes of one transfer; for files, of one file.
    pub limit: u64,
}

impl ClipboardPolicy {
    /// Bytes of one transfer unless an operator says otherwise: a 4K screenshot fits.
    pub const DEFAULT_LIMIT: u64 = 64 << 20;

    /// Everything in both directions.
    pub const ALL: Self = Self {
        inward: ClipboardKinds::ALL,
        outward: ClipboardKinds::ALL,
        limit: Self::DEFAULT_LIMIT,
    };
    /// Nothing.
    pub const NONE: Self = Self {
        inward: ClipboardKinds::NONE,
        outward: ClipboardKinds::NONE,
        limit: 0,
    };

    /// What either of two policies allows.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            inward: self.inward.or(other.inward),
            outward: self.outward.or(other.outward),
            limit: self.limit.max(other.limit),
        }
    }

    /// Whether it allows nothing at all.
    pub fn is_nothing(self) -> bool {
        self.inward == ClipboardKinds::NONE && self.outward == ClipboardKinds::NONE
    }
}

/// A format that a client announces ([MS-RDPECLIP] 2.2.3.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClipboardFormat {
    /// Number; below 0xC000 it is one of Windows' own, above it means what the name says.
    pub id: u32,
    /// Name, if it has one.
    pub name: Option<String>,
}

/// Windows' own numbers of formats ([MS-RDPECLIP] 1.3.1.2).
impl ClipboardFormat {
    /// Text in the client's ANSI code page.
    pub const TEXT: u32 = 1;
    /// Text in the client's OEM code page.
    pub const OEM_TEXT: u32 = 7;
    /// A bitmap without file header.
    pub const DIB: u32 = 8;
    /// UTF-16 text.
    pub const UNICODE_TEXT: u32 = 13;
    /// A bitmap with a longer header.
    pub const DIB_V5: u32 = 17;
    /// Name of the list of files.
    pub const FILE_LIST: &str = "FileGroupDescriptorW";

    /// A format without a name.
    pub const fn numbered(id: u32) -> Self {
        Self { id, name: None }
    }

    /// Whether it is text that can be converted.
    pub fn is_plain_text(&self) -> bool {
        self.name.is_none() && matches!(self.id, Self::TEXT | Self::OEM_TEXT | Self::UNICODE_TEXT)
    }

    /// Whether it is the list of files.
    pub fn is_file_list(&self) -> bool {
        self.name.as_deref() == Some(Self::FILE_LIST)
    }

    /// Which kind of content it is. `None`: nothing that means something on another machine, or nothing we know; such
    /// formats are not passed on.
    pub fn kind(&self) -> Option<ClipboardKind> {
        let Some(name) = self.name.as_deref() else {
            return match self.id {
                Self::TEXT | Self::OEM_TEXT | Self::UNICODE_TEXT => Some(ClipboardKind::Text),
                Self::DIB | Self::DIB_V5 => Some(ClipboardKind::Images),
                _ => None,
            };
        };
        KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}

/// Formats with names that mean the same everywhere.
const KINDS: &[(&str, ClipboardKind)] = &[
    ("HTML Format", ClipboardKind::Text),
    ("text/html", ClipboardKind::Text),
    ("Rich Text Format", ClipboardKind::Text),
    ("Rich Text Format Without Objects", ClipboardKind::Text),
    ("text/rtf", ClipboardKind::Text),
    ("Csv", ClipboardKind::Text),
    ("PNG", ClipboardKind::Images),
    ("image/png", ClipboardKind::Images),
    ("JFIF", ClipboardKind::Images),
    ("image/jpeg", ClipboardKind::Images),
    ("GIF", ClipboardKind::Images),
    ("image/gif", ClipboardKind::Images),
    ("image/bmp", ClipboardKind::Images),
    ("image/webp", ClipboardKind::Images),
    (ClipboardFormat::FILE_LIST, ClipboardKind::Files),
];

/// What of a file is asked for ([MS-RDPECLIP] 2.2.5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilePart {
    /// Its length, as 8 bytes.
    Size,
    /// Bytes of it.
    Range {
        /// First byte.
        position: u64,
        /// How many at most.
        length: u32,
    },
}

/// A question about a file of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileRequest {
    /// Number by which the answer is known.
    pub stream: u32,
    /// Place of the file in the list.
    pub index: u32,
    /// What is asked for.
    pub part: FilePart,
    /// The locked list that is meant; none: the one that is on the clipboard now.
    pub lock: Option<u32>,
}

/// What is known of a guest's clipboard. Latest wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuestClipboardState {
    /// An agent in the guest takes text.
    pub ready: bool,
    /// Number of the guest's last copy of text, if that is still its clipboard.
    pub grab: Option<u64>,
    /// How many copies there were.
    pub copies: u64,
    /// How often the guest has pasted what it was given.
    pub pasted: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_without_a_meaning_elsewhere_have_no_kind() {
        let named = |name: &str| ClipboardFormat {
            id: 0xC0DE,
            name: Some(name.to_owned()),
        };
        assert_eq!(ClipboardFormat::numbered(13).kind(), Some(ClipboardKind::Text));
        assert_eq!(ClipboardFormat::numbered(8).kind(), Some(ClipboardKind::Images));
        assert_eq!(named("FileGroupDescriptorW").kind(), Some(ClipboardKind::Files));
        assert_eq!(named("HTML Format").kind(), Some(ClipboardKind::Text));
        assert_eq!(ClipboardFormat::numbered(0).kind(), None, "FreeRDP's raw format");
        assert_eq!(ClipboardFormat::numbered(3).kind(), None, "a metafile holds handles");
        assert_eq!(named("Ole Private Data").kind(), None);
    }

    #[test]
    fn policies_add_up_per_direction() {
        let only = |text, files| ClipboardKinds {
            text,
            images: false,
            files,
        };
        let first = ClipboardPolicy {
            inward: only(true, false),
            outward: ClipboardKinds::NONE,
            limit: 10,
        };
        let second = ClipboardPolicy {
            inward: ClipboardKinds::NONE,
            outward: only(false, true),
            limit: 20,
        };
        let both = first.or(second);
        assert_eq!(
            (both.inward, both.outward, both.limit),
            (only(true, false), only(false, true), 20)
        );
        assert!(!both.is_nothing() && ClipboardPolicy::NONE.is_nothing());
    }
}
