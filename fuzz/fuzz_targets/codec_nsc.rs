//! Any pixels as NSCodec at any quality: every plane has its size, and at the best one every colour is within 2.

use rdpmux_engine::codec::nsc::{self, Order, Quality};
use rdpmux_pixel::Rows;

/// One input.
pub fn fuzz(data: &[u8]) {
    let Some((&[width, height, step, kind], bytes)) = data.split_first_chunk::<4>() else {
        return;
    };
    if bytes.is_empty() {
        return;
    }
    let (width, height) = (usize::from(width) + 1, usize::from(height) % 100 + 1);
    let step = usize::from(step) + 1;
    let picture: Vec<u8> = (0..width * height * 4).map(|i| bytes[i / step % bytes.len()]).collect();
    let quality = Quality {
        color_loss: kind & 7,
        subsampling: kind & 8 != 0,
    };
    let rows = Rows {
        bytes: &picture,
        stride: width * 4,
    };
    let mut stream = Vec::new();
    nsc::encode(rows, width, height, quality, Order::TopDown, &mut stream);
    let planes = planes(&stream, width, height);
    if stream[16] == 1 && !quality.subsampling {
        for (pixel, [y, co, cg]) in picture.as_chunks::<4>().0.iter().zip(planes) {
            let (y, co, cg) = (i32::from(y), i32::from(co as i8), i32::from(cg as i8));
            for (ours, theirs) in pixel[..3].iter().zip([y - co - cg, y + cg, y + co - cg]) {
                assert!(
                    (i32::from(*ours) - theirs).abs() <= 2,
                    "{pixel:?} came back as {theirs}"
                );
            }
        }
    }
}

/// The three planes, pixel by pixel where they are not subsampled, else as far as they go.
fn planes(stream: &[u8], width: usize, height: usize) -> Vec<[u8; 3]> {
    let (header, mut rest) = stream.split_at(20);
    let is_halved = header[17] == 1;
    assert!((1..=7).contains(&header[16]) && header[12..16] == [0; 4]);
    let padded = width.next_multiple_of(8);
    let mut decoded = Vec::new();
    for index in 0..3 {
        let length = u32::from_le_bytes(header[index * 4..][..4].try_into().expect("4 bytes")) as usize;
        let size = match (is_halved, index) {
            (false, _) => width * height,
            (true, 0) => padded * height,
            (true, _) => padded / 2 * height.div_ceil(2),
        };
        let (plane, after) = rest.split_at(length);
        decoded.push(if length < size {
            unpack(plane, size)
        } else {
            plane.to_vec()
        });
        assert_eq!(decoded[index].len(), size);
        rest = after;
    }
    assert!(rest.is_empty());
    let pixel = |i| [decoded[0][i], decoded[1][i], decoded[2][i]];
    (0..decoded[1].len()).map(pixel).collect()
}

/// Run lengths and four bytes as they are ([MS-RDPNSC] 2.2.2.1).
fn unpack(plane: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while out.len() < size - 4 {
        let value = plane[at];
        if size - out.len() == 5 || plane[at + 1] != value {
            out.push(value);
            at += 1;
            continue;
        }
        let run = match plane[at + 2] {
            0xFF => u32::from_le_bytes(plane[at + 3..][..4].try_into().expect("4 bytes")) as usize,
            short => usize::from(short) + 2,
        };
        at += if plane[at + 2] == 0xFF { 7 } else { 3 };
        out.resize(out.len() + run, value);
    }
    out.extend_from_slice(&plane[at..]);
    out
}
