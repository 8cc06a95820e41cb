//! One machine: its backend's heads become desktops, its events become log lines. Dropping the task that runs it takes
//! its desktops off the port.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use rdpmux_guest::outside::Follower;
use rdpmux_guest::{GuestEvent, GuestSpec, GuestTask, HeadPort, outside, qemu};
use rdpmux_model::DesktopName;
use rdpmux_server::streams::StreamSource;
use rdpmux_server::typing::Layout;
use rdpmux_server::{
    ClipboardHub, Console, Desktop, DesktopSource, GuestClipboard, HeadSource, Heads, Peripherals, SoundHub,
    SoundSource, Streams,
};
use rdpmux_streams::hub::Label;
use rdpmux_streams::{Kind, Text};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::board::{Board, Notice, Ticket};
use super::outlets::Opened;
use crate::config::{self, Source};
use crate::task::TaskGuard;

/// Events of a backend that may wait; a backend waits for room, so nothing is lost.
const EVENTS: usize = 16;

/// How a machine's screens are offered.
#[derive(Debug, Clone)]
pub(crate) struct Screens {
    /// Name of the first desktop, without `/`.
    pub(crate) name: DesktopName,
    /// Another name by which clients may ask, likewise.
    pub(crate) alias: Option<DesktopName>,
    /// Whether viewers may change the sizes of its heads.
    pub(crate) resize: bool,
    /// The keyboard layout that its system is set to.
    pub(crate) layout: Option<Layout>,
}

/// Where it is kept what has to be put back, and by which that is asked for.
pub(super) struct Keeping {
    pub(super) directory: PathBuf,
    pub(super) hand_back: qemu::HandBack,
}

struct Machine {
    screens: Screens,
    board: Arc<Board>,
    heads: HashMap<u32, (Desktop, Ticket)>,
    /// What joins the desktops.
    together: Heads,
    uuid: Option<String>,
    /// What all heads share.
    peripherals: Peripherals,
    /// `None`: it is nothing but streams.
    guest: Option<GuestTask>,
    /// Its character devices.
    streams: Streams,
    /// Those that are desktops, too, by their names.
    consoles: HashMap<Text<'static>, (Desktop, Ticket)>,
    /// Their files and sockets.
    outlets: Opened,
    /// Those that are reached from outside.
    _outside: Vec<Follower>,
}

/// Starts the backend of a configured machine and the task that follows it.
pub(super) fn start(machine: &config::Machine, board: Arc<Board>, keeping: &Keeping) -> TaskGuard {
    let screens = Screens {
        name: machine.name.clone(),
        alias: None,
        resize: machine.resize,
        layout: machine.layout,
    };
    TaskGuard::spawn(follow(screens, spec(machine, keeping), &machine.streams, board))
}

/// Starts a backend and what brings streams in. The future follows them and ends when they do; its desktops end with the
/// future.
pub(crate) fn follow(
    screens: Screens,
    spec: Option<GuestSpec>,
    outside: &[outside::Source],
    board: Arc<Board>,
) -> impl Future<Output = ()> + Send + use<> {
    let (sender, events) = mpsc::channel(EVENTS);
    let title = screens.name.as_str();
    let followers = outside
        .iter()
        .map(|source| outside::follow(source.clone(), title.to_owned(), sender.clone()))
        .collect();
    let guest = spec.map(|spec| rdpmux_guest::spawn(spec, title.to_owned(), sender));
    let streams = Streams::new(title.to_owned());
    let machine = Machine {
        outlets: Opened::new(board.outlets().clone(), streams.clone(), title),
        board,
        heads: HashMap::new(),
        together: Heads::new(screens.name.clone(), screens.resize),
        uuid: None,
        peripherals: peripherals(&screens, &devices(guest.as_ref())),
        guest,
        streams,
        consoles: HashMap::new(),
        _outside: followers,
        screens,
    };
    machine.run(events)
}

impl Machine {
    async fn run(mut self, mut events: mpsc::Receiver<GuestEvent>) {
        let mut listed = self.streams.listed();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.on_event(event),
                    None => return,
                },
                // `self.streams` lives, so it is a change.
                _ = listed.changed() => self.consoles(),
            }
        }
    }

    fn on_event(&mut self, event: GuestEvent) {
        match event {
            GuestEvent::Identified { name, uuid } => self.identified(name, uuid),
            GuestEvent::HeadAdded(port) => self.add_head(port),
            GuestEvent::HeadRemoved { index } => self.remove_head(index),
            GuestEvent::StreamAdded(port) => self.streams.attach(StreamSource {
                label: port.label,
                output: port.output,
                input: port.input,
            }),
            GuestEvent::Notice(notice) => debug!(desktop = %self.screens.name, ?notice, "machine changed state"),
        }
    }

    fn identified(&mut self, name: Option<String>, uuid: Option<String>) {
        debug!(desktop = %self.screens.name, ?name, ?uuid, "machine identified");
        if let Some(name) = name.filter(|name| !name.eq_ignore_ascii_case(self.screens.name.as_str())) {
            warn!(desktop = %self.screens.name, machine = ?name, "the machine calls itself differently; clients reach it by the desktop's name");
        }
        if let (Some(before), Some(now)) = (&self.uuid, &uuid)
            && before != now
        {
            warn!(desktop = %self.screens.name, ?before, ?now, "another machine answers now behind this desktop");
        }
        self.uuid = uuid.or(self.uuid.take());
    }

    fn add_head(&mut self, port: HeadPort) {
        let index = port.index;
        let Some(name) = head_name(&self.screens.name, index) else {
            warn!(desktop = %self.screens.name, head = index, "the name is too long for a further head, which is left out");
            return;
        };
        info!(desktop = %name, label = ?port.label, "desktop added");
        let source = DesktopSource {
            surface: port.surface,
            frames: port.frames,
            state: port.state,
            input: port.input,
            audience: port.audience,
            peripherals: self.peripherals.clone(),
            head: Some(HeadSource {
                heads: self.together.clone(),
                index,
                shape: port.shape,
            }),
        };
        // The old desktop of that head, if any, ends before the new one is shown.
        self.remove_head(index);
        let desktop = Desktop::spawn(name, source);
        let power = devices(self.guest.as_ref()).power;
        let alias = self.screens.alias.as_ref().and_then(|alias| head_name(alias, index));
        let notice = Notice {
            handle: desktop.handle(),
            power,
            streams: self.streams.clone(),
            alias,
            stream: None,
        };
        let ticket = Board::publish(&self.board, notice);
        self.heads.insert(index, (desktop, ticket));
    }

    /// Brings the desktops of streams up to date: each serial port and console has one.
    fn consoles(&mut self) {
        let mut labels = self.streams.labels();
        self.outlets.fit(&labels);
        labels.retain(|label| matches!(label.kind, Kind::Serial | Kind::Console | Kind::Log | Kind::Monitor));
        // A port that can be typed into comes first.
        labels.sort_by(|a, b| (order(a.kind), &a.name).cmp(&(order(b.kind), &b.name)));
        self.consoles
            .retain(|name, _| labels.iter().any(|label| label.name == *name));
        for (index, label) in labels.into_iter().enumerate() {
            if !self.consoles.contains_key(&label.name) {
                // A machine without a screen is its first console.
                let alias = (index == 0 && label.kind != Kind::Monitor).then(|| self.screens.name.clone());
                self.add_console(label, alias);
            }
        }
    }

    fn add_console(&mut self, label: Label, alias: Option<DesktopName>) {
        let Ok(name) = DesktopName::new(&format!("{}/{}", self.screens.name, label.name)) else {
            debug!(desktop = %self.screens.name, stream = %label.name, "no desktop can have this name; `rdpmux console` shows the stream");
            return;
        };
        info!(desktop = %name, "console added");
        let console = Console {
            name,
            streams: self.streams.clone(),
            stream: label.name.clone(),
            layout: self.screens.layout,
        };
        let desktop = console.spawn();
        let notice = Notice {
            handle: desktop.handle(),
            power: devices(self.guest.as_ref()).power,
            streams: self.streams.clone(),
            alias,
            stream: Some(label.kind),
        };
        let ticket = Board::publish(&self.board, notice);
        self.consoles.insert(label.name, (desktop, ticket));
    }

    fn remove_head(&mut self, index: u32) {
        if let Some((desktop, _ticket)) = self.heads.remove(&index) {
            info!(desktop = %desktop.handle().name(), "desktop removed");
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.streams.end();
    }
}

fn order(kind: Kind) -> u8 {
    match kind {
        Kind::Log => 1,
        Kind::Monitor => 2,
        _ => 0,
    }
}

/// What the backend, if there is one, has besides heads.
fn devices(guest: Option<&GuestTask>) -> rdpmux_guest::Peripherals {
    guest.map(|guest| guest.peripherals().clone()).unwrap_or_default()
}

/// Joins what the backend has besides heads with the server.
fn peripherals(machine: &Screens, guest: &rdpmux_guest::Peripherals) -> Peripherals {
    let sound = guest.sound.clone().map(|port| SoundSource {
        played: port.played,
        recording: port.recording,
        microphone: port.microphone,
        offered: port.offered,
    });
    let clipboard = guest.clipboard.clone().map(|port| GuestClipboard {
        state: port.state,
        offer: port.offer,
        fetch: port.fetch,
    });
    Peripherals {
        sound: sound.map(|source| SoundHub::spawn(machine.name.as_str().to_owned(), source)),
        layout: machine.layout,
        clipboard: Some(ClipboardHub::spawn(machine.name.clone(), clipboard)),
        echo: None,
        channels: None,
    }
}

/// `web1` for head 0, `web1/1` for head 1 and so on.
fn head_name(machine: &DesktopName, index: u32) -> Option<DesktopName> {
    match index {
        0 => Some(machine.clone()),
        further => DesktopName::new(&format!("{machine}/{further}")).ok(),
    }
}

fn spec(machine: &config::Machine, keeping: &Keeping) -> Option<GuestSpec> {
    Some(match &machine.source {
        Source::NoScreen => return None,
        Source::TestCard(config) => GuestSpec::TestCard(*config),
        Source::Qmp(path) => GuestSpec::Qemu(qemu::Config {
            // Without labels, what a crash left is still put back.
            take_over: Some(qemu::TakeOver {
                labels: machine.take_over.labels.clone(),
                restore: machine.take_over.restore.clone(),
                directory: keeping.directory.clone(),
                hand_back: keeping.hand_back.clone(),
            }),
            monitor: machine.take_over.monitor,
            ..qemu::Config::qmp(path)
        }),
        Source::Bus { address, vm } => GuestSpec::Qemu(qemu::Config {
            address: qemu::Address::Bus {
                address: address.clone(),
                vm: vm.clone(),
            },
            qmp_stay: false,
            rest_after: qemu::Config::REST_AFTER,
            monitor: false,
            take_over: None,
        }),
    })
}
