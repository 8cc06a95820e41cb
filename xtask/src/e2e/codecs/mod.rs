//! `cargo xtask e2e codecs`: what the engine's encoders make, decoded by FreeRDP's own codecs, sound by SoX, at strange
//! sizes and over connections long enough for every cache to wrap. Needs no client and no display; `cargo test` has
//! IronRDP's decoders.

mod progressive;
mod sound;

use super::report::{Suite, Wanted};
use crate::peers_c;
use anyhow::{Context, Result, bail, ensure};
use freerdp::{Codec, FreeRdp};
use pictures::{Noise, psnr};
use rdpmux_engine::codec::clear::Clear;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_engine::codec::{nsc, planar, rfx, rle};
use rdpmux_model::{BulkCompressor, RasterCompressor, RfxQuant, RfxTile, Size};
use rdpmux_pixel::Rows;
use std::path::Path;

#[allow(dead_code, reason = "its encoders are for the bench")]
#[path = "../../../../crates/engine/tests/engine/freerdp.rs"]
mod freerdp;
#[allow(dead_code, reason = "some are for the bench only")]
#[path = "../../../../crates/engine/tests/engine/pictures.rs"]
mod pictures;

/// Runs the cases with `only` in their names.
///
/// # Errors
/// When FreeRDP's library is missing or a case failed.
pub fn run(wanted: Wanted<'_>) -> Result<()> {
    let program = peers_c::freerdp_codecs()?;
    let mut suite = Suite::new("codecs", wanted);
    suite.case("clearcodec at strange sizes", |_| clear_sizes(&program));
    suite.case("clearcodec caches wrap around", |_| clear_wraps(&program));
    suite.case("clearcodec behind zgfx", |_| clear_and_zgfx(&program));
    suite.case("zgfx history wraps around", |_| zgfx_wraps(&program));
    suite.case("planar tiles", |_| planar_tiles(&program));
    suite.case("interleaved rle tiles", |_| rle_tiles(&program));
    suite.case("nscodec tiles", |_| nsc_tiles(&program));
    suite.case("remotefx tiles", |_| rfx_tiles(&program));
    suite.case("adpcm", sound::adpcm);
    suite.finish()
}

/// Strange in every way that has ever mattered: one pixel, one more than a tile, than a stripe, than a band.
const SIZES: [(u32, u32); 14] = [
    (1, 1),
    (2, 1),
    (1, 64),
    (63, 65),
    (65, 52),
    (65, 53),
    (127, 7),
    (129, 130),
    (1, 8191),
    (8191, 1),
    (3, 8191),
    (1366, 105),
    (640, 480),
    (4096, 33),
];

fn all_pictures(size: Size, seed: u64) -> [Vec<u8>; 6] {
    let mut noise = Noise(seed | 1);
    let plain = [noise.next() as u8, 8, 7, 255];
    let two = |noise: &mut Noise| {
        if noise.below(5) == 0 {
            [1, 2, 3, 255]
        } else {
            [250, 251, 252, 255]
        }
    };
    [
        pictures::text(size, seed as u32),
        pictures::noise(size, seed | 1),
        pictures::gradient(size),
        pictures::mixed(size),
        plain.repeat(size.area() as usize),
        (0..size.area()).flat_map(|_| two(&mut noise)).collect(),
    ]
}

fn pair(size: Size) -> (u32, u32) {
    (size.width, size.height)
}

/// Fails unless the colours are equal.
fn same(what: &str, ours: &[u8], theirs: &[u8]) -> Result<()> {
    ensure!(
        ours.len() == theirs.len(),
        "{what}: {} bytes came back of {}",
        theirs.len(),
        ours.len()
    );
    let pixels = ours.as_chunks::<4>().0.iter().zip(theirs.as_chunks::<4>().0);
    let wrong = pixels.filter(|(a, b)| a[..3] != b[..3]).count();
    ensure!(wrong == 0, "{what}: {wrong} pixels of {} are wrong", ours.len() / 4);
    Ok(())
}

fn clear_sizes(program: &Path) -> Result<String> {
    let (mut ours, mut theirs) = (Clear::new(), FreeRdp::start(program)?);
    let mut pixels = 0;
    for (round, (width, height)) in SIZES.into_iter().enumerate() {
        let size = Size::new(width, height);
        for picture in all_pictures(size, round as u64) {
            send_clear(&mut ours, &mut theirs, size, &picture)?;
            pixels += size.area();
        }
    }
    Ok(format!("{pixels} pixels exact"))
}

fn send_clear(ours: &mut Clear, theirs: &mut FreeRdp, size: Size, picture: &[u8]) -> Result<usize> {
    let mut wire = Vec::new();
    ours.compress(size, picture, &mut wire);
    let what = format!("ClearCodec of {size}");
    let back = theirs.decode(Codec::Clear, pair(size), &wire).context(what.clone())?;
    same(&what, picture, &back)?;
    Ok(wire.len())
}

/// More columns than both caches hold, several times, with repetitions of every age and resets between.
fn clear_wraps(program: &Path) -> Result<String> {
    let (mut ours, mut theirs) = (Clear::new(), FreeRdp::start(program)?);
    let size = Size::new(1280, 400);
    let mut noise = Noise(0xFEED);
    let mut old: Vec<Vec<u8>> = Vec::new();
    let mut bytes = 0;
    for round in 0..300 {
        let picture = if round % 3 == 2 {
            old[noise.below(old.len() as u32) as usize].clone()
        } else {
            let mut picture = pictures::text(size, round * 7);
            for pixel in picture.as_chunks_mut::<4>().0 {
                if noise.below(30) == 0 {
                    *pixel = [noise.next() as u8, noise.next() as u8, 90, 255];
                }
            }
            picture
        };
        bytes += send_clear(&mut ours, &mut theirs, size, &picture).with_context(|| format!("message {round}"))?;
        if round % 100 == 99 {
            ours.reset();
        }
        old.truncate(7);
        old.insert(0, picture);
    }
    Ok(format!("300 messages, {} MB, exact", bytes / 1_000_000))
}

fn clear_and_zgfx(program: &Path) -> Result<String> {
    let (mut ours, mut bulk, mut theirs) = (Clear::new(), Zgfx::new(), FreeRdp::start(program)?);
    let size = Size::new(1280, 720);
    let mut sent = 0;
    for round in 0..6 {
        let picture = pictures::text(size, round * 3);
        let (mut message, mut wire) = (Vec::new(), Vec::new());
        ours.compress(size, &picture, &mut message);
        bulk.compress(&message, &mut wire);
        let unpacked = theirs.decode(Codec::Zgfx, (0, 0), &wire).context("ZGFX")?;
        ensure!(unpacked == message, "ZGFX: {} bytes differ", message.len());
        let back = theirs.decode(Codec::Clear, pair(size), &unpacked)?;
        same("ClearCodec behind ZGFX", &picture, &back)?;
        sent += wire.len();
    }
    let bits = sent as f64 * 8.0 / (6 * size.area()) as f64;
    Ok(format!("{bits:.2} bit/pixel over six pages"))
}

fn zgfx_wraps(program: &Path) -> Result<String> {
    let (mut ours, mut theirs) = (Zgfx::new(), FreeRdp::start(program)?);
    let text = pictures::text(Size::new(900, 500), 0);
    let grain = pictures::noise(Size::new(500, 250), 3);
    let mut all = 0;
    for round in 0..7_usize {
        for part in [
            &text[round * 777..],
            &grain[round * 13..],
            &text[..=round],
            &grain[..=round * 9973],
        ] {
            let mut wire = Vec::new();
            ours.compress(part, &mut wire);
            let back = theirs.decode(Codec::Zgfx, (0, 0), &wire);
            let back = back.with_context(|| format!("ZGFX of {} bytes", part.len()))?;
            ensure!(back == part, "ZGFX of {} bytes after {all}", part.len());
            all += part.len();
        }
    }
    Ok(format!("{} MB exact", all / 1_000_000))
}

/// Every size of a tile's parts that can occur.
fn tiles() -> impl Iterator<Item = Size> {
    let edges = [1, 2, 3, 4, 5, 15, 16, 17, 18, 31, 33, 47, 48, 49, 50, 63, 64];
    edges
        .into_iter()
        .flat_map(move |width| edges.into_iter().map(move |height| Size::new(width, height)))
}

fn rows_of(picture: &[u8], size: Size) -> Rows<'_> {
    Rows {
        bytes: picture,
        stride: size.width as usize * 4,
    }
}

fn planar_tiles(program: &Path) -> Result<String> {
    let mut theirs = FreeRdp::start(program)?;
    let mut count = 0;
    for size in tiles() {
        for picture in all_pictures(size, count) {
            let bytes = planar::encode(rows_of(&picture, size), size.width as usize, size.height as usize);
            let back = theirs.decode(Codec::Planar, pair(size), &bytes);
            same(&format!("planar {size}"), &picture, &back.context("planar")?)?;
            count += 1;
        }
    }
    Ok(format!("{count} tiles exact"))
}

fn rle_tiles(program: &Path) -> Result<String> {
    let mut theirs = FreeRdp::start(program)?;
    let mut count = 0;
    for size in tiles().filter(|size| size.width % 4 == 0) {
        let row = size.width as usize * 4;
        for picture in all_pictures(size, count) {
            // As a client wants them: rows bottom-up, three bytes.
            let pixels: Vec<[u8; 3]> = picture
                .chunks_exact(row)
                .rev()
                .flat_map(|row| {
                    row.as_chunks::<4>()
                        .0
                        .iter()
                        .map(|pixel| [pixel[0], pixel[1], pixel[2]])
                })
                .collect();
            let mut bytes = Vec::new();
            rle::encode(&pixels, size.width as usize, &mut bytes);
            let back = theirs.decode(Codec::Interleaved { bits_per_pixel: 24 }, pair(size), &bytes);
            same(&format!("RLE {size}"), &picture, &back.context("RLE")?)?;
            count += 1;
        }
    }
    Ok(format!("{count} tiles exact"))
}

/// As surface commands carry it: rows bottom-up.
fn nsc_tiles(program: &Path) -> Result<String> {
    let mut theirs = FreeRdp::start(program)?;
    let (mut count, mut lowest) = (0, f64::INFINITY);
    let whole = SIZES.map(|(width, height)| Size::new(width, height));
    for size in tiles().chain(whole) {
        for picture in all_pictures(size, count) {
            for (color_loss, subsampling, least) in [(1, false, 41.0), (3, false, 33.0), (1, true, 0.0)] {
                let (quality, mut bytes) = (
                    nsc::Quality {
                        color_loss,
                        subsampling,
                    },
                    Vec::new(),
                );
                let (width, height) = (size.width as usize, size.height as usize);
                nsc::encode(
                    rows_of(&picture, size),
                    width,
                    height,
                    quality,
                    nsc::Order::BottomUp,
                    &mut bytes,
                );
                let codec = Codec::Nsc {
                    loss: 1,
                    subsampled: true,
                };
                let back = theirs.decode(codec, pair(size), &bytes);
                let reached = psnr(&picture, &back.with_context(|| format!("NSCodec {quality:?}"))?);
                ensure!(reached >= least, "NSCodec {size} {quality:?}: {reached:.1} dB");
                lowest = lowest.min(if least > 40.0 { reached } else { lowest });
                count += 1;
            }
        }
    }
    Ok(format!("{count} pictures, at best quality at least {lowest:.1} dB"))
}

/// Not exact by nature, so by signal to noise: a wrong coefficient anywhere costs far more than the margin.
fn rfx_tiles(program: &Path) -> Result<String> {
    let mut theirs = FreeRdp::start(program)?;
    let size = Size::new(448, 320);
    let mut lowest = f64::INFINITY;
    let cases = [
        (pictures::text(size, 1), 6, 46.0),
        (pictures::photo(size), 6, 44.0),
        (pictures::gradient(size), 6, 46.0),
        (pictures::noise(size, 3), 6, 40.0),
        (pictures::photo(size), 8, 34.0),
    ];
    for (frame, (picture, step, least)) in cases.into_iter().enumerate() {
        let quant = RfxQuant([step; 10]);
        let tiles = (0..5).flat_map(|y| (0..7).map(move |x| (x, y)));
        let tiles: Vec<RfxTile> = tiles
            .map(|(x, y)| {
                let rows = Rows {
                    bytes: &picture[(usize::from(y) * 64 * 448 + usize::from(x) * 64) * 4..],
                    stride: 448 * 4,
                };
                let planes = rfx::encode(rows, 64, 64, &quant);
                RfxTile { x, y, planes }
            })
            .collect();
        let stream = progressive::stream(size, frame as u32, quant, &tiles);
        let codec = Codec::Progressive { frame: frame as u32 };
        let back = theirs.decode(codec, pair(size), &stream).context("progressive")?;
        let reached = psnr(&picture, &back);
        if reached < least {
            bail!("picture {frame} at step {step}: {reached:.1} dB, wanted {least}");
        }
        lowest = lowest.min(reached);
    }
    Ok(format!("at least {lowest:.1} dB"))
}
