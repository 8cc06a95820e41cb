//! NSCodec, QOI, QOIZ and the roundings of RemoteFX through foreign decoders: `ironrdp-graphics` (inside a ClearCodec picture), the `qoi` crate.

use ironrdp_graphics::clearcodec::ClearCodecDecoder;
use rdpmux_engine::Profile;
use rdpmux_engine::codec::nsc::{self, Order, Quality};
use rdpmux_engine::codec::qoi;
use rdpmux_engine::codec::rfx::{self, Rounding};
use rdpmux_model::{RfxQuant, RfxTile, Size};
use rdpmux_pixel::Rows;

use crate::painter::decode_rfx;
use crate::pictures::{self, psnr};

fn rows(picture: &[u8], size: Size) -> Rows<'_> {
    Rows {
        bytes: picture,
        stride: size.width as usize * 4,
    }
}

fn all_pictures(size: Size) -> [Vec<u8>; 5] {
    [
        pictures::text(size, 3),
        pictures::noise(size, 9),
        pictures::photo(size),
        pictures::gradient(size),
        [1, 200, 255, 255].repeat(size.area() as usize),
    ]
}

const SIZES: [(u32, u32); 12] = [
    (1, 1),
    (2, 2),
    (1, 5),
    (5, 1),
    (3, 3),
    (9, 7),
    (64, 64),
    (65, 33),
    (31, 64),
    (200, 1),
    (300, 123),
    (1, 700),
];

/// The stream as the only layer of a ClearCodec picture, which must not be longer than the pixels; FreeRDP's decoder, in
/// `cargo xtask e2e codecs`, sees those that are.
fn decode_nsc(size: Size, stream: &[u8]) -> Option<Vec<u8>> {
    if stream.len() as u64 > size.area() * 3 {
        return None;
    }
    let mut message = vec![0, 0];
    for length in [0, 0, stream.len() + 13] {
        message.extend((length as u32).to_le_bytes());
    }
    message.extend([0; 4]);
    message.extend((size.width as u16).to_le_bytes());
    message.extend((size.height as u16).to_le_bytes());
    message.extend((stream.len() as u32).to_le_bytes());
    message.push(1);
    message.extend(stream);
    let (width, height) = (size.width as u16, size.height as u16);
    let decoded = ClearCodecDecoder::new().decode(&message, width, height);
    Some(decoded.expect("an NSCodec stream"))
}

#[test]
fn nscodec_is_read_at_every_size_and_quality() {
    let mut seen = 0;
    for (width, height) in SIZES {
        let size = Size::new(width, height);
        for picture in all_pictures(size) {
            for (color_loss, least) in [(1, 41.0), (2, 38.0), (3, 34.0), (7, 8.0), (0, 41.0), (9, 8.0)] {
                for subsampling in [false, true] {
                    let quality = Quality {
                        color_loss,
                        subsampling,
                    };
                    let mut stream = vec![5];
                    nsc::encode(
                        rows(&picture, size),
                        width as usize,
                        height as usize,
                        quality,
                        Order::TopDown,
                        &mut stream,
                    );
                    let Some(back) = decode_nsc(size, &stream[1..]) else {
                        continue;
                    };
                    let reached = psnr(&picture, &back);
                    assert!(subsampling || reached >= least, "{size} {quality:?}: {reached:.1} dB");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 300, "{seen} streams");
}

#[test]
fn subsampled_nscodec_keeps_smooth_colours() {
    let size = Size::new(320, 200);
    let quality = Quality {
        color_loss: 1,
        subsampling: true,
    };
    let encoded = |picture: &[u8], quality, order| {
        let mut stream = Vec::new();
        nsc::encode(rows(picture, size), 320, 200, quality, order, &mut stream);
        stream
    };
    for (picture, least) in [(pictures::gradient(size), 42.0), (pictures::photo(size), 42.0)] {
        let small = encoded(&picture, quality, Order::TopDown);
        let reached = psnr(&picture, &decode_nsc(size, &small).expect("a short stream"));
        assert!(reached >= least, "{reached:.1} dB");
        assert!(small.len() < encoded(&picture, Quality::BEST, Order::TopDown).len());
    }
    // Bottom-up is the same stream of the picture upside down.
    let picture = pictures::text(size, 0);
    let upside_down = picture
        .chunks_exact(320 * 4)
        .rev()
        .flatten()
        .copied()
        .collect::<Vec<u8>>();
    assert_eq!(
        encoded(&picture, quality, Order::BottomUp),
        encoded(&upside_down, quality, Order::TopDown)
    );
}

#[test]
fn qoi_is_exact_with_and_without_zstd() {
    for (width, height) in SIZES {
        let size = Size::new(width, height);
        let from = (width as usize, height as usize);
        for picture in all_pictures(size) {
            let (mut file, mut frame) = (vec![1], vec![1]);
            qoi::encode(rows(&picture, size), from.0, from.1, &mut file);
            qoi::encode_zstd(rows(&picture, size), from.0, from.1, &mut frame);
            let mut unpacked = vec![0; file.len() + 1];
            let length = zstd_safe::decompress(unpacked.as_mut_slice(), &frame[1..]).expect("a zstd frame");
            assert_eq!(unpacked[..length], file[1..]);
            let (header, back) = ::qoi::decode_to_vec(&file[1..]).expect("a QOI file");
            assert_eq!((header.width, header.height), (width, height));
            let expected = picture.as_chunks::<4>().0.iter().map(|p| [p[2], p[1], p[0]]);
            assert!(back.as_chunks::<3>().0.iter().copied().eq(expected), "{size}");
        }
    }
}

#[test]
fn photographs_rounded_towards_zero_are_smaller_at_the_same_truth() {
    let size = Size::new(256, 192);
    let picture = pictures::photo(size);
    // Bytes and squared error of all tiles at one quantiser.
    let cost = |quant: RfxQuant, rounding| {
        let (mut bytes, mut shown) = (0, Vec::new());
        let mut original = Vec::new();
        for (y, x) in (0..192)
            .step_by(64)
            .flat_map(|y| (0..256).step_by(64).map(move |x| (y, x)))
        {
            let source = Rows {
                bytes: &picture[(y * 256 + x) * 4..],
                stride: 1024,
            };
            let planes = rfx::encode_rounded(source, 64, 64, &quant, rounding);
            bytes += planes.iter().map(|plane| plane.len()).sum::<usize>();
            let tile = RfxTile { x: 0, y: 0, planes };
            shown.extend(
                decode_rfx(&tile, quant)
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|p| [p[2], p[1], p[0], 255]),
            );
            original.extend((0..64).flat_map(|row| source.row(row, 256)));
        }
        let original: Vec<u8> = original.into_iter().copied().collect();
        (bytes as f64, psnr(&original, shown.as_flattened()))
    };
    let fine = cost(Profile::QUANT, Rounding::Nearest);
    let coarse = cost(RfxQuant(Profile::QUANT.0.map(|q| q + 1)), Rounding::Nearest);
    let ours = cost(Profile::QUANT, Rounding::TowardsZero);
    assert!(coarse.1 < ours.1 && ours.1 < fine.1, "{coarse:?} {ours:?} {fine:?}");
    // What rounding to the nearest would need for the same truth, between its two quantisers.
    let share = (ours.1 - coarse.1) / (fine.1 - coarse.1);
    let needed = coarse.0 * (fine.0 / coarse.0).powf(share);
    assert!(
        ours.0 < needed * 0.97,
        "{} of {needed:.0} bytes at {:.1} dB",
        ours.0,
        ours.1
    );
}

#[test]
fn qoi_ignores_the_fourth_byte() {
    let picture = [[1, 2, 3, 0], [1, 2, 3, 77], [9, 9, 9, 9]].as_flattened().to_vec();
    let mut opaque = picture.clone();
    opaque.iter_mut().skip(3).step_by(4).for_each(|byte| *byte = 255);
    let encoded = |picture: &[u8]| {
        let mut file = Vec::new();
        qoi::encode(rows(picture, Size::new(3, 1)), 3, 1, &mut file);
        file
    };
    assert_eq!(encoded(&picture), encoded(&opaque));
}
