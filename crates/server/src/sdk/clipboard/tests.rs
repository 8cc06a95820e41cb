//! A program and a client at one hub.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rdpmux_model::DesktopName;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;

/// Notes its calls, and returns from a request when the test lets it.
#[derive(Debug)]
struct Backend {
    notes: mpsc::UnboundedSender<String>,
    returns: Mutex<Receiver<()>>,
}

ironrdp_core::impl_as_any!(Backend);

impl Backend {
    fn note(&self, text: String) {
        let _ = self.notes.send(text);
    }
}

impl CliprdrBackend for Backend {
    fn temporary_directory(&self) -> &str {
        ""
    }
    fn client_capabilities(&self) -> ClipboardGeneralCapabilityFlags {
        ClipboardGeneralCapabilityFlags::empty()
    }
    fn on_ready(&mut self) {
        self.note("ready".to_owned());
    }
    fn on_request_format_list(&mut self) {}
    fn on_process_negotiated_capabilities(&mut self, _: ClipboardGeneralCapabilityFlags) {}
    fn on_remote_copy(&mut self, formats: &[pdu::ClipboardFormat]) {
        let ids: Vec<_> = formats.iter().map(|format| format.id.0).collect();
        self.note(format!("copied {ids:?}"));
    }
    fn on_format_data_request(&mut self, request: FormatDataRequest) {
        self.note(format!("wanted {}", request.format.0));
        let _ = self.returns.lock().map(|returns| returns.recv());
    }
    fn on_format_data_response(&mut self, response: FormatDataResponse<'_>) {
        let text = response.to_unicode_string().unwrap_or_default();
        self.note(format!("pasted {text:?} error {}", response.is_error()));
    }
    fn on_file_contents_request(&mut self, request: FileContentsRequest) {
        self.note(format!("file {} at {}", request.index, request.position));
    }
    fn on_file_contents_response(&mut self, response: FileContentsResponse<'_>) {
        self.note(format!("part {:?}", response.data()));
    }
    fn on_lock(&mut self, _: LockDataId) {}
    fn on_unlock(&mut self, _: LockDataId) {}
    fn on_remote_file_list(&mut self, files: &[FileDescriptor], _: Option<u32>) {
        self.note(format!("files {}", files[0].name));
    }
}

struct Both {
    program: Clipboard,
    notes: UnboundedReceiver<String>,
    client: ClipboardSeat,
    _hub: ClipboardHub,
}

/// With a backend that returns at once.
async fn both() -> Both {
    both_until(channel().1).await
}

/// With a backend that returns from a request when it is told so, or when nobody can tell it any more.
async fn both_until(returns: Receiver<()>) -> Both {
    let hub = ClipboardHub::spawn(DesktopName::new("sdk").unwrap(), None);
    let (calls, oversee) = Calls::new();
    tokio::spawn(oversee);
    let (sender, mut notes) = mpsc::unbounded_channel();
    let backend = Backend {
        notes: sender,
        returns: Mutex::new(returns),
    };
    let program = Clipboard::start(&hub, Box::new(backend), calls).unwrap();
    assert_eq!(notes.recv().await.as_deref(), Some("ready"));
    let client = hub
        .join(SessionId(7), "alice", Rights::CONTROL, ClipboardPolicy::ALL)
        .await;
    let client = client.expect("a seat");
    let formats = Vec::new();
    assert!(client.client(ClipboardEvent::Copied {
        formats,
        crossed: false
    }));
    Both {
        program,
        notes,
        client,
        _hub: hub,
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

#[tokio::test]
async fn a_client_pastes_what_the_program_copied() {
    let mut both = both().await;
    let format = pdu::ClipboardFormat::new(ClipboardFormatId::CF_UNICODETEXT);
    both.program.say(ClipboardMessage::SendInitiateCopy(vec![format]));
    let Notice::Announce(formats) = both.client.next().await else {
        panic!("an announcement comes first");
    };
    assert!(formats.iter().any(|format| format.id == 13));
    both.client.client(ClipboardEvent::Wanted { format: 13 });
    assert_eq!(both.notes.recv().await.as_deref(), Some("wanted 13"));
    let data = FormatDataResponse::new_data(utf16("héllo"));
    both.program.say(ClipboardMessage::SendFormatData(data));
    let Notice::Answer(Some(data)) = both.client.next().await else {
        panic!("what it wanted");
    };
    assert_eq!(data[..], utf16("héllo"));
}

impl Both {
    /// The program copies text, and the client hears of it.
    async fn copy_text(&mut self) {
        let format = pdu::ClipboardFormat::new(ClipboardFormatId::CF_UNICODETEXT);
        self.program.say(ClipboardMessage::SendInitiateCopy(vec![format]));
        assert!(matches!(self.client.next().await, Notice::Announce(_)));
    }

    fn give(&self, text: &str) {
        let data = FormatDataResponse::new_data(utf16(text));
        self.program.say(ClipboardMessage::SendFormatData(data));
    }

    /// What the client is given.
    async fn answer(&mut self) -> Option<Bytes> {
        match self.client.next().await {
            Notice::Answer(data) => data,
            other => panic!("no answer: {other:?}"),
        }
    }

    async fn is_noted(&mut self, note: &str) {
        assert_eq!(self.notes.recv().await.as_deref(), Some(note));
    }

    /// The backend has returned from what it was called for: its calls come one by one.
    async fn has_returned(&mut self) {
        let unknown = ClipboardFormatId(8);
        self.program.say(ClipboardMessage::SendInitiatePaste(unknown));
        self.is_noted("pasted \"\" error true").await;
    }
}

/// Longer than anybody waits for content.
async fn too_long() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_request_that_the_program_never_answers_fails_alone() {
    let mut both = both().await;
    both.copy_text().await;
    for _ in 0..3 {
        both.client.client(ClipboardEvent::Wanted { format: 13 });
        both.is_noted("wanted 13").await;
        both.has_returned().await;
        too_long().await;
        assert_eq!(both.answer().await, None);
    }
    both.client.client(ClipboardEvent::Wanted { format: 13 });
    both.is_noted("wanted 13").await;
    both.give("the newest");
    assert_eq!(both.answer().await.as_deref(), Some(&*utf16("the newest")));
}

#[tokio::test]
async fn what_a_request_that_lasts_too_long_gives_is_for_nobody() {
    let (returns, returned): (Sender<()>, _) = channel();
    let mut both = both_until(returned).await;
    both.copy_text().await;
    both.client.client(ClipboardEvent::Wanted { format: 13 });
    both.is_noted("wanted 13").await;
    too_long().await;
    assert_eq!(both.answer().await, None);
    both.client.client(ClipboardEvent::Wanted { format: 13 });
    assert_eq!(both.answer().await, None, "the backend is still busy with the first");
    both.give("late");
    drop(returns);
    both.has_returned().await;
    both.client.client(ClipboardEvent::Wanted { format: 13 });
    both.is_noted("wanted 13").await;
    both.give("in time");
    assert_eq!(both.answer().await.as_deref(), Some(&*utf16("in time")));
}

#[tokio::test]
async fn a_program_that_pastes_without_end_still_gets_each_answer_as_what_it_is() {
    let mut both = both().await;
    let name = Some(ClipboardFormat::FILE_LIST.to_owned());
    let formats = vec![ClipboardFormat::numbered(8), ClipboardFormat { id: 0xC123, name }];
    let crossed = false;
    both.client.client(ClipboardEvent::Copied { formats, crossed });
    both.is_noted("copied [8, 49443]").await;
    let paste = |format| ClipboardMessage::SendInitiatePaste(ClipboardFormatId(format));
    for _ in 0..30 {
        both.program.say(paste(8));
    }
    let Notice::Fetch { token, .. } = both.client.next().await else {
        panic!("the client is asked");
    };
    both.client.client(ClipboardEvent::Data { token, data: None });
    for _ in 0..30 {
        both.is_noted("pasted \"\" error true").await;
    }
    both.program.say(paste(0xC123));
    let Notice::Fetch { token, .. } = both.client.next().await else {
        panic!("the client is asked");
    };
    let files = vec![FileDescriptor::new("notes.txt").with_file_size(3)];
    let list = encode_vec(&PackedFileList { files }).unwrap();
    let data = Some(list.into());
    both.client.client(ClipboardEvent::Data { token, data });
    both.is_noted("files notes.txt").await;
}

#[tokio::test]
async fn the_program_pastes_what_a_client_copied() {
    let mut both = both().await;
    let formats = vec![ClipboardFormat::numbered(13)];
    both.client.client(ClipboardEvent::Copied {
        formats,
        crossed: false,
    });
    assert_eq!(both.notes.recv().await.as_deref(), Some("copied [13, 1, 7]"));
    both.program
        .say(ClipboardMessage::SendInitiatePaste(ClipboardFormatId(13)));
    let Notice::Fetch { token, .. } = both.client.next().await else {
        panic!("the client is asked");
    };
    let data = Some(Bytes::from(utf16("wörld")));
    both.client.client(ClipboardEvent::Data { token, data });
    assert_eq!(both.notes.recv().await.as_deref(), Some("pasted \"wörld\" error false"));
    // What is not on the clipboard fails.
    both.program
        .say(ClipboardMessage::SendInitiatePaste(ClipboardFormatId(8)));
    assert_eq!(both.notes.recv().await.as_deref(), Some("pasted \"\" error true"));
}

#[tokio::test]
async fn files_go_both_ways_with_their_contents() {
    let mut both = both().await;
    let file = FileDescriptor::new("notes.txt").with_file_size(3);
    both.program.say(ClipboardMessage::SendInitiateFileCopy(vec![file]));
    let Notice::Announce(formats) = both.client.next().await else {
        panic!("an announcement comes first");
    };
    let format = formats.iter().find(|format| format.is_file_list()).expect("a list").id;
    both.client.client(ClipboardEvent::Wanted { format });
    let list = loop {
        match both.client.next().await {
            Notice::Answer(list) => break list.expect("a list of files"),
            other => drop(other),
        }
    };
    let part = FilePart::Range { position: 1, length: 2 };
    let request = FileRequest {
        stream: 5,
        index: 0,
        part,
        lock: None,
    };
    both.client.client(ClipboardEvent::FileWanted(request));
    assert_eq!(both.notes.recv().await.as_deref(), Some("file 0 at 1"));

    // The other way: the client offers the same list.
    let name = Some(ClipboardFormat::FILE_LIST.to_owned());
    let formats = vec![ClipboardFormat { id: 0xC123, name }];
    both.client.client(ClipboardEvent::Copied {
        formats,
        crossed: false,
    });
    assert_eq!(both.notes.recv().await.as_deref(), Some("copied [49443]"));
    both.program
        .say(ClipboardMessage::SendInitiatePaste(ClipboardFormatId(0xC123)));
    let token = loop {
        match both.client.next().await {
            Notice::Fetch { token, .. } => break token,
            other => drop(other),
        }
    };
    both.client.client(ClipboardEvent::Data {
        token,
        data: Some(list),
    });
    assert_eq!(both.notes.recv().await.as_deref(), Some("files notes.txt"));
    let request = FileContentsRequest {
        stream_id: 9,
        index: 0,
        flags: FileContentsFlags::RANGE,
        position: 0,
        requested_size: 3,
        data_id: None,
    };
    both.program.say(ClipboardMessage::SendFileContentsRequest(request));
    let stream = loop {
        match both.client.next().await {
            Notice::FetchFile(request) => break request.stream,
            other => drop(other),
        }
    };
    both.client.client(ClipboardEvent::FileData {
        stream,
        data: Some(Bytes::from_static(b"abc")),
    });
    assert_eq!(both.notes.recv().await.as_deref(), Some("part [97, 98, 99]"));
}
