//! `cargo xtask bench`: figures beside peers and goals. A goal that is missed is said, not failed.

pub(crate) mod e2e;
mod row;
mod sdk;
mod streams;

use crate::{peers_c, root, steps};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use row::{Row, Table};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[derive(Args)]
pub struct Options {
    /// What to measure
    #[command(subcommand)]
    what: What,
    /// Also write one JSON object per row to this file
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// Frame codecs: bytes and time per frame
    Codec {
        /// Arguments for the bench itself
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Text heads: time per picture beside a copy of it
    Terminal,
    /// Serial ports: what the daemon adds to them
    Streams,
    /// A server written with the crate `rdpmux-server` beside one written with `ironrdp-server`
    Sdk(sdk::Options),
    /// The product beside its peers, from guest to client
    E2e(e2e::Options),
}

/// Runs the subcommand.
///
/// # Errors
/// When the bench cannot be built or fails, or the file cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let mut table = Table::default();
    match &options.what {
        What::Codec { arguments } => codec(arguments, &mut table)?,
        What::Terminal => terminal(&mut table)?,
        What::Streams => streams::run(&mut table)?,
        What::Sdk(options) => sdk::run(options, &mut table)?,
        What::E2e(options) => e2e::run(options, &mut table)?,
    }
    if !table.is_empty() {
        table.print_markdown();
    }
    match &options.json {
        Some(path) => table.write_json(path),
        None => Ok(()),
    }
}

/// The engine's own bench writes one JSON row per line; anything else is for the reader.
fn codec(arguments: &[String], table: &mut Table) -> Result<()> {
    let mut command = steps::cargo();
    command
        .args([
            "bench",
            "--quiet",
            "--package",
            "rdpmux-engine",
            "--bench",
            "engine",
            "--",
        ])
        .args(arguments)
        .current_dir(root::path());
    match peers_c::freerdp_codecs() {
        Ok(program) => drop(command.env("RDPMUX_FREERDP_CODECS", program)),
        Err(error) => println!("without FreeRDP's encoders: {error:#}\n"),
    }
    rows_of(&mut command, table)
}

/// The terminal's own bench writes such rows, too.
fn terminal(table: &mut Table) -> Result<()> {
    let mut command = steps::cargo();
    command
        .args(["bench", "--quiet", "--package", "rdpmux-terminal", "--bench", "redraw"])
        .current_dir(root::path());
    rows_of(&mut command, table)
}

/// Runs a measuring program and takes the rows that it writes; other lines are shown.
fn rows_of(command: &mut Command, table: &mut Table) -> Result<()> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the bench")?;
    let stdout = child.stdout.take().context("the bench has no output pipe")?;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        if line.starts_with('{') {
            table.push(Row::from_json(&line)?);
        } else {
            println!("{line}");
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the bench ended with {status}");
    }
    Ok(())
}
