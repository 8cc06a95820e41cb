//! What the encoder makes is decoded again, by OpenH264's decoder: sizes, quantisers, key pictures at any moment.

use openh264::decoder::Decoder;
use openh264::formats::YUVSource as _;
use rdpmux_h264::{Encoder, Error, Kind, Picture};

/// A moving texture: Y, Cb, Cr without padding.
fn planes(width: usize, height: usize, time: usize) -> [Vec<u8>; 3] {
    let plane = |width: usize, height: usize, scale: usize| {
        let pixel = |i: usize| {
            let (x, y) = (i % width * scale + time * 5, i / width * scale + time * 2);
            (128.0 + 60.0 * ((x as f32 / 11.0).sin() + (y as f32 / 7.0).cos())) as u8
        };
        (0..width * height).map(pixel).collect()
    };
    [
        plane(width, height, 1),
        plane(width / 2, height / 2, 2),
        plane(width / 2, height / 2, 2),
    ]
}

fn picture(planes: &[Vec<u8>; 3], width: usize) -> Picture<'_> {
    Picture {
        planes: planes.each_ref().map(Vec::as_slice),
        stride: width,
    }
}

/// Mean squared error of luma.
fn error(decoder: &mut Decoder, stream: &[u8], original: &[u8], width: usize, height: usize) -> f64 {
    let decoded = decoder
        .decode(stream)
        .expect("the stream is valid")
        .expect("each picture comes out at once");
    assert_eq!(decoded.dimensions(), (width, height));
    let stride = decoded.strides().0;
    let mut sum = 0.0;
    for y in 0..height {
        for x in 0..width {
            let difference = f64::from(decoded.y()[y * stride + x]) - f64::from(original[y * width + x]);
            sum += difference * difference;
        }
    }
    sum / (width * height) as f64
}

#[test]
fn every_picture_decodes_at_once_and_to_nearly_what_went_in() {
    for (width, height) in [(32, 16), (96, 48), (640, 368), (4096, 16)] {
        let mut encoder = Encoder::new(width, height).unwrap();
        let mut decoder = Decoder::new().unwrap();
        for time in 0..8 {
            let original = planes(width, height, time);
            let mut stream = vec![];
            let kind = encoder
                .encode(picture(&original, width), 20, time == 5, &mut stream)
                .unwrap();
            let is_key = time == 0 || time == 5;
            assert_eq!(kind == Kind::Key, is_key, "{width}x{height} picture {time}");
            assert!(stream.starts_with(&[0, 0, 0, 1]));
            let error = error(&mut decoder, &stream, &original[0], width, height);
            assert!(error < 12.0, "{width}x{height} picture {time}: {error}");
        }
    }
}

#[test]
fn a_coarser_quantiser_holds_from_the_next_picture_on() {
    let (width, height) = (320, 240);
    let mut encoder = Encoder::new(width, height).unwrap();
    let mut sizes = Vec::new();
    for (time, quantizer) in [20, 20, 20, 40, 40, 20, 99].into_iter().enumerate() {
        let mut stream = vec![];
        let kind = encoder
            .encode(
                picture(&planes(width, height, time * 9), width),
                quantizer,
                false,
                &mut stream,
            )
            .unwrap();
        assert_eq!(
            kind == Kind::Key,
            time == 0,
            "a change of quantiser needs no key picture"
        );
        sizes.push(stream.len());
    }
    assert!(
        sizes[2] > 2 * sizes[3] && sizes[5] > 2 * sizes[4] && sizes[6] < sizes[3],
        "{sizes:?}"
    );
}

#[test]
fn strange_sizes_and_short_planes_are_refused() {
    for (width, height) in [
        (0, 16),
        (16, 0),
        (1, 1),
        (65, 33),
        (1920, 1080),
        (4096, 2320),
        (32, 16_384),
        (usize::MAX - 15, 16),
    ] {
        let refused = Encoder::new(width, height).unwrap_err();
        assert_eq!(refused, Error::Size { width, height });
    }
    let mut encoder = Encoder::new(64, 32).unwrap();
    let mut out = vec![7];
    let mut short = planes(64, 32, 0);
    short[2].pop();
    assert_eq!(
        encoder.encode(picture(&short, 64), 20, false, &mut out),
        Err(Error::Plane)
    );
    let good = planes(64, 32, 0);
    for stride in [0, 63, 65, usize::MAX] {
        assert_eq!(
            encoder.encode(picture(&good, stride), 20, false, &mut out),
            Err(Error::Plane)
        );
    }
    assert_eq!(out, [7]);
    assert_eq!(encoder.encode(picture(&good, 64), 20, false, &mut out), Ok(Kind::Key));
}

#[test]
fn the_largest_picture_is_coded() {
    let (width, height) = (4096, 2304);
    let mut encoder = Encoder::new(width, height).unwrap();
    let grey = [
        vec![90; width * height],
        vec![128; width * height / 4],
        vec![128; width * height / 4],
    ];
    let mut stream = vec![];
    encoder.encode(picture(&grey, width), 30, false, &mut stream).unwrap();
    let error = error(&mut Decoder::new().unwrap(), &stream, &grey[0], width, height);
    assert!(error < 1.0);
}
