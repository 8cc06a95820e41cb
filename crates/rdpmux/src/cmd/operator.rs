//! What the commands to a running daemon share: where it listens, and on whose behalf they ask.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use clap::Args;
use rdpmux_host::admin::{self, Reply, Request};

/// Which daemon is asked.
#[derive(Debug, Args)]
pub(crate) struct Daemon {
    /// Admin socket of the daemon [default: those of this user's and this host's daemons]
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
}

impl Daemon {
    /// A connection for the streams of a machine.
    pub(crate) fn streams(&self, vm: &str, user: Option<String>) -> anyhow::Result<UnixStream> {
        let desktop = vm.to_owned();
        let (_, connection) = admin::dial(&self.sockets(), &Request::Streams { desktop, user })?;
        Ok(connection)
    }

    fn sockets(&self) -> Vec<PathBuf> {
        self.socket.clone().map_or_else(admin::sockets, |socket| vec![socket])
    }

    pub(crate) fn ask(&self, request: &Request) -> anyhow::Result<Reply> {
        Ok(admin::call(&self.sockets(), request)?)
    }
}

/// On whose behalf.
#[derive(Debug, Args)]
pub(crate) struct Behalf {
    /// Only if the grants allow it to this user; without it you are the operator, who may do everything
    #[arg(long = "as", value_name = "USER")]
    pub(crate) user: Option<String>,
}
