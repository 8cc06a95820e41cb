//! The object of one machine on the bus: its port, its viewers, who may come in, and its end. Whoever registered the
//! machine may change it, root may, and the daemon's own user; others may read.

use std::sync::Arc;

use rdpmux_guest::librdpmux::Uuid36;
use rdpmux_model::DesktopName;
use rdpmux_server::Sessions;
use tokio::sync::mpsc;
use tracing::{info, warn};
use zbus::message::Header;
use zbus::object_server::SignalEmitter;
use zbus::{Connection, fdo};

use super::bus::Caller;
use super::gate::Gate;
use super::keeper::Command;

/// What is known of a registered machine.
pub(super) struct Record {
    pub(super) uuid: Uuid36,
    /// Tells it from an earlier machine of the same UUID.
    pub(super) serial: u64,
    pub(super) desktop: DesktopName,
    /// Its own port.
    pub(super) port: u16,
    /// Who registered it.
    pub(super) owner: Option<u32>,
    pub(super) gate: Arc<Gate>,
    pub(super) sessions: Sessions,
}

impl Record {
    /// Where its object is.
    pub(super) fn path(&self) -> String {
        format!("/org/RDPMux/RDPListener/{}", self.uuid.digits())
    }

    /// Sessions that show it now, through whichever port.
    pub(super) fn peers(&self) -> usize {
        let is_here = |desktop: &DesktopName| desktop.vm().eq_ignore_ascii_case(self.desktop.vm());
        let sessions = self.sessions.list();
        sessions.iter().filter(|session| is_here(&session.desktop)).count()
    }
}

/// `org.RDPMux.RDPListener`.
pub(super) struct Listener {
    pub(super) record: Arc<Record>,
    pub(super) commands: mpsc::Sender<Command>,
}

impl Listener {
    async fn admit(&self, header: &Header<'_>, connection: &Connection, what: &str) -> fdo::Result<()> {
        let caller = Caller::of(header, connection).await;
        let machine = &self.record.desktop;
        if caller.may_change(self.record.owner) {
            info!(%machine, caller = caller.name, uid = caller.uid, "asked over D-Bus: {what}");
            return Ok(());
        }
        warn!(%machine, caller = caller.name, uid = caller.uid, "refused over D-Bus: {what}");
        Err(fdo::Error::AccessDenied(
            "only root and the user who registered the machine may do that".to_owned(),
        ))
    }

    async fn require(&self, auth: bool, emitter: &SignalEmitter<'_>) -> fdo::Result<()> {
        if self.record.gate.is_required() != auth {
            self.record.gate.require(auth);
            self.requires_authentication_changed(emitter).await?;
        }
        Ok(())
    }
}

#[zbus::interface(name = "org.RDPMux.RDPListener", introspection_docs = false)]
impl Listener {
    /// The users of this file, in SAM form, may come in at the machine's own port and are asked who they are; with an empty
    /// name the daemon's may, and are asked if they were before.
    async fn set_credential_file(
        &self,
        credential_file: String,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<()> {
        self.admit(&header, connection, "SetCredentialFile").await?;
        self.record.gate.set_file(&credential_file);
        match credential_file.is_empty() {
            true => Ok(()),
            false => self.require(true, &emitter).await,
        }
    }

    /// Whether who comes in there is asked who they are.
    async fn set_authentication(
        &self,
        auth: bool,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<()> {
        self.admit(&header, connection, "SetAuthentication").await?;
        self.require(auth, &emitter).await
    }

    /// Ends the machine's desktops and its port; the machine itself runs on.
    async fn shutdown(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        self.admit(&header, connection, "Shutdown").await?;
        let command = Command::Shutdown(self.record.uuid, self.record.serial);
        let sent = self.commands.send(command).await;
        sent.map_err(|_| fdo::Error::Failed("the daemon ends".to_owned()))
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn port(&self) -> i32 {
        self.record.port.into()
    }

    #[zbus(property)]
    fn num_connected_peers(&self) -> i32 {
        self.record.peers().try_into().unwrap_or(i32::MAX)
    }

    #[zbus(property)]
    fn requires_authentication(&self) -> bool {
        self.record.gate.is_required()
    }
}
