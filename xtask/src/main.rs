//! `cargo xtask …`: every check and tool of this repository. Each subcommand is a file of its own.
//! CI runs exactly `cargo xtask ci`; nothing here is part of the product.
#![forbid(unsafe_code)]

mod api;
mod bench;
mod certificate;
mod ci;
mod console_keymap;
mod deny;
mod e2e;
mod fuzz;
mod guest_image;
mod install;
mod layers;
mod layouts;
mod metadata;
mod peers_c;
mod publish;
mod quick;
mod root;
mod setup;
mod steps;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Checks and tools of the rdpmux repository")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what build and tests need, from a bare Debian 12 with Rust
    Setup(setup::Options),
    /// Check who may depend on whom, runtime-free crates, unsafe and file sizes
    Layers,
    /// Write the table of keyboard layouts anew (needs x11proto-dev and xkb-data)
    Layouts,
    /// Check licences, sources and duplicate versions of all dependencies against deny.toml
    Deny,
    /// Format, clippy, layers, documents, unit tests
    Quick,
    /// Run the fuzz targets for a bounded time
    Fuzz(fuzz::Options),
    /// Run benchmarks
    Bench(bench::Options),
    /// Run end-to-end suites against real QEMUs and real clients
    E2e(e2e::Options),
    /// Build librdpmux and install library, header and pkg-config file
    InstallLibrdpmux(install::Options),
    /// Rehearse the release of all crates, or publish them
    Publish(publish::Options),
    /// Hold what programs see of rdpmux-server against the last release, or record it
    Api(api::Options),
    /// Everything a submission has to pass
    Ci(ci::Options),
    /// Viewers without a screen, for benches and suites
    #[command(hide = true)]
    Light(e2e::light::Options),
}

fn main() -> ExitCode {
    match std::env::set_current_dir(root::path())
        .map_err(anyhow::Error::from)
        .and_then(|()| run(Cli::parse().task))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    match task {
        Task::Setup(options) => setup::run(&options),
        Task::Layers => layers::run(),
        Task::Layouts => layouts::run(),
        Task::Deny => deny::run(),
        Task::Quick => quick::run(),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::E2e(options) => e2e::run(&options),
        Task::InstallLibrdpmux(options) => install::run(&options),
        Task::Publish(options) => publish::run(&options),
        Task::Api(options) => api::run(&options),
        Task::Ci(options) => ci::run(&options),
        Task::Light(options) => e2e::light::run(&options),
    }
}
