//! Each codec against a foreign decoder.

use ironrdp_graphics::zgfx::Decompressor;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_engine::{ClientView, Pipeline, Profile, SliceRows, surface};
use rdpmux_model::{BulkCompressor, FrameCommand, PixelFormat, Point, RfxQuant, Size, TilePayload};

use crate::painter::Painter;
use crate::pictures::{self, Noise, psnr};

const EGFX: Pipeline = Pipeline::Egfx { progressive: true };

/// Sends one picture to a fresh viewer.
fn show(size: Size, picture: &[u8], profile: &Profile) -> (Painter, Vec<FrameCommand>) {
    let (mut writer, reader) = surface(size);
    let rows = SliceRows::new(picture, size, size.width as usize * 4, PixelFormat::Bgrx32).expect("a whole picture");
    writer.commit(&[size.rect()], &rows, Point::new(0, 0));
    let frame = ClientView::new()
        .take_job(&reader, profile)
        .expect("something to show")
        .encode();
    let mut painter = Painter::new(size);
    painter.paint(&frame);
    (painter, frame.commands)
}

#[test]
fn remotefx_keeps_38_db_on_photos_and_42_db_on_text() {
    let size = Size::new(320, 256);
    for (name, picture, least) in [
        ("photo", pictures::photo(size), 38.0),
        ("gradient", pictures::gradient(size), 40.0),
        ("text", pictures::text(size, 0), 42.0),
    ] {
        let (painter, _) = show(size, &picture, &Profile::new(Pipeline::SurfaceCommands));
        let reached = psnr(&picture, &painter.pixels);
        assert!(reached >= least, "{name}: {reached:.1} dB");
    }
}

#[test]
fn a_coarser_quantiser_makes_fewer_bytes_and_is_followed() {
    let size = Size::new(256, 192);
    let picture = pictures::photo(size);
    let mut last = (usize::MAX, f64::INFINITY);
    for step in 0..4 {
        let quant = RfxQuant(Profile::QUANT.0.map(|q| q + step));
        let profile = Profile {
            quant,
            ..Profile::new(Pipeline::SurfaceCommands)
        };
        let (painter, commands) = show(size, &picture, &profile);
        let [FrameCommand::Rfx { tiles, quant: told, .. }] = commands.as_slice() else {
            panic!("one RemoteFX command");
        };
        assert_eq!(*told, quant);
        let bytes = tiles
            .iter()
            .flat_map(|tile| &tile.planes)
            .map(|plane| plane.len())
            .sum();
        let reached = psnr(&picture, &painter.pixels);
        assert!(
            bytes < last.0 && reached < last.1 && reached > 25.0,
            "{bytes} {reached:.1}"
        );
        last = (bytes, reached);
    }
}

#[test]
fn text_goes_exactly_and_photos_go_as_remotefx() {
    let size = Size::new(640, 320);
    let text = pictures::text(size, 3);
    let (painter, commands) = show(size, &text, &Profile::new(EGFX));
    assert_eq!(painter.pixels, text);
    assert!(
        !commands
            .iter()
            .any(|command| matches!(command, FrameCommand::Rfx { .. }))
    );
    let (_, commands) = show(size, &pictures::photo(size), &Profile::new(EGFX));
    assert!(matches!(commands.as_slice(), [FrameCommand::Rfx { tiles, .. }] if tiles.len() == 50));
}

#[test]
fn one_colour_is_one_fill() {
    let size = Size::new(300, 130);
    let (painter, commands) = show(size, &[9, 8, 7, 0].repeat(300 * 130), &Profile::new(EGFX));
    assert_eq!(painter.pixels, [9, 8, 7, 255].repeat(300 * 130));
    assert_eq!(commands.len(), 1, "{commands:?}");
}

#[test]
fn bitmaps_are_exact_at_every_depth_and_size() {
    let mut noise = Noise(0xB17);
    for round in 0..24 {
        let size = Size::new(1 + noise.below(150), 1 + noise.below(90));
        let picture = match round % 4 {
            0 => pictures::text(size, round),
            1 => pictures::photo(size),
            2 => pictures::noise(size, 5),
            _ => sparse(size, &mut noise),
        };
        for bits_per_pixel in [32, 24, 16, 15] {
            let (painter, _) = show(size, &picture, &Profile::new(Pipeline::Bitmap { bits_per_pixel }));
            let expected = at_depth(&picture, bits_per_pixel);
            assert!(
                painter.pixels == expected,
                "{bits_per_pixel} bits, {size}, round {round}"
            );
        }
    }
}

/// Long runs of few colours, all lengths.
fn sparse(size: Size, noise: &mut Noise) -> Vec<u8> {
    let mut pixels = Vec::new();
    while pixels.len() < size.area() as usize * 4 {
        let color = [[0, 0, 0, 255], [255, 255, 255, 255], [9, 99, 199, 255]][noise.below(3) as usize];
        let longest = [3, 20, 60, 400][noise.below(4) as usize];
        let run = 1 + noise.below(longest);
        pixels.extend((0..run).flat_map(|_| color));
    }
    pixels.truncate(size.area() as usize * 4);
    pixels
}

fn at_depth(picture: &[u8], bits_per_pixel: u8) -> Vec<u8> {
    let keep = match bits_per_pixel {
        16 => [5, 6, 5],
        15 => [5, 5, 5],
        _ => [8, 8, 8],
    };
    // The nearest level, and the value that clients make of it.
    let cut = |v: u8, bits: u32| {
        let level = (f64::from(v) * f64::from((1 << bits) - 1) / 255.0).round() as u32;
        if bits == 8 {
            v
        } else {
            (level << (8 - bits) | level >> (2 * bits - 8)) as u8
        }
    };
    let pixels = picture.as_chunks::<4>().0.iter();
    pixels
        .flat_map(|p| [cut(p[0], keep[0]), cut(p[1], keep[1]), cut(p[2], keep[2]), 255])
        .collect()
}

#[test]
fn bitmaps_of_text_shrink() {
    let size = Size::new(640, 480);
    let text = pictures::text(size, 0);
    for (bits_per_pixel, most) in [(32, 14), (24, 20), (16, 20)] {
        let (_, commands) = show(size, &text, &Profile::new(Pipeline::Bitmap { bits_per_pixel }));
        let bytes: usize = commands.iter().map(payload_bytes).sum();
        let raw = 640 * 480 * usize::from(bits_per_pixel) / 8;
        assert!(bytes * 100 < raw * most, "{bits_per_pixel}: {bytes} of {raw}");
    }
}

fn payload_bytes(command: &FrameCommand) -> usize {
    match command {
        FrameCommand::Tile { payload, .. } => match payload {
            TilePayload::Uncompressed(data)
            | TilePayload::Planar(data)
            | TilePayload::NsCodec(data)
            | TilePayload::Qoi(data)
            | TilePayload::Qoiz(data) => data.len(),
            TilePayload::InterleavedRle { data, .. } | TilePayload::RawBitmap { data, .. } => data.len(),
        },
        _ => 12,
    }
}

#[test]
fn zgfx_messages_round_trip_in_order() {
    let seed = 0x26F_0001;
    eprintln!("seed {seed:#x}");
    let mut noise = Noise(seed);
    let text = pictures::text(Size::new(900, 700), 0);
    let (mut ours, mut theirs) = (Zgfx::new(), Decompressor::new());
    for round in 0..60 {
        let len = [0, 1, 7, 8, 9, 300, 5_000, 65_535, 65_536, 200_000][noise.below(10) as usize];
        let message: Vec<u8> = match round % 4 {
            0 => (0..len).map(|_| noise.next() as u8).collect(),
            1 => text
                .iter()
                .cycle()
                .skip(noise.below(400_000) as usize)
                .take(len)
                .copied()
                .collect(),
            2 => vec![round; len],
            _ => (0..len)
                .map(|i| (i / 50) as u8 ^ (noise.below(40) == 0) as u8)
                .collect(),
        };
        check(&mut ours, &mut theirs, &message);
    }
}

#[test]
fn zgfx_history_wraps_and_stays_in_step() {
    // Beyond twice the window, so that the history moves down several times.
    let (mut ours, mut theirs) = (Zgfx::new(), Decompressor::new());
    let text = pictures::text(Size::new(700, 500), 0);
    let grain = pictures::noise(Size::new(500, 250), 3);
    for round in 0..5 {
        for part in [&text, &grain] {
            let part = &part[round * 999..];
            check(&mut ours, &mut theirs, part);
        }
    }
    let mut again = Vec::new();
    ours.compress(&text[4_000..60_000], &mut again);
    assert!(
        again.len() < 56_000 / 20,
        "a repetition within the window costs {} bytes",
        again.len()
    );
}

fn check(ours: &mut Zgfx, theirs: &mut Decompressor, message: &[u8]) {
    let (mut wire, mut back) = (vec![1, 2, 3], Vec::new());
    ours.compress(message, &mut wire);
    assert_eq!(wire[..3], [1, 2, 3], "what was there stays");
    let overhead = 2 + 5 * message.len().div_ceil(65_535) + 6;
    assert!(wire.len() <= 3 + message.len() + overhead);
    theirs.decompress(&wire[3..], &mut back).expect("a valid stream");
    assert!(back == message, "{} bytes", message.len());
}

#[test]
fn zgfx_makes_text_small() {
    let size = Size::new(1024, 768);
    let text = pictures::text(size, 0);
    let mut wire = Vec::new();
    let (_, commands) = show(size, &text, &Profile::new(EGFX));
    let mut zgfx = Zgfx::new();
    for command in &commands {
        if let FrameCommand::Tile {
            payload: TilePayload::Uncompressed(bytes),
            ..
        } = command
        {
            zgfx.compress(bytes, &mut wire);
        }
    }
    let bits_per_pixel = wire.len() as f64 * 8.0 / size.area() as f64;
    assert!(bits_per_pixel < 1.5, "{bits_per_pixel:.2} bits per pixel");
}
