//! The command line that the smaller examples share: `--cert CERT.pem --key KEY.pem [--bind-addr ADDRESS]`.

use anyhow::{Context as _, Result};
use rdpmux_server::{RdpServer, ServerEvent, TlsIdentityCtx};
use std::net::SocketAddr;
use tokio::sync::oneshot;

/// Where to listen and as whom.
pub struct Options {
    /// Address and port; port 0 is any that is free.
    pub address: SocketAddr,
    /// Certificate and key.
    pub identity: TlsIdentityCtx,
}

impl Options {
    /// Reads the command line and the files that it names.
    ///
    /// # Errors
    /// Says what is missing or cannot be read.
    pub fn read() -> Result<Self> {
        let words: Vec<String> = std::env::args().collect();
        let word = |name: &str| {
            let pair = words.windows(2).find(|pair| pair[0] == name);
            pair.map(|pair| pair[1].clone())
        };
        let needed = |name: &str| word(name).with_context(|| format!("{name} FILE.pem is missing"));
        let address = word("--bind-addr").unwrap_or_else(|| "127.0.0.1:3389".to_owned());
        Ok(Self {
            address: address.parse().context("--bind-addr takes ADDRESS:PORT")?,
            identity: TlsIdentityCtx::init_from_paths(needed("--cert")?, needed("--key")?)?,
        })
    }
}

/// Runs a server and prints where it listens.
///
/// # Errors
/// As [`RdpServer::run`].
pub async fn run(mut server: RdpServer) -> Result<()> {
    let (sender, receiver) = oneshot::channel();
    server.event_sender().send(ServerEvent::GetLocalAddr(sender))?;
    tokio::spawn(async move {
        if let Ok(Some(address)) = receiver.await {
            println!("LISTENING {address}");
        }
    });
    server.run().await
}
