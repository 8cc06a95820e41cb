//! The connection to the bus: it shows machines there, and comes back when the bus does.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};
use zbus::Connection;

use super::bus::{self, BusError};
use super::keeper::Command;
use super::listener::{Listener, Record};
use super::registrar::Registrar;
use crate::config::Bus;

pub(super) struct Line {
    bus: Bus,
    registrar: Registrar,
    state: State,
}

enum State {
    Up(Connection),
    Down { retry: Instant, delay: Duration },
}

impl Line {
    /// Connects and takes our names: registrations may come when it returns.
    ///
    /// # Errors
    /// [`BusError`].
    pub(super) async fn open(bus: Bus, commands: mpsc::Sender<Command>) -> Result<Self, BusError> {
        let registrar = Registrar { commands };
        let connection = bus::connect(&bus, &registrar).await?;
        bus::appear(&bus, &connection).await?;
        Ok(Self {
            bus,
            registrar,
            state: State::Up(connection),
        })
    }

    /// Where objects on the bus send their questions.
    pub(super) fn commands(&self) -> mpsc::Sender<Command> {
        self.registrar.commands.clone()
    }

    /// Resolves when the bus is lost, and when it is time to look for it again. Cancel-safe.
    pub(super) async fn interrupted(&self) {
        match &self.state {
            State::Up(connection) => connection.closed().await,
            State::Down { retry, .. } => sleep_until(*retry).await,
        }
    }

    /// Looks for the bus, shows `listeners` there and takes our names again.
    pub(super) async fn reconnect(&mut self, listeners: Vec<Listener>) {
        let delay = match &self.state {
            State::Up(_) => {
                warn!("the D-Bus is lost; machines stay, but none can register until it is back");
                FIRST_DELAY
            }
            State::Down { delay, .. } => (*delay * 2).min(LONGEST_DELAY),
        };
        match self.come_back(listeners).await {
            Ok(connection) => {
                info!("back on the D-Bus");
                self.state = State::Up(connection);
            }
            Err(error) => {
                debug!(%error, "no D-Bus yet");
                let retry = Instant::now() + delay;
                self.state = State::Down { retry, delay };
            }
        }
    }

    async fn come_back(&self, listeners: Vec<Listener>) -> Result<Connection, BusError> {
        let connection = bus::connect(&self.bus, &self.registrar).await?;
        for listener in listeners {
            put(&connection, listener).await;
        }
        bus::appear(&self.bus, &connection).await?;
        Ok(connection)
    }

    /// Puts a machine's object on the bus.
    pub(super) async fn show(&self, listener: Listener) {
        if let State::Up(connection) = &self.state {
            put(connection, listener).await;
        }
    }

    /// Takes it away.
    pub(super) async fn hide(&self, record: &Record) {
        let State::Up(connection) = &self.state else { return };
        let removed = connection.object_server().remove::<Listener, _>(record.path()).await;
        if let Err(error) = removed {
            warn!(machine = %record.desktop, %error, "the machine's object stays on the D-Bus");
        }
    }

    /// Tells that the number of its viewers changed.
    pub(super) async fn tell_peers(&self, record: &Record) {
        let State::Up(connection) = &self.state else { return };
        let told = async {
            let object = connection
                .object_server()
                .interface::<_, Listener>(record.path())
                .await?;
            let listener = object.get().await;
            listener.num_connected_peers_changed(object.signal_emitter()).await
        };
        if let Err(error) = told.await {
            debug!(machine = %record.desktop, %error, "the D-Bus is not told of viewers");
        }
    }
}

async fn put(connection: &Connection, listener: Listener) {
    let (path, machine) = (listener.record.path(), listener.record.desktop.clone());
    match connection.object_server().at(path, listener).await {
        Ok(None) => {}
        Ok(Some(_)) => warn!(%machine, "there is such an object on the D-Bus already"),
        Err(error) => warn!(%machine, %error, "the machine has no object on the D-Bus"),
    }
}

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
