//! The registry: which machines there are, their desktops, and who may reach them.
//!
//! `discover` looks for sockets, `roster` decides who comes and goes, `machine` joins a backend to desktops, `board` is
//! what sessions read, `grants` are the rights. This file is the task that owns the machines.

mod board;
mod discover;
mod grants;
mod machine;
mod outlets;
mod roster;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdpmux_guest::qemu::HandBack;
use rdpmux_model::DesktopName;
use rdpmux_server::typing::Layout;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{error, info, warn};

pub(crate) use board::Board;
pub use discover::{PatternError, SocketPattern};
pub use grants::{Grant, StreamGrant};
use machine::Keeping;
pub(crate) use machine::{Screens, follow};
pub use outlets::{Outlets, Records};

use crate::config::{Config, Discovery, Machine, Source, TakeOver};
use crate::task::TaskGuard;
use grants::Policy;
use roster::{Change, Roster};

/// How often directories are looked at and machines counted.
const SCAN: Duration = Duration::from_secs(1);
/// How long a start waits for the desktops of the configuration, which backends give at once, card or picture.
const SETTLE: Duration = Duration::from_secs(5);
/// Longest wait for what was taken over to be given back.
const HAND_BACK: Duration = Duration::from_secs(15);
/// A machine whose task ended by itself, which is a bug, is started again this often.
const RESTARTS: u32 = 5;

/// Dropping it takes all desktops off the port.
pub(crate) struct Registry {
    board: Arc<Board>,
    hand_back: HandBack,
    _task: TaskGuard,
}

impl Registry {
    /// Starts all machines, those of the first scan included, and waits until they can be reached.
    pub(crate) async fn start(config: &Config) -> Self {
        let keeping = Keeping {
            directory: config.state_dir.join("take-over"),
            hand_back: HandBack::default(),
        };
        let hand_back = keeping.hand_back.clone();
        let board = Board::new(policy(config), config.outlets.clone());
        let mut follower = Follower {
            board: board.clone(),
            keeping,
            running: HashMap::new(),
            roster: Roster::new(config.machines.iter().map(|machine| machine.name.clone())),
            discover: config.discover.clone(),
            traits: HashMap::new(),
            unreadable: HashSet::new(),
        };
        for machine in &config.machines {
            follower.add(machine.clone());
        }
        follower.scan().await;
        let names: Vec<_> = follower.running.keys().cloned().collect();
        let task = TaskGuard::spawn(follower.run());
        let complete = board.wait_until(|there| {
            names
                .iter()
                .all(|name| there.iter().any(|desktop| is_of(desktop, name)))
        });
        if tokio::time::timeout(SETTLE, complete).await.is_err() {
            warn!("not every machine has a desktop yet");
        }
        Self {
            board,
            hand_back,
            _task: task,
        }
    }

    /// Gives back what was taken over of the machines, which run on; nothing is taken over after that.
    pub(crate) async fn hand_back(&self) {
        if tokio::time::timeout(HAND_BACK, self.hand_back.all()).await.is_err() {
            warn!("not everything that was taken over is handed back; it will be at the next start");
        }
    }

    pub(crate) fn board(&self) -> Arc<Board> {
        self.board.clone()
    }

    /// Grants and the default desktop of a configuration that was read again.
    pub(crate) fn reload(&self, config: &Config) {
        self.board.replace_policy(policy(config));
    }

    pub(crate) fn names(&self) -> Vec<DesktopName> {
        self.board.names()
    }
}

/// Whether the desktop is one of the machine's.
fn is_of(desktop: &DesktopName, machine: &DesktopName) -> bool {
    desktop.vm().eq_ignore_ascii_case(machine.as_str())
}

fn policy(config: &Config) -> Policy {
    Policy {
        grants: config.grants.clone(),
        default_desktop: config.default_desktop.clone(),
    }
}

struct Follower {
    board: Arc<Board>,
    keeping: Keeping,
    running: HashMap<DesktopName, Running>,
    roster: Roster,
    discover: Vec<Discovery>,
    /// What is said of the machines of the last scan, by their sockets.
    traits: HashMap<PathBuf, (Option<Layout>, TakeOver)>,
    /// Directories whose failure was reported already.
    unreadable: HashSet<PathBuf>,
}

struct Running {
    machine: Machine,
    task: TaskGuard,
    restarts: u32,
}

impl Follower {
    async fn run(mut self) {
        let mut clock = tokio::time::interval(SCAN);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            self.restart_ended();
            self.scan().await;
        }
    }

    async fn scan(&mut self) {
        if self.discover.is_empty() {
            return;
        }
        let patterns = self.discover.clone();
        let scan = move || patterns.into_iter().map(|p| (p.sockets.scan(), p)).collect::<Vec<_>>();
        let Ok(results) = tokio::task::spawn_blocking(scan).await else {
            return;
        };
        let mut found = Vec::new();
        self.traits.clear();
        for (result, pattern) in results {
            let directory = pattern.sockets.directory().to_owned();
            match result {
                Ok(sockets) => {
                    self.unreadable.remove(&directory);
                    for socket in &sockets {
                        let traits = (pattern.layout, pattern.take_over.clone());
                        self.traits.insert(socket.clone(), traits);
                    }
                    found.extend(sockets);
                }
                Err(error) => {
                    if self.unreadable.insert(directory) {
                        warn!(directory = %pattern.sockets.directory().display(), %error, "cannot look for machines; trying on");
                    }
                }
            }
        }
        let board = self.board.clone();
        let changes = self
            .roster
            .reconcile(&found, Instant::now().into_std(), |name| board.viewers(name));
        for change in changes {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Add { name, socket } => {
                info!(machine = %name, socket = %socket.display(), "machine appeared");
                let (layout, take_over) = self.traits.get(&socket).cloned().unwrap_or_default();
                self.add(Machine {
                    name,
                    layout,
                    take_over,
                    streams: Vec::new(),
                    source: Source::Qmp(socket),
                    resize: true,
                });
            }
            Change::Remove { name } => {
                info!(machine = %name, "machine is gone");
                self.running.remove(&name);
            }
            Change::Refuse { socket, why } => warn!(socket = %socket.display(), why, "socket left alone"),
        }
    }

    fn add(&mut self, machine: Machine) {
        let task = machine::start(&machine, self.board.clone(), &self.keeping);
        self.running.insert(
            machine.name.clone(),
            Running {
                machine,
                task,
                restarts: 0,
            },
        );
    }

    fn restart_ended(&mut self) {
        for running in self.running.values_mut().filter(|running| running.task.is_finished()) {
            if running.restarts < RESTARTS {
                running.restarts += 1;
                error!(machine = %running.machine.name, restarts = running.restarts, "machine's task ended; starting it again");
                running.task = machine::start(&running.machine, self.board.clone(), &self.keeping);
            }
        }
    }
}

#[cfg(test)]
mod tests;
