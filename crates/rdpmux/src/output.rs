//! Standard output for results and standard error for the log. Results are flushed at once: other programs wait for them.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::exit::Usage;

/// Writes a result.
pub(crate) fn write(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}

/// Whether the reader of our output went away, which is no error worth a word.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Starts the log: `--log`, else `RUST_LOG`, else `default`.
pub(crate) fn start_log(filter: Option<&str>, default: &str) -> anyhow::Result<()> {
    let environment = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let text = filter
        .map(str::to_owned)
        .or(environment)
        .unwrap_or_else(|| default.to_owned());
    let filter = EnvFilter::try_new(&text).map_err(|error| {
        Usage(format!(
            "the log filter `{text}` cannot be used: {error}; write for example info,rdpmux_guest=debug"
        ))
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}
