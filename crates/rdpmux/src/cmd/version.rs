//! `rdpmux version`: what this binary is and what it can bring in.

use std::process::ExitCode;

use clap::Args;

use crate::output;

/// Print the version and the kinds of guests
#[derive(Debug, Args)]
pub(crate) struct Version {}

impl Version {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut text = format!("rdpmux {}\n", env!("CARGO_PKG_VERSION"));
        for backend in rdpmux_host::BACKENDS {
            text.push_str(&format!("  {:<9} {}\n", backend.name, backend.description));
        }
        output::write(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}
