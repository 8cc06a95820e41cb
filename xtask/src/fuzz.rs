//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer on the stable compiler, without cargo-fuzz.
//! The coverage that libFuzzer steers by comes from LLVM's own pass. Inputs that crash are kept and shown.

use crate::{root, steps};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread::available_parallelism;

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
/// When there is no such target, it does not build, or found an input that crashes, hangs or eats memory.
pub fn run(options: &Options) -> Result<()> {
    let only = options.target.as_deref();
    let mut targets = names()?;
    targets.retain(|name| only.is_none_or(|wanted| wanted == name));
    if targets.is_empty() {
        bail!("no fuzz target of that name; there are: {}", names()?.join(", "));
    }
    build(only)?;
    let problems = fuzz_all(&targets, options.seconds);
    if !problems.is_empty() {
        bail!("fuzz: {} problems:\n{}", problems.len(), problems.join("\n"));
    }
    Ok(())
}

/// The files of `fuzz/fuzz_targets`.
fn names() -> Result<Vec<String>> {
    let files = fs::read_dir("fuzz/fuzz_targets").context("fuzz/fuzz_targets")?;
    let paths = files.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let sources = paths
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let mut names: Vec<_> = sources
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// One target for each processor at a time; what they found.
fn fuzz_all(targets: &[String], seconds: u32) -> Vec<String> {
    let workers = available_parallelism().map_or(1, NonZero::get);
    let next = Mutex::new(targets.iter());
    let work = || {
        let take = || next.lock().ok()?.next();
        std::iter::from_fn(take)
            .filter_map(|name| Some(format!("{name}: {:#}", fuzz(name, seconds).err()?)))
            .collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let ended = running.into_iter().map(|worker| worker.join());
        ended
            .flat_map(|found| found.unwrap_or_else(|_| vec!["the task itself panicked".to_owned()]))
            .collect()
    })
}

/// The fuzz programs' own target; it keeps the coverage flags away from build scripts.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// One program with all targets, or with only one of them.
fn build(only: Option<&str>) -> Result<()> {
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
    command.args(["--target", TRIPLE]);
    command.env("RDPMUX_FUZZ_ONLY", only.unwrap_or_default());
    command.env("RUSTFLAGS", FLAGS).env_remove("CARGO_ENCODED_RUSTFLAGS");
    steps::run(&mut command)
}

fn fuzz(name: &str, seconds: u32) -> Result<()> {
    let program = PathBuf::from(format!("fuzz/target/{TRIPLE}/release/fuzz"));
    let work = root::target().join("fuzz").join(name);
    let (corpus, crashes) = (work.join("corpus"), work.join("crashes/"));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&crashes)?;
    let log = work.join("log");
    let mut command = Command::new(program);
    command.env("RDPMUX_FUZZ", name);
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
