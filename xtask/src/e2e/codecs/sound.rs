//! IMA ADPCM as the wave files of Windows have it, decoded by SoX: a tone that differs between left and right.

use crate::e2e::report::Case;
use crate::steps;
use anyhow::{Context, Result, ensure};
use rdpmux_engine::sound::SoundEncoder;
use rdpmux_model::{Pcm, SoundFormat};
use std::fs;
use std::process::Command;
use std::sync::Arc;

/// Signal to noise that 4 bits a sample have for a tone, once the step fits; a wrong decoder is below 0.
const LEAST: f64 = 30.0;
/// Frames after which the step fits.
const SETTLED: usize = 2_400;

pub fn adpcm(case: &Case) -> Result<String> {
    let mut lowest = f64::INFINITY;
    for format in SoundFormat::ALL.into_iter().filter(|format| format.block_frames() > 1) {
        let samples = tone(format.rate);
        let mut encoder = SoundEncoder::new(format);
        let mut blocks = Vec::new();
        // In pieces as QEMU sends them.
        for piece in samples.chunks(2 * 960) {
            let pcm = Pcm {
                rate: format.rate,
                samples: Arc::from(piece),
            };
            blocks.extend(encoder.encode(&pcm).into_iter().flat_map(|encoded| encoded.bytes));
        }
        blocks.extend(encoder.finish().into_iter().flat_map(|encoded| encoded.bytes));
        let file = case.folder.join(format!("{}.wav", format.rate));
        fs::write(&file, wave(format, &blocks)?)?;
        let raw = file.with_extension("raw");
        let mut sox = Command::new("sox");
        sox.arg("-D")
            .arg(&file)
            .args(["-e", "signed-integer", "-b", "16", "-t", "raw"])
            .arg(&raw);
        steps::output(&mut sox).context("SoX does not take it")?;
        let decoded = fs::read(&raw)?;
        let decoded: Vec<i16> = decoded
            .as_chunks::<2>()
            .0
            .iter()
            .map(|pair| i16::from_le_bytes(*pair))
            .collect();
        ensure!(
            decoded.len() >= samples.len(),
            "{} samples of {}",
            decoded.len(),
            samples.len()
        );
        for side in 0..2 {
            let reached = distance(&samples[SETTLED * 2..], &decoded[SETTLED * 2..], side);
            ensure!(reached > LEAST, "{format:?}, channel {side}: {reached:.1} dB");
            lowest = lowest.min(reached);
        }
    }
    Ok(format!("a tone at three rates, at least {lowest:.1} dB"))
}

/// A second; the right channel is quieter and a quarter behind.
fn tone(rate: u32) -> Vec<i16> {
    let angles = (0..rate).map(|frame| std::f64::consts::TAU * 997.0 * f64::from(frame) / f64::from(rate));
    angles
        .flat_map(|angle| [(angle.sin() * 20_000.0) as i16, (angle.cos() * 5_000.0) as i16])
        .collect()
}

fn wave(format: SoundFormat, blocks: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(blocks.len())?;
    let mut file = b"RIFF".to_vec();
    file.extend((length + 40).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(20_u32.to_le_bytes());
    file.extend([0x11, 2].map(u16::to_le_bytes).as_flattened());
    file.extend(
        [format.rate, format.bytes_per_second()]
            .map(u32::to_le_bytes)
            .as_flattened(),
    );
    file.extend(
        [format.block_bytes(), 4, 2, format.block_frames()]
            .map(u16::to_le_bytes)
            .as_flattened(),
    );
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(blocks);
    Ok(file)
}

/// Power of the difference below that of the first, in decibels, of one channel.
fn distance(one: &[i16], other: &[i16], side: usize) -> f64 {
    let pairs = one.iter().zip(other).skip(side).step_by(2);
    let (signal, noise) = pairs.fold((0.0, 1e-9), |(signal, noise), (a, b)| {
        let (a, b) = (f64::from(*a), f64::from(*b));
        (signal + a * a, noise + (a - b) * (a - b))
    });
    10.0 * (signal / noise).log10()
}
