//! Any pixels come back exactly through a foreign QOI decoder, with and without zstd.

use rdpmux_engine::codec::qoi;
use rdpmux_pixel::Rows;

/// One input.
pub fn fuzz(data: &[u8]) {
    let Some((&[width, height, step, mask], bytes)) = data.split_first_chunk::<4>() else {
        return;
    };
    if bytes.is_empty() {
        return;
    }
    let (width, height) = (usize::from(width) + 1, usize::from(height) % 100 + 1);
    let (step, mask) = (usize::from(step) + 1, mask | 1);
    let picture: Vec<u8> = (0..width * height * 4)
        .map(|i| bytes[i / step % bytes.len()] & mask)
        .collect();
    let rows = Rows {
        bytes: &picture,
        stride: width * 4,
    };
    let (mut file, mut frame) = (Vec::new(), Vec::new());
    qoi::encode(rows, width, height, &mut file);
    qoi::encode_zstd(rows, width, height, &mut frame);
    let mut unpacked = vec![0; file.len() + 1];
    let length = zstd_safe::decompress(unpacked.as_mut_slice(), &frame).expect("a zstd frame");
    assert!(unpacked[..length] == file);
    let (header, back) = ::qoi::decode_to_vec(&file).expect("a QOI file");
    assert_eq!((header.width as usize, header.height as usize), (width, height));
    let expected = picture.as_chunks::<4>().0.iter().map(|p| [p[2], p[1], p[0]]);
    assert!(back.as_chunks::<3>().0.iter().copied().eq(expected));
}
