//! `cargo xtask publish`: the crates of this workspace to crates.io, each after those that it needs. Without `--upload` it is
//! a rehearsal: every crate is packed, and built from what was packed. Called by nothing else, and not by CI.

use crate::{root, steps};
use anyhow::Result;
use clap::Args;

#[derive(Args)]
pub struct Options {
    /// Upload, for good, instead of a rehearsal
    #[arg(long)]
    upload: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// When files are not committed, a crate does not build from its package, or crates.io refuses it.
pub fn run(options: &Options) -> Result<()> {
    let mut publish = steps::cargo();
    // Cargo knows the order, and leaves out what says `publish = false`.
    publish.args(["publish", "--workspace", "--target-dir"]);
    publish.arg(root::target().join("publish"));
    if !options.upload {
        publish.arg("--dry-run");
    }
    steps::run(&mut publish)
}
