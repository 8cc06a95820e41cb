//! Whatever a peer sends to an audio listener: raw bytes, and bodies under a well-formed header of each method.

use crate::call;

use std::sync::Arc;
use std::time::Instant;

use call::call;
use parking_lot::Mutex;
use rdpmux_guest::qemu::audio::{Device, Recorder, Speaker, handle};
use rdpmux_model::Pcm;
use tokio::sync::{broadcast, mpsc, watch};

const METHODS: [(&str, &str); 6] = [
    ("Init", "tybbuyuub"),
    ("Fini", "t"),
    ("SetEnabled", "tb"),
    ("SetVolume", "tbay"),
    ("Write", "tay"),
    ("Read", "tt"),
];

/// One input.
pub fn fuzz(data: &[u8]) {
    let (played, mut heard) = broadcast::channel(32);
    let (spoken, words) = mpsc::channel(32);
    let (recording, _seen) = watch::channel(None);
    let mut speaker = Speaker::new(String::new(), played);
    let mut recorder = Recorder::new(String::new(), Arc::new(Mutex::new(words)), recording);
    let mut rest = data;
    while let Some((&[method, low, high], tail)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_le_bytes([low, high])).min(tail.len());
        let (body, after) = tail.split_at(length);
        rest = after;
        let device: &mut dyn Device = if method & 0x80 == 0 {
            &mut speaker
        } else {
            &mut recorder
        };
        let message = match METHODS.get(usize::from(method & 0x7F)) {
            Some((member, signature)) => call((device.path(), device.interface()), (member, signature), body),
            None => body.to_vec(),
        };
        // As in the daemon, the connection ends with the first message that is refused.
        if handle(device, &message, Instant::now(), 1, |_| Ok(())).is_err() {
            return;
        }
        while let Ok(pcm) = heard.try_recv() {
            assert!(pcm.samples.len() % 2 == 0 && Pcm::RATES.contains(&pcm.rate));
        }
        let _ = spoken.try_send(Pcm {
            rate: 48_000,
            samples: Arc::from([1, 2]),
        });
    }
}
