#[allow(dead_code)]
#[path = "../tests/engine/pictures.rs"]
mod pictures;
use rdpmux_engine::codec::zgfx::Zgfx;
use rdpmux_engine::*;
use rdpmux_model::*;
use std::time::Instant;
const SIZE: Size = Size::new(1920, 1080);
fn size_of(z: &mut Zgfx, c: &mut impl RasterCompressor, f: &EncodedFrame) -> usize {
    let mut m = Vec::new();
    for cmd in &f.commands {
        match cmd {
            FrameCommand::Tile {
                payload: TilePayload::Uncompressed(b),
                ..
            } => {
                m.extend([1u8; 25]);
                m.extend_from_slice(b)
            }
            FrameCommand::Clear { rect, pixels } => {
                m.extend([1u8; 25]);
                c.compress(rect.size(), pixels, &mut m)
            }
            FrameCommand::Rfx { tiles, .. } => {
                for t in tiles {
                    m.extend([2u8; 22]);
                    for p in &t.planes {
                        m.extend_from_slice(p)
                    }
                }
            }
            _ => m.extend([3u8; 20]),
        }
    }
    let mut o = Vec::new();
    z.compress(&m, &mut o);
    o.len()
}
fn main() {
    let text: Vec<Vec<u8>> = (0..20).map(|i| pictures::text(SIZE, i)).collect();
    let wall = pictures::photo(SIZE);
    let win = |x: u32, y: u32| {
        let mut p = wall.clone();
        for r in 0..600u32 {
            let s = ((r) * 1920) as usize * 4;
            let d = ((y + r) * 1920 + x) as usize * 4;
            p[d..d + 800 * 4].copy_from_slice(&text[0][s..s + 800 * 4]);
        }
        p
    };
    let runs: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("scroll", text.clone()),
        ("drag", (0..12).map(|i| win(100 + i * 13, 80 + i * 7)).collect()),
        ("noise", (0..12).map(|i| pictures::noise(SIZE, i + 1)).collect()),
    ];
    for clear in [false, true] {
        for (name, frames) in &runs {
            let (mut w, r) = surface(SIZE);
            let mut v = ClientView::new();
            let mut z = Zgfx::new();
            let mut c = codec::clear::Clear::new();
            let mut prof = Profile::new(Pipeline::Egfx { progressive: true });
            prof.clear = clear;
            for (i, f) in frames.iter().enumerate() {
                let rows = SliceRows::new(f, SIZE, 1920 * 4, PixelFormat::Bgrx32).unwrap();
                let t0 = Instant::now();
                w.commit(&[SIZE.rect()], &rows, Point::new(0, 0));
                let t1 = Instant::now();
                let Some(job) = v.take_job(&r, &prof) else {
                    println!("none");
                    continue;
                };
                let t2 = Instant::now();
                let n = job.tiles();
                let e = job.encode();
                let t3 = Instant::now();
                let b = size_of(&mut z, &mut c, &e);
                let t4 = Instant::now();
                let copies = e
                    .commands
                    .iter()
                    .filter(|c| matches!(c, FrameCommand::Copy { .. }))
                    .count();
                let texts = e
                    .commands
                    .iter()
                    .filter(|c| matches!(c, FrameCommand::Tile { .. }))
                    .count();
                if i < 6 || i + 1 == frames.len() {
                    println!(
                        "{name} clear={clear} {i}: commit {:?} take {:?} tiles {n} encode {:?} ({copies} copies, {texts} text of {}) bulk {:?} bytes {b}",
                        t1 - t0,
                        t2 - t1,
                        t3 - t2,
                        e.commands.len(),
                        t4 - t3
                    );
                }
            }
        }
    }
}
