//! `rdpmux screenshot`: what a desktop shows, as a PNG file.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use rdpmux_host::admin::Request;

use super::operator::{Behalf, Daemon};

/// Save what a VM shows as PNG
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rdpmux screenshot web1                 writes web1.png
  rdpmux screenshot web1 -o - | display")]
pub(crate) struct Screenshot {
    /// Name of the desktop
    desktop: String,
    /// File to write; `-` is standard output [default: the desktop's name and .png]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    behalf: Behalf,
    #[command(flatten)]
    daemon: Daemon,
}

impl Screenshot {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let name = format!("{}.png", self.desktop.replace('/', "-"));
        let reply = self.daemon.ask(&Request::Screenshot {
            desktop: self.desktop,
            user: self.behalf.user,
        })?;
        let path = self.output.unwrap_or_else(|| PathBuf::from(name));
        if path.as_os_str() == "-" {
            let mut out = std::io::stdout().lock();
            let written = out.write_all(&reply.payload).and_then(|()| out.flush());
            written.context("cannot write to standard output")?;
        } else {
            std::fs::write(&path, &reply.payload).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
