//! Pictures for comparing and for looking at.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use rdpmux_model::Size;

/// Writes B, G, R, X pixels as a PNG beside the other artefacts of the tests.
pub fn save(name: &str, size: Size, pixels: &[u8]) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
    let file = BufWriter::new(File::create(path).expect("artefact"));
    let mut encoder = png::Encoder::new(file, size.width, size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("header");
    writer.write_image_data(&rgb(pixels)).expect("pixels");
}

/// R, G, B of B, G, R, X pixels.
pub fn rgb(pixels: &[u8]) -> Vec<u8> {
    let pixels = pixels.as_chunks::<4>().0.iter();
    pixels.flat_map(|[b, g, r, _]| [*r, *g, *b]).collect()
}

/// Size and R, G, B pixels of a binary PPM file.
pub fn read_ppm(bytes: &[u8]) -> (Size, &[u8]) {
    let mut at = 0;
    let mut words = Vec::new();
    while words.len() < 4 {
        let blank = |byte: &u8| byte.is_ascii_whitespace();
        let start = at + bytes[at..].iter().position(|b| !blank(b)).expect("a word");
        let end = start + bytes[start..].iter().position(blank).expect("its end");
        words.push(str::from_utf8(&bytes[start..end]).expect("text"));
        at = end;
    }
    assert_eq!((words[0], words[3]), ("P6", "255"));
    let edge = |word: &str| word.parse().expect("a number");
    (Size::new(edge(words[1]), edge(words[2])), &bytes[at + 1..])
}

/// Pixels that differ.
pub fn differing(a: &[u8], b: &[u8]) -> usize {
    assert_eq!(a.len(), b.len());
    a.chunks(3).zip(b.chunks(3)).filter(|(a, b)| a != b).count()
}
