//! Graphics that a program makes itself, over a whole server of the SDK without security.

use std::sync::{Arc, Mutex};

use ironrdp_connector::Config;
use ironrdp_dvc::{DrdynvcClient, encode_dvc_messages};
use ironrdp_egfx::client::{GraphicsPipelineClient, GraphicsPipelineHandler as ClientHandler, Surface};
use ironrdp_egfx::pdu::{CapabilitiesAdvertisePdu, CapabilitiesV107Flags, CapabilitySet};
use ironrdp_egfx::server::{GraphicsPipelineHandler, GraphicsPipelineServer};
use ironrdp_svc::ChannelFlags;
use rdpmux_server::{EgfxServerMessage, GfxDvcBridge, GfxServerFactory, GfxServerHandle, RdpServer, ServerEvent};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use crate::client::{self, Viewer};

/// Tells when the client has said what it can.
struct Handler(mpsc::UnboundedSender<()>);

impl GraphicsPipelineHandler for Handler {
    fn capabilities_advertise(&mut self, _: &CapabilitiesAdvertisePdu) {}

    fn on_ready(&mut self, _: &CapabilitySet) {
        let _ = self.0.send(());
    }
}

struct Factory {
    handle: Arc<Mutex<Option<GfxServerHandle>>>,
    ready: mpsc::UnboundedSender<()>,
}

impl GfxServerFactory for Factory {
    fn build_gfx_handler(&self) -> Box<dyn GraphicsPipelineHandler> {
        Box::new(Handler(self.ready.clone()))
    }

    fn build_server_with_handle(&self) -> Option<(GfxDvcBridge, GfxServerHandle)> {
        let server = GraphicsPipelineServer::new(self.build_gfx_handler());
        let handle = Arc::new(Mutex::new(server));
        *self.handle.lock().unwrap() = Some(handle.clone());
        Some((GfxDvcBridge::new(handle.clone()), handle))
    }
}

/// What a client is shown.
#[derive(Clone, Default)]
struct Shown(Arc<Mutex<Vec<(u16, u16)>>>);

impl ClientHandler for Shown {
    fn capabilities(&self) -> Vec<CapabilitySet> {
        vec![CapabilitySet::V10_7 {
            flags: CapabilitiesV107Flags::AVC_DISABLED,
        }]
    }

    fn on_surface_created(&mut self, surface: &Surface) {
        self.0.lock().unwrap().push((surface.width, surface.height));
    }
}

async fn viewer(address: std::net::SocketAddr, shown: &Shown) -> Viewer<TcpStream> {
    let config = Config {
        enable_tls: false,
        enable_standard_rdp_security: true,
        support_dyn_vc_gfx_protocol: true,
        ..client::config("alice", "secret")
    };
    let stream = TcpStream::connect(address).await.unwrap();
    client::login_as(config, stream, |connector| {
        let graphics = GraphicsPipelineClient::new(Box::new(shown.clone()), None);
        connector.attach_static_channel(DrdynvcClient::new().with_dynamic_channel(graphics));
    })
    .await
}

#[tokio::test]
async fn the_first_client_gets_the_programs_graphics_and_the_next_the_servers() {
    let (ready, mut is_ready) = mpsc::unbounded_channel();
    let handle = Arc::new(Mutex::new(None));
    let factory = Factory {
        handle: handle.clone(),
        ready,
    };
    let mut server = RdpServer::builder()
        .with_addr(([127, 0, 0, 1], 0))
        .with_no_security()
        .with_no_input()
        .with_no_display()
        .with_gfx_factory(Some(Box::new(factory)))
        .build();
    let events = server.event_sender().clone();
    let server = tokio::spawn(async move { server.run().await });
    let (answer, address) = oneshot::channel();
    events.send(ServerEvent::GetLocalAddr(answer)).unwrap();
    let address = address.await.unwrap().expect("it listens");

    let shown = Shown::default();
    let mut first = viewer(address, &shown).await;
    assert!(first.until(|_| is_ready.try_recv().is_ok()).await);
    let handle: GfxServerHandle = handle.lock().unwrap().clone().expect("a client is there");
    let messages = {
        let mut graphics = handle.lock().unwrap();
        graphics.create_surface(123, 45).expect("it is ready");
        let channel = graphics.channel_id().expect("it is open");
        encode_dvc_messages(channel, graphics.drain_output(), ChannelFlags::SHOW_PROTOCOL).unwrap()
    };
    let messages = messages.into();
    events
        .send(ServerEvent::Egfx(EgfxServerMessage::SendMessages { messages }))
        .unwrap();
    assert!(first.until(|_| !shown.0.lock().unwrap().is_empty()).await);
    assert!(shown.0.lock().unwrap().contains(&(123, 45)));

    let shown = Shown::default();
    let mut second = viewer(address, &shown).await;
    assert!(second.until(|_| !shown.0.lock().unwrap().is_empty()).await);
    assert!(
        !shown.0.lock().unwrap().contains(&(123, 45)),
        "the server's own surface"
    );
    drop((first, second));
    events.send(ServerEvent::Quit("the test is over".to_owned())).unwrap();
    server.await.unwrap().unwrap();
}
