//! `rdpmux demo`: two test cards behind one port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use rdpmux_host::config::{Config, Machine, Source, TakeOver};
use rdpmux_host::{Daemon, Identity, testcard};
use rdpmux_model::{DesktopName, Size};

use crate::invitation::Invitation;
use crate::output;
use crate::scratch::ScratchDir;
use crate::serving::{self, StopSignals};

/// Serve two drawn desktops, to try clients with
///
/// `north` and `south` are behind one port. Passwords are new at each start and printed with ready-made client command
/// lines; `.rdp` files are written for a double click.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rdpmux demo
  rdpmux demo --listen 0.0.0.0:3389 --out ~/Desktop
  rdpmux demo --json --listen 127.0.0.1:0      one line of JSON first; the kernel chooses the port")]
pub(crate) struct Demo {
    #[command(flatten)]
    door: Door,
    /// Size of the desktops in pixels
    #[arg(long, value_name = "WxH", default_value = "1024x768", value_parser = parse_size)]
    size: Size,
    /// Start without anything moving; F2 turns motion on
    #[arg(long)]
    still: bool,
    /// So many more desktops, `desk0` and on: for benches
    #[arg(long, hide = true, default_value_t = 0, value_name = "COUNT")]
    more: u32,
}

/// How `demo` and `run` are reached and what they print.
#[derive(Debug, Args)]
pub(crate) struct Door {
    /// Address and port to listen on; port 0 lets the kernel choose
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:3389")]
    pub(crate) listen: SocketAddr,
    /// Print one line of JSON instead of the page for people
    #[arg(long)]
    pub(crate) json: bool,
    /// Directory for the .rdp files [default: one that is removed at the end]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

impl Demo {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        serving::block_on(async {
            let signals = StopSignals::new()?;
            let card = testcard::Config {
                size: self.size,
                still: self.still,
            };
            let machine = |name: &str| -> anyhow::Result<Machine> {
                Ok(Machine {
                    name: DesktopName::new(name)?,
                    source: Source::TestCard(card),
                    resize: true,
                    layout: None,
                    take_over: TakeOver::default(),
                    streams: Vec::new(),
                })
            };
            let mut machines = vec![machine("north")?, machine("south")?];
            for index in 0..self.more {
                machines.push(machine(&format!("desk{index}"))?);
            }
            let opened = self.door.open(machines).await?;
            serving::until_stopped(opened.daemon, signals).await
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A daemon that was announced.
pub(crate) struct Opened {
    pub(crate) daemon: Daemon,
    /// Where the `.rdp` files are if nobody said; removed when dropped.
    _scratch: Option<ScratchDir>,
}

impl Door {
    /// Starts a daemon for these machines with two fresh users, and tells how to connect.
    pub(crate) async fn open(&self, machines: Vec<Machine>) -> anyhow::Result<Opened> {
        let invitation = Invitation::new();
        let desktops: Vec<DesktopName> = machines.iter().map(|machine| machine.name.clone()).collect();
        let config = Config {
            listen: self.listen,
            grants: invitation.grants(),
            machines,
            ..Config::default()
        };
        let daemon = Daemon::start(&config, invitation.users(), &Identity::ephemeral()?).await?;
        let scratch = if self.out.is_none() && !self.json {
            Some(ScratchDir::new()?)
        } else {
            None
        };
        let files = match self.out.as_deref().or(scratch.as_ref().map(ScratchDir::path)) {
            Some(directory) => invitation.write_files(directory, &daemon, &desktops)?,
            None => Vec::new(),
        };
        let text = if self.json {
            invitation.json(&daemon, &desktops)
        } else {
            invitation.page(&daemon, &desktops, &files)
        };
        output::write(&text)?;
        Ok(Opened {
            daemon,
            _scratch: scratch,
        })
    }
}

fn parse_size(text: &str) -> Result<Size, String> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| (1..=4096).contains(number));
    let (width, height) = text.split_once('x').ok_or("write it like 1024x768")?;
    match (number(width), number(height)) {
        (Some(width), Some(height)) => Ok(Size::new(width, height)),
        _ => Err("both sides go from 1 to 4096 pixels".to_owned()),
    }
}
