//! `rdpmux console`: a serial port of a machine in this terminal.

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use rdpmux_streams::{ErrorCode, Kind, Mode, Replay, Text, ToClient, ToServer, Wish, Writer};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{self, OptionalActions, Termios};

use super::reach::Reach;
use super::streams::list;
use crate::console::keys::{Keys, Typed};
use crate::console::line::Line;
use crate::console::screen::{Filter, Queries};

/// Use a serial port of a VM in this terminal
///
/// Any number of people may watch; one types. The first who opens it does, unless with --watch. What was printed last is
/// shown first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rdpmux console web1                  its only serial port, or serial0
  rdpmux console web1/serial1 --watch
  rdpmux console web1 --history          what is kept of its output, then end
  rdpmux console web1 --follow > web1.log
  rdpmux console --host vmhost --user alice web1      over RDP, from anywhere

In the terminal, at the beginning of a line:
  ~.  leave      ~B  send a break      ~W  type, though somebody else does      ~?  say this      ~~  a ~")]
pub(crate) struct Console {
    /// Name of the VM, and of one of its streams as `rdpmux streams` lists them
    #[arg(value_name = "VM[/STREAM]")]
    target: String,
    /// Only watch
    #[arg(long, conflicts_with = "take_over")]
    watch: bool,
    /// Type, though somebody else does
    #[arg(long)]
    take_over: bool,
    /// Print what is kept of the output, then end
    #[arg(long, conflicts_with_all = ["watch", "take_over", "follow"])]
    history: bool,
    /// Print what is kept of the output, and what comes, as it is and without a terminal
    #[arg(long, conflicts_with_all = ["watch", "take_over"])]
    follow: bool,
    /// With --history and --follow: begin at this offset
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    since: u64,
    #[command(flatten)]
    reach: Reach,
}

impl Console {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (vm, stream) = match self.target.split_once('/') {
            Some((vm, stream)) => (vm, Some(stream)),
            None => (self.target.as_str(), None),
        };
        let (mut line, _connection) = self.reach.line(vm)?;
        let name = choose(&mut line, stream)?;
        if self.history {
            history(&mut line, &name, self.since)?;
            return Ok(ExitCode::SUCCESS);
        }
        let (mode, replay) = match (self.follow, self.watch, self.take_over) {
            (true, ..) => (Mode::Watch, Replay::From(self.since)),
            (_, true, _) => (Mode::Watch, Replay::Last(SHOWN)),
            (_, _, true) => (Mode::TakeOver, Replay::Last(SHOWN)),
            _ => (Mode::Write, Replay::Last(SHOWN)),
        };
        let stream = open(&mut line, &name, mode, replay)?;
        let mut session = Session {
            line,
            stream,
            allowance: INPUT,
            waiting: Vec::new(),
            writes: false,
            is_over: false,
            filter: (!self.follow).then(Filter::default),
        };
        if self.follow {
            session.follow()?;
        } else {
            session.talk(self.watch)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Output that is shown of what came before, in bytes.
const SHOWN: u64 = 2 << 10;
/// Output that may be on its way.
const CREDIT: u32 = 64 << 10;
/// What the daemon takes before it says how much.
const INPUT: usize = 4 << 10;

/// The stream that is meant.
fn choose(line: &mut Line, name: Option<&str>) -> anyhow::Result<Text<'static>> {
    if let Some(name) = name {
        return Ok(Text::new(name)?.into_owned());
    }
    let found = list(line)?;
    let fits: Vec<_> = found
        .iter()
        .filter(|entry| matches!(entry.kind, Kind::Serial | Kind::Console))
        .collect();
    let only = if let [only] = fits[..] { Some(only) } else { None };
    let usual = || fits.iter().copied().find(|entry| entry.name.as_str() == "serial0");
    if let Some(entry) = only.or_else(usual) {
        return Ok(entry.name.clone());
    }
    if found.is_empty() {
        bail!(
            "there is no stream; start qemu with -chardev dbus,id=serial0,name=org.qemu.console.serial.0 -serial chardev:serial0"
        );
    }
    let names: Vec<_> = found.iter().map(|entry| entry.name.as_str()).collect();
    bail!("say which stream; there are: {}", names.join(", "));
}

/// Opens a stream; its number.
fn open(line: &mut Line, name: &Text<'_>, mode: Mode, replay: Replay) -> anyhow::Result<u16> {
    let opening = |mode| ToServer::Open {
        request: 1,
        mode,
        replay,
        credit: CREDIT,
        name: name.clone(),
    };
    let answer = |message: &ToClient<'_>| match message {
        ToClient::Opened { stream, .. } => Some(Ok(*stream)),
        ToClient::Failed { code, text, .. } => Some(Err((*code, text.to_string()))),
        _ => None,
    };
    line.say(&opening(mode))?;
    let mut answered = line.hear(answer)?;
    if mode == Mode::Write && matches!(answered, Err((ErrorCode::Denied, _))) {
        // Who may not type still watches.
        line.say(&opening(Mode::Watch))?;
        answered = line.hear(answer)?;
    }
    answered.map_err(|(_, text)| anyhow::anyhow!("{name}: {text}"))
}

/// Prints what is kept.
fn history(line: &mut Line, name: &Text<'_>, mut from: u64) -> anyhow::Result<()> {
    loop {
        line.say(&ToServer::History {
            request: 1,
            from,
            max: 256 << 10,
            name: name.clone(),
        })?;
        let before = from;
        let mut failed = None;
        line.hear(|message| match message {
            ToClient::History {
                from: offset,
                is_last,
                bytes,
                ..
            } => {
                if *offset > from && from > 0 {
                    eprintln!("rdpmux: {} bytes are no longer kept", offset - from);
                }
                from = offset + bytes.len() as u64;
                if let Err(error) = print(bytes) {
                    failed = Some(error);
                    return Some(());
                }
                is_last.then_some(())
            }
            ToClient::Failed { text, .. } => {
                failed = Some(anyhow::anyhow!("{name}: {text}"));
                Some(())
            }
            _ => None,
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if from == before {
            return Ok(());
        }
    }
}

fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}

struct Session {
    line: Line,
    stream: u16,
    /// Bytes that may be sent.
    allowance: usize,
    /// Typed, and not sent yet.
    waiting: Vec<u8>,
    writes: bool,
    is_over: bool,
    /// `None`: the output as it is.
    filter: Option<Filter>,
}

impl Session {
    fn follow(&mut self) -> anyhow::Result<()> {
        while !self.is_over {
            self.hear()?;
            if !self.is_over {
                self.line.read()?;
            }
        }
        Ok(())
    }

    /// Until the person leaves, standard input ends, or the stream does.
    fn talk(&mut self, only_watch: bool) -> anyhow::Result<()> {
        let stdin = std::io::stdin();
        let raw = if stdin.is_terminal() { Some(Raw::new()?) } else { None };
        if raw.is_some() {
            eprint!("{HELP}\r\n");
        }
        let mut keys = Keys::default();
        let mut has_input = true;
        self.hear()?;
        while !self.is_over && (has_input || !self.waiting.is_empty()) {
            let (typed, told) = {
                // What waits for credit is not added to.
                let wants = has_input && self.waiting.len() < INPUT;
                let input = if wants { PollFlags::IN } else { PollFlags::empty() };
                let mut ready = [
                    PollFd::new(self.line.bell(), PollFlags::IN),
                    PollFd::from_borrowed_fd(stdin.as_fd(), input),
                ];
                let watched = if wants { 2 } else { 1 };
                match poll(&mut ready[..watched], None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(error) => return Err(error).context("cannot wait for the terminal"),
                }
                (wants && !ready[1].revents().is_empty(), !ready[0].revents().is_empty())
            };
            if told {
                self.line.read_ready()?;
                self.hear()?;
            }
            if typed {
                let mut buffer = [0; 1024];
                let count = rustix::io::read(&stdin, &mut buffer).context("cannot read standard input")?;
                has_input = count > 0;
                let typed = match raw {
                    Some(_) => keys.take(&buffer[..count]),
                    None => vec![Typed::Bytes(buffer[..count].to_vec())],
                };
                for one in typed {
                    self.act(one, only_watch)?;
                }
            }
            self.send()?;
        }
        Ok(())
    }

    fn act(&mut self, typed: Typed, only_watch: bool) -> anyhow::Result<()> {
        let stream = self.stream;
        match typed {
            Typed::Leave => self.is_over = true,
            Typed::Help => eprint!("\r\n{HELP}\r\n"),
            Typed::Bytes(_) | Typed::Break | Typed::TakeOver if only_watch => {}
            Typed::Bytes(bytes) => self.waiting.extend(bytes),
            Typed::Break => self.line.say(&ToServer::Break { stream, ms: 0 })?,
            Typed::TakeOver => {
                let wish = Wish::TakeOver;
                self.line.say(&ToServer::Writer { stream, wish })?;
            }
        }
        Ok(())
    }

    /// Sends what waits, as far as the daemon takes it.
    fn send(&mut self) -> anyhow::Result<()> {
        let count = self.waiting.len().min(self.allowance);
        if count > 0 {
            let bytes: Vec<u8> = self.waiting.drain(..count).collect();
            self.allowance -= count;
            let (stream, bytes) = (self.stream, &bytes[..]);
            self.line.say(&ToServer::Data { stream, bytes })?;
        }
        Ok(())
    }

    /// Does what the daemon has said so far.
    fn hear(&mut self) -> anyhow::Result<()> {
        let mut printed: u32 = 0;
        let Self {
            line,
            stream,
            allowance,
            writes,
            is_over,
            filter,
            ..
        } = self;
        line.read_all(|message| {
            match message {
                ToClient::Data { bytes, is_replay, .. } => {
                    printed += u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    match filter {
                        Some(filter) => {
                            let answers = *writes && !is_replay;
                            let queries = if answers { Queries::Pass } else { Queries::Drop };
                            let mut out = Vec::new();
                            filter.take(bytes, queries, &mut out);
                            print(&out)?;
                        }
                        None => print(bytes)?,
                    }
                }
                ToClient::Credit { add, .. } => *allowance += *add as usize,
                ToClient::Gap { from, to, .. } => eprint!("\r\n[{} bytes are missing]\r\n", to - from),
                ToClient::Writer { writer, who, .. } => {
                    *writes = *writer == Writer::You;
                    if *writer == Writer::Other && filter.is_some() {
                        eprint!("[{who} types; you watch]\r\n");
                    }
                }
                ToClient::Closed { text, .. } => {
                    eprint!("[the stream ended: {text}]\r\n");
                    *is_over = true;
                }
                _ => {}
            }
            Ok(())
        })?;
        if printed > 0 {
            let (stream, add) = (*stream, printed);
            line.say(&ToServer::Credit { stream, add })?;
        }
        Ok(())
    }
}

const HELP: &str = "[~. leaves, ~B sends a break, ~W types though somebody else does, ~? says this]";

/// The terminal gives every key at once while this lives.
struct Raw {
    before: Termios,
}

impl Raw {
    fn new() -> anyhow::Result<Self> {
        let stdin = std::io::stdin();
        let before = termios::tcgetattr(&stdin).context("cannot ask the terminal")?;
        let mut raw = before.clone();
        raw.make_raw();
        termios::tcsetattr(&stdin, OptionalActions::Now, &raw).context("cannot set the terminal")?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
        eprintln!();
    }
}
