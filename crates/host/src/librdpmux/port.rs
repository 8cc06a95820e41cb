//! Ports of single machines, taken by binding them: what is returned is held, so nobody can come between.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;

/// Why a machine gets no port.
#[derive(Debug, thiserror::Error)]
pub(super) enum PortError {
    /// That port cannot be had.
    #[error("port {port}: {source}")]
    Taken {
        /// The port that the hypervisor asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// None from there on can.
    #[error("no port from {first} on is free: {source}")]
    NoneFree {
        /// The first that was tried.
        first: u16,
        /// What the system said of the last.
        source: io::Error,
    },
}

/// Exactly this port. One that was just let go may need a moment.
///
/// # Errors
/// [`PortError::Taken`] after half a second.
pub(super) async fn exactly(address: IpAddr, port: u16) -> Result<TcpListener, PortError> {
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match TcpListener::bind(SocketAddr::new(address, port)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => tokio::time::sleep(PAUSE).await,
            result => return result.map_err(|source| PortError::Taken { port, source }),
        }
    }
}

/// The first free port from `first` on.
///
/// # Errors
/// [`PortError::NoneFree`].
pub(super) async fn first_free(address: IpAddr, first: u16) -> Result<TcpListener, PortError> {
    let mut source = io::Error::from(io::ErrorKind::AddrInUse);
    for port in first..=u16::MAX {
        match TcpListener::bind(SocketAddr::new(address, port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied) => {
                source = error;
            }
            Err(error) => {
                source = error;
                break;
            }
        }
    }
    Err(PortError::NoneFree { first, source })
}

const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(25);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn port(listener: &TcpListener) -> u16 {
        listener.local_addr().expect("bound").port()
    }

    #[tokio::test]
    async fn the_next_free_port_is_found_by_taking_it() {
        let held = first_free(HERE, 42_901).await.expect("free");
        let next = first_free(HERE, port(&held)).await.expect("free");
        assert!(port(&next) > port(&held));
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_stays_taken_is_refused_by_its_number() {
        let held = TcpListener::bind((HERE, 0)).await.expect("bind");
        let error = exactly(HERE, port(&held)).await.expect_err("taken").to_string();
        assert!(error.starts_with(&format!("port {}: ", port(&held))), "{error}");
        let number = port(&held);
        drop(held);
        assert_eq!(port(&exactly(HERE, number).await.expect("free")), number);
    }

    #[tokio::test]
    async fn an_address_that_is_not_ours_ends_the_search_at_once() {
        let elsewhere = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let error = first_free(elsewhere, 3901).await.expect_err("not ours");
        assert!(error.to_string().contains("no port from 3901 on is free"), "{error}");
    }
}
