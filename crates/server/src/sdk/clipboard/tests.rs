//! A program and a client at one hub.

use rdpmux_model::DesktopName;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;

/// Notes its calls and answers questions.
#[derive(Debug)]
struct Backend {
    notes: mpsc::UnboundedSender<String>,
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

async fn both() -> Both {
    let hub = ClipboardHub::spawn(DesktopName::new("sdk").unwrap(), None);
    let (calls, oversee) = Calls::new();
    tokio::spawn(oversee);
    let (sender, mut notes) = mpsc::unbounded_channel();
    let program = Clipboard::start(&hub, Box::new(Backend { notes: sender }), calls).unwrap();
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
