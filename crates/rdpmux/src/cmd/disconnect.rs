//! `rdpmux disconnect`: closes sessions; their clients are told why and do not come back by themselves.

use std::process::ExitCode;

use clap::Args;
use rdpmux_host::admin::Request;

use super::operator::Daemon;
use super::usage;

/// Close sessions
///
/// The client says that an administrator did it, and does not come back by itself. The user may log in again; to prevent
/// that, take the grant away first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rdpmux disconnect s12
  rdpmux disconnect --user alice --desktop web1")]
pub(crate) struct Disconnect {
    /// The session, as `rdpmux sessions` lists it
    session: Option<String>,
    /// All sessions of this user
    #[arg(long)]
    user: Option<String>,
    /// All sessions of this desktop
    #[arg(long)]
    desktop: Option<String>,
    /// Tell the client that it was logged off
    #[arg(long)]
    logoff: bool,
    #[command(flatten)]
    daemon: Daemon,
}

impl Disconnect {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if self.session.is_none() && self.user.is_none() && self.desktop.is_none() {
            return usage("say which sessions: a name of `rdpmux sessions`, --user or --desktop");
        }
        self.daemon.ask(&Request::Disconnect {
            session: self.session,
            user: self.user,
            desktop: self.desktop,
            logoff: self.logoff,
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
