//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer on the stable compiler, without cargo-fuzz.
//! The coverage that libFuzzer steers by comes from LLVM's own pass. Inputs that crash are kept and shown.

use crate::{root, steps};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Args)]
pub struct Options {
    /// Seconds per target
    #[arg(long, default_value_t = 30)]
    pub seconds: u32,
    /// Only this target
    pub target: Option<String>,
}

/// Memory in MiB above which an input counts as a crash.
const MEMORY_LIMIT: u32 = 1024;
/// Seconds after which one input counts as a hang.
const INPUT_LIMIT: u32 = 10;

const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions=yes";

/// Runs the subcommand.
///
/// # Errors
/// When a target is missing, does not build, or found an input that crashes, hangs or eats memory.
pub fn run(options: &Options) -> Result<()> {
    let mut problems = Vec::new();
    let mut targets = Vec::new();
    for name in names()? {
        if options.target.as_ref().is_some_and(|wanted| *wanted != name) {
            continue;
        }
        let source = PathBuf::from(format!("fuzz/fuzz_targets/{name}.rs"));
        if source.exists() {
            targets.push(name)
        } else {
            problems.push(format!("{name}: {} does not exist", source.display()))
        }
    }
    if targets.is_empty() && problems.is_empty() {
        bail!("no fuzz target of that name; there are: {}", names()?.join(", "));
    }
    for name in &targets {
        let found = build(name).and_then(|program| fuzz(name, &program, options.seconds));
        if let Err(error) = found {
            problems.push(format!("{name}: {error:#}"));
        }
    }
    if !problems.is_empty() {
        bail!("fuzz: {} problems:\n{}", problems.len(), problems.join("\n"));
    }
    Ok(())
}

fn names() -> Result<Vec<String>> {
    let manifest: toml::Table = fs::read_to_string("fuzz/Cargo.toml")?
        .parse()
        .context("fuzz/Cargo.toml")?;
    let bins = manifest
        .get("bin")
        .and_then(toml::Value::as_array)
        .context("fuzz/Cargo.toml has no [[bin]]")?;
    Ok(bins
        .iter()
        .filter_map(|bin| bin.get("name")?.as_str().map(str::to_owned))
        .collect())
}

fn build(name: &str) -> Result<PathBuf> {
    let triple = "x86_64-unknown-linux-gnu";
    // An explicit target keeps the coverage flags away from build scripts.
    let mut command = steps::cargo();
    command.args([
        "build",
        "--quiet",
        "--release",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
        "fuzz/target",
    ]);
    command
        .args(["--target", triple, "--bin", name])
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    steps::run(&mut command)?;
    Ok(PathBuf::from(format!("fuzz/target/{triple}/release/{name}")))
}

fn fuzz(name: &str, program: &Path, seconds: u32) -> Result<()> {
    let work = root::target().join("fuzz").join(name);
    let (corpus, crashes) = (work.join("corpus"), work.join("crashes/"));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&crashes)?;
    let log = work.join("log");
    let mut command = Command::new(program);
    command.args([
        format!("-max_total_time={seconds}"),
        format!("-rss_limit_mb={MEMORY_LIMIT}"),
        format!("-timeout={INPUT_LIMIT}"),
    ]);
    command
        .args([
            "-print_final_stats=1".to_owned(),
            format!("-artifact_prefix={}", crashes.display()),
        ])
        .arg(&corpus);
    let seeds = PathBuf::from(format!("fuzz/corpus/{name}"));
    if seeds.exists() {
        command.arg(seeds);
    }
    let file = fs::File::create(&log)?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()?;
    let text = fs::read_to_string(&log).unwrap_or_default();
    let runs = text
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .map_or("?", str::trim);
    if !status.success() {
        let kept = newest(&crashes).map_or_else(|| "no input was kept".to_owned(), |input| shown(&input));
        bail!(
            "after {runs} runs: {status}\n{kept}\nend of {}:\n{}",
            log.display(),
            steps::tail(&log, 25)
        );
    }
    println!("fuzz: {name}: {runs} runs in {seconds} s, no crash");
    Ok(())
}

fn newest(folder: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.flatten();
    files
        .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok())
        .map(|entry| entry.path())
}

fn shown(input: &Path) -> String {
    let bytes = fs::read(input).unwrap_or_default();
    let hex: String = bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
    format!(
        "input kept: {} ({} bytes) {hex}{}",
        input.display(),
        bytes.len(),
        if bytes.len() > 64 { "…" } else { "" }
    )
}
