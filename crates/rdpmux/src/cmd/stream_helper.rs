//! `rdpmux stream-helper`: FreeRDP's program for the channel `rdp2tcp`.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Args;

use super::usage;
use crate::console::helper;

/// Bring the serial ports of a FreeRDP session to this computer
///
/// FreeRDP starts it: while the session lasts, `rdpmux console` and `rdpmux streams` find the VM's streams here, through a
/// socket that only you can open. The daemon has to allow it (`rdp2tcp = true`).
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  xfreerdp /v:vmhost /u:alice /pcb:web1 /rdp2tcp:\"rdpmux stream-helper\"
  rdpmux console web1                  in another terminal

FreeRDP splits the words at spaces and looks the program up in PATH; there is no shell in between.")]
pub(crate) struct StreamHelper {}

impl StreamHelper {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if std::io::stdout().is_terminal() {
            return usage("FreeRDP starts this command: xfreerdp /rdp2tcp:\"rdpmux stream-helper\" …");
        }
        helper::run()?;
        Ok(ExitCode::SUCCESS)
    }
}
