//! The rdpmux binary: parse, log, run the command, exit. What commands do is in `cmd/`, what the daemon does in `host`.
#![forbid(unsafe_code)]

mod cmd;
mod console;
mod exit;
mod invitation;
mod output;
mod password;
mod rdp_file;
mod scratch;
mod serving;

use std::process::ExitCode;

/// Pictures come and go: this one gives their memory back, the system's keeps it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    exit::guard(|| {
        let cli = cmd::parse()?;
        output::start_log(cli.log.as_deref(), cli.command.default_log())?;
        cli.command.run()
    })
}
