//! ADPCM against a decoder written from the format's description, and resampling against the tone that it should be.

use std::f64::consts::TAU;
use std::sync::Arc;

use super::*;

fn tone(rate: u32, hertz: f64, frames: usize) -> Vec<i16> {
    (0..frames)
        .flat_map(|frame| {
            let angle = TAU * hertz * frame as f64 / f64::from(rate);
            // The right channel is quieter and a quarter behind.
            [(angle.sin() * 20_000.0) as i16, (angle.cos() * 5_000.0) as i16]
        })
        .collect()
}

fn pcm(rate: u32, samples: Vec<i16>) -> Pcm {
    Pcm {
        rate,
        samples: Arc::from(samples),
    }
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

fn decode(bytes: &[u8], block_bytes: usize) -> Vec<i16> {
    const CHANGES: [i32; 16] = [-1, -1, -1, -1, 2, 4, 6, 8, -1, -1, -1, -1, 2, 4, 6, 8];
    let steps = adpcm::tests_steps();
    let mut out = Vec::new();
    for block in bytes.chunks_exact(block_bytes) {
        let mut state = [0, 4].map(|at| {
            let predicted = i16::from_le_bytes([block[at], block[at + 1]]);
            (i32::from(predicted), i32::from(block[at + 2]))
        });
        out.extend(state.map(|(predicted, _)| predicted as i16));
        for eight in block[8..].chunks_exact(8) {
            let mut frames = [[0_i16; 2]; 8];
            for (side, (predicted, index)) in state.iter_mut().enumerate() {
                for (at, frame) in frames.iter_mut().enumerate() {
                    let byte = eight[side * 4 + at / 2];
                    let code = if at % 2 == 0 { byte & 15 } else { byte >> 4 };
                    let step = steps[*index as usize];
                    let mut change = step >> 3;
                    for (bit, shift) in [(4, 0), (2, 1), (1, 2)] {
                        if code & bit != 0 {
                            change += step >> shift;
                        }
                    }
                    *predicted += if code & 8 == 0 { change } else { -change };
                    *predicted = (*predicted).clamp(-32_768, 32_767);
                    *index = (*index + CHANGES[usize::from(code)]).clamp(0, 88);
                    frame[side] = *predicted as i16;
                }
            }
            out.extend(frames.iter().flatten());
        }
    }
    out
}

#[test]
fn adpcm_decodes_to_nearly_the_same_in_pieces_of_any_length() {
    for format in [SoundFormat::ima(48_000), SoundFormat::ima(22_050)] {
        let samples = tone(format.rate, 997.0, 6_000);
        let mut encoder = SoundEncoder::new(format);
        let (mut bytes, mut frames) = (Vec::new(), 0);
        for (length, at) in [1, 7, 480, 1, 2_000, 3_511].into_iter().scan(0, |at, length| {
            let start = *at;
            *at += length;
            Some((length, start))
        }) {
            let piece = pcm(format.rate, samples[at * 2..(at + length) * 2].to_vec());
            if let Some(encoded) = encoder.encode(&piece) {
                frames += encoded.frames;
                bytes.extend(encoded.bytes);
            }
        }
        let last = encoder.finish().expect("a part of a block waits");
        frames += last.frames;
        bytes.extend(last.bytes);
        assert_eq!(encoder.finish(), None);
        let decoded = decode(&bytes, format.block_bytes().into());
        assert_eq!(decoded.len(), frames as usize * 2);
        assert!(decoded.len() >= samples.len());
        for side in 0..2 {
            // From a later block on: the first starts with the smallest step.
            let at = 2_400 * 2;
            let distance = distance(&samples[at..], &decoded[at..], side);
            assert!(distance > 30.0, "{format:?} side {side}: {distance} dB");
        }
    }
}

#[test]
fn adpcm_takes_the_loudest_jumps() {
    let samples: Vec<i16> = (0..4_000)
        .map(|at| if at / 40 % 2 == 0 { i16::MAX } else { i16::MIN })
        .collect();
    let mut encoder = ImaEncoder::new(SoundFormat::ima(48_000));
    let bytes = encoder.encode(&samples);
    assert_eq!(bytes.len(), 1024);
    assert_eq!(decode(&bytes, 1024).len(), 1017 * 2);
}

#[test]
fn a_tone_keeps_its_frequency_and_loudness_at_another_rate() {
    for (from, to) in [
        (44_100, 48_000),
        (48_000, 44_100),
        (48_000, 22_050),
        (8_000, 48_000),
        (192_000, 22_050),
        (44_101, 48_000),
    ] {
        let input = tone(from, 440.0, from as usize / 2);
        let mut resampler = Resampler::new(from, to);
        let mut out = Vec::new();
        for piece in input.chunks(2 * 441) {
            resampler.push(piece, &mut out);
        }
        let frames = out.len() / 2;
        let expected = to as usize / 2;
        assert!(
            frames.abs_diff(expected) <= 100,
            "{from} to {to}: {frames} of {expected}"
        );
        let ideal = tone(to, 440.0, frames);
        for side in 0..2 {
            let range = 200..frames - 200;
            let distance = distance(
                &ideal[range.start * 2..range.end * 2],
                &out[range.start * 2..range.end * 2],
                side,
            );
            assert!(distance > 45.0, "{from} to {to} side {side}: {distance} dB");
        }
    }
}

#[test]
fn a_guest_that_changes_its_clock_is_followed() {
    let mut encoder = SoundEncoder::new(SoundFormat::pcm(48_000));
    let mut frames = 0;
    for rate in [48_000, 44_100, 96_000, 48_000] {
        let encoded = encoder.encode(&pcm(rate, tone(rate, 440.0, rate as usize / 10)));
        frames += encoded.expect("much more than a block").frames;
    }
    assert!(frames.abs_diff(4 * 4_800) < 100, "{frames}");
    assert_eq!(encoder.encode(&pcm(48_000, Vec::new())), None);
}
