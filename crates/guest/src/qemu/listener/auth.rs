//! The client's side of D-Bus authentication by user id, with file descriptors. On a listener's socket QEMU is the
//! server although it called us; its main loop stands still until this is over, so every step has a time limit.
//!
//! Source: D-Bus Specification, "Authentication Protocol".

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::screen::PeerError;

/// Longest wait for each line of the peer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest line in bytes.
const LINE: usize = 512;

/// Authenticates. The pair has to have been made under the effective user id of now.
pub(in crate::qemu) fn authenticate(socket: &mut UnixStream) -> Result<(), PeerError> {
    socket.set_read_timeout(Some(PATIENCE))?;
    let uid = rustix::process::geteuid().as_raw().to_string();
    let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
    socket.write_all(format!("\0AUTH EXTERNAL {hex}\r\n").as_bytes())?;
    expect(socket, "OK")?;
    socket.write_all(b"NEGOTIATE_UNIX_FD\r\n")?;
    expect(socket, "AGREE_UNIX_FD")?;
    socket.write_all(b"BEGIN\r\n")?;
    socket.set_read_timeout(None)?;
    Ok(())
}

fn expect(socket: &mut UnixStream, word: &str) -> Result<(), PeerError> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < LINE {
        socket.read_exact(&mut byte)?;
        if byte == *b"\n" {
            break;
        }
        line.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&line);
    match line.split_whitespace().next() {
        Some(first) if first == word => Ok(()),
        _ => Err(PeerError::Auth(line.trim_end().to_owned())),
    }
}
