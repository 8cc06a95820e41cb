//! Channels of the embedder's own, built anew for each client: `SvcProcessor`s and `DvcProcessor`s as for IronRDP. They run
//! on blocking threads, one call at a time per client, and never hold the session up: what a client sends meanwhile waits,
//! and is bounded.
//!
//! A processor that panics, or has a call that does not return for [`PATIENCE`], loses that client's channels; nothing else
//! ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ironrdp_core::encode_vec;
use ironrdp_dvc::{DvcMessage, DvcServerProcessor};
use ironrdp_pdu::{PduResult, encode_err};
use ironrdp_svc::{SvcMessage, SvcServerProcessor};
use rdpmux_model::SessionId;
use rdpmux_rdp::{ChannelEvent, ChannelKind, ChannelRefusal, Session};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, error, warn};

/// A channel of one client.
pub enum Channel {
    /// A static virtual channel, for a client that brings one of that name.
    Static(Box<dyn SvcServerProcessor>),
    /// A dynamic virtual channel that the client is asked for.
    Dynamic(Box<dyn DvcServerProcessor>),
    /// The graphics pipeline ([MS-RDPEGFX]): a client that opens it gets its pictures from this processor and none from the
    /// server.
    Graphics(Box<dyn DvcServerProcessor>),
}

/// Builds the channels of each client. Called on a blocking thread when a client has logged in.
pub trait ChannelFactory: Send + Sync {
    /// The channels that this client is to have, each of another name. `start` of a processor is called when the client has
    /// opened its channel, `process` with each whole message (1 MiB at most), `close` when the client closes
    /// that channel; a client that leaves drops its processors.
    fn channels(&self, client: &ChannelClient) -> Vec<Channel>;
}

/// The client for whom channels are built.
#[derive(Debug, Clone)]
pub struct ChannelClient {
    /// Its session.
    pub session: SessionId,
    /// Its user, as proven by the login.
    pub user: String,
    /// What the client says of itself.
    pub client: String,
    outbox: mpsc::Sender<(Target, Vec<u8>)>,
    carrier: mpsc::Sender<Vec<Vec<u8>>>,
}

impl ChannelClient {
    /// For messages that the program sends unasked on the static channel `name`.
    pub fn static_sender(&self, name: &str) -> ChannelSender {
        self.sender(ChannelKind::Static, name)
    }

    /// The same on a dynamic channel.
    pub fn dynamic_sender(&self, name: &str) -> ChannelSender {
        self.sender(ChannelKind::Dynamic, name)
    }

    /// For PDUs of dynamic channels that the program has made.
    pub(crate) fn carrier(&self) -> mpsc::Sender<Vec<Vec<u8>>> {
        self.carrier.clone()
    }

    fn sender(&self, kind: ChannelKind, name: &str) -> ChannelSender {
        ChannelSender {
            target: Target(kind, name.to_ascii_lowercase()),
            outbox: self.outbox.clone(),
        }
    }
}

/// Which channel of a client's a message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target(ChannelKind, String);

/// Sends messages to one channel of one client. Clones are the same one.
#[derive(Debug, Clone)]
pub struct ChannelSender {
    target: Target,
    outbox: mpsc::Sender<(Target, Vec<u8>)>,
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChannelSendError {
    /// 64 messages wait already: the client reads them slowly.
    #[error("too many messages wait for the client")]
    Full,
    /// The client is gone.
    #[error("the client is gone")]
    Gone,
}

impl ChannelSender {
    /// Queues a message without waiting. It goes nowhere if the client has not opened the channel by the time it is its turn.
    ///
    /// # Errors
    /// [`ChannelSendError`].
    pub fn send(&self, message: Vec<u8>) -> Result<(), ChannelSendError> {
        let sent = self.outbox.try_send((self.target.clone(), message));
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ChannelSendError::Full,
            mpsc::error::TrySendError::Closed(_) => ChannelSendError::Gone,
        })
    }

    /// Resolves when the client is gone.
    pub async fn closed(&self) {
        self.outbox.closed().await;
    }
}

/// A client's channels while nobody calls them.
struct Processors {
    channels: Vec<Channel>,
    names: Vec<Target>,
}

/// Something for a processor.
enum Call {
    Start(u32),
    Message(u32, Vec<u8>),
    Close(u32),
}

/// What came of some calls.
struct Outcome {
    processors: Processors,
    /// Channel and message.
    said: Vec<(usize, Vec<u8>)>,
    /// Channels that are over, by an error of their own.
    over: Vec<usize>,
}

/// The channels of one session.
pub(crate) struct ClientChannels {
    session: SessionId,
    /// `None` while they are called, and for good after a failure.
    processors: Option<Processors>,
    names: Vec<Target>,
    calls: VecDeque<(usize, Call)>,
    /// Bytes in `calls`.
    waiting: usize,
    job: Option<Job>,
    inbox: mpsc::Receiver<(Target, Vec<u8>)>,
    carrier: mpsc::Receiver<Vec<Vec<u8>>>,
}

struct Job {
    task: JoinHandle<Outcome>,
    /// When the call that it is at must have returned.
    due: Instant,
    /// Which channel it is at, anew with each call.
    at: watch::Receiver<usize>,
}

/// What a session shall do.
pub(crate) enum ChannelsWake {
    /// Send a message on a channel.
    Send(usize, Vec<u8>),
    /// Send these PDUs of dynamic channels.
    Carry(Vec<Vec<u8>>),
    /// Send these and close those.
    Done(Vec<(usize, Vec<u8>)>, Vec<usize>),
    /// Close them all.
    Failed,
}

impl ClientChannels {
    /// Has the factory build the channels of a client.
    pub(crate) async fn build(
        factory: Arc<dyn ChannelFactory>,
        session: SessionId,
        user: &str,
        rdp: &mut Session,
    ) -> Option<Self> {
        let (outbox, inbox) = mpsc::channel(UNASKED);
        let (carrier, carried) = mpsc::channel(CARRIED);
        let client = ChannelClient {
            session,
            user: user.to_owned(),
            client: rdp.info().to_string(),
            outbox,
            carrier,
        };
        let build = tokio::task::spawn_blocking(move || factory.channels(&client));
        let channels = match timeout(PATIENCE, build).await {
            Ok(Ok(channels)) => channels,
            Ok(Err(error)) => {
                error!(%session, %error, "the program's channel factory panicked; this client has none of its channels");
                return None;
            }
            Err(_) => {
                error!(%session, "the program's channel factory does not return; this client has none of its channels");
                return None;
            }
        };
        let mut taken = Vec::new();
        let mut names = Vec::new();
        for channel in channels {
            match add(&channel, rdp) {
                Ok(name) => {
                    names.push(name);
                    taken.push(channel);
                }
                Err((name, refusal)) => error!(%session, channel = name, %refusal, "a channel of the program's"),
            }
        }
        (!taken.is_empty()).then(|| Self {
            session,
            processors: Some(Processors {
                channels: taken,
                names: names.clone(),
            }),
            names,
            calls: VecDeque::new(),
            waiting: 0,
            job: None,
            inbox,
            carrier: carried,
        })
    }

    /// Something happened on a channel, which the client knows by the number `id`. `false`: the client sends more than the
    /// program takes.
    pub(crate) fn on_event(&mut self, number: usize, id: u32, event: ChannelEvent) -> bool {
        let call = match event {
            ChannelEvent::Opened => Call::Start(id),
            ChannelEvent::Message(message) => {
                self.waiting += message.len() + OVERHEAD;
                Call::Message(id, message)
            }
            ChannelEvent::Closed => Call::Close(id),
        };
        self.calls.push_back((number, call));
        self.waiting <= WAITING
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }

    /// Waits for something to do; `may_say`: there is room for messages to the client. Cancel-safe.
    pub(crate) async fn next(&mut self, may_say: bool) -> ChannelsWake {
        if may_say && self.job.is_none() && !self.calls.is_empty() {
            self.start();
        }
        let Self {
            job,
            inbox,
            names,
            carrier,
            ..
        } = self;
        let wake = tokio::select! {
            biased;
            wake = finished(job) => wake,
            wake = unasked(inbox, names), if may_say => wake,
            Some(pdus) = carrier.recv(), if may_say => Progress::Carried(pdus),
        };
        match wake {
            Progress::Carried(pdus) => ChannelsWake::Carry(pdus),
            Progress::Said(number, message) => ChannelsWake::Send(number, message),
            Progress::Finished(Some(Outcome { processors, said, over })) => {
                self.job = None;
                self.processors = Some(processors);
                ChannelsWake::Done(said, over)
            }
            Progress::Finished(None) => {
                let job = self.job.take();
                let at = job.map_or(0, |job| *job.at.borrow());
                let name = self.names.get(at).map_or("", |target| target.1.as_str());
                error!(session = %self.session, channel = name, "a channel of the program's panicked or does not return; this client loses the program's channels");
                ChannelsWake::Failed
            }
        }
    }

    fn start(&mut self) {
        let Some(mut processors) = self.processors.take() else {
            self.calls.clear();
            return;
        };
        self.waiting = 0;
        let calls = std::mem::take(&mut self.calls);
        let (place, at) = watch::channel(0);
        let task = tokio::task::spawn_blocking(move || {
            let (mut said, mut over) = (Vec::new(), Vec::new());
            for (number, call) in calls {
                if place.send(number).is_err() {
                    // The client has left, or has lost its channels.
                    break;
                }
                match processors.call(number, call) {
                    Ok(messages) => said.extend(messages.into_iter().map(|message| (number, message))),
                    Err(error) => {
                        let name = &processors.names[number].1;
                        warn!(channel = name, %error, "a channel of the program's ends by its own error");
                        over.push(number);
                    }
                }
            }
            Outcome { processors, said, over }
        });
        self.job = Some(Job {
            task,
            due: Instant::now() + PATIENCE,
            at,
        });
    }
}

/// What [`ClientChannels::next`] has waited for.
enum Progress {
    Said(usize, Vec<u8>),
    Carried(Vec<Vec<u8>>),
    /// `None`: by a panic, or not in time.
    Finished(Option<Outcome>),
}

async fn finished(job: &mut Option<Job>) -> Progress {
    let Some(Job { task, due, at }) = job else {
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            biased;
            ended = &mut *task => return Progress::Finished(ended.ok()),
            Ok(()) = at.changed() => *due = Instant::now() + PATIENCE,
            () = sleep_until(*due) => return Progress::Finished(None),
        }
    }
}

async fn unasked(inbox: &mut mpsc::Receiver<(Target, Vec<u8>)>, names: &[Target]) -> Progress {
    loop {
        // The factory's ends may all be gone.
        let Some((target, message)) = inbox.recv().await else {
            return std::future::pending().await;
        };
        match names.iter().position(|name| *name == target) {
            Some(number) => return Progress::Said(number, message),
            None => debug!(
                channel = target.1,
                "a message for a channel that the program has not built"
            ),
        }
    }
}

impl Processors {
    fn call(&mut self, number: usize, call: Call) -> PduResult<Vec<Vec<u8>>> {
        let Some(channel) = self.channels.get_mut(number) else {
            return Ok(Vec::new());
        };
        match channel {
            Channel::Static(processor) => {
                let messages = match call {
                    Call::Start(_) => processor.start()?,
                    Call::Message(_, message) => processor.process(&message)?,
                    Call::Close(_) => Vec::new(),
                };
                messages.iter().map(encode_static).collect()
            }
            Channel::Dynamic(processor) | Channel::Graphics(processor) => {
                let messages = match call {
                    Call::Start(id) => processor.start(id)?,
                    Call::Message(id, message) => processor.process(id, &message)?,
                    Call::Close(id) => {
                        processor.close(id);
                        Vec::new()
                    }
                };
                messages.iter().map(encode_dynamic).collect()
            }
        }
    }
}

fn encode_static(message: &SvcMessage) -> PduResult<Vec<u8>> {
    message.encode_unframed_pdu().map_err(|error| encode_err!(error))
}

fn encode_dynamic(message: &DvcMessage) -> PduResult<Vec<u8>> {
    encode_vec(&**message).map_err(|error| encode_err!(error))
}

/// Adds a channel to the session.
fn add(channel: &Channel, rdp: &mut Session) -> Result<Target, (String, ChannelRefusal)> {
    let (kind, name) = match channel {
        Channel::Static(processor) => {
            let name = processor.channel_name();
            (ChannelKind::Static, name.as_str().unwrap_or_default().to_owned())
        }
        Channel::Dynamic(processor) | Channel::Graphics(processor) => {
            (ChannelKind::Dynamic, processor.channel_name().to_owned())
        }
    };
    let added = match channel {
        Channel::Graphics(_) => rdp.give_graphics_away(),
        Channel::Static(_) | Channel::Dynamic(_) => rdp.add_channel(kind, &name),
    };
    match added {
        Ok(_) => Ok(Target(kind, name.to_ascii_lowercase())),
        Err(refusal) => Err((name, refusal)),
    }
}

/// How long a call of the program's may last.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages of the program's that wait for a client.
const UNASKED: usize = 64;
/// Frames of the program's own graphics that wait for a client.
const CARRIED: usize = 64;
/// Bytes of a client's messages that wait for the program, and what a message counts besides its own.
const WAITING: usize = 4 << 20;
const OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc::{Receiver, channel};

    use ironrdp_pdu::gcc::ChannelName;
    use ironrdp_svc::SvcProcessor;

    use super::*;

    /// Notes the first byte of each message, and returns when it is told to.
    #[derive(Debug)]
    struct Slow(mpsc::UnboundedSender<u8>, Receiver<()>);

    ironrdp_core::impl_as_any!(Slow);
    impl SvcServerProcessor for Slow {}

    impl SvcProcessor for Slow {
        fn channel_name(&self) -> ChannelName {
            ChannelName::from_static(b"slow\0\0\0\0")
        }

        fn process(&mut self, payload: &[u8]) -> PduResult<Vec<SvcMessage>> {
            let _ = self.0.send(payload[0]);
            let _ = self.1.recv();
            Ok(Vec::new())
        }
    }

    fn one_channel(processor: Slow) -> ClientChannels {
        let names = vec![Target(ChannelKind::Static, "slow".to_owned())];
        ClientChannels {
            session: SessionId(1),
            processors: Some(Processors {
                channels: vec![Channel::Static(Box::new(processor))],
                names: names.clone(),
            }),
            names,
            calls: VecDeque::new(),
            waiting: 0,
            job: None,
            inbox: mpsc::channel(1).1,
            carrier: mpsc::channel(1).1,
        }
    }

    // While a blocking task runs, tokio's paused clock stands still.
    #[tokio::test(start_paused = true)]
    async fn each_call_has_its_ten_seconds_even_if_the_messages_came_together() {
        let (notes, mut noted) = mpsc::unbounded_channel();
        let (release, released) = channel();
        let mut channels = one_channel(Slow(notes, released));
        for message in 0..3 {
            assert!(channels.on_event(0, 0, ChannelEvent::Message(vec![message])));
        }
        let mut wake = pin!(channels.next(true));
        for message in 0..3 {
            let note = tokio::select! {
                _ = &mut wake => panic!("it has been given up"),
                note = noted.recv() => note,
            };
            assert_eq!(note, Some(message));
            tokio::time::advance(PATIENCE * 3 / 4).await;
            release.send(()).unwrap();
        }
        assert!(matches!(wake.await, ChannelsWake::Done(said, over) if said.is_empty() && over.is_empty()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_does_not_return_is_given_up_and_the_messages_behind_it_are_dropped() {
        let (notes, mut noted) = mpsc::unbounded_channel();
        let (release, released) = channel();
        let mut channels = one_channel(Slow(notes, released));
        for message in 0..3 {
            assert!(channels.on_event(0, 0, ChannelEvent::Message(vec![message])));
        }
        {
            let mut wake = pin!(channels.next(true));
            let note = tokio::select! {
                _ = &mut wake => panic!("it has been given up"),
                note = noted.recv() => note,
            };
            assert_eq!(note, Some(0));
            // The first look may be the one that sees the call begin.
            let failed = loop {
                tokio::select! {
                    biased;
                    wake = &mut wake => break wake,
                    () = tokio::time::advance(PATIENCE) => {}
                }
            };
            assert!(matches!(failed, ChannelsWake::Failed));
        }
        release.send(()).unwrap();
        assert_eq!(
            noted.recv().await,
            None,
            "the processor is dropped with what waited for it"
        );
    }

    #[tokio::test]
    async fn what_waits_for_the_program_is_bounded_by_bytes_and_by_messages() {
        for length in [0, 1, 1 << 20] {
            let (notes, _noted) = mpsc::unbounded_channel();
            let mut channels = one_channel(Slow(notes, channel().1));
            let is_taken = |_: &usize| channels.on_event(0, 0, ChannelEvent::Message(vec![0; length]));
            let taken = (0..usize::MAX).take_while(is_taken).count();
            assert_eq!(taken, WAITING / (length + OVERHEAD));
        }
    }
}
