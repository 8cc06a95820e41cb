//! The clipboard as a program of the SDK brings it: one backend, of the kind that IronRDP's clients have, which takes part in
//! the clients' common clipboard as one more of them. Its calls come on a thread of their own, what it sends by
//! [`ServerEvent::Clipboard`] goes to the hub, in every format, with files.
//!
//! ```text
//! hub ──Notice──▶ task ──Call──▶ thread: CliprdrBackend ──ServerEvent::Clipboard──▶ task ──ClipboardEvent──▶ hub
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;
use ironrdp_cliprdr::backend::{ClipboardMessage, CliprdrBackend, CliprdrBackendFactory};
use ironrdp_cliprdr::pdu::{
    self, ClipboardFormatId, ClipboardFormatName, ClipboardGeneralCapabilityFlags, FileContentsFlags,
    FileContentsRequest, FileContentsResponse, FileDescriptor, FormatDataRequest, FormatDataResponse, LockDataId,
    PackedFileList,
};
use ironrdp_core::{decode, encode_vec};
use rdpmux_model::{ClipboardFormat, ClipboardPolicy, FilePart, FileRequest, Rights, SessionId};
use rdpmux_rdp::ClipboardEvent;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{debug, error, warn};

use super::events::ServerEvent;
use super::oversight::Calls;
use crate::clipboard::{ClipboardHub, ClipboardSeat, Notice};

/// Makes the backend by which a program takes part in the clipboard.
///
/// `build_cliprdr_backend` is called once, when the server starts to run: one backend is there for all clients, and
/// `temporary_directory` and `client_capabilities` are not asked for.
///
/// Answer each `on_format_data_request` within 30 s, by an error if there is nothing to give. Who pastes waits no longer than
/// that, and since answers do not say which request they are for, what comes later is taken for the next request's if there is
/// one by then. While the backend has not returned from a request that nobody waits for any more, further ones fail at once.
pub trait CliprdrServerFactory: CliprdrBackendFactory + Send {
    /// Called once, before the server runs: where the backend's messages go.
    fn set_sender(&mut self, _sender: mpsc::UnboundedSender<ServerEvent>) {}
}

/// The program's part while the server runs. Dropping it ends its task and, once the backend returns, its thread.
pub(super) struct Clipboard {
    messages: mpsc::Sender<ClipboardMessage>,
    task: JoinHandle<()>,
}

impl Drop for Clipboard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Clipboard {
    /// Takes the program's place in the hub.
    pub(super) fn start(hub: &ClipboardHub, backend: Box<dyn CliprdrBackend>, calls: Calls) -> std::io::Result<Self> {
        let (messages, inbox) = mpsc::channel(QUEUE);
        let thread = spawn(backend, calls)?;
        let hub = hub.clone();
        let task = tokio::spawn(async move {
            let policy = ClipboardPolicy::ALL;
            if let Some(seat) = hub.join(PROGRAM, "the program", Rights::CONTROL, policy).await {
                let party = Party {
                    seat,
                    thread,
                    asked: None,
                    pasting: VecDeque::new(),
                    files: None,
                    lists: Vec::new(),
                };
                party.run(inbox).await;
            }
        });
        Ok(Self { messages, task })
    }

    /// Hands on what the backend sends; it is dropped if too much waits.
    pub(super) fn say(&self, message: ClipboardMessage) {
        if self.messages.try_send(message).is_err() {
            debug!("the program does more with the clipboard than is taken");
        }
    }
}

type Call = Box<dyn FnOnce(&mut dyn CliprdrBackend) + Send>;

fn spawn(mut backend: Box<dyn CliprdrBackend>, calls: Calls) -> std::io::Result<mpsc::Sender<Call>> {
    let (sender, mut inbox) = mpsc::channel::<Call>(QUEUE);
    let runtime = Handle::current();
    thread::Builder::new().name("rdp-clipboard".into()).spawn(move || {
        let _runtime = runtime.enter();
        while let Some(call) = inbox.blocking_recv() {
            calls.call("clipboard backend", || call(backend.as_mut()));
        }
    })?;
    Ok(sender)
}

/// The program among the hub's parties.
struct Party {
    seat: ClipboardSeat,
    thread: mpsc::Sender<Call>,
    /// The hub's newest question, until it is answered. It asks the next when it no longer waits for the one before.
    asked: Option<Question>,
    /// Formats that the program waits for, in order, at most [`PASTES`].
    pasting: VecDeque<u32>,
    /// The list of files that the program offers, encoded.
    files: Option<Bytes>,
    /// Numbers of formats that are lists of files, as announced to the program.
    lists: Vec<u32>,
}

/// A question of the hub's.
struct Question {
    token: u32,
    /// Bytes that it takes.
    limit: usize,
    /// The call by which the backend was asked has the other one.
    call: Arc<()>,
}

impl Question {
    /// The backend has not returned from it.
    fn is_in_call(&self) -> bool {
        Arc::strong_count(&self.call) > 1
    }
}

impl Party {
    async fn run(mut self, mut inbox: mpsc::Receiver<ClipboardMessage>) {
        self.call(|backend| {
            backend.on_process_negotiated_capabilities(ClipboardGeneralCapabilityFlags::all());
            backend.on_ready();
            backend.on_request_format_list();
        });
        // The hub tells newcomers of the clipboard once they have said what they have.
        self.tell(ClipboardEvent::Copied {
            formats: Vec::new(),
            crossed: false,
        });
        loop {
            tokio::select! {
                biased;
                notice = self.seat.next() => self.on_notice(notice),
                message = inbox.recv() => match message {
                    Some(message) => self.on_message(message),
                    None => return,
                },
            }
        }
    }

    /// `false`: the backend's thread does not follow.
    fn call(&self, call: impl FnOnce(&mut dyn CliprdrBackend) + Send + 'static) -> bool {
        let sent = self.thread.try_send(Box::new(call)).is_ok();
        if !sent {
            warn!("the clipboard backend does not follow; a call is left out");
        }
        sent
    }

    fn tell(&self, event: ClipboardEvent) -> bool {
        self.seat.client(event)
    }

    fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Announce(formats) => {
                let lists = formats.iter().filter(|format| format.is_file_list());
                self.lists = lists.map(|format| format.id).collect();
                let formats: Vec<_> = formats.iter().map(announced).collect();
                self.call(move |backend| backend.on_remote_copy(&formats));
            }
            Notice::Fetch { format, token, limit } => self.fetch(format, token, limit),
            Notice::Answer(data) => self.answer(data),
            Notice::FetchFile(request) => {
                let stream = request.stream;
                let request = file_request(&request);
                if !self.call(move |backend| backend.on_file_contents_request(request)) {
                    self.tell(ClipboardEvent::FileData { stream, data: None });
                }
            }
            Notice::AnswerFile { stream, data } => {
                self.call(move |backend| {
                    backend.on_file_contents_response(match &data {
                        Some(data) => FileContentsResponse::new_data_response(stream, &data[..]),
                        None => FileContentsResponse::new_error(stream),
                    });
                });
            }
            Notice::Lock(id) => drop(self.call(move |backend| backend.on_lock(LockDataId(id)))),
            Notice::Unlock(id) => drop(self.call(move |backend| backend.on_unlock(LockDataId(id)))),
        }
    }

    /// A client pastes what the program has.
    fn fetch(&mut self, format: u32, token: u32, limit: usize) {
        if let Some(list) = self.files.as_ref().filter(|_| format == FILE_LIST) {
            let data = Some(list.clone()).filter(|list| list.len() <= limit);
            self.tell(ClipboardEvent::Data { token, data });
            return;
        }
        let request = FormatDataRequest {
            format: ClipboardFormatId(format),
        };
        let call = Arc::new(());
        let in_call = call.clone();
        // What a backend gives before it returns is an answer to what it was asked then.
        let is_behind = self.asked.as_ref().is_some_and(Question::is_in_call);
        let ask = move |backend: &mut dyn CliprdrBackend| {
            let _in_call = in_call;
            backend.on_format_data_request(request);
        };
        if !is_behind && self.call(ask) {
            self.asked = Some(Question { token, limit, call });
        } else {
            self.tell(ClipboardEvent::Data { token, data: None });
        }
    }

    /// What the program pastes.
    fn answer(&mut self, data: Option<Bytes>) {
        let is_list = self
            .pasting
            .pop_front()
            .is_some_and(|format| self.lists.contains(&format));
        self.call(move |backend| {
            let list = data
                .as_ref()
                .filter(|_| is_list)
                .map(|data| decode::<PackedFileList>(data));
            match (list, &data) {
                (Some(Ok(list)), _) => backend.on_remote_file_list(&list.files, None),
                (None, Some(data)) => backend.on_format_data_response(FormatDataResponse::new_data(&data[..])),
                (Some(Err(_)), _) | (None, None) => backend.on_format_data_response(FormatDataResponse::new_error()),
            }
        });
    }

    fn on_message(&mut self, message: ClipboardMessage) {
        match message {
            ClipboardMessage::SendInitiateCopy(formats) => {
                self.files = None;
                let formats = formats.into_iter().take(FORMATS).map(known).collect();
                self.copy(formats);
            }
            ClipboardMessage::SendInitiateFileCopy(files) => self.copy_files(files),
            ClipboardMessage::SendFormatData(response) => {
                let Some(Question { token, limit, .. }) = self.asked.take() else {
                    return debug!("the program gives clipboard data that nobody had asked for");
                };
                let is_good = !response.is_error() && response.data().len() <= limit;
                let data = is_good.then(|| Bytes::from(response.into_data().into_owned()));
                self.tell(ClipboardEvent::Data { token, data });
            }
            ClipboardMessage::SendInitiatePaste(ClipboardFormatId(format)) => {
                if self.pasting.len() < PASTES && self.tell(ClipboardEvent::Wanted { format }) {
                    self.pasting.push_back(format);
                } else {
                    self.call(|backend| backend.on_format_data_response(FormatDataResponse::new_error()));
                }
            }
            ClipboardMessage::SendFileContentsRequest(request) => {
                let stream = request.stream_id;
                let taken = wanted(&request).is_some_and(|request| self.tell(ClipboardEvent::FileWanted(request)));
                if !taken {
                    self.call(move |backend| {
                        backend.on_file_contents_response(FileContentsResponse::new_error(stream));
                    });
                }
            }
            ClipboardMessage::SendFileContentsResponse(response) => {
                let data = (!response.is_error()).then(|| Bytes::copy_from_slice(response.data()));
                let stream = response.stream_id();
                self.tell(ClipboardEvent::FileData { stream, data });
            }
            ClipboardMessage::Error(error) => error!(%error, "the program's clipboard"),
        }
    }

    fn copy(&mut self, formats: Vec<ClipboardFormat>) {
        let ok = self.tell(ClipboardEvent::Copied {
            formats,
            crossed: false,
        });
        self.call(move |backend| backend.on_format_list_response(ok));
    }

    fn copy_files(&mut self, files: Vec<FileDescriptor>) {
        match encode_vec(&PackedFileList { files }) {
            Ok(list) => {
                self.files = Some(list.into());
                self.copy(vec![ClipboardFormat {
                    id: FILE_LIST,
                    name: Some(ClipboardFormat::FILE_LIST.to_owned()),
                }]);
            }
            Err(error) => {
                warn!(%error, "the program's list of files");
                self.call(|backend| backend.on_format_list_response(false));
            }
        }
    }
}

fn announced(format: &ClipboardFormat) -> pdu::ClipboardFormat {
    let known = pdu::ClipboardFormat::new(ClipboardFormatId(format.id));
    match &format.name {
        Some(name) => known.with_name(ClipboardFormatName::new(name.clone())),
        None => known,
    }
}

fn known(format: pdu::ClipboardFormat) -> ClipboardFormat {
    ClipboardFormat {
        id: format.id.0,
        name: format
            .name
            .map(|name| name.value().to_owned())
            .filter(|name| !name.is_empty()),
    }
}

fn file_request(request: &FileRequest) -> FileContentsRequest {
    let (flags, position, requested_size) = match request.part {
        FilePart::Size => (FileContentsFlags::SIZE, 0, 8),
        FilePart::Range { position, length } => (FileContentsFlags::RANGE, position, length),
    };
    FileContentsRequest {
        stream_id: request.stream,
        index: i32::try_from(request.index).unwrap_or(i32::MAX),
        flags,
        position,
        requested_size,
        data_id: request.lock,
    }
}

/// `None`: it asks for nothing that there is.
fn wanted(request: &FileContentsRequest) -> Option<FileRequest> {
    let part = match request.flags {
        FileContentsFlags::SIZE => FilePart::Size,
        FileContentsFlags::RANGE => FilePart::Range {
            position: request.position,
            length: request.requested_size,
        },
        _ => return None,
    };
    Some(FileRequest {
        stream: request.stream_id,
        index: u32::try_from(request.index).ok()?,
        part,
        lock: request.data_id,
    })
}

/// Sessions are numbered from 1.
const PROGRAM: SessionId = SessionId(0);
/// Number of the program's lists of files; registered formats begin at 0xC000.
const FILE_LIST: u32 = 0xC0FE;
/// Formats of one copy.
const FORMATS: usize = 256;
/// Formats that the program waits for: the hub answers so many.
const PASTES: usize = 16;
/// Messages and calls that wait.
const QUEUE: usize = 64;

#[cfg(test)]
mod tests;
