//! Speed and size of the kernels and codecs as ratios in one run, on screens made by code. Prints a Markdown table.
//! Called by `cargo xtask bench codec`; a machine's own speed cancels out in the ratio column.
#![expect(clippy::print_stdout, reason = "the table is the product")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use ironrdp_graphics::image_processing::PixelFormat;
use ironrdp_graphics::rdp6::{BgrAChannels, BitmapStreamEncoder};
use ironrdp_pdu::codecs::rfx::{EntropyAlgorithm, Quant};
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_engine::codec::{planar, rfx};
use rdpmux_engine::{ClientView, Pipeline, Profile, SliceRows, surface};
use rdpmux_model::{BulkCompressor, FrameCommand, Point, Size, TilePayload};
use rdpmux_pixel::{Level, Rows, RowsMut, diff};

#[expect(dead_code, reason = "some are for the tests only")]
#[path = "../../tests/engine/pictures.rs"]
mod pictures;

const SIZE: Size = Size::new(1920, 1080);
const STRIDE: usize = 1920 * 4;

fn main() {
    println!("{SIZE}, one thread, {}\n", Level::best().name());
    println!("| frame | what | Mpixel/s | bit/pixel | peer | ratio |");
    println!("|---|---|---:|---:|---|---:|");
    let frames = [
        ("text", pictures::text(SIZE, 0)),
        ("desktop", pictures::desktop(SIZE)),
        ("mixed", pictures::mixed(SIZE)),
        ("photo", pictures::photo(SIZE)),
    ];
    compare(&frames[0].1);
    for (name, frame) in &frames {
        remotefx(name, frame);
        bulk(name, frame);
        planes(name, frame);
        whole(name, frame);
    }
}

struct Row<'a> {
    frame: &'a str,
    what: &'a str,
    seconds: f64,
    bytes: Option<usize>,
}

/// One line; the peer is what did the same work in this run.
fn print(row: &Row<'_>, peer: Option<(&str, f64)>) {
    let speed = SIZE.area() as f64 / row.seconds / 1e6;
    let size = row.bytes.map_or_else(String::new, |bytes| {
        format!("{:.2}", bytes as f64 * 8.0 / SIZE.area() as f64)
    });
    let (peer, ratio) = peer.map_or((String::new(), String::new()), |(name, seconds)| {
        (name.to_owned(), format!("{:.2}", seconds / row.seconds))
    });
    println!(
        "| {} | {} | {speed:.0} | {size} | {peer} | {ratio} |",
        row.frame, row.what
    );
}

/// Seconds of the fastest of several runs, at least 3 and a quarter of a second of them, and the last result.
fn best<T>(mut run: impl FnMut() -> T) -> (f64, T) {
    let started = Instant::now();
    let (mut fastest, mut runs) = (f64::INFINITY, 0);
    loop {
        let start = Instant::now();
        let result = black_box(run());
        fastest = fastest.min(start.elapsed().as_secs_f64());
        runs += 1;
        if runs >= 3 && started.elapsed() > Duration::from_millis(250) {
            return (fastest, result);
        }
    }
}

/// The floor of everything: is the frame what it was?
fn compare(frame: &[u8]) {
    let mut shadow = frame.to_vec();
    let (copy, ()) = best(|| shadow.copy_from_slice(black_box(frame)));
    let (tiles, changed) = best(|| tile_compare(&mut shadow, frame));
    assert_eq!(changed, 0);
    let row = Row {
        frame: "any",
        what: "memcpy",
        seconds: copy,
        bytes: None,
    };
    print(&row, None);
    let row = Row {
        frame: "any",
        what: "compare tiles, unchanged",
        seconds: tiles,
        bytes: None,
    };
    print(&row, Some(("memcpy", copy)));
    let (mut writer, reader) = surface(SIZE);
    let rows = SliceRows::new(frame, SIZE, STRIDE, rdpmux_model::PixelFormat::Bgrx32).expect("a whole frame");
    writer.commit(&[SIZE.rect()], &rows, Point::new(0, 0));
    let (commit, newest) = best(|| writer.commit(&[SIZE.rect()], &rows, Point::new(0, 0)));
    assert!(newest.is_none() && reader.generation().0 > 1);
    let row = Row {
        frame: "any",
        what: "commit, unchanged",
        seconds: commit,
        bytes: None,
    };
    print(&row, Some(("memcpy", copy)));
}

fn tile_compare(shadow: &mut [u8], frame: &[u8]) -> usize {
    tiles()
        .filter(|&(x, y, height)| {
            let at = y * STRIDE + x * 4;
            let mut target = RowsMut {
                bytes: &mut shadow[at..],
                stride: STRIDE,
            };
            diff::update(Level::best(), &mut target, rows(frame, x, y), 64, height).is_some()
        })
        .count()
}

/// Left, top and height of each tile; the width is always 64 here.
fn tiles() -> impl Iterator<Item = (usize, usize, usize)> {
    let (columns, lines) = SIZE.tiles();
    (0..lines as usize).flat_map(move |y| (0..columns as usize).map(move |x| (x * 64, y * 64, (1080 - y * 64).min(64))))
}

fn rows(frame: &[u8], x: usize, y: usize) -> Rows<'_> {
    Rows {
        bytes: &frame[y * STRIDE + x * 4..],
        stride: STRIDE,
    }
}

fn remotefx(name: &str, frame: &[u8]) {
    let (ours, bytes) = best(|| {
        let tile = |(x, y, height)| rfx::encode(rows(frame, x, y), 64, height, &Profile::QUANT);
        tiles().flat_map(tile).map(|plane| plane.len()).sum::<usize>()
    });
    let (theirs, _) = best(|| tiles().map(|tile| foreign_remotefx(frame, tile)).sum::<usize>());
    let row = Row {
        frame: name,
        what: "RemoteFX tiles",
        seconds: ours,
        bytes: Some(bytes),
    };
    print(&row, Some(("ironrdp-graphics", theirs)));
}

fn foreign_remotefx(frame: &[u8], (x, y, height): (usize, usize, usize)) -> usize {
    let [ll3, lh3, hl3, hh3, lh2, hl2, hh2, lh1, hl1, hh1] = Profile::QUANT.0;
    let quant = Quant {
        ll3,
        lh3,
        hl3,
        hh3,
        lh2,
        hl2,
        hh2,
        lh1,
        hl1,
        hh1,
    };
    let mut planes = [[0; 4096]; 3];
    let [luma, blue, red] = &mut planes;
    let source = &frame[y * STRIDE + x * 4..];
    let source = &source[..(height - 1) * STRIDE + 256];
    let format = PixelFormat::BgrX32;
    ironrdp_graphics::color_conversion::to_64x64_ycbcr_tile(
        source,
        64,
        height as u32,
        STRIDE as u32,
        format,
        luma,
        blue,
        red,
    )
    .expect("a tile");
    let mut out = [0; 16384];
    let encode = |plane: &mut [i16; 4096]| {
        ironrdp_graphics::rfx_encode_component(plane, &mut out, &quant, EntropyAlgorithm::Rlgr1).expect("enough room")
    };
    planes.iter_mut().map(encode).sum()
}

fn bulk(name: &str, frame: &[u8]) {
    let messages: Vec<Vec<u8>> = tiles().map(|tile| raw_tile(frame, tile)).collect();
    let (ours, bytes) = best(|| {
        let (mut zgfx, mut out) = (Zgfx::new(), Vec::new());
        messages.iter().for_each(|message| zgfx.compress(message, &mut out));
        out.len()
    });
    // A tenth of the frame is enough of the peer, which is slow on it.
    let part = &messages[..messages.len() / 10];
    let start = Instant::now();
    let mut theirs = ironrdp_graphics::zgfx::Compressor::new();
    for message in part {
        black_box(theirs.compress(message).expect("compressible"));
    }
    let theirs = start.elapsed().as_secs_f64() * messages.len() as f64 / part.len() as f64;
    let row = Row {
        frame: name,
        what: "ZGFX of raw tiles",
        seconds: ours,
        bytes: Some(bytes),
    };
    print(&row, Some(("ironrdp-graphics", theirs)));
}

fn raw_tile(frame: &[u8], (x, y, height): (usize, usize, usize)) -> Vec<u8> {
    (0..height)
        .flat_map(|row| rows(frame, x, y).row(row, 256))
        .copied()
        .collect()
}

fn planes(name: &str, frame: &[u8]) {
    let (ours, bytes) = best(|| {
        let tile = |(x, y, height)| planar::encode(rows(frame, x, y), 64, height).len();
        tiles().map(tile).sum::<usize>()
    });
    let messages: Vec<Vec<u8>> = tiles().map(|tile| raw_tile(frame, tile)).collect();
    let mut out = vec![0; 1 << 16];
    let (theirs, _) = best(|| {
        let mut encode = |pixels: &Vec<u8>| {
            let mut encoder = BitmapStreamEncoder::new(64, pixels.len() / 256);
            encoder
                .encode_bitmap::<BgrAChannels>(pixels, &mut out, true)
                .expect("enough room")
        };
        messages.iter().map(&mut encode).sum::<usize>()
    });
    let row = Row {
        frame: name,
        what: "planar tiles",
        seconds: ours,
        bytes: Some(bytes),
    };
    print(&row, Some(("ironrdp-graphics", theirs)));
}

/// What a first viewer and a second one cost: pick, copy, look, encode, compress.
fn whole(name: &str, frame: &[u8]) {
    let (mut writer, reader) = surface(SIZE);
    let rows = SliceRows::new(frame, SIZE, STRIDE, rdpmux_model::PixelFormat::Bgrx32).expect("a whole frame");
    writer.commit(&[SIZE.rect()], &rows, Point::new(0, 0));
    let show = |forget: bool| {
        best(|| {
            if forget {
                reader.cache().clear();
            }
            first_paint(&reader)
        })
    };
    let (first, bytes) = show(true);
    let row = Row {
        frame: name,
        what: "first paint, first viewer",
        seconds: first,
        bytes: Some(bytes),
    };
    print(&row, None);
    let (second, bytes) = show(false);
    let row = Row {
        frame: name,
        what: "first paint, further viewer",
        seconds: second,
        bytes: Some(bytes),
    };
    print(&row, Some(("first viewer", first)));
}

fn first_paint(reader: &rdpmux_engine::SurfaceReader) -> usize {
    let profile = Profile::new(Pipeline::Egfx { progressive: true });
    let job = ClientView::new().take_job(reader, &profile).expect("something to show");
    let (mut zgfx, mut out) = (Zgfx::new(), Vec::new());
    for command in job.encode().commands {
        match command {
            FrameCommand::Tile {
                payload: TilePayload::Uncompressed(bytes),
                ..
            } => zgfx.compress(&bytes, &mut out),
            FrameCommand::Rfx { tiles, .. } => {
                for plane in tiles.iter().flat_map(|tile| &tile.planes) {
                    zgfx.compress(plane, &mut out);
                }
            }
            _ => out.extend_from_slice(&[0; 20]),
        }
    }
    out.len()
}
