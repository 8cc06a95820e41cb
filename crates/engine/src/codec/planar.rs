//! RDP 6.0 planar: red, green and blue apart, rows predicted from the row before, run lengths ([MS-RDPEGDI] 3.1.9).
//! Lossless, no alpha plane. Rows are written bottom-up, as bitmap updates want them.

use rdpmux_pixel::Rows;

/// Encodes at most 64 × 64 pixels; `rows` starts at the first one, top row first.
///
/// Falls back to planes without run lengths where those would be smaller.
pub fn encode(rows: Rows<'_>, width: usize, height: usize) -> Vec<u8> {
    let raw_len = width * height * 3 + 2;
    let mut out = vec![NO_ALPHA | RLE];
    for channel in [2, 1, 0] {
        encode_plane(rows, width, height, channel, &mut out);
        if out.len() >= raw_len {
            return raw(rows, width, height);
        }
    }
    out
}

/// Bits of the format header ([MS-RDPEGDI] 2.2.2.5.1).
const RLE: u8 = 0x10;
const NO_ALPHA: u8 = 0x20;

fn raw(rows: Rows<'_>, width: usize, height: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(width * height * 3 + 2);
    out.push(NO_ALPHA);
    for channel in [2, 1, 0] {
        for y in (0..height).rev() {
            out.extend(rows.row(y, width * 4).iter().skip(channel).step_by(4));
        }
    }
    // The one byte of padding that follows planes without run lengths.
    out.push(0);
    out
}

fn encode_plane(rows: Rows<'_>, width: usize, height: usize, channel: usize, out: &mut Vec<u8>) {
    let (mut line, mut before, mut deltas) = ([0; 64], [0; 64], [0; 64]);
    for y in (0..height).rev() {
        for (to, pixel) in line.iter_mut().zip(rows.row(y, width * 4).chunks_exact(4)) {
            *to = pixel[channel];
        }
        if y + 1 == height {
            encode_line(&line[..width], out);
        } else {
            for (delta, (now, above)) in deltas.iter_mut().zip(line.iter().zip(&before)) {
                *delta = fold(now.wrapping_sub(*above));
            }
            encode_line(&deltas[..width], out);
        }
        before = line;
    }
}

/// Moves the sign of a difference to its lowest bit: 0 −1 1 −2 … become 0 1 2 3 ….
fn fold(delta: u8) -> u8 {
    (delta << 1) ^ ((delta as i8) >> 7) as u8
}

/// One line as segments: up to 15 raw bytes, then a run that repeats the last of them (0 at the start of a line).
fn encode_line(line: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    let mut raw_from = 0;
    while at < line.len() {
        let repeated = if at == 0 { 0 } else { line[at - 1] };
        let run = line[at..].iter().take_while(|v| **v == repeated).count();
        if run >= SHORTEST_RUN {
            segment(&line[raw_from..at], run, out);
            at += run;
            raw_from = at;
        } else {
            at += run.max(1);
        }
    }
    if raw_from < line.len() {
        segment(&line[raw_from..], 0, out);
    }
}

const SHORTEST_RUN: usize = 3;

/// Raw bytes and the run after them, in as many control bytes as they need ([MS-RDPEGDI] 2.2.2.5.1.2).
fn segment(raw: &[u8], run: usize, out: &mut Vec<u8>) {
    let (mut raw, mut run) = (raw, run);
    while raw.len() > 15 {
        out.push(0xF0);
        out.extend_from_slice(&raw[..15]);
        raw = &raw[15..];
    }
    if !raw.is_empty() {
        let first = head(run);
        out.push((raw.len() as u8) << 4 | first as u8);
        out.extend_from_slice(raw);
        run -= first;
    }
    while run > 0 {
        run -= long_run(run, out);
    }
}

/// The part of a run that follows raw bytes. 1 and 2 mean a long run in its half byte, so no such rest may be left.
fn head(run: usize) -> usize {
    match run {
        ..=15 => run,
        16 | 17 => run - SHORTEST_RUN,
        _ => 15,
    }
}

/// Writes a part of a run without raw bytes, and returns its length.
fn long_run(run: usize, out: &mut Vec<u8>) -> usize {
    let part = match run {
        ..=47 => run,
        48 | 49 => run - SHORTEST_RUN,
        _ => 47,
    };
    match part {
        ..=15 => out.push(part as u8),
        16..=31 => out.push((part as u8 - 16) << 4 | 1),
        _ => out.push((part as u8 - 32) << 4 | 2),
    }
    part
}
