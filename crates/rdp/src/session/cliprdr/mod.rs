//! The clipboard channel of one client, [MS-RDPECLIP]: what it announces, asks and answers comes out as
//! [`ClipboardEvent`]s; what others announce, ask and answer goes in by methods of [`Session`]. Whose clipboard it is and
//! who may have it is not known here. Nothing on this channel ends a session: what is wrong is refused by name.

mod assembler;
mod outgoing;
mod pdu;

use std::collections::VecDeque;

use bytes::Bytes;
use rdpmux_model::{ClipboardFormat, FilePart, FileRequest};

use super::{Session, SessionEvent};
use crate::wire::Reader;
use assembler::{Assembler, Step};
use outgoing::Outgoing;
use pdu::Pdu;

/// Name of the channel.
pub(crate) const CHANNEL: &str = "cliprdr";
/// The longest message that nobody asked for: a list of formats with long names.
const UNASKED: usize = 64 * 1024;
/// Questions to one client that may be open; the answers carry no numbers, so they are matched in order.
const QUESTIONS: usize = 4;
const FILE_QUESTIONS: usize = 64;

/// What a client did with the clipboard.
#[derive(Debug, PartialEq, Eq)]
pub enum ClipboardEvent {
    /// Something was copied at the client, or it tells what it has when it connects. An empty list: nothing any more.
    Copied {
        /// What it offers, at most 256.
        formats: Vec<ClipboardFormat>,
        /// The client did not know our last list yet, which replaces what it has announced here.
        crossed: bool,
    },
    /// The client wants content; answer by [`Session::clipboard_answer`], in order.
    Wanted {
        /// Number of the format in our last list.
        format: u32,
    },
    /// The answer to [`Session::clipboard_fetch`]. `None`: the client could not, or sent too much.
    Data {
        /// Which question.
        token: u32,
        /// Content.
        data: Option<Bytes>,
    },
    /// The client wants a part of a file; answer by [`Session::clipboard_answer_file`].
    FileWanted(FileRequest),
    /// The answer to [`Session::clipboard_fetch_file`]. `None`: the client could not, or sent too much.
    FileData {
        /// Which question.
        stream: u32,
        /// Content.
        data: Option<Bytes>,
    },
    /// The list of files that is on the clipboard now shall be kept under this number.
    Locked(u32),
    /// It need not be kept any longer.
    Unlocked(u32),
    /// A message was not taken; the session goes on.
    Refused(ClipboardRefusal),
}

/// Why a message of a client was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClipboardRefusal {
    /// It is longer than was asked for.
    #[error("a clipboard message of {announced} bytes where {limit} are taken")]
    Oversized {
        /// Announced bytes.
        announced: usize,
        /// Limit in bytes.
        limit: usize,
    },
    /// A list has too many formats.
    #[error("a clipboard of {announced} formats where {limit} are taken", limit = pdu::FORMATS)]
    TooManyFormats {
        /// How many.
        announced: usize,
    },
    /// It does not decode.
    #[error("a malformed clipboard message: {0}")]
    Malformed(&'static str),
    /// There is no message of that type.
    #[error("a clipboard message of the unknown type {0}")]
    Unknown(u16),
    /// Nobody had asked for it.
    #[error("clipboard data that nobody had asked for")]
    Unasked,
}

/// A question to the client and what its answer may take.
struct Question<T> {
    id: T,
    limit: usize,
}

/// State of the channel.
pub(crate) struct Clipboard {
    channel: u16,
    is_started: bool,
    /// `generalFlags` of the client.
    flags: u32,
    assembler: Assembler,
    outgoing: Outgoing,
    questions: VecDeque<Question<u32>>,
    file_questions: Vec<Question<u32>>,
    /// Our last list has not been acknowledged.
    announcing: bool,
}

impl Clipboard {
    pub(crate) fn new(channel: u16) -> Self {
        Self {
            channel,
            is_started: false,
            flags: 0,
            assembler: Assembler::default(),
            outgoing: Outgoing::default(),
            questions: VecDeque::new(),
            file_questions: Vec::new(),
            announcing: false,
        }
    }

    pub(crate) fn channel(&self) -> u16 {
        self.channel
    }

    /// Takes one chunk.
    pub(crate) fn chunk(&mut self, chunk: &[u8], events: &mut Vec<SessionEvent>) {
        if !self.is_started {
            return;
        }
        let limit = self.limit();
        let step = self.assembler.take(chunk, limit);
        if let Step::Message(message) = &step {
            tracing::trace!(kind = message_type(message), bytes = message.len(), "clipboard message");
        }
        let news = match step {
            Step::More => None,
            Step::Message(message) => match pdu::decode(message, self.flags & pdu::LONG_NAMES != 0) {
                Ok(pdu) => self.pdu(pdu),
                Err(refusal) => Some(self.refuse(refusal)),
            },
            Step::Oversized { announced, start } => {
                events.extend(self.unanswered(start).map(SessionEvent::Clipboard));
                let refusal = ClipboardRefusal::Oversized { announced, limit };
                // Whoever sends a list that long still waits for its response.
                Some(if message_type(start) == Some(pdu::FORMAT_LIST) {
                    self.refuse_list(refusal)
                } else {
                    ClipboardEvent::Refused(refusal)
                })
            }
            Step::Broken => Some(ClipboardEvent::Refused(ClipboardRefusal::Malformed("chunk"))),
        };
        events.extend(news.map(SessionEvent::Clipboard));
    }

    /// Bytes that a message may have now.
    fn limit(&self) -> usize {
        let asked = self.questions.iter().map(|question| question.limit);
        let files = self.file_questions.iter().map(|question| question.limit);
        let content = asked.chain(files).max().unwrap_or(0);
        UNASKED.max(content.saturating_add(pdu::FILE_HEADER))
    }

    fn pdu(&mut self, pdu: Pdu) -> Option<ClipboardEvent> {
        Some(match pdu {
            Pdu::Capabilities { flags } => {
                self.flags = flags;
                return None;
            }
            Pdu::FormatList(formats) => self.copied(formats),
            Pdu::FormatListResponse => {
                self.announcing = false;
                return None;
            }
            Pdu::DataRequest { format } => ClipboardEvent::Wanted { format },
            Pdu::DataResponse(data) => self.answered(data),
            Pdu::FileRequest(request) => ClipboardEvent::FileWanted(request),
            Pdu::FileResponse { stream, data } => self.file_answered(stream, data),
            Pdu::Lock(id) => ClipboardEvent::Locked(id),
            Pdu::Unlock(id) => ClipboardEvent::Unlocked(id),
            Pdu::Nothing => return None,
        })
    }

    fn copied(&mut self, mut formats: Vec<ClipboardFormat>) -> ClipboardEvent {
        self.send(pdu::format_list_response(true));
        if self.flags & pdu::FILES == 0 {
            formats.retain(|format| !format.is_file_list());
        }
        let crossed = core::mem::take(&mut self.announcing);
        ClipboardEvent::Copied { formats, crossed }
    }

    fn answered(&mut self, data: Option<Bytes>) -> ClipboardEvent {
        let Some(question) = self.questions.pop_front() else {
            return ClipboardEvent::Refused(ClipboardRefusal::Unasked);
        };
        ClipboardEvent::Data {
            token: question.id,
            // Another question's answer may have been allowed to be longer.
            data: data.filter(|data| data.len() <= question.limit),
        }
    }

    fn file_answered(&mut self, stream: u32, data: Option<Bytes>) -> ClipboardEvent {
        let Some(index) = self.file_questions.iter().position(|question| question.id == stream) else {
            return ClipboardEvent::Refused(ClipboardRefusal::Unasked);
        };
        let question = self.file_questions.swap_remove(index);
        ClipboardEvent::FileData {
            stream,
            data: data.filter(|data| data.len() <= question.limit),
        }
    }

    /// A refused message may have been an answer: whoever asked shall not wait for it.
    fn unanswered(&mut self, start: &[u8]) -> Option<ClipboardEvent> {
        match message_type(start)? {
            pdu::DATA_RESPONSE if !self.questions.is_empty() => Some(self.answered(None)),
            pdu::FILE_RESPONSE => {
                let stream = Reader(start.get(pdu::HEADER..)?).u32()?;
                let known = self.file_questions.iter().any(|question| question.id == stream);
                known.then(|| self.file_answered(stream, None))
            }
            _ => None,
        }
    }

    fn refuse(&mut self, refusal: ClipboardRefusal) -> ClipboardEvent {
        match refusal {
            ClipboardRefusal::TooManyFormats { .. } | ClipboardRefusal::Malformed("format name") => {
                self.refuse_list(refusal)
            }
            _ => ClipboardEvent::Refused(refusal),
        }
    }

    fn refuse_list(&mut self, refusal: ClipboardRefusal) -> ClipboardEvent {
        self.send(pdu::format_list_response(false));
        ClipboardEvent::Refused(refusal)
    }

    fn send(&mut self, message: Vec<u8>) {
        self.outgoing.push(message, Bytes::new());
    }
}

fn message_type(start: &[u8]) -> Option<u16> {
    Reader(start).u16()
}

/// The clipboard. All of it is a no-op for a client without the channel, and before [`Self::clipboard_start`]. What is
/// sent waits until [`Self::clipboard_transmit`].
impl Session {
    /// Opens the clipboard. `false`: the client has none.
    pub fn clipboard_start(&mut self) -> bool {
        let Some(clipboard) = &mut self.clipboard else {
            return false;
        };
        if !std::mem::replace(&mut clipboard.is_started, true) {
            clipboard.send(pdu::server_capabilities());
            clipboard.send(pdu::monitor_ready());
        }
        true
    }

    /// Tells the client what can be pasted from now on.
    pub fn clipboard_announce(&mut self, formats: &[ClipboardFormat]) {
        let Some(clipboard) = self.started() else { return };
        let takes_files = clipboard.flags & pdu::FILES != 0;
        let formats: Vec<_> = formats
            .iter()
            .filter(|format| takes_files || !format.is_file_list())
            .cloned()
            .collect();
        clipboard.announcing = true;
        let list = pdu::format_list(&formats, clipboard.flags & pdu::LONG_NAMES != 0);
        clipboard.send(list);
    }

    /// Asks for content of which at most `limit` bytes are taken. `false`: the client owes too many answers already.
    pub fn clipboard_fetch(&mut self, format: u32, token: u32, limit: usize) -> bool {
        let Some(clipboard) = self.started() else { return false };
        if clipboard.questions.len() >= QUESTIONS {
            return false;
        }
        clipboard.questions.push_back(Question { id: token, limit });
        clipboard.send(pdu::data_request(format));
        true
    }

    /// Answers what the client wanted. `None`: it cannot have it.
    pub fn clipboard_answer(&mut self, data: Option<Bytes>) {
        if let Some(clipboard) = self.started() {
            let head = pdu::data_response(data.as_ref());
            clipboard.outgoing.push(head, data.unwrap_or_default());
        }
    }

    /// Asks for a part of a file. `false`: the client owes too many answers already.
    pub fn clipboard_fetch_file(&mut self, mut request: FileRequest) -> bool {
        let Some(clipboard) = self.started() else { return false };
        if clipboard.file_questions.len() >= FILE_QUESTIONS {
            return false;
        }
        let limit = match request.part {
            FilePart::Size => 8,
            FilePart::Range { length, .. } => length as usize,
        };
        request.lock = request.lock.filter(|_| clipboard.flags & pdu::LOCKS != 0);
        clipboard.file_questions.push(Question {
            id: request.stream,
            limit,
        });
        clipboard.send(pdu::file_contents_request(&request));
        true
    }

    /// Answers what the client wanted of a file. `None`: it cannot have it.
    pub fn clipboard_answer_file(&mut self, stream: u32, data: Option<Bytes>) {
        if let Some(clipboard) = self.started() {
            let head = pdu::file_contents_response(stream, data.as_ref());
            clipboard.outgoing.push(head, data.unwrap_or_default());
        }
    }

    /// Asks the client to keep its list of files under a number, until [`Self::clipboard_unlock`].
    pub fn clipboard_lock(&mut self, id: u32) {
        if let Some(clipboard) = self.started().filter(|clipboard| clipboard.flags & pdu::LOCKS != 0) {
            clipboard.send(pdu::lock(id));
        }
    }

    /// The client need not keep that list any longer.
    pub fn clipboard_unlock(&mut self, id: u32) {
        if let Some(clipboard) = self.started().filter(|clipboard| clipboard.flags & pdu::LOCKS != 0) {
            clipboard.send(pdu::unlock(id));
        }
    }

    /// Whether something waits for [`Self::clipboard_transmit`].
    pub fn clipboard_waits(&self) -> bool {
        self.is_live()
            && self
                .clipboard
                .as_ref()
                .is_some_and(|clipboard| !clipboard.outgoing.is_empty())
    }

    /// Appends about `budget` bytes of what waits. A long message is cut between calls.
    pub fn clipboard_transmit(&mut self, budget: usize, out: &mut Vec<u8>) {
        if self.is_live()
            && let Some(clipboard) = &mut self.clipboard
        {
            clipboard.outgoing.fill(clipboard.channel, budget, out);
        }
    }

    fn started(&mut self) -> Option<&mut Clipboard> {
        self.clipboard.as_mut().filter(|clipboard| clipboard.is_started)
    }
}

#[cfg(test)]
mod tests;
