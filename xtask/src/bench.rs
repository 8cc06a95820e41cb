//! `cargo xtask bench`: figures, never pass or fail.

use crate::steps;
use anyhow::Result;
use clap::{Args, ValueEnum};

#[derive(Args)]
pub struct Options {
    /// What to measure
    what: What,
    /// Arguments for the bench itself
    #[arg(last = true)]
    arguments: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Frame codecs: bytes and time per tile
    Codec,
}

/// Runs the subcommand.
///
/// # Errors
/// When the bench cannot be built or fails.
pub fn run(options: &Options) -> Result<()> {
    let package = match options.what {
        What::Codec => "rdpmux-engine",
    };
    steps::run(
        steps::cargo()
            .args(["bench", "--package", package, "--"])
            .args(&options.arguments),
    )
}
