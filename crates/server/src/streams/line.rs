//! The client's side of one stream: what it says and what it was told. No IO: bytes come in and go out. Consoles,
//! records and sockets are ordinary clients of a machine's streams and speak what every other one does.

use rdpmux_streams::frame::MAX_PAYLOAD;
use rdpmux_streams::{MAJOR, MINOR, Mode, Replay, Splitter, Text, ToClient, ToServer, WireError, Wish, Writer};

/// What the daemon said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Output. Questions in what is old are not answered.
    Output {
        /// What was said.
        bytes: Vec<u8>,
        /// It was said before the stream was opened.
        is_old: bool,
    },
    /// Who writes.
    Writer {
        /// We, another or nobody.
        writer: Writer,
        /// For people.
        who: String,
    },
    /// So many bytes of output are missing.
    Missing(u64),
    /// All that was typed is the device's.
    Taken,
    /// The stream, or the connection, has ended; why, for people.
    Ended(String),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Line {
    splitter: Splitter,
    out: Vec<u8>,
    /// Its number, once it is open.
    stream: Option<u16>,
    /// What was asked before that.
    wish: Option<Wish>,
    /// Bytes of input that may be sent, and how many that was at first.
    credit: usize,
    granted: usize,
    /// Input that waits for credit.
    waiting: Vec<u8>,
}

/// Output that may be under way.
const CREDIT: u32 = 64 << 10;
/// Input that may wait; what is typed beyond it is lost, as on a real line.
const WAITING: usize = 64 << 10;

impl Line {
    /// Asks for the stream of that name, to watch it from there on.
    pub(crate) fn new(name: Text<'static>, replay: Replay) -> Self {
        let mut line = Self {
            splitter: Splitter::default(),
            out: Vec::new(),
            stream: None,
            wish: None,
            credit: 0,
            granted: 0,
            waiting: Vec::new(),
        };
        line.say(&ToServer::Hello {
            major: MAJOR,
            minor: MINOR,
            caps: 0,
            max_frame: MAX_PAYLOAD,
            client: Text::cleaned("daemon"),
            vm: Text::default(),
        });
        line.say(&ToServer::Open {
            request: 1,
            mode: Mode::Watch,
            replay,
            credit: CREDIT,
            name,
        });
        line
    }

    fn say(&mut self, message: &ToServer<'_>) {
        message.encode(&mut self.out);
    }

    /// What is to be sent.
    pub(crate) fn out(&self) -> &[u8] {
        &self.out
    }

    /// So much of it was.
    pub(crate) fn sent(&mut self, count: usize) {
        self.out.drain(..count);
    }

    /// Whether what is written next is not lost.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING / 2
    }

    /// Whether nothing that was typed is still on its way to the device.
    pub(crate) fn is_taken(&self) -> bool {
        self.waiting.is_empty() && self.credit >= self.granted
    }

    /// Types to the device, as it takes it.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let room = WAITING.saturating_sub(self.waiting.len());
        self.waiting.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.spend();
    }

    /// Asks for the right to write, or gives it back.
    pub(crate) fn wish(&mut self, wish: Wish) {
        match self.stream {
            Some(stream) => self.say(&ToServer::Writer { stream, wish }),
            None => self.wish = Some(wish),
        }
    }

    /// Sends a break.
    pub(crate) fn send_break(&mut self) {
        if let Some(stream) = self.stream {
            self.say(&ToServer::Break { stream, ms: 0 });
        }
    }

    fn spend(&mut self) {
        let count = self.waiting.len().min(self.credit).min(MAX_PAYLOAD as usize);
        let Some(stream) = self.stream.filter(|_| count > 0) else {
            return;
        };
        let bytes: Vec<u8> = self.waiting.drain(..count).collect();
        self.credit -= count;
        self.say(&ToServer::Data { stream, bytes: &bytes });
    }

    /// Takes what came.
    ///
    /// # Errors
    /// [`WireError`] if that is no message of the daemon; the connection is of no use then.
    pub(crate) fn feed(&mut self, bytes: &[u8], said: &mut Vec<Said>) -> Result<(), WireError> {
        let mut splitter = std::mem::take(&mut self.splitter);
        splitter.feed(bytes);
        while let Some(frame) = splitter.next_frame()? {
            let message = ToClient::decode(&frame)?;
            let limit = match &message {
                Some(ToClient::Welcome { max_frame, .. }) => Some(*max_frame),
                _ => None,
            };
            if let Some(message) = message {
                said.extend(self.take(message));
            }
            if let Some(limit) = limit {
                splitter.set_limit(limit);
            }
        }
        self.splitter = splitter;
        self.spend();
        Ok(())
    }

    fn take(&mut self, message: ToClient<'_>) -> Option<Said> {
        match message {
            ToClient::Opened { stream, credit, .. } => {
                self.stream = Some(stream);
                (self.credit, self.granted) = (credit as usize, credit as usize);
                if let Some(wish) = self.wish.take() {
                    self.wish(wish);
                }
                None
            }
            ToClient::Data {
                stream,
                is_replay,
                bytes,
                ..
            } => {
                let add = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                self.say(&ToServer::Credit { stream, add });
                Some(Said::Output {
                    bytes: bytes.to_vec(),
                    is_old: is_replay,
                })
            }
            ToClient::Credit { add, .. } => {
                self.credit = self.credit.saturating_add(add as usize);
                self.is_taken().then_some(Said::Taken)
            }
            ToClient::Writer { writer, who, .. } => Some(Said::Writer {
                writer,
                who: who.to_string(),
            }),
            ToClient::Gap { from, to, .. } => Some(Said::Missing(to.saturating_sub(from))),
            ToClient::Ping(value) => {
                self.say(&ToServer::Pong(value));
                None
            }
            ToClient::Closed { text, .. } | ToClient::Failed { text, .. } | ToClient::Error { text, .. } => {
                self.stream = None;
                Some(Said::Ended(text.to_string()))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &mut Line, messages: &[ToClient<'_>]) -> Vec<Said> {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes));
        let mut said = Vec::new();
        line.feed(&bytes, &mut said).unwrap();
        said
    }

    /// Kinds of the messages that wait to be sent, which are taken away.
    fn says(line: &mut Line) -> Vec<String> {
        let mut splitter = Splitter::default();
        splitter.feed(line.out());
        let mut words = Vec::new();
        while let Some(frame) = splitter.next_frame().unwrap() {
            let message = ToServer::decode(&frame).unwrap().unwrap();
            words.push(format!("{message:?}").split(' ').next().unwrap_or_default().to_owned());
        }
        line.sent(line.out().len());
        words
    }

    fn opened(credit: u32) -> ToClient<'static> {
        ToClient::Opened {
            stream: 7,
            request: 1,
            mode: Mode::Watch,
            size: (0, 0),
            offset: 0,
            credit,
        }
    }

    #[test]
    fn it_opens_the_stream_and_keeps_to_its_credit() {
        let mut line = Line::new(Text::cleaned("serial0"), Replay::Last(9));
        assert_eq!(says(&mut line), ["Hello", "Open"]);
        line.write(b"early");
        line.wish(Wish::Ask);
        assert!(says(&mut line).is_empty(), "there is no stream yet");
        told(&mut line, &[opened(3)]);
        assert_eq!(says(&mut line), ["Writer", "Data"]);
        assert_eq!(line.waiting, b"ly");
        told(&mut line, &[ToClient::Credit { stream: 7, add: 100 }]);
        assert_eq!((says(&mut line), line.credit), (vec!["Data".to_owned()], 98));
        line.granted = 100;
        assert!(!line.is_taken());
        assert_eq!(
            told(&mut line, &[ToClient::Credit { stream: 7, add: 2 }]),
            [Said::Taken]
        );
        line.write(&vec![b'x'; 1 << 20]);
        assert!(line.waiting.len() <= WAITING);
    }

    #[test]
    fn what_it_was_told_is_passed_on_and_output_is_granted_again() {
        let mut line = Line::new(Text::cleaned("serial0"), Replay::Last(9));
        says(&mut line);
        let data = ToClient::Data {
            stream: 7,
            is_replay: true,
            offset: 0,
            bytes: b"login:",
        };
        let writer = ToClient::Writer {
            stream: 7,
            writer: Writer::Other,
            who: Text::cleaned("bob"),
        };
        let said = told(&mut line, &[opened(0), data, writer, ToClient::Ping(1)]);
        assert_eq!(
            said,
            [
                Said::Output {
                    bytes: b"login:".to_vec(),
                    is_old: true
                },
                Said::Writer {
                    writer: Writer::Other,
                    who: "bob".to_owned()
                },
            ]
        );
        assert_eq!(says(&mut line), ["Credit", "Pong(1)"]);
        assert!(line.feed(&[0xFF; 64], &mut Vec::new()).is_err());
    }
}
