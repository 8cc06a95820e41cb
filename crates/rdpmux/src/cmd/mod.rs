//! The commands, one file each. To add one: a file here, a variant of [`Command`], and its line in `run`.

mod check;
mod compat;
mod console;
mod demo;
mod disconnect;
mod keys;
mod man;
mod operator;
mod power;
mod rdp_file;
mod reach;
mod run;
mod screenshot;
mod serve;
mod sessions;
mod stream_helper;
mod streams;
mod user;
mod version;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use rdpmux_host::Config;

use crate::exit::{CONFIGURATION, Usage};
use crate::output;

/// Every VM of a host behind one RDP port, any number of viewers each, any stock RDP client.
#[derive(Debug, Parser)]
#[command(name = "rdpmux", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What to log, for example `info` or `info,rdpmux_guest=debug`; else RUST_LOG counts
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  rdpmux demo
      two drawn desktops, to try clients with
  rdpmux run -- qemu-system-x86_64 -m 2G -cdrom debian.iso
      start a VM and serve its screen
  rdpmux user add alice && rdpmux serve
      serve all VMs of this host, as /etc/rdpmux/rdpmux.toml says
  rdpmux sessions
      who looks at what now; `rdpmux disconnect s12` ends one of them
  rdpmux keys web1 ctrl-alt-del
      press keys in a VM; --text types; `rdpmux power web1 reset`, `rdpmux screenshot web1` do what they say
  rdpmux console web1
      its serial port in this terminal; `rdpmux streams web1` lists what there is

Exit codes: 64 configuration or command line, 69 cannot listen or no daemon runs, 70 a bug, 74 a file cannot be read or \
written, 77 not permitted.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Demo),
    Run(run::Run),
    Serve(serve::Serve),
    Check(check::Check),
    User(user::User),
    Sessions(sessions::Sessions),
    Disconnect(disconnect::Disconnect),
    Keys(keys::Keys),
    Power(power::Power),
    Screenshot(screenshot::Screenshot),
    Streams(streams::Streams),
    Console(console::Console),
    StreamHelper(stream_helper::StreamHelper),
    RdpFile(rdp_file::MakeRdpFile),
    Man(man::Man),
    Version(version::Version),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Demo(command) => command.run(),
            Self::Run(command) => command.run(),
            Self::Serve(command) => command.run(),
            Self::Check(command) => command.run(),
            Self::User(command) => command.run(),
            Self::Sessions(command) => command.run(),
            Self::Disconnect(command) => command.run(),
            Self::Keys(command) => command.run(),
            Self::Power(command) => command.run(),
            Self::Screenshot(command) => command.run(),
            Self::Streams(command) => command.run(),
            Self::Console(command) => command.run(),
            Self::StreamHelper(command) => command.run(),
            Self::RdpFile(command) => command.run(),
            Self::Man(command) => command.run(),
            Self::Version(command) => command.run(),
        }
    }

    /// What is logged without `--log` and `RUST_LOG`: the daemon tells what it does, the others only what goes wrong.
    pub(crate) fn default_log(&self) -> &'static str {
        match self {
            Self::Serve(serve) => serve.default_log(),
            _ => "warn",
        }
    }
}

/// Reads the command line; help and version end the process with 0, a mistake is a [`Usage`] error.
pub(crate) fn parse() -> anyhow::Result<Cli> {
    Cli::try_parse_from(compat::translated(std::env::args_os())).or_else(|error| {
        if error.use_stderr() {
            // clap's own message has the usage line and the nearest argument.
            eprint!("{error}");
            std::process::exit(CONFIGURATION.into());
        }
        output::write(&error.to_string())?;
        std::process::exit(0);
    })
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = Config::DEFAULT_PATH)]
    config: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config)?)
    }
}

fn usage<T>(what: impl Into<String>) -> anyhow::Result<T> {
    Err(Usage(what.into()).into())
}
