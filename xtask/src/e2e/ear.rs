//! Ears of the light viewers: the client's side of RDPSND on its dynamic channel, for what stock clients do not tell, the
//! moment at which sound arrives. Uncompressed sound goes to a file.

use ironrdp_core::impl_as_any;
use ironrdp_dvc::{DvcClientProcessor, DvcMessage, DvcProcessor};
use ironrdp_pdu::PduResult;
use rdpmux_client::Plain;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const WAVE_CONFIRM: u8 = 0x05;
const TRAINING: u8 = 0x06;
const FORMATS: u8 = 0x07;
const WAVE2: u8 = 0x0D;
/// What is clearly more than silence.
const LOUD: u16 = 1_000;
/// What a pause is in the file, in bytes: nothing is sent while nothing is played.
const SILENCE: usize = 192_000 / 5;
/// After so long without a loud wave the next one counts as a new sound.
const PAUSE: Duration = Duration::from_millis(100);

/// A channel that plays to a file and prints `LOUD unix-milliseconds` whenever sound begins.
pub struct Ear {
    file: Option<File>,
    loud: Option<Instant>,
}

impl_as_any!(Ear);
impl DvcClientProcessor for Ear {}

impl Ear {
    /// Keeps what it hears in `path`, if there is one.
    pub fn new(path: Option<&Path>) -> std::io::Result<Self> {
        Ok(Self {
            file: path.map(File::create).transpose()?,
            loud: None,
        })
    }

    fn hear(&mut self, sound: &[u8]) {
        let peak = sound
            .as_chunks::<2>()
            .0
            .iter()
            .map(|bytes| i16::from_le_bytes(*bytes).unsigned_abs())
            .max();
        if peak.unwrap_or(0) >= LOUD {
            let before = self.loud.replace(Instant::now());
            if before.is_none_or(|loud| loud.elapsed() > PAUSE) {
                self.keep(&[0; SILENCE]);
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                println!("LOUD {}", now.as_millis());
            }
        }
        self.keep(sound);
    }

    fn keep(&mut self, sound: &[u8]) {
        if let Some(file) = &mut self.file {
            // A full disk shows in the recording's length.
            let _ = file.write_all(sound);
        }
    }
}

impl DvcProcessor for Ear {
    fn channel_name(&self) -> &str {
        "AUDIO_PLAYBACK_DVC"
    }

    fn start(&mut self, _: u32) -> PduResult<Vec<DvcMessage>> {
        Ok(Vec::new())
    }

    fn process(&mut self, _: u32, message: &[u8]) -> PduResult<Vec<DvcMessage>> {
        Ok(match message {
            // The server's first format is 48 kHz without compression; it is all that we offer. Flags: alive.
            [FORMATS, _, _, _, body @ ..] if body.len() >= 38 => {
                let mut list = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 8, 0, 0];
                list.extend_from_slice(&body[20..38]);
                vec![answer(FORMATS, &list)]
            }
            [TRAINING, _, _, _, body @ ..] if body.len() >= 4 => vec![answer(TRAINING, &body[..4])],
            [WAVE2, _, _, _, t0, t1, _, _, block, _, _, _, _, _, _, _, sound @ ..] => {
                self.hear(sound);
                vec![answer(WAVE_CONFIRM, &[*t0, *t1, *block, 0])]
            }
            _ => Vec::new(),
        })
    }
}

fn answer(kind: u8, body: &[u8]) -> DvcMessage {
    let mut bytes = vec![kind, 0];
    bytes.extend((body.len() as u16).to_le_bytes());
    bytes.extend(body);
    Box::new(Plain(bytes))
}
