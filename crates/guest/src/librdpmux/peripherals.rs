//! Sound and clipboard of protocol 6: between the daemon's ports and the messages. No pixels and no input. What a
//! hypervisor lacks by its HELLO is never sent to it.

use std::sync::Arc;
use std::time::Duration;

use rdpmux_model::{GuestClipboardState, Pcm};
use rdpmux_wire::v6::{self, Content, Features, Offer, ToDaemon, ToGuest};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::port::{ClipboardPort, Peripherals, SoundPort};

/// A hypervisor has this long to bring its guest's text.
const TEXT_TIME: Duration = Duration::from_secs(6);
/// Pieces of sound that are handed on, per second.
const PIECES: u32 = 50;
/// Bytes of a frame: two samples.
const FRAME: usize = 4;

type Reply = oneshot::Sender<Option<Arc<str>>>;

/// The backend's ends of [`Peripherals`].
#[derive(Debug)]
pub(crate) struct Ends {
    features: Features,
    played: broadcast::Sender<Pcm>,
    rate: Option<u32>,
    volume: [u16; 2],
    recording: watch::Sender<Option<u32>>,
    microphone: mpsc::Receiver<Pcm>,
    clipboard: watch::Sender<GuestClipboardState>,
    offer: watch::Receiver<Option<Arc<str>>>,
    /// Of what we offered last.
    serial: u32,
    /// Of what the guest offered last.
    offered: u32,
    fetches: mpsc::Receiver<Reply>,
    fetching: Option<Fetch>,
}

/// Text of the guest, on its way.
#[derive(Debug)]
struct Fetch {
    serial: u32,
    reply: Reply,
    due: Instant,
}

/// Ports and their other ends, for a machine that speaks protocol 6.
pub(crate) fn ports() -> (Peripherals, Ends) {
    let (played, _) = broadcast::channel(SoundPort::PLAYED);
    let (recording, recording_seen) = watch::channel(None);
    let (microphone, spoken) = mpsc::channel(SoundPort::SPOKEN);
    let (state, told) = watch::channel(GuestClipboardState::default());
    let (offered, offer) = watch::channel(None);
    let (fetch, fetches) = mpsc::channel(1);
    let peripherals = Peripherals {
        power: None,
        sound: Some(SoundPort {
            played: played.clone(),
            recording: recording_seen,
            microphone,
            offered: watch::Sender::new(false),
        }),
        clipboard: Some(ClipboardPort {
            state: told,
            offer: offered,
            fetch,
        }),
    };
    let ends = Ends {
        features: Features::default(),
        played,
        rate: None,
        volume: [u16::MAX; 2],
        recording,
        microphone: spoken,
        clipboard: state,
        offer,
        serial: 0,
        offered: 0,
        fetches,
        fetching: None,
    };
    (peripherals, ends)
}

impl Ends {
    /// A hypervisor is there that can take `features`.
    pub(super) fn begin(&mut self, features: Features) {
        self.features = features;
        (self.rate, self.volume) = (None, [u16::MAX; 2]);
        (self.serial, self.offered) = (0, 0);
        // Whoever waited for the one before has given up.
        while self.fetches.try_recv().is_ok() {}
        while self.microphone.try_recv().is_ok() {}
        self.offer.mark_changed();
        let ready = features.has(Features::CLIPBOARD);
        self.clipboard
            .send_modify(|state| (state.ready, state.grab) = (ready, None));
    }

    /// It is gone.
    pub(super) fn end(&mut self) {
        self.features = Features::default();
        self.fetching = None;
        self.recording.send_if_modified(|rate| rate.take().is_some());
        self.clipboard
            .send_modify(|state| (state.ready, state.grab) = (false, None));
    }

    /// Takes a message. `Ok` with what is to be answered, `Err` with the message if it is none of sound or clipboard.
    pub(super) fn take(&mut self, message: ToDaemon) -> Result<Option<ToGuest>, ToDaemon> {
        match message {
            ToDaemon::SoundFormat { rate } => self.rate = Some(rate).filter(|rate| Pcm::RATES.contains(rate)),
            ToDaemon::SoundData { samples } => self.play(&samples),
            ToDaemon::SoundVolume { left, right } => self.volume = [left, right],
            ToDaemon::Recording { rate } => {
                let rate =
                    Some(rate).filter(|rate| Pcm::RATES.contains(rate) && self.features.has(Features::MICROPHONE));
                self.recording
                    .send_if_modified(|now| std::mem::replace(now, rate) != rate);
            }
            ToDaemon::ClipboardOffer(offer) => self.hear_offer(offer),
            ToDaemon::ClipboardRequest { serial } => return Ok(Some(self.give(serial))),
            ToDaemon::ClipboardData(content) => self.deliver(content),
            other => return Err(other),
        }
        Ok(None)
    }

    /// Waits for something to tell the hypervisor. Cancel-safe.
    pub(super) async fn next(&mut self) -> ToGuest {
        let (has_clipboard, has_microphone) = (
            self.features.has(Features::CLIPBOARD),
            self.features.has(Features::MICROPHONE),
        );
        loop {
            let due = self.fetching.as_ref().map(|fetch| fetch.due);
            tokio::select! {
                biased;
                Ok(()) = self.offer.changed(), if has_clipboard => {
                    if let Some(message) = self.make_offer() {
                        return message;
                    }
                }
                Some(reply) = self.fetches.recv(), if has_clipboard && due.is_none() => {
                    let serial = self.offered;
                    let due = Instant::now() + TEXT_TIME;
                    self.fetching = Some(Fetch { serial, reply, due });
                    return ToGuest::ClipboardRequest { serial };
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.fetching = None,
                Some(pcm) = self.microphone.recv(), if has_microphone => {
                    let recorded = *self.recording.borrow() == Some(pcm.rate);
                    if recorded {
                        return spoken(&pcm);
                    }
                }
                else => return std::future::pending().await,
            }
        }
    }

    /// What the guest can paste now; nothing if it never could and cannot.
    fn make_offer(&mut self) -> Option<ToGuest> {
        let has_text = self.offer.borrow_and_update().is_some();
        if !has_text && self.serial == 0 {
            return None;
        }
        self.serial = self.serial.wrapping_add(1).max(1);
        if has_text {
            self.clipboard.send_modify(|state| state.grab = None);
        }
        Some(ToGuest::ClipboardOffer(Offer {
            serial: self.serial,
            has_text,
        }))
    }

    fn hear_offer(&mut self, offer: Offer) {
        if !self.features.has(Features::CLIPBOARD) {
            return;
        }
        self.offered = offer.serial;
        self.clipboard.send_modify(|state| {
            let next = state.copies + 1;
            state.copies = next;
            state.grab = offer.has_text.then_some(next);
        });
    }

    /// What was offered, if it is what the guest means.
    fn give(&mut self, serial: u32) -> ToGuest {
        let text = self.offer.borrow().clone();
        let text = text.filter(|text| serial == self.serial && text.len() <= v6::TEXT);
        if text.is_some() {
            self.clipboard.send_modify(|state| state.pasted += 1);
        }
        ToGuest::ClipboardData(Content {
            serial,
            text: text.map(|text| text.to_string()),
        })
    }

    fn deliver(&mut self, content: Content) {
        if let Some(fetch) = self.fetching.take_if(|fetch| fetch.serial == content.serial) {
            let text = content.text.map(|text| Arc::from(text.replace("\r\n", "\n")));
            // Who asked may have given up.
            let _ = fetch.reply.send(text);
        }
    }

    fn play(&mut self, samples: &[u8]) {
        let Some(rate) = self.rate.filter(|_| self.played.receiver_count() > 0) else {
            return;
        };
        let (frames, _) = samples.as_chunks::<FRAME>();
        let [left, right] = self.volume;
        for piece in frames.chunks((rate / PIECES) as usize) {
            let samples = piece.iter().flat_map(|[a, b, c, d]| {
                let (one, other) = (i16::from_le_bytes([*a, *b]), i16::from_le_bytes([*c, *d]));
                [at_volume(one, left), at_volume(other, right)]
            });
            // Without a listener it is dropped, which is as well.
            let _ = self.played.send(Pcm {
                rate,
                samples: samples.collect(),
            });
        }
    }
}

fn at_volume(sample: i16, volume: u16) -> i16 {
    (i32::from(sample) * i32::from(volume) / i32::from(u16::MAX)) as i16
}

fn spoken(pcm: &Pcm) -> ToGuest {
    // 20 ms at the highest clock are a quarter of what a message may have.
    let most = (v6::SHORT / 8) as usize;
    let samples = pcm.samples.iter().take(most).flat_map(|sample| sample.to_le_bytes());
    ToGuest::MicrophoneData {
        rate: pcm.rate,
        samples: samples.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(features: Features) -> (Peripherals, Ends) {
        let (ports, mut ends) = ports();
        ends.begin(features);
        (ports, ends)
    }

    #[tokio::test]
    async fn text_goes_both_ways_by_serials() {
        let (ports, mut ends) = begun(Features::CLIPBOARD);
        let clipboard = ports.clipboard.expect("a clipboard");
        assert!(clipboard.state.borrow().ready);
        clipboard.offer.send_replace(Some("to the guest".into()));
        let offer = Offer {
            serial: 1,
            has_text: true,
        };
        assert_eq!(ends.next().await, ToGuest::ClipboardOffer(offer));
        let answer = |serial, text: Option<&str>| {
            Ok(Some(ToGuest::ClipboardData(Content {
                serial,
                text: text.map(str::to_owned),
            })))
        };
        assert_eq!(ends.take(ToDaemon::ClipboardRequest { serial: 9 }), answer(9, None));
        let given = ends.take(ToDaemon::ClipboardRequest { serial: 1 });
        assert_eq!(given, answer(1, Some("to the guest")));
        assert_eq!(clipboard.state.borrow().pasted, 1);

        let copied = Offer {
            serial: 70,
            has_text: true,
        };
        assert_eq!(ends.take(ToDaemon::ClipboardOffer(copied)), Ok(None));
        assert_eq!(clipboard.state.borrow().grab, Some(1));
        let (reply, text) = oneshot::channel();
        clipboard.fetch.send(reply).await.expect("room");
        assert_eq!(ends.next().await, ToGuest::ClipboardRequest { serial: 70 });
        let content = |serial, text: &str| {
            ToDaemon::ClipboardData(Content {
                serial,
                text: Some(text.to_owned()),
            })
        };
        assert_eq!(ends.take(content(69, "of before")), Ok(None));
        assert_eq!(ends.take(content(70, "a\r\nb")), Ok(None));
        assert_eq!(text.await, Ok(Some(Arc::from("a\nb"))));
        ends.end();
        assert!(!clipboard.state.borrow().ready && clipboard.state.borrow().grab.is_none());
    }

    #[tokio::test]
    async fn sound_is_heard_at_the_guests_volume_and_only_with_a_clock_that_can_be() {
        let (ports, mut ends) = begun(Features::SOUND);
        let mut heard = ports.sound.expect("sound").played.subscribe();
        let data = ToDaemon::SoundData {
            samples: [1000_i16, -1000].map(i16::to_le_bytes).concat(),
        };
        assert_eq!(ends.take(ToDaemon::SoundFormat { rate: 7 }), Ok(None));
        assert_eq!(ends.take(data.clone()), Ok(None));
        assert_eq!(ends.take(ToDaemon::SoundFormat { rate: 48_000 }), Ok(None));
        assert_eq!(ends.take(ToDaemon::SoundVolume { left: 65_535, right: 0 }), Ok(None));
        assert_eq!(ends.take(data), Ok(None));
        let pcm = heard.recv().await.expect("a piece");
        assert_eq!((pcm.rate, &*pcm.samples), (48_000, &[1000, 0][..]));
        assert!(heard.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_microphone_is_told_only_while_the_machine_records() {
        let (ports, mut ends) = begun(Features::MICROPHONE);
        let sound = ports.sound.expect("sound");
        assert_eq!(ends.take(ToDaemon::Recording { rate: 16_000 }), Ok(None));
        assert_eq!(*sound.recording.borrow(), Some(16_000));
        let pcm = |rate| Pcm {
            rate,
            samples: [1, 2].into(),
        };
        for rate in [8_000, 16_000] {
            sound.microphone.send(pcm(rate)).await.expect("room");
        }
        let expected = ToGuest::MicrophoneData {
            rate: 16_000,
            samples: vec![1, 0, 2, 0],
        };
        assert_eq!(ends.next().await, expected);
        assert_eq!(ends.take(ToDaemon::Recording { rate: 0 }), Ok(None));
        assert_eq!(*sound.recording.borrow(), None);
        assert_eq!(ends.take(ToDaemon::Shutdown), Err(ToDaemon::Shutdown));
    }
}
