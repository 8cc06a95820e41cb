//! Pictures of any size, form, room and moment of restart become H.264 that a decoder reads at once, or nothing.

use openh264::decoder::Decoder;
use openh264::formats::YUVSource as _;
use rdpmux_engine::VideoForm;
use rdpmux_engine::codec::h264::Stream;
use rdpmux_model::Size;
use rdpmux_pixel::Rows;

/// One input.
pub fn fuzz(input: &[u8]) {
    let Some((&[w0, w1, h0, h1, steps @ ..], pixels)) = input.split_first_chunk::<8>() else {
        return;
    };
    let size = Size::new(
        u32::from(u16::from_le_bytes([w0, w1])),
        u32::from(u16::from_le_bytes([h0, h1])),
    );
    // Large ones are known from the tests; here they would only take time.
    if size.area() > 1 << 18 {
        return;
    }
    let form = if steps.first().is_some_and(|step| step & 2 != 0) {
        VideoForm::Avc444
    } else {
        VideoForm::Avc420
    };
    let Some(mut stream) = Stream::new(size, form) else {
        return;
    };
    let mut decoder = Decoder::new().expect("a decoder");
    let stride = size.width as usize * 4;
    for (step, action) in steps.into_iter().enumerate() {
        let pixel = |i: usize| {
            pixels
                .get((i * 7 + step * 13) % pixels.len().max(1))
                .copied()
                .unwrap_or(0)
        };
        let bytes: Vec<u8> = (0..stride * size.height as usize).map(pixel).collect();
        if action & 1 != 0 {
            stream.restart();
        }
        let room = 1_usize << (action >> 2);
        // The encoder may give up on a picture; the next one is a key picture then, and the engine sends tiles meanwhile.
        let Some(coded) = stream.encode(Rows { bytes: &bytes, stride }, room) else {
            continue;
        };
        assert!(coded.quantizer <= 51);
        assert!(coded.auxiliary.is_none() || form == VideoForm::Avc444);
        for data in [Some(coded.data), coded.auxiliary].into_iter().flatten() {
            let shown = decoder
                .decode(&data)
                .expect("a valid stream")
                .expect("a picture at once");
            let (width, height) = shown.dimensions();
            assert!(width >= size.width as usize && height >= size.height as usize);
        }
    }
}
