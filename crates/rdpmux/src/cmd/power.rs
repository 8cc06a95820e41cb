//! `rdpmux power`: a machine's switches.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use rdpmux_host::admin::{PowerWord, Request};

use super::operator::{Behalf, Daemon};

/// Press a VM's power button, reset it, pause it
///
/// The button is a request to the guest's system, which may ignore it. A reset is immediate.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rdpmux power web1 button
  rdpmux power web1 reset
  rdpmux power web1 pause && rdpmux screenshot web1 && rdpmux power web1 resume
  rdpmux power web1 reset --as alice      only if alice has the right `power` on web1")]
pub(crate) struct Power {
    /// Name of the desktop
    desktop: String,
    /// What to do
    action: Action,
    #[command(flatten)]
    behalf: Behalf,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Action {
    /// Press the power button
    Button,
    /// Reset the machine
    Reset,
    /// Stop its processors
    Pause,
    /// Let them run on
    Resume,
}

impl Power {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let action = match self.action {
            Action::Button => PowerWord::Button,
            Action::Reset => PowerWord::Reset,
            Action::Pause => PowerWord::Pause,
            Action::Resume => PowerWord::Resume,
        };
        self.daemon.ask(&Request::Power {
            desktop: self.desktop,
            action,
            user: self.behalf.user,
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
