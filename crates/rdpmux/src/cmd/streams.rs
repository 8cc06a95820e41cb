//! `rdpmux streams`: the character devices of a machine.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use rdpmux_streams::{Entry, Kind, State, Text, ToClient, ToServer};
use serde_json::{Value, json};

use super::reach::Reach;
use crate::console::line::Line;
use crate::output;

/// List the serial ports and other character devices of a VM
#[derive(Debug, Args)]
pub(crate) struct Streams {
    /// Name of the VM
    vm: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

impl Streams {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let (mut line, _connection) = self.reach.line(&self.vm)?;
        let found = list(&mut line)?;
        if self.json {
            let found: Vec<Value> = found.iter().map(as_json).collect();
            output::write(&format!("{}\n", json!(found)))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut page = format!(
            "{:24} {:8} {:12} {:>12} {:>8} {:16} {}\n",
            "STREAM", "KIND", "STATE", "BYTES", "WATCHERS", "WRITER", "TITLE"
        );
        for entry in found {
            let _ = writeln!(
                page,
                "{:24} {:8} {:12} {:>12} {:>8} {:16} {}",
                entry.name.as_str(),
                kind(entry.kind),
                state(entry.state),
                entry.total,
                entry.watchers,
                entry.writer.as_str(),
                entry.title
            );
        }
        output::write(&page)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The streams that there are for this client, by name.
pub(super) fn list(line: &mut Line) -> anyhow::Result<Vec<Entry<'static>>> {
    line.say(&ToServer::List { follow: false })?;
    let mut found = Vec::new();
    line.hear(|message| match message {
        ToClient::Added(entry) => {
            found.push(owned(entry));
            None
        }
        ToClient::ListEnd { .. } => Some(()),
        _ => None,
    })?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn owned(entry: &Entry<'_>) -> Entry<'static> {
    let own = |text: &Text<'_>| text.clone().into_owned();
    Entry {
        name: own(&entry.name),
        title: own(&entry.title),
        writer: own(&entry.writer),
        ..*entry
    }
}

fn as_json(entry: &Entry<'_>) -> Value {
    json!({
        "stream": entry.name.as_str(),
        "title": entry.title.as_str(),
        "kind": kind(entry.kind),
        "state": state(entry.state),
        "bytes": entry.total,
        "oldest": entry.oldest,
        "watchers": entry.watchers,
        "writer": entry.writer.as_str(),
    })
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Serial => "serial",
        Kind::Console => "console",
        Kind::Port => "port",
        Kind::Monitor => "monitor",
        Kind::Other => "other",
        Kind::Log => "log",
    }
}

fn state(state: State) -> &'static str {
    match state {
        State::NoSource => "no source",
        State::Open => "open",
        State::GuestClosed => "guest closed",
        State::Off => "off",
    }
}
