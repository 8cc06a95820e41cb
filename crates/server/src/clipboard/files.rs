//! The list of files that a viewer offers ([MS-RDPECLIP] 2.2.5.2): checked before it reaches another viewer's machine,
//! because its names become paths there.

/// Bytes of one `CLIPRDR_FILEDESCRIPTOR`.
const DESCRIPTOR: usize = 592;
const FLAGS: usize = 0;
const SIZE_HIGH: usize = 64;
const SIZE_LOW: usize = 68;
const NAME: usize = 72;
/// `FD_FILESIZE`: the size is there.
const HAS_SIZE: u32 = 0x40;
/// Files in one list.
const FILES: usize = 10_000;

/// What is in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileList {
    /// Files and folders.
    pub(super) count: usize,
    /// Their bytes, as far as they are told.
    pub(super) bytes: u64,
}

/// Checks a list.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check(data: &[u8]) -> Result<FileList, &'static str> {
    let (count, rest) = data.split_first_chunk::<4>().ok_or("a list of files without a count")?;
    let count = u32::from_le_bytes(*count) as usize;
    if count > FILES {
        return Err("a list of too many files");
    }
    let descriptors = rest
        .get(..count * DESCRIPTOR)
        .ok_or("a list of files that is cut short")?;
    let mut bytes = 0u64;
    for descriptor in descriptors.chunks_exact(DESCRIPTOR) {
        if !is_safe(&descriptor[NAME..]) {
            return Err("a file name that leads out of its folder");
        }
        if word(descriptor, FLAGS) & HAS_SIZE != 0 {
            let size = u64::from(word(descriptor, SIZE_HIGH)) << 32 | u64::from(word(descriptor, SIZE_LOW));
            bytes = bytes.saturating_add(size);
        }
    }
    Ok(FileList { count, bytes })
}

fn word(descriptor: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([
        descriptor[at],
        descriptor[at + 1],
        descriptor[at + 2],
        descriptor[at + 3],
    ])
}

/// Relative, downwards, and not another stream or drive.
fn is_safe(name: &[u8]) -> bool {
    let units: Vec<u16> = name
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    let name = String::from_utf16_lossy(&units);
    !name.contains(':') && name.split(['\\', '/']).all(|part| !matches!(part, "" | "." | ".."))
}

/// A descriptor as clients send it.
#[cfg(test)]
pub(super) fn descriptor(name: &str, size: u64) -> Vec<u8> {
    let mut out = vec![0; DESCRIPTOR];
    out[FLAGS] = HAS_SIZE as u8;
    out[SIZE_HIGH..SIZE_HIGH + 4].copy_from_slice(&((size >> 32) as u32).to_le_bytes());
    out[SIZE_LOW..SIZE_LOW + 4].copy_from_slice(&(size as u32).to_le_bytes());
    for (at, unit) in name.encode_utf16().enumerate() {
        out[NAME + 2 * at..NAME + 2 * at + 2].copy_from_slice(&unit.to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<u8> {
        let mut out = (names.len() as u32).to_le_bytes().to_vec();
        out.extend(names.iter().flat_map(|name| descriptor(name, 5_000_000_000)));
        out
    }

    #[test]
    fn lists_are_counted() {
        let expected = FileList {
            count: 2,
            bytes: 10_000_000_000,
        };
        assert_eq!(check(&list(&["folder", "folder\\file one.txt"])), Ok(expected));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [
            "..\\x",
            "a\\..\\..\\x",
            "/etc/passwd",
            "\\\\host\\share",
            "C:\\x",
            "a:stream",
            "",
            "a//b",
        ] {
            assert!(check(&list(&[name])).is_err(), "{name}");
        }
    }

    #[test]
    fn counts_that_lie_are_refused() {
        let mut short = list(&["a", "b"]);
        short.truncate(700);
        assert!(check(&short).is_err());
        assert!(check(&u32::MAX.to_le_bytes()).is_err());
        assert!(check(&[1]).is_err());
    }
}
