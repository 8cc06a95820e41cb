//! `cargo xtask quick`: the checks one runs before each commit. `ci` runs the same steps with logs and times.

use crate::{layers, steps};
use anyhow::Result;
use std::process::Command;

/// Runs the subcommand.
///
/// # Errors
/// At the first check that fails.
pub fn run() -> Result<()> {
    for mut step in format().into_iter().chain(clippy()) {
        steps::run(&mut step)?;
    }
    layers::run()?;
    steps::run(&mut documents())?;
    steps::run(&mut unit())
}

/// The format checks of all workspaces.
pub fn format() -> Vec<Command> {
    let workspaces = MANIFESTS
        .iter()
        .map(|manifest| cargo(&["fmt", "--all", "--check", "--manifest-path", manifest]));
    workspaces.chain([fuzz_targets()]).collect()
}

/// The build lists the fuzz targets, which `cargo fmt` does not see.
fn fuzz_targets() -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "exec rustfmt --edition 2024 --check fuzz/fuzz_targets/*.rs"]);
    command
}

/// The lints of all workspaces, warnings refused.
pub fn clippy() -> Vec<Command> {
    MANIFESTS
        .iter()
        .map(|manifest| {
            let mut command = cargo(&["clippy", "--workspace", "--all-targets", "--manifest-path", manifest]);
            if *manifest != "Cargo.toml" {
                command.args(["--target-dir", "target/side"]);
            }
            command.args(["--", "-D", "warnings"]);
            command
        })
        .collect()
}

/// The documents of all crates that are for programs, warnings (links that lead nowhere) refused.
pub fn documents() -> Command {
    let mut command = cargo(&[
        "doc",
        "--no-deps",
        "--workspace",
        "--exclude",
        "rdpmux",
        "--exclude",
        "xtask",
    ]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    command
}

/// The unit tests of the product.
pub fn unit() -> Command {
    cargo(&["test", "--workspace"])
}

/// README's way to start the program.
pub fn first_command() -> Command {
    cargo(&["run", "--release", "--", "version"])
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = steps::cargo();
    command.args(arguments);
    command
}

const MANIFESTS: &[&str] = &["Cargo.toml", "fuzz/Cargo.toml", "guests/kms/Cargo.toml"];
