//! Two socket options of Linux that no safe crate offers: how many bytes may wait unsent in a TCP socket, and what TCP
//! itself has measured of the link. All `unsafe` of our networking is here.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// What TCP has measured of a connection (`struct tcp_info` in `linux/tcp.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkInfo {
    /// The smoothed round trip, without the time that the peer's program takes.
    pub round_trip: Duration,
    /// The shortest round trip of the last minutes; `None` before the first.
    pub min_round_trip: Option<Duration>,
    /// Bytes per second that were delivered lately. `None` if nothing was measured, or if we gave TCP too little to send.
    pub delivery_rate: Option<u64>,
    /// Bytes in the socket that were not sent even once.
    pub unsent: u32,
}

/// Lets at most about `bytes` wait unsent in a socket: beyond, it is not writable (`TCP_NOTSENT_LOWAT`). What was not
/// written yet can still be replaced by something newer.
///
/// # Errors
/// What the kernel says, for example when this is no TCP socket.
pub fn set_unsent_limit(socket: impl AsFd, bytes: u32) -> io::Result<()> {
    let value: libc::c_uint = bytes;
    // SAFETY: the descriptor is open for the call, and the pointer and the length are those of a live integer.
    let status = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// What TCP knows of a connection (`TCP_INFO`).
///
/// # Errors
/// What the kernel says, for example when this is no TCP socket; `Unsupported` from a kernel before 4.9.
pub fn link_info(socket: impl AsFd) -> io::Result<LinkInfo> {
    let mut bytes = [0_u8; 256];
    let mut length = bytes.len() as libc::socklen_t;
    // SAFETY: the descriptor is open for the call, and the kernel writes at most `length` bytes, which the array has.
    let status = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            bytes.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    parse(&bytes[..(length as usize).min(bytes.len())]).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Byte offsets in `struct tcp_info`, which only ever grows at its end.
const FLAGS: usize = 7;
const ROUND_TRIP: usize = 68;
const UNSENT: usize = 144;
const MIN_ROUND_TRIP: usize = 148;
const DELIVERY_RATE: usize = 160;

fn parse(info: &[u8]) -> Option<LinkInfo> {
    let word = |at: usize| Some(u32::from_ne_bytes(*info.get(at..)?.first_chunk()?));
    let rate = u64::from_ne_bytes(*info.get(DELIVERY_RATE..)?.first_chunk()?);
    let was_given_too_little = info.get(FLAGS)? & 1 != 0;
    let min_round_trip = word(MIN_ROUND_TRIP)?;
    Some(LinkInfo {
        round_trip: Duration::from_micros(word(ROUND_TRIP)?.into()),
        min_round_trip: (min_round_trip != u32::MAX).then(|| Duration::from_micros(min_round_trip.into())),
        delivery_rate: (rate > 0 && !was_given_too_little).then_some(rate),
        unsent: word(UNSENT)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_connection_that_carried_something_has_a_round_trip() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (mut server, _) = listener.accept().expect("a connection");
        set_unsent_limit(&server, 16 << 10).expect("a TCP socket");
        server.write_all(&[7; 1000]).expect("room");
        client.read_exact(&mut [0; 1000]).expect("the bytes");
        client.write_all(b"x").expect("room");
        server.read_exact(&mut [0]).expect("the byte");
        let info = link_info(&server).expect("a TCP socket");
        assert!(
            info.min_round_trip.is_some_and(|trip| trip < Duration::from_secs(5)),
            "{info:?}"
        );
        assert_eq!(info.unsent, 0);
    }

    #[test]
    fn another_kind_of_socket_is_an_error() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        assert!(set_unsent_limit(&one, 1).is_err() && link_info(&one).is_err());
    }

    #[test]
    fn a_short_answer_is_refused() {
        assert_eq!(parse(&[0; 167]), None);
        assert!(parse(&[0; 168]).is_some());
    }
}
