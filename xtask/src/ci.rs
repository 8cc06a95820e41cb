//! `cargo xtask ci`: everything a submission has to pass, in order, each step logged under `target/ci`.
//! Ends with a table of times and the count of end-to-end cases. Sets the machine up first.

use crate::e2e::report;
use crate::steps::{self, Echo};
use crate::{quick, root};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::process::Command;
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct Options {
    /// Seconds per fuzz target
    #[arg(long, default_value_t = 8)]
    fuzz_seconds: u32,
    /// Leave the end-to-end suites out
    #[arg(long)]
    no_e2e: bool,
}

struct Step {
    name: &'static str,
    commands: Vec<Command>,
    echo: Echo,
}

/// Runs the subcommand.
///
/// # Errors
/// At the first step that fails, with the end of its log.
pub fn run(options: &Options) -> Result<()> {
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut failure = None;
    report::forget_all()?;
    for step in list(options)? {
        println!("ci: {} …", step.name);
        let started = Instant::now();
        let result = go(step.name, step.commands, step.echo);
        times.push((step.name, started.elapsed()));
        if let Err(error) = result {
            failure = Some((step.name, error));
            break;
        }
    }
    print_table(&times, failure.as_ref().map(|(name, _)| *name));
    let (passed, failed) = report::total()?;
    if let Some((name, error)) = failure {
        println!("{error:#}");
        println!("{passed} passed, {} failed", failed.max(1));
        bail!("ci failed in step {name}; logs are in target/ci");
    }
    if !options.no_e2e {
        println!("{passed} passed, {failed} failed");
    }
    Ok(())
}

/// Steps of the end-to-end suites.
const SUITES: &[(&str, &str)] = &[
    ("e2e codecs", "codecs"),
    ("e2e clients", "clients"),
    ("e2e qemu", "qemu"),
    ("e2e graphics", "graphics"),
    ("e2e session", "session"),
    ("e2e librdpmux", "librdpmux"),
    ("e2e streams", "streams"),
    ("e2e sdk", "sdk"),
];

fn list(options: &Options) -> Result<Vec<Step>> {
    let step = |name, commands, echo| Step { name, commands, echo };
    let mut steps = vec![
        step("setup", vec![own(&["setup"])?], Echo::Output),
        step("format", quick::format(), Echo::Nothing),
        step("layers", vec![own(&["layers"])?], Echo::Output),
        step("deny", vec![own(&["deny"])?], Echo::Nothing),
        step("clippy", quick::clippy(), Echo::Nothing),
        step("documents", vec![quick::documents()], Echo::Nothing),
        step("unit", vec![quick::unit()], Echo::Nothing),
        step(
            "fuzz",
            vec![own(&["fuzz", "--seconds", &options.fuzz_seconds.to_string()])?],
            Echo::Output,
        ),
    ];
    // `cargo run --release -- …` as README has it, with a command that ends.
    steps.push(step("first command", vec![quick::first_command()], Echo::Nothing));
    if !options.no_e2e {
        for &(name, suite) in SUITES {
            steps.push(step(name, vec![own(&["e2e", suite, "--again"])?], Echo::Output));
        }
    }
    Ok(steps)
}

fn own(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("cannot find our own program")?);
    command.args(arguments);
    Ok(command)
}

fn go(name: &str, commands: Vec<Command>, echo: Echo) -> Result<()> {
    for (index, mut command) in commands.into_iter().enumerate() {
        let log = root::target()
            .join("ci")
            .join(format!("{}-{index}.log", name.replace(' ', "-")));
        steps::logged(&mut command, &log, echo)?;
    }
    Ok(())
}

fn print_table(times: &[(&str, Duration)], failed: Option<&str>) {
    println!("\n{:14} {:>8}", "step", "seconds");
    for (name, time) in times {
        let mark = if failed == Some(*name) { "  FAILED" } else { "" };
        println!("{name:14} {:8.1}{mark}", time.as_secs_f64());
    }
    let all: Duration = times.iter().map(|(_, time)| *time).sum();
    println!("{:14} {:8.1}\n", "all", all.as_secs_f64());
}
