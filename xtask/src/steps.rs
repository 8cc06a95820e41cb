//! Runs other programs: loud, silent, or into a log file that is shown when they fail.
//! Called by every subcommand; the long-lived programs of the e2e suites are in `e2e::process`.

use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `command` with its output on our terminal.
///
/// # Errors
/// When it cannot be started or ends with another status than 0.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// Runs `command` and returns its standard output.
///
/// # Errors
/// When it cannot be started or fails; the message holds its last lines of standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command
        .output()
        .with_context(|| format!("cannot start {}", line(command)))?;
    if !out.status.success() {
        let text = String::from_utf8_lossy(&out.stderr);
        bail!("{} ended with {}:\n{}", line(command), out.status, tail_of(&text, 12));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Which lines of a logged program are also printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// None; the log file has them.
    Nothing,
    /// What the program writes to standard output.
    Output,
}

/// Runs `command`, writing its output to `log`.
///
/// # Errors
/// When it cannot be started or fails; the message holds the log's last lines.
pub fn logged(command: &mut Command, log: &Path, echo: Echo) -> Result<()> {
    if let Some(parent) = log.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(file.try_clone()?);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", line(command)))?;
    let stdout = child.stdout.take().context("the program has no output pipe")?;
    for text in BufReader::new(stdout).split(b'\n') {
        let text = String::from_utf8_lossy(&text?).into_owned();
        writeln!(file, "{text}")?;
        if echo == Echo::Output {
            println!("{text}");
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!(
            "{} ended with {status}; end of {}:\n{}",
            line(command),
            log.display(),
            tail(log, 40)
        );
    }
    Ok(())
}

/// The last `lines` lines of a file, or why it cannot be read.
pub fn tail(path: &Path, lines: usize) -> String {
    match fs::read(path) {
        Ok(bytes) => tail_of(&String::from_utf8_lossy(&bytes), lines),
        Err(error) => format!("(cannot read {}: {error})", path.display()),
    }
}

fn tail_of(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// `cargo` as the one that started us.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn line(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    format!("`{}`", words.join(" "))
}
