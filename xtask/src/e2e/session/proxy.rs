//! A TCP proxy whose link can be cut: clients are reset and turned away, and the server may hear of it or not.

use anyhow::{Context, Result};
use rustix::net::sockopt::set_socket_linger;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Forwards until dropped.
pub struct Proxy {
    pub address: String,
    shared: Arc<Shared>,
}

struct Shared {
    is_cut: AtomicBool,
    is_over: AtomicBool,
    pairs: Mutex<Vec<(TcpStream, TcpStream)>>,
}

/// Who hears of a cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Only the client: for the server the link is silent.
    Client,
    /// Both ends.
    Both,
}

impl Proxy {
    /// Listens on loopback for clients of `server`.
    ///
    /// # Errors
    /// When nobody can listen.
    pub fn start(server: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            is_cut: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            pairs: Mutex::default(),
        });
        let (inside, server) = (Arc::clone(&shared), server.to_owned());
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if inside.is_over.load(Ordering::Relaxed) {
                    return;
                }
                if inside.is_cut.load(Ordering::Relaxed) {
                    continue;
                }
                let _ = inside.join(near, &server);
            }
        });
        Ok(Self { address, shared })
    }

    /// Cuts the link for `time`.
    ///
    /// # Errors
    /// When there is no link.
    pub fn cut(&self, whom: Cut, time: Duration) -> Result<()> {
        self.shared.is_cut.store(true, Ordering::Relaxed);
        {
            let pairs = self
                .shared
                .pairs
                .lock()
                .map_err(|_| anyhow::anyhow!("the proxy panicked"))?;
            let (near, far) = pairs.last().context("no client came through the proxy")?;
            // A reset, as of a router that forgot the connection.
            set_socket_linger(near, Some(Duration::ZERO))?;
            near.shutdown(Shutdown::Both)?;
            if whom == Cut::Both {
                far.shutdown(Shutdown::Both)?;
            }
        }
        std::thread::sleep(time);
        self.shared.is_cut.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.address);
    }
}

impl Shared {
    fn join(self: &Arc<Self>, near: TcpStream, server: &str) -> Result<()> {
        let far = TcpStream::connect(server)?;
        let copies = [
            (near.try_clone()?, far.try_clone()?),
            (far.try_clone()?, near.try_clone()?),
        ];
        for (from, to) in copies {
            let shared = Arc::clone(self);
            std::thread::spawn(move || shared.forward(from, to));
        }
        if let Ok(mut pairs) = self.pairs.lock() {
            pairs.push((near, far));
        }
        Ok(())
    }

    /// Copies one way. What ends while the link is cut is left as it is: the other end must not hear of it.
    fn forward(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        if !self.is_cut.load(Ordering::Relaxed) {
            let _ = to.shutdown(Shutdown::Both);
        }
    }
}
