//! The object at which hypervisors register. It only carries questions to the keeper.

use rdpmux_guest::librdpmux::Switchboard;
use tokio::sync::{mpsc, oneshot};
use zbus::Connection;
use zbus::message::Header;

use super::bus::Caller;
use super::keeper::{Command, Request};

/// `org.RDPMux.RDPMux`.
#[derive(Clone)]
pub(super) struct Registrar {
    pub(super) commands: mpsc::Sender<Command>,
}

#[zbus::interface(name = "org.RDPMux.RDPMux", introspection_docs = false)]
impl Registrar {
    /// Where to connect; empty if the registration is refused, as RDPMux always had it.
    #[zbus(out_args("socket_path"))]
    #[expect(clippy::too_many_arguments, reason = "as it is on the wire, and who sent it")]
    async fn register(
        &self,
        id: i32,
        version: i32,
        uuid: String,
        port: u16,
        auth_file: String,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] connection: &Connection,
    ) -> String {
        let request = Request {
            id,
            version,
            uuid,
            port,
            auth_file,
            caller: Caller::of(&header, connection).await,
        };
        let (answer, answered) = oneshot::channel();
        // Either fails only when the daemon ends.
        if self.commands.send(Command::Register(request, answer)).await.is_err() {
            return String::new();
        }
        answered.await.unwrap_or_default()
    }

    #[zbus(property(emits_changed_signal = "const"))]
    fn supported_protocol_versions(&self) -> Vec<i32> {
        Switchboard::VERSIONS.to_vec()
    }
}
