//! What the example `server` has besides its screen: a clipboard, and a tone of 440 Hz.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ironrdp_cliprdr::pdu::{
    ClipboardFormat, ClipboardFormatId, ClipboardGeneralCapabilityFlags, FileContentsRequest, FileContentsResponse,
    FormatDataRequest, FormatDataResponse, LockDataId, OwnedFormatDataResponse,
};
use rdpmux_server::backend::{ClipboardMessage, CliprdrBackend, CliprdrBackendFactory};
use rdpmux_server::pdu::{AudioFormat, ClientAudioFormatPdu, WaveFormat};
use rdpmux_server::{CliprdrServerFactory, RdpsndServerHandler, RdpsndServerMessage, ServerEvent, SoundServerFactory};
use tokio::sync::mpsc::UnboundedSender;

/// Where the program's messages go once the server is built.
type Outlet = Arc<Mutex<Option<UnboundedSender<ServerEvent>>>>;

/// Makes the clipboard.
#[derive(Default)]
pub struct Clipboard {
    sender: Outlet,
}

impl CliprdrBackendFactory for Clipboard {
    fn build_cliprdr_backend(&self) -> Box<dyn CliprdrBackend> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::new(Greeter { sender })
    }
}

impl CliprdrServerFactory for Clipboard {
    fn set_sender(&mut self, sender: UnboundedSender<ServerEvent>) {
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }
}

/// What clients can paste until one of them copies something.
const GREETING: &str = "Good day from rdpmux-server!";

/// Offers [`GREETING`], and prints what clients copy.
#[derive(Debug)]
struct Greeter {
    sender: Option<UnboundedSender<ServerEvent>>,
}

impl Greeter {
    fn say(&self, message: ClipboardMessage) {
        if let Some(sender) = &self.sender {
            // It fails when the server has ended.
            let _ = sender.send(ServerEvent::Clipboard(message));
        }
    }
}

ironrdp_core::impl_as_any!(Greeter);

impl CliprdrBackend for Greeter {
    fn temporary_directory(&self) -> &str {
        ".cliprdr"
    }

    fn client_capabilities(&self) -> ClipboardGeneralCapabilityFlags {
        ClipboardGeneralCapabilityFlags::empty()
    }

    fn on_ready(&mut self) {}

    fn on_request_format_list(&mut self) {
        let text = ClipboardFormat::new(ClipboardFormatId::CF_UNICODETEXT);
        self.say(ClipboardMessage::SendInitiateCopy(vec![text]));
    }

    fn on_process_negotiated_capabilities(&mut self, _: ClipboardGeneralCapabilityFlags) {}

    fn on_remote_copy(&mut self, formats: &[ClipboardFormat]) {
        let formats: Vec<u32> = formats.iter().map(|format| format.id.0).collect();
        println!("Clipboard: formats {formats:?}");
        let text = ClipboardFormatId::CF_UNICODETEXT;
        if formats.contains(&text.0) {
            self.say(ClipboardMessage::SendInitiatePaste(text));
        }
    }

    fn on_format_data_request(&mut self, _: FormatDataRequest) {
        let text = OwnedFormatDataResponse::new_unicode_string(GREETING);
        self.say(ClipboardMessage::SendFormatData(text));
    }

    fn on_format_data_response(&mut self, response: FormatDataResponse<'_>) {
        if let Ok(text) = response.to_unicode_string() {
            println!("Clipboard: text {text:?}");
        }
    }

    fn on_file_contents_request(&mut self, _: FileContentsRequest) {}

    fn on_file_contents_response(&mut self, _: FileContentsResponse<'_>) {}

    fn on_lock(&mut self, _: LockDataId) {}

    fn on_unlock(&mut self, _: LockDataId) {}
}

/// Makes the tone.
#[derive(Default)]
pub struct Sound {
    sender: Outlet,
}

impl SoundServerFactory for Sound {
    fn set_sender(&mut self, sender: UnboundedSender<ServerEvent>) {
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    fn build_backend(&self) -> Box<dyn RdpsndServerHandler> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::new(Tone {
            sender,
            format: [AudioFormat {
                format: WaveFormat::PCM,
                n_channels: 2,
                n_samples_per_sec: RATE,
                n_avg_bytes_per_sec: RATE * 4,
                n_block_align: 4,
                bits_per_sample: 16,
                data: None,
            }],
            playing: None,
        })
    }
}

const RATE: u32 = 48_000;
/// A whole number of waves, so that pieces follow each other without a break.
const PIECE: Duration = Duration::from_millis(50);

struct Tone {
    sender: Option<UnboundedSender<ServerEvent>>,
    format: [AudioFormat; 1],
    playing: Option<Arc<()>>,
}

impl RdpsndServerHandler for Tone {
    fn get_formats(&self) -> &[AudioFormat] {
        &self.format
    }

    fn start(&mut self, client_format: &ClientAudioFormatPdu) -> Option<u16> {
        let sender = self.sender.clone().filter(|_| !client_format.formats.is_empty())?;
        println!("Sound: start");
        let playing = Arc::new(());
        let token = Arc::downgrade(&playing);
        self.playing = Some(playing);
        std::thread::spawn(move || {
            let start = std::time::Instant::now();
            for n in 0_u32.. {
                std::thread::sleep((PIECE * n).saturating_sub(start.elapsed()));
                let wave = RdpsndServerMessage::Wave(piece(), (n * 50) as u16);
                if token.upgrade().is_none() || sender.send(ServerEvent::Rdpsnd(wave)).is_err() {
                    return;
                }
            }
        });
        Some(0)
    }

    fn stop(&mut self) {
        println!("Sound: stop");
        self.playing = None;
    }
}

/// 50 ms of 440 Hz: 22 waves, the same left and right.
fn piece() -> Vec<u8> {
    let sample = |at: u32| {
        let turns = f64::from(at) * 440.0 / f64::from(RATE);
        ((turns * std::f64::consts::TAU).sin() * 16_000.0) as i16
    };
    let samples = (0..RATE / 20).flat_map(|at| [sample(at); 2]);
    samples.flat_map(i16::to_le_bytes).collect()
}
