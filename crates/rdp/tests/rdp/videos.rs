//! H.264 in the graphics pipeline: regions, views, and the surfaces that nobody sees.

use std::sync::Arc;

use ironrdp_core::{Decode as _, ReadCursor};
use ironrdp_egfx::pdu::{self as egfx, Codec1Type, GfxPdu};
use rdpmux_model::{Client, FrameCommand, Rect, Size, VideoRegion, VideoStream};
use rdpmux_rdp::FrameError;

use crate::client::DESKTOP;
use crate::pipeline::{Tap, able, edges, frame, pair};

fn region(rect: Rect<Client>) -> VideoRegion {
    VideoRegion {
        rect,
        quantizer: 22,
        quality: 90,
    }
}

pub fn avc420(rect: Rect<Client>) -> FrameCommand {
    FrameCommand::Video {
        rect,
        regions: vec![region(Rect::new(rect.x + 2, rect.y + 4, 16, 8))],
        stream: VideoStream::Avc420(Arc::from(*b"h264")),
    }
}

#[test]
fn a_video_of_the_whole_desktop_is_decoded_where_it_shows() {
    let (_pair, mut writer) = pair(able());
    let pdus = Tap::new().commands(&mut writer, vec![avc420(DESKTOP.rect())]);
    let [.., GfxPdu::WireToSurface1(picture), GfxPdu::EndFrame(_)] = &pdus[..] else {
        panic!("{pdus:?}");
    };
    assert_eq!((picture.surface_id, picture.codec_id), (0, Codec1Type::Avc420));
    assert_eq!(edges(&picture.destination_rectangle), [0, 0, 800, 600]);
    let stream = egfx::Avc420BitmapStream::decode(&mut ReadCursor::new(&picture.bitmap_data)).unwrap();
    assert_eq!(edges(&stream.rectangles[0]), [2, 4, 18, 12]);
    let quality = &stream.quant_qual_vals[0];
    assert_eq!((quality.quantization_parameter, quality.quality), (22, 90));
    assert_eq!(stream.data, b"h264");
}

#[test]
fn a_video_of_a_part_has_a_surface_of_its_own() {
    let (_pair, mut writer) = pair(able());
    let mut tap = Tap::new();
    let rect = Rect::new(100, 200, 320, 240);
    let pdus = tap.commands(&mut writer, vec![avc420(rect)]);
    let [
        ..,
        GfxPdu::CreateSurface(own),
        GfxPdu::StartFrame(_),
        GfxPdu::WireToSurface1(picture),
        GfxPdu::SurfaceToSurface(copy),
        GfxPdu::EndFrame(_),
    ] = &pdus[..]
    else {
        panic!("{pdus:?}");
    };
    assert_eq!((own.width, own.height, picture.surface_id), (320, 240, own.surface_id));
    assert_eq!(edges(&picture.destination_rectangle), [0, 0, 320, 240]);
    let stream = egfx::Avc420BitmapStream::decode(&mut ReadCursor::new(&picture.bitmap_data)).unwrap();
    assert_eq!(edges(&stream.rectangles[0]), [2, 4, 18, 12]);
    assert_eq!(
        (copy.source_surface_id, copy.destination_surface_id),
        (own.surface_id, 0)
    );
    assert_eq!(edges(&copy.source_rectangle), [2, 4, 18, 12]);
    let to = &copy.destination_points[0];
    assert_eq!((to.x, to.y), (102, 204));
    // The next picture goes to the same surface; the fifth video takes the place of the one that rested longest.
    assert_eq!(tap.commands(&mut writer, vec![avc420(rect)]).len(), 4);
    for x in 0..4 {
        let pdus = tap.commands(&mut writer, vec![avc420(Rect::new(x, 0, 64, 64))]);
        let gone = pdus.iter().find_map(|p| match p {
            GfxPdu::DeleteSurface(gone) => Some(gone.surface_id),
            _ => None,
        });
        assert_eq!(gone, (x == 3).then_some(own.surface_id));
    }
    let new_size = writer
        .compress(&[(0, &frame(Size::new(640, 480), Vec::new()))], 0)
        .unwrap();
    let deleted = tap
        .read(&new_size.parts)
        .into_iter()
        .filter(|p| matches!(p, GfxPdu::DeleteSurface(_)));
    assert_eq!(deleted.count(), 5);
}

#[test]
fn both_views_of_a_picture_or_one_of_them_are_sent() {
    let (_pair, mut writer) = pair(able());
    let mut tap = Tap::new();
    let (luma, chroma): (Arc<[u8]>, Arc<[u8]>) = (Arc::from(*b"luma"), Arc::from(*b"chroma!"));
    for (main, auxiliary) in [(true, true), (true, false), (false, true)] {
        let command = FrameCommand::Video {
            rect: DESKTOP.rect(),
            regions: vec![region(DESKTOP.rect()), region(Rect::new(1, 1, 2, 2))],
            stream: VideoStream::Avc444 {
                main: main.then(|| luma.clone()),
                auxiliary: auxiliary.then(|| chroma.clone()),
            },
        };
        let pdus = tap.commands(&mut writer, vec![command]);
        let [.., GfxPdu::WireToSurface1(picture), GfxPdu::EndFrame(_)] = &pdus[..] else {
            panic!("{pdus:?}");
        };
        assert_eq!(picture.codec_id, Codec1Type::Avc444v2);
        let stream = egfx::Avc444BitmapStream::decode(&mut ReadCursor::new(&picture.bitmap_data)).unwrap();
        let first: &[u8] = if main { &luma } else { &chroma };
        assert_eq!((stream.stream1.data, stream.stream1.rectangles.len()), (first, 2));
        let second = stream.stream2.as_ref().map(|s| s.data);
        assert_eq!(second, (main && auxiliary).then_some(&chroma[..]));
        let encoding = match (main, auxiliary) {
            (true, true) => egfx::Encoding::LUMA_AND_CHROMA,
            (true, false) => egfx::Encoding::LUMA,
            _ => egfx::Encoding::CHROMA,
        };
        assert_eq!(stream.encoding, encoding);
    }
}

#[test]
fn videos_that_break_their_own_rules_are_refused() {
    let (_pair, mut writer) = pair(able());
    let rect = Rect::new(0, 0, 64, 64);
    let video = |rect, regions, stream| FrameCommand::Video { rect, regions, stream };
    let data = || VideoStream::Avc420(Arc::from(*b"h264"));
    let quantiser = VideoRegion {
        quantizer: 52,
        ..region(rect)
    };
    let bad = [
        vec![video(rect, Vec::new(), data())],
        vec![video(rect, vec![region(Rect::new(60, 0, 5, 4))], data())],
        vec![video(rect, vec![quantiser], data())],
        vec![video(Rect::new(780, 0, 64, 64), vec![region(rect)], data())],
        vec![video(rect, vec![region(rect)], VideoStream::Avc420(Arc::from([])))],
        vec![video(
            rect,
            vec![region(rect)],
            VideoStream::Avc444 {
                main: None,
                auxiliary: None,
            },
        )],
        (0..5).map(|x| avc420(Rect::new(x, 0, 64, 64))).collect(),
    ];
    for commands in bad {
        let result = writer.compress(&[(0, &frame(DESKTOP, commands))], 0);
        assert!(matches!(result, Err(FrameError::Invalid(_))), "{result:?}");
    }
}
