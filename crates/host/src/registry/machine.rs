//! One machine: its backend's heads become desktops, its events become log lines. Dropping the task that runs it takes
//! its desktops off the port.

use std::collections::HashMap;
use std::sync::Arc;

use rdpmux_guest::{GuestEvent, GuestSpec, GuestTask, HeadPort, qemu};
use rdpmux_model::DesktopName;
use rdpmux_server::typing::Layout;
use rdpmux_server::{
    ClipboardHub, Desktop, DesktopSource, GuestClipboard, HeadSource, Heads, Peripherals, SoundHub, SoundSource,
};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::board::{Board, Ticket};
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

struct Machine {
    screens: Screens,
    board: Arc<Board>,
    heads: HashMap<u32, (Desktop, Ticket)>,
    /// What joins the desktops.
    together: Heads,
    uuid: Option<String>,
    /// What all heads share.
    peripherals: Peripherals,
    guest: GuestTask,
}

/// Starts the backend of a configured machine and the task that follows it.
pub(super) fn start(machine: &config::Machine, board: Arc<Board>) -> TaskGuard {
    let screens = Screens {
        name: machine.name.clone(),
        alias: None,
        resize: machine.resize,
        layout: machine.layout,
    };
    TaskGuard::spawn(follow(screens, spec(&machine.source), board))
}

/// Starts a backend. The future follows it and ends when the backend does; its desktops end with the future.
pub(crate) fn follow(
    screens: Screens,
    spec: GuestSpec,
    board: Arc<Board>,
) -> impl Future<Output = ()> + Send + 'static {
    let (sender, events) = mpsc::channel(EVENTS);
    let guest = rdpmux_guest::spawn(spec, screens.name.as_str().to_owned(), sender);
    let machine = Machine {
        board,
        heads: HashMap::new(),
        together: Heads::new(screens.name.clone(), screens.resize),
        uuid: None,
        peripherals: peripherals(&screens, guest.peripherals()),
        guest,
        screens,
    };
    machine.run(events)
}

impl Machine {
    async fn run(mut self, mut events: mpsc::Receiver<GuestEvent>) {
        while let Some(event) = events.recv().await {
            self.on_event(event);
        }
    }

    fn on_event(&mut self, event: GuestEvent) {
        match event {
            GuestEvent::Identified { name, uuid } => self.identified(name, uuid),
            GuestEvent::HeadAdded(port) => self.add_head(port),
            GuestEvent::HeadRemoved { index } => self.remove_head(index),
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
        let power = self.guest.peripherals().power.clone();
        let alias = self.screens.alias.as_ref().and_then(|alias| head_name(alias, index));
        let ticket = Board::publish(&self.board, desktop.handle(), power, alias);
        self.heads.insert(index, (desktop, ticket));
    }

    fn remove_head(&mut self, index: u32) {
        if let Some((desktop, _ticket)) = self.heads.remove(&index) {
            info!(desktop = %desktop.handle().name(), "desktop removed");
        }
    }
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
    }
}

/// `web1` for head 0, `web1/1` for head 1 and so on.
fn head_name(machine: &DesktopName, index: u32) -> Option<DesktopName> {
    match index {
        0 => Some(machine.clone()),
        further => DesktopName::new(&format!("{machine}/{further}")).ok(),
    }
}

fn spec(source: &Source) -> GuestSpec {
    match source {
        Source::TestCard(config) => GuestSpec::TestCard(*config),
        Source::Qmp(path) => GuestSpec::Qemu(qemu::Config::qmp(path)),
        Source::Bus { address, vm } => GuestSpec::Qemu(qemu::Config {
            address: qemu::Address::Bus {
                address: address.clone(),
                vm: vm.clone(),
            },
            qmp_stay: false,
            rest_after: qemu::Config::REST_AFTER,
        }),
    }
}
