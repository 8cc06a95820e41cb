//! Shared memory at the crate's border: honest files, sealed ones, and hostile ones.

use std::os::fd::OwnedFd;

use rdpmux_shm::{FileCache, MemoryFile, ShmError};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

const LEN: usize = 10_000;

fn pattern() -> Vec<u8> {
    (0..LEN).map(|i| (i * 7 + i / 256) as u8).collect()
}

fn memfd(seals: SealFlags) -> OwnedFd {
    let fd = memfd_create("frame", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memfd");
    rustix::io::write(&fd, &pattern()).expect("write");
    fcntl_add_seals(&fd, seals).expect("seals");
    fd
}

#[test]
fn bytes_come_out_as_they_went_in_sealed_or_not() {
    for seals in [SealFlags::empty(), SealFlags::SHRINK] {
        let file = MemoryFile::open(memfd(seals), LEN as u64).expect("a memory file");
        for (offset, length) in [(0, LEN), (1, 17), (3, 2), (8, 8), (LEN - 5, 5), (LEN, 0), (4095, 4097)] {
            let mut out = vec![0; length];
            file.copy_to(offset as u64, &mut out).expect("inside");
            assert_eq!(out, pattern()[offset..offset + length], "{seals:?} {offset}+{length}");
        }
    }
}

#[test]
fn reading_beyond_the_end_is_an_error() {
    for seals in [SealFlags::empty(), SealFlags::SHRINK] {
        let file = MemoryFile::open(memfd(seals), 0).expect("a memory file");
        for offset in [LEN as u64 - 3, LEN as u64, u64::MAX, u64::MAX - 3] {
            let result = file.copy_to(offset, &mut [0; 4]);
            assert!(matches!(result, Err(ShmError::TooShort { .. })), "{offset}");
        }
        assert!(matches!(
            MemoryFile::open(memfd(seals), LEN as u64 + 1),
            Err(ShmError::TooShort { .. })
        ));
    }
}

#[test]
fn a_file_that_is_truncated_under_us_is_an_error_not_a_signal() {
    let fd = memfd(SealFlags::empty());
    let file = MemoryFile::open(fd.try_clone().expect("dup"), LEN as u64).expect("a memory file");
    ftruncate(&fd, 100).expect("truncate");
    assert!(file.copy_to(0, &mut [0; 100]).is_ok());
    assert!(matches!(file.copy_to(90, &mut [0; 20]), Err(ShmError::TooShort { .. })));
}

#[test]
fn pipes_sockets_devices_and_directories_are_refused() {
    let (pipe, _write) = std::io::pipe().expect("pipe");
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().expect("socketpair");
    let zero = std::fs::File::open("/dev/zero").expect("zero");
    let directory = std::fs::File::open("/dev/shm").expect("shm");
    let process = std::fs::File::open("/proc/self/status").expect("proc");
    for fd in [
        OwnedFd::from(pipe),
        socket.into(),
        zero.into(),
        directory.into(),
        process.into(),
    ] {
        assert!(matches!(MemoryFile::open(fd, 0), Err(ShmError::NotMemory)));
    }
}

#[test]
fn the_cache_keeps_files_by_identity_and_notices_a_new_length() {
    let mut cache = FileCache::default();
    let fd = memfd(SealFlags::empty());
    let dup = |fd: &OwnedFd| fd.try_clone().expect("dup");
    let first = cache.open(dup(&fd), 10).expect("opened");
    let again = cache.open(dup(&fd), 20).expect("known");
    assert!(std::sync::Arc::ptr_eq(&first, &again));
    ftruncate(&fd, 2 * LEN as u64).expect("grow");
    assert_eq!(cache.open(dup(&fd), 0).expect("reopened").size(), 2 * LEN as u64);
    ftruncate(&fd, 5).expect("shrink");
    assert!(matches!(cache.open(dup(&fd), 10), Err(ShmError::TooShort { .. })));
    for _ in 0..3 * FileCache::FILES {
        cache.open(memfd(SealFlags::SHRINK), 1).expect("others");
    }
}
