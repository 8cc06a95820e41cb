//! The profile of 2009 over the streams of today: what its messages ask is asked of the visit, and what that says becomes
//! announcements, numbers for names, and data. What 2009 had no words for is left out: refusals, gaps, who writes.

use std::collections::BTreeMap;

use rdpmux_rfb::profile_2009::{self, announce};
use rdpmux_streams::{MAJOR, MINOR, Mode, Replay, Rights, Splitter, Text, ToClient, ToServer, WireError};

/// Output that may be on its way, and input that may wait, of each device in bytes.
const ROOM: u32 = 64 << 10;
/// Captures that were asked for and not answered.
const ASKED: usize = 16;

/// A viewer that speaks as in 2009.
#[derive(Debug)]
pub(super) struct Devices {
    /// The number of the pseudo-encoding.
    encoding: i32,
    splitter: Splitter,
    /// Devices that were announced.
    known: BTreeMap<u32, (String, Rights)>,
    asked: BTreeMap<u32, String>,
    next_request: u32,
    started: BTreeMap<u16, Typing>,
}

/// Input for a device.
#[derive(Debug, Default)]
struct Typing {
    credit: usize,
    waiting: Vec<u8>,
}

impl Devices {
    /// Appends the first words to the visit.
    pub(super) fn new(encoding: i32, visit: &mut Vec<u8>) -> Self {
        let hello = ToServer::Hello {
            major: MAJOR,
            minor: MINOR,
            caps: 0,
            max_frame: ROOM,
            client: Text::cleaned("VNC viewer, 2009"),
            vm: Text::cleaned(""),
        };
        hello.encode(visit);
        ToServer::List { follow: true }.encode(visit);
        Self {
            encoding,
            splitter: Splitter::default(),
            known: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_request: 1,
            started: BTreeMap::new(),
        }
    }

    /// The viewer says something; appends what the visit is asked.
    pub(super) fn said(&mut self, message: profile_2009::ToServer, visit: &mut Vec<u8>) {
        match message {
            profile_2009::ToServer::Start { name } => self.start(&name, visit),
            profile_2009::ToServer::End { id } => {
                if let Some(stream) = u16::try_from(id).ok().filter(|id| self.started.contains_key(id)) {
                    ToServer::Close { stream }.encode(visit);
                }
            }
            profile_2009::ToServer::Data { id, bytes } => {
                let stream = u16::try_from(id).unwrap_or(0);
                if let Some(typing) = self.started.get_mut(&stream)
                    && typing.waiting.len() + bytes.len() <= ROOM as usize
                {
                    typing.waiting.extend_from_slice(&bytes);
                    typing.flush(stream, visit);
                }
            }
        }
    }

    fn start(&mut self, name: &[u8], visit: &mut Vec<u8>) {
        let known = self.known.values().find(|(known, _)| known.as_bytes() == name);
        let Some((name, rights)) = known.filter(|_| self.asked.len() < ASKED) else {
            return;
        };
        let may_write = rights.has(Rights::WRITE);
        let open = ToServer::Open {
            request: self.next_request,
            mode: if may_write { Mode::Write } else { Mode::Watch },
            replay: Replay::None,
            credit: ROOM,
            name: Text::cleaned(name),
        };
        open.encode(visit);
        self.asked.insert(self.next_request, name.clone());
        self.next_request = self.next_request.wrapping_add(1);
    }

    /// The visit says something; appends what the viewer is told, and what the visit is asked further.
    ///
    /// # Errors
    /// [`WireError`], if the visit breaks its protocol.
    pub(super) fn heard(&mut self, bytes: &[u8], viewer: &mut Vec<u8>, visit: &mut Vec<u8>) -> Result<(), WireError> {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.feed(bytes);
        while let Some(frame) = splitter.next_frame()? {
            if let Some(message) = ToClient::decode(&frame)? {
                self.hear(message, viewer, visit);
            }
        }
        self.splitter = splitter;
        Ok(())
    }

    fn hear(&mut self, message: ToClient<'_>, viewer: &mut Vec<u8>, visit: &mut Vec<u8>) {
        match message {
            ToClient::Added(entry) => {
                let name = entry.name.as_str().to_owned();
                announce(name.as_bytes(), true, self.encoding, viewer);
                self.known.insert(entry.key, (name, entry.rights));
            }
            ToClient::Changed(entry) => {
                if let Some((_, rights)) = self.known.get_mut(&entry.key) {
                    *rights = entry.rights;
                }
            }
            ToClient::Removed { key, .. } => {
                if let Some((name, _)) = self.known.remove(&key) {
                    announce(name.as_bytes(), false, self.encoding, viewer);
                }
            }
            ToClient::Opened {
                stream,
                request,
                credit,
                ..
            } => {
                let name = self.asked.remove(&request).unwrap_or_default().into_bytes();
                let id = stream.into();
                profile_2009::ToClient::Started { id, name }.encode(viewer);
                let typing = Typing {
                    credit: credit as usize,
                    waiting: Vec::new(),
                };
                self.started.insert(stream, typing);
            }
            ToClient::Failed { request, .. } => {
                self.asked.remove(&request);
            }
            ToClient::Closed { stream, .. } => {
                self.started.remove(&stream);
                profile_2009::ToClient::Ended { id: stream.into() }.encode(viewer);
            }
            ToClient::Data { stream, bytes, .. } => {
                let (id, add) = (stream.into(), u32::try_from(bytes.len()).unwrap_or(0));
                let bytes = bytes.to_vec();
                profile_2009::ToClient::Data { id, bytes }.encode(viewer);
                ToServer::Credit { stream, add }.encode(visit);
            }
            ToClient::Credit { stream, add } => {
                if let Some(typing) = self.started.get_mut(&stream) {
                    typing.credit = typing.credit.saturating_add(add as usize);
                    typing.flush(stream, visit);
                }
            }
            ToClient::Ping(value) => ToServer::Pong(value).encode(visit),
            _ => {}
        }
    }
}

impl Typing {
    /// Appends as much as may be sent.
    fn flush(&mut self, stream: u16, visit: &mut Vec<u8>) {
        let count = self.waiting.len().min(self.credit);
        if count > 0 {
            self.credit -= count;
            let bytes = &self.waiting[..count];
            ToServer::Data { stream, bytes }.encode(visit);
            self.waiting.drain(..count);
        }
    }
}

#[cfg(test)]
mod tests {
    use rdpmux_streams::{Entry, Frame, Kind, Removal, State};

    use super::*;

    const ENCODING: i32 = -900;

    fn entry(rights: Rights) -> Entry<'static> {
        Entry {
            key: 5,
            kind: Kind::Serial,
            rights,
            state: State::Open,
            total: 0,
            oldest: 0,
            watchers: 0,
            size: (0, 0),
            name: Text::cleaned("serial0"),
            title: Text::cleaned(""),
            writer: Text::cleaned(""),
        }
    }

    /// What the viewer and the visit are told after the visit said something.
    fn heard(devices: &mut Devices, message: &ToClient<'_>) -> (Vec<u8>, Vec<u8>) {
        let (mut said, mut viewer, mut visit) = (Vec::new(), Vec::new(), Vec::new());
        message.encode(&mut said);
        devices.heard(&said, &mut viewer, &mut visit).expect("good frames");
        (viewer, visit)
    }

    fn asked(bytes: &[u8], check: impl Fn(ToServer<'_>) -> bool) {
        let mut splitter = Splitter::default();
        splitter.feed(bytes);
        let frame: Frame<'_> = splitter.next_frame().expect("a frame").expect("all of it");
        let message = ToServer::decode(&frame).expect("good").expect("known");
        assert!(check(message.clone()), "{message:?}");
    }

    #[test]
    fn a_capture_is_announced_started_fed_and_ended() {
        let mut visit = Vec::new();
        let mut devices = Devices::new(ENCODING, &mut visit);
        asked(&visit, |message| matches!(message, ToServer::Hello { .. }));
        let (viewer, _) = heard(&mut devices, &ToClient::Added(entry(Rights::WATCH.with(Rights::WRITE))));
        assert_eq!(viewer[12..16], ENCODING.to_be_bytes());
        assert_eq!(viewer[20..], *b"serial0");

        visit.clear();
        let start = |name: &[u8]| profile_2009::ToServer::Start { name: name.to_vec() };
        devices.said(start(b"serial9"), &mut visit);
        assert!(visit.is_empty(), "there is no such device");
        devices.said(start(b"serial0"), &mut visit);
        asked(&visit, |message| {
            matches!(
                message,
                ToServer::Open {
                    request: 1,
                    mode: Mode::Write,
                    ..
                }
            )
        });
        let opened = ToClient::Opened {
            stream: 3,
            request: 1,
            mode: Mode::Write,
            size: (0, 0),
            offset: 0,
            credit: 4,
        };
        let (viewer, _) = heard(&mut devices, &opened);
        assert_eq!(viewer, b"\xFF\x02\x00\0\0\0\x03\0\0\0\x07serial0");

        visit.clear();
        let bytes = b"hello".to_vec();
        devices.said(profile_2009::ToServer::Data { id: 3, bytes }, &mut visit);
        asked(&visit, |message| {
            matches!(message, ToServer::Data { bytes: b"hell", .. })
        });
        let (_, visit) = heard(&mut devices, &ToClient::Credit { stream: 3, add: 9 });
        asked(&visit, |message| matches!(message, ToServer::Data { bytes: b"o", .. }));
        let data = ToClient::Data {
            stream: 3,
            is_replay: false,
            offset: 0,
            bytes: b"> ",
        };
        let (viewer, visit) = heard(&mut devices, &data);
        assert_eq!(viewer, b"\xFF\x02\x02\0\0\0\x03\0\0\0\x02> ");
        asked(&visit, |message| {
            matches!(message, ToServer::Credit { stream: 3, add: 2 })
        });

        let mut visit = Vec::new();
        devices.said(profile_2009::ToServer::End { id: 0x1_0003 }, &mut visit);
        assert!(visit.is_empty(), "no such number");
        devices.said(profile_2009::ToServer::End { id: 3 }, &mut visit);
        asked(&visit, |message| matches!(message, ToServer::Close { stream: 3 }));
        let closed = ToClient::Closed {
            stream: 3,
            code: None,
            offset: 0,
            text: Text::cleaned(""),
        };
        assert_eq!(heard(&mut devices, &closed).0, b"\xFF\x02\x01\0\0\0\x03");
        let removed = ToClient::Removed {
            key: 5,
            why: Removal::Unplugged,
        };
        assert_eq!(heard(&mut devices, &removed).0[4..6], [0, 1]);
    }

    #[test]
    fn who_may_only_watch_asks_to_watch() {
        let mut visit = Vec::new();
        let mut devices = Devices::new(ENCODING, &mut visit);
        heard(&mut devices, &ToClient::Added(entry(Rights::WATCH)));
        visit.clear();
        let name = b"serial0".to_vec();
        devices.said(profile_2009::ToServer::Start { name }, &mut visit);
        asked(&visit, |message| {
            matches!(message, ToServer::Open { mode: Mode::Watch, .. })
        });
    }
}
