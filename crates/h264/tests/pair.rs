//! Two kinds of pictures in one stream are decoded again by one decoder, OpenH264's, and each kind is predicted from its
//! own last picture.

use openh264::decoder::Decoder;
use openh264::formats::YUVSource as _;
use rdpmux_h264::{Encoder, Error, Kind, PairEncoder, Picture};

const WIDTH: usize = 320;
const HEIGHT: usize = 192;

type Planes = [Vec<u8>; 3];

/// A moving texture with grain; the two kinds look nothing like each other.
fn planes(kind: usize, time: usize) -> Planes {
    let plane = |width: usize, height: usize, scale: usize| {
        let pixel = |i: usize| {
            let (x, y) = (i % width * scale, i / width * scale);
            let grain = (x * 7 + y * 13 + (x * y) % 11) % 9;
            let (x, y) = ((x + time) as f32, (y + time / 2) as f32);
            let wave = match kind {
                0 => (x / 11.0).sin() + (y / 7.0).cos(),
                _ => (x / 3.0).cos() * (y / 23.0).sin() * 2.0,
            };
            (124.0 + 55.0 * wave) as u8 + grain as u8
        };
        (0..width * height).map(pixel).collect()
    };
    [
        plane(WIDTH, HEIGHT, 1),
        plane(WIDTH / 2, HEIGHT / 2, 2),
        plane(WIDTH / 2, HEIGHT / 2, 2),
    ]
}

fn picture(planes: &Planes) -> Picture<'_> {
    Picture {
        planes: planes.each_ref().map(Vec::as_slice),
        stride: WIDTH,
    }
}

/// A stream and the decoder of a client.
struct Stage {
    pair: PairEncoder,
    decoder: Decoder,
}

impl Stage {
    fn new() -> Self {
        Self {
            pair: PairEncoder::new(WIDTH, HEIGHT).unwrap(),
            decoder: Decoder::new().unwrap(),
        }
    }

    /// Codes a picture and compares what is decoded. Returns its bytes.
    fn main(&mut self, time: usize, key: bool) -> (Kind, usize) {
        let (original, mut out) = (planes(0, time), vec![]);
        let kind = self.pair.encode_main(picture(&original), 24, key, &mut out).unwrap();
        self.compare(&out, &original, &format!("main {time}"));
        (kind, out.len())
    }

    fn auxiliary(&mut self, time: usize) -> (Kind, usize) {
        let (original, mut out) = (planes(1, time), vec![]);
        let kind = self.pair.encode_auxiliary(picture(&original), 24, &mut out).unwrap();
        self.compare(&out, &original, &format!("auxiliary {time}"));
        (kind, out.len())
    }

    fn compare(&mut self, stream: &[u8], original: &Planes, name: &str) {
        let decoded = self.decoder.decode(stream).unwrap().expect("a picture at once");
        assert_eq!(decoded.dimensions(), (WIDTH, HEIGHT));
        let decoded = [
            (decoded.y(), decoded.strides().0, WIDTH),
            (decoded.u(), decoded.strides().1, WIDTH / 2),
            (decoded.v(), decoded.strides().2, WIDTH / 2),
        ];
        for ((plane, stride, width), original) in decoded.into_iter().zip(original) {
            let rows = plane.chunks(stride).zip(original.chunks(width));
            let squares = rows.flat_map(|(one, two)| one.iter().zip(two)).map(|(a, b)| {
                let difference = f64::from(*a) - f64::from(*b);
                difference * difference
            });
            let error = squares.sum::<f64>() / original.len() as f64;
            assert!(error < 25.0, "{name}: {error}");
        }
    }
}

#[test]
fn each_kind_is_predicted_from_its_own_last_picture() {
    let mut stage = Stage::new();
    let (main_key, auxiliary_key) = (stage.main(0, false), stage.auxiliary(0));
    assert_eq!((main_key.0, auxiliary_key.0), (Kind::Key, Kind::Key));
    for time in 1..40 {
        let (main, auxiliary) = (stage.main(time, false), stage.auxiliary(time));
        assert_eq!((main.0, auxiliary.0), (Kind::Predicted, Kind::Predicted));
        assert!(main.1 * 3 < main_key.1, "{time}: {main:?} of {main_key:?}");
        assert!(
            auxiliary.1 * 3 < auxiliary_key.1,
            "{time}: {auxiliary:?} of {auxiliary_key:?}"
        );
    }
}

#[test]
fn auxiliary_pictures_come_when_they_like() {
    // M: main, A: auxiliary, K: key. The first auxiliary one late, rare ones, and key pictures between.
    for order in [
        "MMMMAMMMMMAMAAMMA",
        "MAMMMMMMMMMMMMMMA",
        "MMAKMMAKAKMMMMMAMA",
        "MKKAMKMA",
    ] {
        let mut stage = Stage::new();
        let mut has_auxiliary = false;
        for (time, step) in order.chars().enumerate() {
            if step == 'A' {
                let (kind, _) = stage.auxiliary(time);
                assert_eq!(kind == Kind::Predicted, has_auxiliary, "{order} {time}");
                has_auxiliary = true;
            } else {
                let (kind, _) = stage.main(time, step == 'K');
                assert_eq!(kind == Kind::Key, time == 0 || step == 'K', "{order} {time}");
                has_auxiliary &= kind == Kind::Predicted;
            }
        }
    }
}

#[test]
fn main_pictures_cost_what_they_cost_alone() {
    let (mut pair, mut alone) = (
        PairEncoder::new(WIDTH, HEIGHT).unwrap(),
        Encoder::new(WIDTH, HEIGHT).unwrap(),
    );
    for time in 0..10 {
        let (original, mut one, mut two) = (planes(0, time), vec![], vec![]);
        pair.encode_main(picture(&original), 24, false, &mut one).unwrap();
        alone.encode(picture(&original), 24, false, &mut two).unwrap();
        assert!(one.len().abs_diff(two.len()) <= 8, "{} and {}", one.len(), two.len());
        pair.encode_auxiliary(picture(&planes(1, time)), 24, &mut vec![])
            .unwrap();
    }
}

#[test]
fn picture_numbers_begin_again_after_the_last_one() {
    let small = |time: u8| [vec![time; 32 * 16], vec![128; 16 * 8], vec![time / 2; 16 * 8]];
    let mut pair = PairEncoder::new(32, 16).unwrap();
    let mut decoder = Decoder::new().unwrap();
    for time in 0..33_000_u32 {
        let (original, mut out) = (small(time as u8 / 8 * 8), vec![]);
        let picture = Picture {
            planes: original.each_ref().map(Vec::as_slice),
            stride: 32,
        };
        match time % 3 {
            2 => pair.encode_auxiliary(picture, 20, &mut out).unwrap(),
            _ => pair.encode_main(picture, 20, false, &mut out).unwrap(),
        };
        let decoded = decoder.decode(&out).unwrap().expect("a picture at once");
        assert!(decoded.y()[0].abs_diff(original[0][0]) < 4, "picture {time}");
    }
}

#[test]
fn an_auxiliary_picture_comes_after_a_main_one() {
    let mut pair = PairEncoder::new(WIDTH, HEIGHT).unwrap();
    let mut out = vec![7];
    let original = planes(1, 0);
    assert_eq!(
        pair.encode_auxiliary(picture(&original), 24, &mut out),
        Err(Error::Form)
    );
    assert_eq!(out, [7]);
    assert_eq!(
        PairEncoder::new(30, 16).unwrap_err(),
        Error::Size { width: 30, height: 16 }
    );
}
