//! What a first viewer and a further one cost: pick, copy, look, encode, compress; everything but the network.

use rdpmux_engine::codec::clear::Clear;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_engine::{ClientView, Pipeline, Profile, SliceRows, SurfaceReader, surface};
use rdpmux_model::{BulkCompressor, FrameCommand, PixelFormat, Point, RasterCompressor, TilePayload};

use crate::figure::{Figures, Row, best, size, speed};
use crate::screens::Screen;

/// `remotefx` is what FreeRDP's servers send: RemoteFX of everything.
pub fn measure(screen: &Screen, remotefx: Option<&Figures>) {
    let stride = screen.size.width as usize * 4;
    let (mut writer, reader) = surface(screen.size);
    let rows = SliceRows::new(&screen.pixels, screen.size, stride, PixelFormat::Bgrx32).expect("a whole frame");
    writer.commit(&[screen.size.rect()], &rows, Point::new(0, 0));
    let (first, bytes) = best(|| {
        reader.cache().clear();
        first_paint(&reader)
    });
    let (further, _) = best(|| first_paint(&reader));
    let pixels = screen.size.area();
    let name = &screen.name;
    let peer = |row: Row<'static>, ratio: fn(&Figures) -> f64, ours: f64| match remotefx {
        Some(theirs) => row.beside("FreeRDP RemoteFX", ratio(theirs) / ours),
        None => row,
    };
    let fast = Row::new(format!("{name}: first paint, speed"), speed(pixels, first), "Mpixel/s");
    let small = Row::new(format!("{name}: first paint, size"), size(pixels, bytes), "bit/pixel");
    let fast = peer(fast, |theirs| theirs.seconds, first);
    let small = peer(small, |theirs| theirs.bytes as f64, bytes as f64);
    if screen.is_text {
        fast.goal("lossless, ≥ 250 Mpixel/s", speed(pixels, first) >= 250.0)
            .print();
        small
            .goal("lossless, ≤ 0.50 bit/pixel", size(pixels, bytes) <= 0.5)
            .print();
    } else {
        fast.print();
        small.print();
    }
    Row::new(
        format!("{name}: first paint, further viewer"),
        speed(pixels, further),
        "Mpixel/s",
    )
    .beside("first viewer", first / further)
    .print();
}

/// Bytes of the first frame, without the headers of its commands.
fn first_paint(reader: &SurfaceReader) -> usize {
    let profile = Profile::new(Pipeline::Egfx { progressive: true });
    let job = ClientView::new().take_job(reader, &profile).expect("something to show");
    let (mut clear, mut zgfx) = (Clear::new(), Zgfx::new());
    let (mut message, mut out) = (Vec::new(), Vec::new());
    for command in job.encode().commands {
        match command {
            FrameCommand::Tile {
                payload: TilePayload::Uncompressed(bytes),
                ..
            } => zgfx.compress(&bytes, &mut out),
            FrameCommand::Clear { rect, pixels } => {
                message.clear();
                clear.compress(rect.size(), &pixels, &mut message);
                zgfx.compress(&message, &mut out);
            }
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
