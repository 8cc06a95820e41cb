//! Sound of the guest: a tone from the PC speaker, whose waves the machine makes itself, and what the sound card's
//! microphone picks up, told as a frequency. Both without an ioctl: OSS starts with 8,000 bytes per second, one channel.
//! Called by `main` when F9 or F10 is pressed.

use crate::boot::say;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The tone in hertz.
const TONE: i32 = 440;
/// Bytes per second of OSS when nobody asks for anything else.
const RATE: usize = 8_000;

static IS_PLAYING: AtomicBool = AtomicBool::new(false);
static IS_RECORDING: AtomicBool = AtomicBool::new(false);

/// Starts or ends the tone; says `TONE hertz` at that moment, with 0 for the end.
pub fn toggle_tone() {
    let is_on = !IS_PLAYING.fetch_xor(true, Ordering::Relaxed);
    let hertz = if is_on { TONE } else { 0 };
    match speaker().and_then(|mut speaker| speaker.write_all(&tone_event(hertz)).map_err(|error| error.to_string())) {
        Ok(()) => say(&format!("TONE {hertz}")),
        Err(error) => say(&format!("NO TONE {error}")),
    }
}

/// Starts or ends recording; while it lasts, `HEARD hertz peak` is said four times a second.
pub fn toggle_recording() {
    if IS_RECORDING.fetch_xor(true, Ordering::Relaxed) {
        return;
    }
    std::thread::spawn(|| {
        if let Err(error) = record() {
            say(&format!("NO RECORDING {error}"));
        }
        say("RECORDED");
    });
}

fn record() -> std::io::Result<()> {
    let mut card = File::open("/dev/dsp")?;
    say("RECORDING");
    let mut piece = [0x80; RATE / 4];
    while IS_RECORDING.load(Ordering::Relaxed) {
        card.read_exact(&mut piece)?;
        let (hertz, peak) = frequency(&piece);
        say(&format!("HEARD {hertz} {peak}"));
    }
    Ok(())
}

/// Frequency by the upward crossings of the middle, and the farthest sample from it. Small noise is no crossing.
fn frequency(samples: &[u8]) -> (usize, u8) {
    let peak = samples.iter().map(|sample| sample.abs_diff(0x80)).max().unwrap_or(0);
    let (mut is_low, mut crossings, mut first, mut last) = (false, 0, 0, 0);
    for (at, sample) in samples.iter().enumerate() {
        match sample.checked_sub(0x80) {
            None if sample.abs_diff(0x80) > peak / 2 => is_low = true,
            Some(up) if is_low && up > peak / 2 => {
                is_low = false;
                crossings += 1;
                first = if crossings == 1 { at } else { first };
                last = at;
            }
            _ => {}
        }
    }
    let hertz = if crossings > 1 && peak > 8 {
        ((crossings - 1) * RATE + (last - first) / 2) / (last - first)
    } else {
        0
    };
    (hertz, peak)
}

/// The device of the PC speaker; it may come a moment after its module.
fn speaker() -> Result<File, String> {
    for _ in 0..20 {
        for entry in fs::read_dir("/sys/class/input").into_iter().flatten().flatten() {
            let name = fs::read_to_string(entry.path().join("device/name")).unwrap_or_default();
            let file = entry.file_name();
            if name.trim() == "PC Speaker" && file.to_string_lossy().starts_with("event") {
                let path = std::path::Path::new("/dev/input").join(file);
                return OpenOptions::new()
                    .write(true)
                    .open(path)
                    .map_err(|error| error.to_string());
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err("there is no PC speaker".to_owned())
}

/// `struct input_event` with `EV_SND`, `SND_TONE`.
fn tone_event(hertz: i32) -> [u8; 24] {
    let mut event = [0; 24];
    event[16..18].copy_from_slice(&0x12_u16.to_le_bytes());
    event[18..20].copy_from_slice(&2_u16.to_le_bytes());
    event[20..24].copy_from_slice(&hertz.to_le_bytes());
    event
}
