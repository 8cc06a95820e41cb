//! Every level gives the bytes of the scalar one, over odd sizes, strides and contents.

use rdpmux_model::RfxQuant;
use rdpmux_pixel::color::Planes;
use rdpmux_pixel::columns::Columns;
use rdpmux_pixel::dwt::Coefficients;
use rdpmux_pixel::{Level, Rows, RowsMut, classify, color, columns, diff, dwt, rlgr, ycocg, yuv};

/// A small generator of repeatable noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn an_update_copies_and_reports_exactly_the_changed_pixels() {
    let seed = 0x5EED_0001;
    eprintln!("seed {seed:#x}");
    let mut noise = Noise(seed);
    for round in 0..400 {
        let (width, height) = (1 + noise.below(140), 1 + noise.below(9));
        let (from_stride, to_stride) = (width * 4 + noise.below(50), width * 4 + noise.below(50));
        let old = noise.bytes(to_stride * height);
        let mut source = noise.bytes(from_stride * height);
        for y in 0..height {
            source[y * from_stride..][..width * 4].copy_from_slice(&old[y * to_stride..][..width * 4]);
        }
        let mut expected: Option<diff::Bounds> = None;
        for _ in 0..round % 4 {
            let (x, y, byte) = (noise.below(width), noise.below(height), noise.below(4));
            source[y * from_stride + x * 4 + byte] ^= 0x10;
        }
        for y in 0..height {
            for x in 0..width {
                let (a, b) = (
                    &source[y * from_stride + x * 4..][..3],
                    &old[y * to_stride + x * 4..][..3],
                );
                if a != b {
                    let known = expected.get_or_insert(diff::Bounds {
                        left: x,
                        top: y,
                        right: x + 1,
                        bottom: y + 1,
                    });
                    known.left = known.left.min(x);
                    known.right = known.right.max(x + 1);
                    known.bottom = y + 1;
                }
            }
        }
        for level in Level::all() {
            let mut bytes = old.clone();
            let mut target = RowsMut {
                bytes: &mut bytes,
                stride: to_stride,
            };
            let rows = Rows {
                bytes: &source,
                stride: from_stride,
            };
            assert_eq!(
                diff::update(level, &mut target, rows, width, height),
                expected,
                "{} {width}x{height}",
                level.name()
            );
            let before = Rows {
                bytes: &old,
                stride: to_stride,
            };
            assert_eq!(diff::is_same(level, before, rows, width, height), expected.is_none());
            for y in 0..height {
                for x in 0..width {
                    let (a, b) = (
                        &source[y * from_stride + x * 4..][..3],
                        &bytes[y * to_stride + x * 4..][..3],
                    );
                    assert_eq!(a, b);
                }
                let (kept, now) = (
                    &old[y * to_stride + width * 4..(y + 1) * to_stride],
                    &bytes[y * to_stride + width * 4..(y + 1) * to_stride],
                );
                assert_eq!(kept, now, "bytes between rows stay");
            }
        }
    }
}

#[test]
fn tile_stages_are_equal_at_every_level() {
    let seed = 0x5EED_0002;
    eprintln!("seed {seed:#x}");
    let mut noise = Noise(seed);
    for round in 0..60 {
        let (width, height) = (1 + noise.below(64), 1 + noise.below(64));
        let stride = width * 4 + noise.below(30);
        let mut pixels = noise.bytes(stride * height);
        if round % 3 == 0 {
            pixels.iter_mut().for_each(|p| *p = if *p > 200 { 255 } else { 0 });
        } else if round % 3 == 1 {
            pixels.iter_mut().enumerate().for_each(|(i, p)| *p = (i / 9) as u8);
        }
        for row in pixels.chunks_mut(stride) {
            row[..width * 4]
                .as_chunks_mut::<4>()
                .0
                .iter_mut()
                .for_each(|p| p[3] = 255);
        }
        let quant = RfxQuant(std::array::from_fn(|_| 6 + noise.below(5) as u8));
        let rounding = [dwt::Rounding::Nearest, dwt::Rounding::TowardsZero][noise.below(2)];
        let source = Rows { bytes: &pixels, stride };
        let run = |level| {
            let mut planes = Planes::new();
            color::convert(level, source, width, height, &mut planes);
            let mut streams = Vec::new();
            let coefficients = planes.0.each_ref().map(|plane| {
                let mut out = Coefficients::new();
                dwt::transform(level, plane, &quant, rounding, &mut out);
                rlgr::encode(level, &out, &mut streams);
                out.0
            });
            (
                planes.0,
                coefficients,
                streams,
                classify::novelty(level, source, width, height),
            )
        };
        let expected = run(Level::SCALAR);
        for level in Level::all() {
            assert!(run(level) == expected, "{} {width}x{height}", level.name());
        }
    }
}

#[test]
fn extreme_coefficients_are_coded_equally() {
    let mut noise = Noise(3);
    for round in 0..50 {
        let mut coefficients = Coefficients::new();
        for value in &mut coefficients.0 {
            *value = match noise.below(2 + round) {
                0 => noise.next() as i16,
                1 => [i16::MIN, i16::MAX, 1, -1][noise.below(4)],
                _ => 0,
            };
        }
        let mut expected = Vec::new();
        rlgr::encode(Level::SCALAR, &coefficients, &mut expected);
        for level in Level::all() {
            let mut out = Vec::new();
            rlgr::encode(level, &coefficients, &mut out);
            assert!(out == expected, "{}", level.name());
        }
    }
}

#[test]
fn columns_are_seen_alike_at_every_level() {
    let seed = 0x5EED_0C01;
    eprintln!("seed {seed:#x}");
    let mut noise = Noise(seed);
    for round in 0..200 {
        let (width, height) = (1 + noise.below(columns::MAX_COLUMNS), noise.below(53));
        let stride = width * 4 + noise.below(9);
        // Few colours, so that many columns are plain or begin and end with the background.
        let colors = 1 + round % 4;
        let bytes: Vec<u8> = (0..stride * height.max(1)).map(|_| noise.below(colors) as u8).collect();
        let rows = Rows { bytes: &bytes, stride };
        let (mut expected, mut got) = (Columns::default(), Columns::default());
        columns::scan(Level::SCALAR, rows, width, height, 0xFF00_0000, &mut expected);
        for level in Level::all() {
            columns::scan(level, rows, width, height, 0, &mut got);
            assert_eq!(got.first[..width], expected.first[..width], "{width}x{height}");
            assert_eq!(got.end[..width], expected.end[..width], "{width}x{height}");
            for kind in 0..2 {
                assert_eq!(
                    got.hash[kind][..width],
                    expected.hash[kind][..width],
                    "{width}x{height}"
                );
            }
            let row = &bytes[..width * 4];
            assert_eq!(columns::changes(level, row), columns::changes(Level::SCALAR, row));
        }
    }
}

#[test]
fn a_column_is_known_wherever_it_stands_on_whatever_background() {
    let column = |above: usize, background: u8| {
        let mut pixels = [[background, 1, 1, 0]; 20];
        pixels[above..above + 3].copy_from_slice(&[[9, 9, 9, 0], [background, 1, 1, 0], [7, 7, 7, 0]]);
        let mut out = Columns::default();
        let rows = Rows {
            bytes: pixels.as_flattened(),
            stride: 4,
        };
        columns::scan(
            Level::SCALAR,
            rows,
            1,
            20,
            0x0001_0100 | u32::from(background),
            &mut out,
        );
        (out.first[0], out.end[0], [out.hash[0][0], out.hash[1][0]])
    };
    let (first, end, hash) = column(4, 1);
    assert_eq!((first, end), (4, 7));
    assert_eq!(column(11, 1), (11, 14, hash));
    assert_ne!(column(11, 2).2, hash, "what lies between is part of it");
}

#[test]
fn video_pictures_are_equal_at_every_level() {
    let seed = 0x5EED_0004;
    eprintln!("seed {seed:#x}");
    let mut noise = Noise(seed);
    for round in 0..80 {
        let (width, height) = (1 + noise.below(200), 1 + noise.below(40));
        let stride = width * 4 + noise.below(30);
        let mut pixels = noise.bytes(stride * height);
        if round % 2 == 0 {
            pixels.iter_mut().for_each(|p| *p = if *p > 127 { 255 } else { 0 });
        }
        let source = Rows { bytes: &pixels, stride };
        let run = |level| {
            let (mut main, mut auxiliary) = (yuv::I420::default(), yuv::I420::default());
            yuv::main_picture(level, source, width, height, &mut main);
            yuv::auxiliary_picture(level, source, width, height, &mut auxiliary);
            [main, auxiliary].map(|picture| picture.planes().concat())
        };
        let expected = run(Level::SCALAR);
        for level in Level::all() {
            assert!(run(level) == expected, "{} {width}x{height}", level.name());
        }
    }
}

#[test]
fn luma_and_chroma_are_alike_at_every_level() {
    let mut noise = Noise(0x5EED_0C06);
    for round in 0..300 {
        let (width, loss) = (1 + noise.below(200), (round % 9) as u8);
        let mut row = noise.bytes(width * 4);
        if round % 3 == 0 {
            // The ends of the scale, where rounding could leave it.
            row.iter_mut()
                .for_each(|byte| *byte = if *byte & 1 == 0 { 0 } else { 255 });
        }
        let convert = |level| {
            let mut planes = vec![[7; 200]; 3];
            let [y, co, cg] = planes.as_mut_slice() else {
                unreachable!()
            };
            ycocg::convert(level, &row, loss, ycocg::RowOut { y, co, cg });
            planes
        };
        let expected = convert(Level::SCALAR);
        for level in Level::all() {
            assert_eq!(convert(level), expected, "{} {width} loss {loss}", level.name());
        }
    }
}
