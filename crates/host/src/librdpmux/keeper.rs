//! The task that owns the registered machines: it takes registrations, opens and closes their ports, and keeps the bus
//! told. When the bus is lost the machines stay; they are shown again on the next one.
//!
//! ```text
//! Register ─▶ machine (task, door, object) ─▶ its hypervisor is gone, or Shutdown ─▶ door drains
//!                 ^── the same UUID again: a new task behind the same door ──┘
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use rdpmux_guest::librdpmux::{RegisterError, Registration, Switchboard, Uuid36};
use rdpmux_model::DesktopName;
use rdpmux_server::{Stop, Stopper, stop_pair};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tracing::{error, info, warn};

use super::Premises;
use super::bus::Caller;
use super::gate::Gate;
use super::line::Line;
use super::listener::{Listener, Record};
use super::port::{self, PortError};
use crate::config::Librdpmux;
use crate::registry::{Screens, follow};

/// What the objects on the bus ask of the keeper.
pub(super) enum Command {
    /// Answered with where to connect, or with nothing.
    Register(Request, oneshot::Sender<String>),
    /// Of the machine with that serial number only.
    Shutdown(Uuid36, u64),
}

/// A registration as it came.
pub(super) struct Request {
    pub(super) id: i32,
    pub(super) version: i32,
    pub(super) uuid: String,
    pub(super) port: u16,
    pub(super) auth_file: String,
    pub(super) caller: Caller,
}

/// Why a machine is not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Registration(#[from] RegisterError),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error("a machine of the configuration has that name")]
    Configured,
    #[error("the name of the credential file is too long")]
    FileName,
}

pub(super) struct Keeper {
    pub(super) switchboard: Switchboard,
    pub(super) settings: Librdpmux,
    pub(super) premises: Premises,
    pub(super) line: Line,
    pub(super) inbox: mpsc::Receiver<Command>,
    machines: HashMap<Uuid36, Machine>,
    /// Backends; each returns whose it was.
    tasks: JoinSet<(Uuid36, u64)>,
    /// Ports that serve, or drain.
    doors: JoinSet<()>,
    next_serial: u64,
}

struct Machine {
    record: Arc<Record>,
    task: AbortHandle,
    /// Dropping it lets the door drain.
    _door: Stopper,
    /// As the bus was told.
    peers: usize,
}

impl Keeper {
    pub(super) fn new(
        switchboard: Switchboard,
        settings: Librdpmux,
        premises: Premises,
        line: Line,
        inbox: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            switchboard,
            settings,
            premises,
            line,
            inbox,
            machines: HashMap::new(),
            tasks: JoinSet::new(),
            doors: JoinSet::new(),
            next_serial: 0,
        }
    }

    /// Runs until `stop`, then tells the viewers and waits for them.
    pub(super) async fn run(mut self, mut stop: Stop) {
        let mut changes = self.premises.sessions.changes();
        loop {
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                Some(command) = self.inbox.recv() => self.on_command(command).await,
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => self.on_ended(ended).await,
                Some(_) = self.doors.join_next(), if !self.doors.is_empty() => {}
                Ok(()) = changes.changed() => self.recount().await,
                () = self.line.interrupted() => self.reconnect().await,
            }
        }
        // The machines' tasks go on until their viewers were told.
        self.machines.clear();
        while self.doors.join_next().await.is_some() {}
    }

    async fn on_command(&mut self, command: Command) {
        match command {
            Command::Register(request, answer) => {
                let path = self.register(&request).await.unwrap_or_else(|refusal| {
                    let Request {
                        id, version, caller, ..
                    } = &request;
                    warn!(id, version, caller = caller.name, uid = caller.uid, %refusal, "registration refused");
                    String::new()
                });
                // A caller that does not wait for its answer has a machine that nobody connects to, which ends by itself.
                let _ = answer.send(path);
            }
            Command::Shutdown(uuid, serial) => self.close(uuid, serial, "asked over D-Bus").await,
        }
    }

    async fn on_ended(&mut self, ended: Result<(Uuid36, u64), JoinError>) {
        match ended {
            Ok((uuid, serial)) => self.close(uuid, serial, "its hypervisor is gone").await,
            Err(error) if error.is_panic() => error!(%error, "a machine's task ended by a bug"),
            // We aborted it.
            Err(_) => {}
        }
    }

    async fn register(&mut self, request: &Request) -> Result<String, Refusal> {
        let path = self.switchboard.path_for(request.version);
        let path = path.ok_or(RegisterError::Version(request.version))?;
        let uuid: Uuid36 = request.uuid.parse().map_err(RegisterError::from)?;
        let desktop = DesktopName::new(uuid.as_str()).expect("hexadecimal digits and dashes make a name");
        let known = self.machines.get(&uuid).map(|machine| machine.record.port);
        if known.is_none() && self.premises.board.has(&desktop) {
            return Err(Refusal::Configured);
        }
        if request.auth_file.len() > LONGEST_PATH {
            return Err(Refusal::FileName);
        }
        let listener = match (known, request.port) {
            // It came back, and its viewers know its port.
            (Some(port), wanted) if wanted == 0 || wanted == port => None,
            (_, 0) => Some(port::first_free(self.settings.listen, self.settings.first_port).await?),
            (_, wanted) => Some(port::exactly(self.settings.listen, wanted).await?),
        };
        let spec = self.switchboard.register(Registration {
            id: request.id,
            uuid,
            version: request.version,
            uid: request.caller.uid,
        })?;
        let screens = Screens {
            name: desktop,
            alias: DesktopName::new(&request.id.to_string()).ok(),
            resize: true,
            layout: self.premises.layout,
        };
        let task = follow(screens.clone(), Some(spec), &[], self.premises.board.clone());
        self.install(uuid, screens.name, request, listener, task).await;
        Ok(path)
    }

    /// Puts a machine in its place, behind a new door or behind the one that it had.
    async fn install(
        &mut self,
        uuid: Uuid36,
        desktop: DesktopName,
        request: &Request,
        listener: Option<TcpListener>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let required = !request.auth_file.is_empty() || !self.settings.no_auth;
        self.next_serial += 1;
        let serial = self.next_serial;
        let before = self.forget(&uuid).await;
        let (gate, port, door) = match (listener, before) {
            (
                None,
                Some(Machine {
                    record, _door: door, ..
                }),
            ) => {
                record.gate.set_file(&request.auth_file);
                record.gate.require(required);
                (record.gate.clone(), record.port, door)
            }
            (listener, _) => self.open(desktop.clone(), &request.auth_file, required, listener),
        };
        let record = Arc::new(Record {
            uuid,
            serial,
            desktop,
            port,
            owner: request.caller.uid,
            gate,
            sessions: self.premises.sessions.clone(),
        });
        info!(machine = %record.desktop, id = request.id, version = request.version, port,
            credential_file = !request.auth_file.is_empty(), password = required, uid = request.caller.uid, "machine registered");
        self.line.show(self.listener(&record)).await;
        let machine = Machine {
            record,
            task: self.tasks.spawn(async move {
                task.await;
                (uuid, serial)
            }),
            _door: door,
            peers: 0,
        };
        self.machines.insert(uuid, machine);
    }

    /// A door of the machine's own.
    fn open(
        &mut self,
        desktop: DesktopName,
        file: &str,
        required: bool,
        listener: Option<TcpListener>,
    ) -> (Arc<Gate>, u16, Stopper) {
        let Premises { board, users, .. } = &self.premises;
        let gate = Arc::new(Gate::new(desktop, board.clone(), users.clone(), file, required));
        let (stopper, stop) = stop_pair();
        let port = listener
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
            .map_or(0, |address| address.port());
        if let Some(listener) = listener {
            let (house, config) = (self.premises.house.clone(), Arc::new(self.premises.door(&gate)));
            self.doors
                .spawn(async move { house.serve(listener, config, stop).await });
        }
        (gate, port, stopper)
    }

    fn listener(&self, record: &Arc<Record>) -> Listener {
        Listener {
            record: record.clone(),
            commands: self.line.commands(),
        }
    }

    /// Takes a machine out. Its desktops end; its door does with the last owner of its stopper.
    async fn forget(&mut self, uuid: &Uuid36) -> Option<Machine> {
        let machine = self.machines.remove(uuid)?;
        machine.task.abort();
        self.line.hide(&machine.record).await;
        Some(machine)
    }

    async fn close(&mut self, uuid: Uuid36, serial: u64, why: &str) {
        if self
            .machines
            .get(&uuid)
            .is_none_or(|machine| machine.record.serial != serial)
        {
            return;
        }
        if let Some(machine) = self.forget(&uuid).await {
            info!(machine = %machine.record.desktop, port = machine.record.port, why, "machine unregistered");
        }
    }

    /// Tells the bus whose viewers came or went.
    async fn recount(&mut self) {
        for machine in self.machines.values_mut() {
            let peers = machine.record.peers();
            if std::mem::replace(&mut machine.peers, peers) != peers {
                self.line.tell_peers(&machine.record).await;
            }
        }
    }

    async fn reconnect(&mut self) {
        let listeners: Vec<_> = self
            .machines
            .values()
            .map(|machine| self.listener(&machine.record))
            .collect();
        self.line.reconnect(listeners).await;
    }
}

/// `PATH_MAX`.
const LONGEST_PATH: usize = 4096;
