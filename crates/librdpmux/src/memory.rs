//! The memory that the daemon reads a machine's picture from, rows without padding: over protocol 5 the POSIX shared
//! memory `/<id>.rdpmux` of 32 MiB, over protocol 6 a memory file without a name, as long as the picture.
//!
//! It is written by `pwrite`, not through a map: a picture whose memory the program has freed, or a full /dev/shm, then is
//! an error of this call where a map would end the program with a signal.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rdpmux_model::{Guest, Rect};
use rdpmux_wire::v5;
use rustix::fs::{
    FlockOperation, Gid, MemfdFlags, Mode, SealFlags, fchmod, fchown, fcntl_add_seals, flock, ftruncate, memfd_create,
};
use rustix::io::Errno;
use rustix::shm;

use crate::feed::{Due, Shape};

/// Pixels of the largest picture.
pub(crate) const PIXELS: u64 = 4096 * 2048;

/// Bytes of the memory: the old daemon maps as many. Pages that no picture uses are never there.
pub(crate) const SIZE: u64 = PIXELS * 4;

/// Where a picture's pixels are.
pub(crate) trait Source {
    /// Bytes from the start of a row to that of the next.
    fn stride(&self) -> isize;

    /// Writes `length` bytes to byte `offset` of a file, from byte `from` of row `row` on; more than a row only if the rows
    /// follow each other without padding. Returns how many were written, at least one.
    ///
    /// # Errors
    /// What the kernel says.
    fn store(&self, at: Place, file: BorrowedFd<'_>, offset: u64) -> io::Result<usize>;
}

/// Part of a picture, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) row: usize,
    pub(crate) from: usize,
    pub(crate) length: usize,
}

/// A shared memory that is there until this is dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Only over protocol 5.
    name: Option<String>,
    file: OwnedFd,
}

impl Memory {
    /// Makes the memory of machine `id`, readable by its owner and by `group`, if one is given. What a program that ended
    /// without a word left is replaced.
    ///
    /// # Errors
    /// [`Errno::EXIST`] if another program uses it, or what the kernel says.
    pub(crate) fn named(id: i32, group: Option<u32>) -> io::Result<Self> {
        let name = format!("/{id}.rdpmux");
        let flags = shm::OFlags::CREATE | shm::OFlags::EXCL | shm::OFlags::RDWR;
        let owner = Mode::RUSR | Mode::WUSR;
        let file = match shm::open(name.as_str(), flags, owner) {
            Err(Errno::EXIST) => {
                remove_left_over(&name)?;
                shm::open(name.as_str(), flags, owner)?
            }
            file => file?,
        };
        // As long as this program lives, nobody takes it for left over.
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let name = Some(name);
        let memory = Self { name, file };
        ftruncate(&memory.file, SIZE)?;
        if let Some(group) = group {
            fchown(&memory.file, None, Some(Gid::from_raw(group)))?;
            fchmod(&memory.file, owner | Mode::RGRP)?;
        }
        Ok(memory)
    }

    /// Makes the memory of one picture, which never gets shorter.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn unnamed(shape: Shape) -> io::Result<Self> {
        let file = memfd_create("rdpmux", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, shape.row_bytes() as u64 * u64::from(shape.size.height))?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW)?;
        Ok(Self { name: None, file })
    }

    /// Whether what is due belongs here: over protocol 6, a new picture gets a memory of its own.
    pub(crate) fn fits(&self, version: i32, due: Due) -> bool {
        let is_named = self.name.is_some();
        is_named == (version == v5::VERSION) && (is_named || !due.is_new)
    }

    /// Copies `area` of a picture into the memory.
    ///
    /// # Errors
    /// What the kernel says, `EFAULT` if the picture is not in the program's memory (any more).
    pub(crate) fn copy(&self, source: &dyn Source, shape: Shape, area: Rect<Guest>) -> io::Result<()> {
        let file = self.file.as_fd();
        let row_bytes = shape.row_bytes();
        let offset = |row: u32, from: usize| u64::from(row) * row_bytes as u64 + from as u64;
        let is_packed = source.stride() == row_bytes as isize;
        // One long copy is faster than many short ones even if it takes twice the bytes.
        if is_packed && area.width * 2 >= shape.size.width {
            let place = Place {
                row: area.y as usize,
                from: 0,
                length: row_bytes * area.height as usize,
            };
            return store_all(file, offset(area.y, 0), source, place);
        }
        let bytes = shape.format.bytes();
        for row in area.y..area.bottom() {
            let place = Place {
                row: row as usize,
                from: area.x as usize * bytes,
                length: area.width as usize * bytes,
            };
            store_all(file, offset(row, place.from), source, place)?;
        }
        Ok(())
    }
}

impl AsFd for Memory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Only if somebody else removed it before: nothing to be done.
            let _ = shm::unlink(name.as_str());
        }
    }
}

fn store_all(file: BorrowedFd<'_>, offset: u64, source: &dyn Source, mut place: Place) -> io::Result<()> {
    let mut offset = offset;
    while place.length > 0 {
        match source.store(place, file, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                let written = written.min(place.length);
                place.from += written;
                place.length -= written;
                offset += written as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes a memory that no living program holds.
fn remove_left_over(name: &str) -> io::Result<()> {
    let old = match shm::open(name, shm::OFlags::RDONLY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        old => old?,
    };
    match flock(&old, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(Errno::EXIST.into()),
        Err(error) => Err(error.into()),
        Ok(()) => match shm::unlink(name) {
            Err(Errno::NOENT) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        },
    }
}

/// The number of a group that a user names, by number or as in /etc/group.
pub(crate) fn group_number(text: &str) -> Option<u32> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut rows = groups.lines().map(|line| line.split(':'));
    rows.find_map(|mut row| {
        let name = row.next()?;
        let number = row.nth(1)?;
        if name == text { number.parse().ok() } else { None }
    })
}

/// Pixels in a slice, for programs in Rust.
pub(crate) struct Slice<'a> {
    pub(crate) pixels: &'a [u8],
    pub(crate) stride: usize,
}

impl Source for Slice<'_> {
    fn stride(&self) -> isize {
        self.stride as isize
    }

    fn store(&self, at: Place, file: BorrowedFd<'_>, offset: u64) -> io::Result<usize> {
        let start = at.row * self.stride + at.from;
        let end = start.saturating_add(at.length);
        let bytes = self.pixels.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(rustix::io::pwrite(file, bytes, offset)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdpmux_wire::format;

    /// Numbers that no other test and no real machine uses.
    fn id(offset: i32) -> i32 {
        let process = i32::try_from(std::process::id() % 100_000).expect("small");
        2_000_000_000 + process * 100 + offset
    }

    fn read(memory: &Memory, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        rustix::io::pread(&memory.file, bytes.as_mut_slice(), offset).expect("readable");
        bytes
    }

    #[test]
    fn only_its_owner_reads_the_memory_unless_a_group_is_named() {
        let mode = |memory: &Memory| rustix::fs::fstat(&memory.file).expect("open").st_mode & 0o777;
        let memory = Memory::named(id(0), None).expect("memory");
        assert_eq!(mode(&memory), 0o600);
        let own = rustix::process::getgid().as_raw();
        let shared = Memory::named(id(1), Some(own)).expect("memory");
        assert_eq!(mode(&shared), 0o640);
        assert_eq!(rustix::fs::fstat(&shared.file).expect("open").st_size, SIZE as i64);
    }

    #[test]
    fn memory_in_use_is_refused_and_left_over_memory_replaced() {
        let memory = Memory::named(id(2), None).expect("memory");
        let refused = Memory::named(id(2), None).expect_err("in use");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        let name = memory.name.clone().expect("named");
        drop(memory);
        let left = shm::open(name.as_str(), shm::OFlags::CREATE | shm::OFlags::RDWR, Mode::RUSR).expect("left over");
        drop(left);
        let memory = Memory::named(id(2), None).expect("replaces it");
        drop(memory);
        let gone = shm::open(name.as_str(), shm::OFlags::RDONLY, Mode::empty());
        assert_eq!(gone.map(drop), Err(Errno::NOENT));
    }

    #[test]
    fn pixels_arrive_where_they_belong_with_and_without_padding() {
        let memory = Memory::named(id(3), None).expect("memory");
        for (code, bytes) in [(format::X8R8G8B8, 4), (format::R8G8B8, 3), (format::R5G6B5, 2)] {
            for padding in [0, 5] {
                for area in [Rect::new(0, 0, 9, 7), Rect::new(2, 1, 3, 4), Rect::new(8, 6, 1, 1)] {
                    let shape = Shape::new(code, 9, 7).expect("a shape");
                    let stride = 9 * bytes + padding;
                    let pixels: Vec<u8> = (0..stride * 7).map(|at| at as u8 | 1).collect();
                    let slice = Slice {
                        pixels: &pixels,
                        stride,
                    };
                    memory.copy(&slice, shape, area).expect("copied");
                    for row in area.y..area.bottom() {
                        let from = area.x as usize * bytes;
                        let length = area.width as usize * bytes;
                        let offset = u64::from(row) * 9 * bytes as u64 + from as u64;
                        let start = row as usize * stride + from;
                        assert_eq!(read(&memory, offset, length), pixels[start..start + length]);
                    }
                }
            }
        }
    }

    #[test]
    fn pixels_that_are_not_there_are_an_error() {
        let memory = Memory::named(id(4), None).expect("memory");
        let shape = Shape::new(format::X8R8G8B8, 9, 7).expect("a shape");
        let slice = Slice {
            pixels: &[0; 9 * 4 * 6],
            stride: 36,
        };
        assert!(memory.copy(&slice, shape, shape.whole()).is_err());
    }

    #[test]
    fn a_new_picture_of_protocol_6_gets_a_memory_of_its_own_that_stays_as_long() {
        let shape = Shape::new(format::X8R8G8B8, 9, 7).expect("a shape");
        let memory = Memory::unnamed(shape).expect("memory");
        assert!(ftruncate(&memory.file, 10).is_err());
        let due = |is_new| Due {
            is_new,
            shape,
            area: shape.whole(),
        };
        assert!(memory.fits(6, due(false)) && !memory.fits(6, due(true)) && !memory.fits(5, due(false)));
    }

    #[test]
    fn groups_are_named_by_number_or_name() {
        assert_eq!(group_number("107"), Some(107));
        assert_eq!(group_number("root"), Some(0));
        assert_eq!(group_number("no such group"), None);
    }
}
