//! What the commands to a running daemon share: where it listens, and on whose behalf they ask.

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
    pub(crate) fn ask(&self, request: &Request) -> anyhow::Result<Reply> {
        let sockets = self.socket.clone().map_or_else(admin::sockets, |socket| vec![socket]);
        Ok(admin::call(&sockets, request)?)
    }
}

/// On whose behalf.
#[derive(Debug, Args)]
pub(crate) struct Behalf {
    /// Only if the grants allow it to this user; without it you are the operator, who may do everything
    #[arg(long = "as", value_name = "USER")]
    pub(crate) user: Option<String>,
}
