//! Channels and echo requests of an embedder, with IronRDP's client at the other end.

use std::sync::{Arc, Mutex};

use ironrdp_core::impl_as_any;
use ironrdp_dvc::{DrdynvcClient, DvcClientProcessor, DvcMessage, DvcProcessor, DvcServerProcessor};
use ironrdp_pdu::PduResult;
use ironrdp_pdu::gcc::ChannelName;
use ironrdp_svc::{SvcClientProcessor, SvcMessage, SvcProcessor, SvcServerProcessor};
use rdpmux_client::Plain;
use rdpmux_server::{
    Channel, ChannelClient, ChannelFactory, ChannelSendError, ChannelSender, EchoServerHandle, Limits, Peripherals,
    TransportTls,
};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

use crate::carriers::entrance;
use crate::client::{self, Viewer};

type Heard = Arc<Mutex<Vec<String>>>;

/// Either end of a channel: the server's says hello, the client's answers; both note what they hear.
#[derive(Debug)]
struct End {
    name: &'static str,
    greeting: Option<&'static str>,
    answers: Option<&'static str>,
    heard: Heard,
}

impl End {
    fn client(name: &'static str, heard: &Heard) -> Self {
        Self {
            name,
            greeting: None,
            answers: Some("re: "),
            heard: heard.clone(),
        }
    }

    fn server(name: &'static str, heard: &Heard) -> Self {
        Self {
            name,
            greeting: Some("hello"),
            answers: None,
            heard: heard.clone(),
        }
    }

    fn greet(&self) -> Option<Plain> {
        self.greeting.map(|greeting| Plain(greeting.into()))
    }

    fn hear(&self, payload: &[u8]) -> Option<Plain> {
        let text = String::from_utf8(payload.to_vec()).expect("text");
        assert_ne!(text, "panic", "as it was asked to");
        self.heard.lock().unwrap().push(text.clone());
        self.answers.map(|prefix| Plain(format!("{prefix}{text}").into_bytes()))
    }
}

impl_as_any!(End);
impl DvcClientProcessor for End {}
impl DvcServerProcessor for End {}
impl SvcClientProcessor for End {}
impl SvcServerProcessor for End {}

impl DvcProcessor for End {
    fn channel_name(&self) -> &str {
        self.name
    }

    fn start(&mut self, _: u32) -> PduResult<Vec<DvcMessage>> {
        Ok(self
            .greet()
            .into_iter()
            .map(|text| Box::new(text) as DvcMessage)
            .collect())
    }

    fn process(&mut self, _: u32, payload: &[u8]) -> PduResult<Vec<DvcMessage>> {
        let answer = self.hear(payload);
        Ok(answer.into_iter().map(|text| Box::new(text) as DvcMessage).collect())
    }

    fn close(&mut self, _: u32) {
        self.heard.lock().unwrap().push("closed".to_owned());
    }
}

impl SvcProcessor for End {
    fn channel_name(&self) -> ChannelName {
        ChannelName::from_utf8(self.name).expect("a short name")
    }

    fn start(&mut self) -> PduResult<Vec<SvcMessage>> {
        Ok(self.greet().map(SvcMessage::from).into_iter().collect())
    }

    fn process(&mut self, payload: &[u8]) -> PduResult<Vec<SvcMessage>> {
        Ok(self.hear(payload).map(SvcMessage::from).into_iter().collect())
    }
}

/// Builds a static and a dynamic channel for each client, and keeps senders for them.
#[derive(Default)]
struct Factory {
    heard: Heard,
    senders: Mutex<Vec<ChannelSender>>,
}

impl ChannelFactory for Factory {
    fn channels(&self, client: &ChannelClient) -> Vec<Channel> {
        assert_eq!(client.user, "alice");
        let senders = [client.static_sender("PLAIN"), client.dynamic_sender("Example.Text")];
        self.senders.lock().unwrap().extend(senders);
        vec![
            Channel::Static(Box::new(End::server("plain", &self.heard))),
            Channel::Dynamic(Box::new(End::server("Example.Text", &self.heard))),
            // The server's own, which it keeps.
            Channel::Dynamic(Box::new(End::server("ECHO", &self.heard))),
        ]
    }
}

/// Waits for what another task or thread does.
pub async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        tokio::task::yield_now().await;
    }
}

/// A server with these peripherals, and a client with a static and a dynamic channel.
async fn pair(
    entrance: &rdpmux_server::Entrance,
    statics: Option<End>,
    dynamic: End,
) -> (Viewer<DuplexStream>, JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(4096);
    let entrance = entrance.clone();
    let server = tokio::spawn(async move { entrance.serve_stream(ours, None, TransportTls::AlreadyDone).await });
    let viewer = client::login(theirs, ("alice", "secret"), |connector| {
        if let Some(end) = statics {
            connector.attach_static_channel(end);
        }
        connector.attach_static_channel(DrdynvcClient::new().with_dynamic_channel(dynamic));
    });
    (viewer.await, server)
}

#[tokio::test]
async fn a_programs_channels_are_built_for_each_client_and_carry_messages_both_ways() {
    let factory = Arc::new(Factory::default());
    let peripherals = Peripherals {
        channels: Some(factory.clone()),
        ..Peripherals::default()
    };
    let (entrance, _stopper, _desktop) = entrance(Limits::default(), peripherals);
    for _ in 0..2 {
        let heard = Heard::default();
        let ends = (End::client("plain", &heard), End::client("Example.Text", &heard));
        let (mut viewer, server) = pair(&entrance, Some(ends.0), ends.1).await;
        assert!(viewer.until(|_| heard.lock().unwrap().len() == 2).await);
        assert_eq!(*heard.lock().unwrap(), ["hello", "hello"]);
        until(|| factory.heard.lock().unwrap().len() == 2).await;
        assert_eq!(
            std::mem::take(&mut *factory.heard.lock().unwrap()),
            ["re: hello", "re: hello"]
        );
        let senders = std::mem::take(&mut *factory.senders.lock().unwrap());
        for sender in &senders {
            sender.send(b"unasked".to_vec()).expect("room");
        }
        assert!(viewer.until(|_| heard.lock().unwrap().len() == 4).await);
        until(|| factory.heard.lock().unwrap().len() == 2).await;
        factory.heard.lock().unwrap().clear();
        drop(viewer);
        server.await.unwrap();
        assert_eq!(senders[0].send(Vec::new()), Err(ChannelSendError::Gone));
    }
}

#[tokio::test]
async fn a_processor_that_panics_ends_its_clients_channels_and_not_the_session() {
    let factory = Arc::new(Factory::default());
    let peripherals = Peripherals {
        channels: Some(factory.clone()),
        ..Peripherals::default()
    };
    let (entrance, _stopper, _desktop) = entrance(Limits::default(), peripherals);
    let heard = Heard::default();
    let rude = End {
        greeting: Some("panic"),
        answers: None,
        ..End::client("Example.Text", &heard)
    };
    let (mut viewer, _server) = pair(&entrance, None, rude).await;
    let is_closed = || heard.lock().unwrap().iter().any(|text| text == "closed");
    assert!(viewer.until(|_| is_closed()).await);
    assert!(viewer.until(|viewer| viewer.updates > 0).await, "the session goes on");
}

#[tokio::test]
async fn echo_requests_wait_for_a_client_and_measure_each() {
    let echo = EchoServerHandle::default();
    echo.send_request(b"early".to_vec()).unwrap();
    let peripherals = Peripherals {
        echo: Some(echo.clone()),
        ..Peripherals::default()
    };
    let (entrance, _stopper, _desktop) = entrance(Limits::default(), peripherals);
    let heard = Heard::default();
    let parrot = End {
        answers: Some(""),
        ..End::client("ECHO", &heard)
    };
    let (mut viewer, _server) = pair(&entrance, None, parrot).await;
    let heard = |what: &str| heard.lock().unwrap().iter().any(|text| text == what);
    assert!(viewer.until(|_| heard("early")).await);
    echo.send_request(b"late".to_vec()).unwrap();
    assert!(viewer.until(|_| heard("late")).await);
    let mut measured = Vec::new();
    until(|| {
        measured.extend(echo.take_measurements());
        measured.len() == 2
    })
    .await;
    assert_eq!(
        (&*measured[0].payload, &*measured[1].payload),
        (&b"early"[..], &b"late"[..])
    );
    assert_eq!(measured[0].session, measured[1].session);
}
