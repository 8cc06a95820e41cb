//! `rdpmux man`: the manual pages, of the same words as `--help`. For packages; people do not see the command.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory};

use super::Cli;

/// Write the manual pages, rdpmux.1 and one for each command
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Man {
    /// Directory for them
    directory: PathBuf,
}

impl Man {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let written = std::fs::create_dir_all(&self.directory)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), &self.directory));
        written.with_context(|| format!("cannot write to {}", self.directory.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
