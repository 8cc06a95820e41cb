//! Frames through the three pipes, read back by IronRDP's decoders.

use std::sync::Arc;

use ironrdp_core::{Decode as _, ReadCursor, decode};
use ironrdp_egfx::pdu as egfx;
use ironrdp_graphics::rfx::MessageDecoder;
use ironrdp_pdu::codecs::rfx::progressive::{ProgressiveBlock, decode_progressive_stream};
use ironrdp_pdu::fast_path::{FastPathHeader, FastPathUpdatePdu, Fragmentation, UpdateCode};
use ironrdp_pdu::surface_commands::SurfaceCommand;
use rdpmux_engine::{ClientView, Pipeline, Profile, SurfaceReader, draw_card, surface};
use rdpmux_model::{
    Color, EncodedFrame, FrameCommand, Generation, Point, QueueDepth, Rect, RfxQuant, RfxTile, Size, TilePayload,
};
use rdpmux_rdp::{FrameError, FramePipe, SessionError, SessionEvent, SurfaceCodec};

use crate::client::{self, DESKTOP, Options, Pair};

fn frame(size: Size, commands: Vec<FrameCommand>) -> EncodedFrame {
    EncodedFrame {
        generation: Generation(1),
        size,
        commands,
    }
}

fn fill(rect: Rect<rdpmux_model::Client>) -> FrameCommand {
    FrameCommand::SolidFill {
        rect,
        color: Color { b: 1, g: 2, r: 3 },
    }
}

fn picture(size: Size) -> SurfaceReader {
    let (mut writer, reader) = surface(size);
    writer.draw(|canvas| draw_card(canvas, "frames", &["one line", "another line"]));
    reader
}

fn encode(reader: &SurfaceReader, pipeline: Pipeline) -> EncodedFrame {
    ClientView::new()
        .take_job(reader, &Profile::new(pipeline))
        .expect("a first frame")
        .encode()
}

fn egfx_pair() -> Pair {
    let mut pair = client::connect(&Options::default());
    pair.start();
    pair
}

#[test]
fn a_client_with_the_pipeline_gets_a_writer_for_its_version() {
    let mut pair = egfx_pair();
    let writer = pair.take_writer().expect("a writer");
    let version = 0x000A_0701;
    let kind = FramePipe::Egfx {
        progressive: true,
        version,
        avc420: false,
        avc444: false,
        cache_slots: 4096,
        cache_bytes: 16 << 20,
    };
    assert_eq!(writer.kind(), kind);
    assert_eq!(kind.to_string(), "egfx 10.7 progressive");
    assert!(writer.acknowledges() && !pair.session.awaits_graphics());
    assert_eq!(pair.screen.lock().unwrap().confirmed, [version]);
}

#[test]
fn thin_clients_get_cavideo() {
    let offer = egfx::CapabilitySet::V8_1 {
        flags: egfx::CapabilitiesV81Flags::THIN_CLIENT,
    };
    let mut pair = client::connect_offering(&Options::default(), Some(offer));
    pair.start();
    let kind = pair.take_writer().expect("a writer").kind();
    assert!(
        matches!(
            kind,
            FramePipe::Egfx {
                progressive: false,
                version: 0x0008_0105,
                ..
            }
        ),
        "{kind}"
    );
}

#[test]
fn the_first_frame_makes_a_surface_and_the_client_acknowledges_it() {
    let mut pair = egfx_pair();
    let mut writer = pair.take_writer().unwrap();
    let pixels: Vec<u8> = (0..8 * 4 * 4).map(|i| i as u8).collect();
    let commands = vec![
        fill(Rect::new(10, 20, 30, 40)),
        FrameCommand::Copy {
            source: Rect::new(0, 0, 50, 60),
            destination: Point::new(100, 110),
        },
        FrameCommand::Tile {
            rect: Rect::new(792, 596, 8, 4),
            payload: TilePayload::Uncompressed(pixels.clone().into()),
        },
    ];
    let mut out = Vec::new();
    let id = writer.write(&frame(DESKTOP, commands), 12_345, &mut out).unwrap();
    pair.deliver(&out);
    let screen = pair.screen.lock().unwrap();
    assert_eq!(
        (screen.resets.as_slice(), screen.surfaces.len()),
        (&[(800, 600)][..], 1)
    );
    assert_eq!(screen.frames, [id.0]);
    assert_eq!(screen.fills[0].rectangles[0].right, 40);
    assert_eq!((screen.fills[0].fill_pixel.r, screen.fills[0].fill_pixel.b), (3, 1));
    assert_eq!(screen.copies[0].destination_points[0].x, 100);
    let tile = &screen.bitmaps[0];
    assert_eq!((tile.width, tile.height, tile.left), (8, 4, 792));
    assert_eq!(tile.rgba[..3], [pixels[2], pixels[1], pixels[0]]);
    let acked = pair
        .events
        .iter()
        .any(|e| matches!(e, SessionEvent::FrameAck { id: acked, .. } if *acked == id));
    assert!(acked, "{:?}", pair.events);
}

#[test]
fn a_whole_picture_arrives_and_is_decoded() {
    let mut pair = egfx_pair();
    let mut writer = pair.take_writer().unwrap();
    let reader = picture(DESKTOP);
    let encoded = encode(&reader, Pipeline::Egfx { progressive: true });
    let mut out = Vec::new();
    writer.write(&encoded, 0, &mut out).unwrap();
    pair.deliver(&out);
    let mut shown = vec![0_u8; DESKTOP.area() as usize * 4];
    let screen = pair.screen.lock().unwrap();
    for filled in &screen.fills {
        let c = &filled.fill_pixel;
        for r in &filled.rectangles {
            for y in r.top..r.bottom {
                for x in r.left..r.right {
                    let at = (usize::from(y) * 800 + usize::from(x)) * 4;
                    shown[at..at + 3].copy_from_slice(&[c.b, c.g, c.r]);
                }
            }
        }
    }
    for tile in &screen.bitmaps {
        for (i, pixel) in tile.rgba.chunks_exact(4).enumerate() {
            let (x, y) = (
                usize::from(tile.left) + i % usize::from(tile.width),
                usize::from(tile.top) + i / usize::from(tile.width),
            );
            let at = (y * 800 + x) * 4;
            shown[at..at + 3].copy_from_slice(&[pixel[2], pixel[1], pixel[0]]);
        }
    }
    let (_, expected) = reader.snapshot();
    let worst = shown
        .chunks_exact(4)
        .zip(expected.chunks_exact(4))
        .map(|(a, b)| (0..3).map(|c| a[c].abs_diff(b[c])).max().unwrap_or(0))
        .max();
    assert!(worst < Some(64), "{worst:?}");
}

#[test]
fn a_new_size_resets_graphics_and_never_reuses_a_surface() {
    let mut pair = egfx_pair();
    let mut writer = pair.take_writer().unwrap();
    for (size, now) in [
        (DESKTOP, 0),
        (Size::new(640, 480), 1),
        (Size::new(640, 480), 2),
        (DESKTOP, 3),
    ] {
        let mut out = Vec::new();
        writer
            .write(&frame(size, vec![fill(Rect::new(0, 0, 4, 4))]), now, &mut out)
            .unwrap();
        pair.deliver(&out);
    }
    let screen = pair.screen.lock().unwrap();
    assert_eq!(screen.resets, [(800, 600), (640, 480), (800, 600)]);
    assert_eq!(screen.surfaces, [0, 1, 2]);
    assert_eq!(screen.frames.len(), 4);
}

#[test]
fn capabilities_in_mid_session_hand_out_a_fresh_writer() {
    let mut pair = egfx_pair();
    let mut old = pair.take_writer().unwrap();
    let mut out = Vec::new();
    let first = old
        .write(&frame(DESKTOP, vec![fill(Rect::new(0, 0, 4, 4))]), 0, &mut out)
        .unwrap();
    pair.deliver(&out);
    let version = egfx::CapabilitySet::V8 {
        flags: egfx::CapabilitiesV8Flags::empty(),
    };
    let again = egfx::GfxPdu::CapabilitiesAdvertise(egfx::CapabilitiesAdvertisePdu::from_typed(&[version]));
    let answer = say_graphics(&mut pair, &again);
    assert!(!answer.is_empty());
    let mut fresh = pair.take_writer().expect("a fresh writer");
    assert!(matches!(
        fresh.kind(),
        FramePipe::Egfx {
            version: 0x0008_0004,
            ..
        }
    ));
    out.clear();
    let second = fresh.write(&frame(DESKTOP, Vec::new()), 0, &mut out).unwrap();
    assert_ne!(first, second);
    pair.deliver(&out);
    assert_eq!(pair.screen.lock().unwrap().surfaces, [0, 1]);
}

/// Puts a message on the graphics channel, which has number 0, and returns the session's answer.
pub fn say_graphics(pair: &mut Pair, pdu: &egfx::GfxPdu) -> Vec<u8> {
    say_graphics_bytes(pair, &ironrdp_core::encode_vec(pdu).unwrap()).unwrap()
}

/// The same with any bytes, in as many data PDUs as it takes.
pub fn say_graphics_bytes(pair: &mut Pair, bytes: &[u8]) -> Result<Vec<u8>, SessionError> {
    const DATA_FIRST_WITH_32_BITS: u8 = 0x28;
    const DATA: u8 = 0x30;
    let drdynvc = pair.result.static_channels.channel_ids().next().unwrap();
    let mut out = Vec::new();
    for (i, part) in bytes.chunks(1500).enumerate() {
        let header = match i {
            0 if bytes.len() > 1500 => {
                let length = (bytes.len() as u32).to_le_bytes();
                [&[DATA_FIRST_WITH_32_BITS, 0][..], &length].concat()
            }
            _ => vec![DATA, 0],
        };
        let length = ((header.len() + part.len()) as u32).to_le_bytes();
        let chunk = [&length[..], &3_u32.to_le_bytes(), &header, part].concat();
        let pdu = crate::hostile::send_data_request(drdynvc, &chunk);
        pair.session.feed(&pdu, &mut pair.events, &mut out)?;
    }
    Ok(out)
}

#[test]
fn suspended_acknowledgements_are_told() {
    let mut pair = egfx_pair();
    for (depth, expected) in [
        (egfx::QueueDepth::Suspend, QueueDepth::Suspended),
        (egfx::QueueDepth::AvailableBytes(77), QueueDepth::Bytes(77)),
    ] {
        let ack = egfx::GfxPdu::FrameAcknowledge(egfx::FrameAcknowledgePdu {
            queue_depth: depth,
            frame_id: 5,
            total_frames_decoded: 5,
        });
        say_graphics(&mut pair, &ack);
        let told = pair
            .events
            .iter()
            .any(|e| matches!(e, SessionEvent::FrameAck { queue_depth, .. } if *queue_depth == expected));
        assert!(told, "{:?}", pair.events);
    }
}

#[test]
fn a_frame_that_breaks_its_own_rules_leaves_nothing_behind() {
    let mut pair = egfx_pair();
    let mut writer = pair.take_writer().unwrap();
    let tile = |rect, bytes: usize| FrameCommand::Tile {
        rect,
        payload: TilePayload::Uncompressed(vec![0; bytes].into()),
    };
    let planar = FrameCommand::Tile {
        rect: Rect::new(0, 0, 4, 4),
        payload: TilePayload::Planar(vec![0; 9].into()),
    };
    let rfx = |x, quant| FrameCommand::Rfx {
        clip: vec![Rect::new(0, 0, 64, 64)],
        quant: RfxQuant([quant; 10]),
        tiles: vec![RfxTile {
            x,
            y: 0,
            planes: [Arc::from([0_u8; 4]), Arc::from([0_u8; 4]), Arc::from([0_u8; 4])],
        }],
    };
    let bad = [
        fill(Rect::new(790, 0, 11, 4)),
        fill(Rect::new(0, 0, 0, 4)),
        fill(Rect::new(u32::MAX, 0, 4, 4)),
        tile(Rect::new(0, 0, 4, 4), 63),
        planar,
        rfx(13, 6),
        rfx(0, 5),
    ];
    for command in bad {
        let mut out = vec![42];
        let commands = vec![fill(Rect::new(0, 0, 4, 4)), command];
        let result = writer.write(&frame(DESKTOP, commands), 0, &mut out);
        assert!(
            matches!(result, Err(FrameError::Invalid(_) | FrameError::Unsupported { .. })),
            "{result:?}"
        );
        assert_eq!(out, [42]);
    }
    let mut out = Vec::new();
    assert!(writer.write(&frame(Size::new(0, 9), Vec::new()), 0, &mut out).is_err());
    // The writer still works, and the client's history has seen nothing of the bad ones.
    writer
        .write(&frame(DESKTOP, vec![fill(Rect::new(0, 0, 4, 4))]), 0, &mut out)
        .unwrap();
    pair.deliver(&out);
    assert_eq!(pair.screen.lock().unwrap().frames.len(), 1);
}

#[test]
fn progressive_streams_carry_their_context_once() {
    let mut pair = egfx_pair();
    let mut writer = pair.take_writer().unwrap();
    let plane: Arc<[u8]> = Arc::from([0_u8; 8]);
    let command = || FrameCommand::Rfx {
        clip: vec![Rect::new(64, 0, 30, 20)],
        quant: RfxQuant([6, 7, 8, 9, 10, 11, 12, 13, 14, 15]),
        tiles: vec![RfxTile {
            x: 1,
            y: 0,
            planes: [plane.clone(), plane.clone(), plane.clone()],
        }],
    };
    for _ in 0..2 {
        let mut out = Vec::new();
        writer.write(&frame(DESKTOP, vec![command()]), 0, &mut out).unwrap();
        pair.deliver(&out);
    }
    let screen = pair.screen.lock().unwrap();
    let blocks = |i: usize| -> Vec<String> {
        let mut names = Vec::new();
        for block in decode_progressive_stream(&screen.streams[i].bitmap_data).expect("valid blocks") {
            if let ProgressiveBlock::Region(region) = &block {
                let q = &region.quant_vals[0];
                assert_eq!((q.ll3, q.hl3, q.lh3, q.hh3, q.hl1, q.lh1), (6, 8, 7, 9, 14, 13));
                assert_eq!((region.rects[0].width, region.tiles.len()), (30, 1));
            }
            let text = format!("{block:?}");
            names.push(text.split(['(', ' ', '{']).next().unwrap_or_default().to_owned());
        }
        names
    };
    assert_eq!(blocks(0), ["Sync", "Context", "FrameBegin", "Region", "FrameEnd"]);
    assert_eq!(blocks(1), ["FrameBegin", "Region", "FrameEnd"]);
}

fn legacy(options: &Options) -> (Pair, rdpmux_rdp::FrameWriter) {
    let mut pair = client::connect(options);
    pair.start();
    let writer = pair.take_writer().expect("a legacy client needs no negotiation");
    (pair, writer)
}

/// Puts the fragments of fast-path updates together.
pub fn reassemble(updates: &[Vec<u8>]) -> Vec<(UpdateCode, Vec<u8>)> {
    let (mut whole, mut partial) = (Vec::new(), Vec::new());
    for pdu in updates {
        let mut cursor = ReadCursor::new(pdu);
        let header = FastPathHeader::decode(&mut cursor).expect("a header");
        assert_eq!(header.data_length, cursor.len());
        let update = FastPathUpdatePdu::decode(&mut cursor).expect("an update");
        assert!(cursor.is_empty() && update.data.len() <= 0x7FFF);
        partial.extend_from_slice(update.data);
        if matches!(update.fragmentation, Fragmentation::Single | Fragmentation::Last) {
            whole.push((update.update_code, std::mem::take(&mut partial)));
        }
    }
    assert!(partial.is_empty());
    whole
}

#[test]
fn clients_with_remotefx_get_surface_commands_between_markers() {
    let (mut pair, mut writer) = legacy(&Options {
        egfx: false,
        remotefx: true,
        ..Options::default()
    });
    let codec = SurfaceCodec::RemoteFx;
    assert_eq!(writer.kind(), FramePipe::SurfaceCommands { codec });
    let reader = picture(DESKTOP);
    let mut out = Vec::new();
    writer
        .write(&encode(&reader, Pipeline::SurfaceCommands), 0, &mut out)
        .unwrap();
    pair.deliver(&out);
    let (mut markers, mut tiles) = (0, 0);
    for (code, data) in reassemble(&pair.updates) {
        assert_eq!(code, UpdateCode::SurfaceCommands);
        match decode::<SurfaceCommand<'_>>(&data).expect("a command") {
            SurfaceCommand::FrameMarker(_) => markers += 1,
            SurfaceCommand::SetSurfaceBits(bits) => {
                let mut parser = MessageDecoder::new();
                let message = parser
                    .parse(bits.extended_bitmap_data.data)
                    .expect("a RemoteFX message");
                tiles += message.tile_count();
            }
            SurfaceCommand::StreamSurfaceBits(_) => panic!("not ours"),
        }
    }
    assert_eq!((markers, tiles), (2, 13 * 10));
}

#[test]
fn clients_without_anything_get_bitmaps_at_their_depth() {
    for depth in [32, 24, 16, 15] {
        let (mut pair, mut writer) = legacy(&Options {
            egfx: false,
            depth,
            ..Options::default()
        });
        let FramePipe::Bitmap { bits_per_pixel } = writer.kind() else {
            panic!("{}", writer.kind());
        };
        assert!(!writer.acknowledges());
        let reader = picture(DESKTOP);
        let mut out = Vec::new();
        writer
            .write(&encode(&reader, Pipeline::Bitmap { bits_per_pixel }), 0, &mut out)
            .unwrap();
        pair.deliver(&out);
        let mut pixels = 0;
        for (code, data) in reassemble(&pair.updates) {
            assert_eq!(code, UpdateCode::Bitmap);
            let update = decode::<ironrdp_pdu::bitmap::BitmapUpdateData<'_>>(&data).expect("bitmaps");
            for bitmap in &update.rectangles {
                assert_eq!(bitmap.bits_per_pixel, u16::from(bits_per_pixel));
                let r = &bitmap.rectangle;
                pixels += u32::from(r.right - r.left + 1) * u32::from(r.bottom - r.top + 1);
            }
        }
        assert_eq!(u64::from(pixels), DESKTOP.area(), "{depth}");
    }
}

#[test]
fn the_legacy_writer_waits_for_the_pipeline_until_its_time_is_up() {
    let mut pair = client::connect(&Options::default());
    let mut out = Vec::new();
    pair.session.start(&mut pair.events, &mut out);
    assert!(pair.session.awaits_graphics() && pair.events.is_empty());
    pair.session.graphics_timeout(&mut pair.events);
    let writer = pair.take_writer().expect("a legacy writer");
    assert!(matches!(writer.kind(), FramePipe::Bitmap { .. }));
    // The client answers late: it stays with what it was given.
    pair.deliver(&out);
    assert!(pair.take_writer().is_none());
    pair.session.graphics_timeout(&mut pair.events);
    assert!(pair.take_writer().is_none());
}
