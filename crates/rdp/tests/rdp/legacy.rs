//! What clients without the graphics pipeline confirm, and the surface commands that they get for it.

use std::sync::Arc;

use ironrdp_core::decode;
use ironrdp_pdu::fast_path::UpdateCode;
use ironrdp_pdu::surface_commands::SurfaceCommand;
use rdpmux_model::{EncodedFrame, FrameCommand, Generation, Rect, RfxQuant, RfxTile, TilePayload};
use rdpmux_rdp::{FrameError, FramePipe, FrameWriter, SessionError, SurfaceCodec};

use crate::client::{self, DESKTOP, Options, Pair};
use crate::frames::reassemble;
use crate::hostile::send_data_request;
use crate::session::share_data;

const NSCODEC: [u8; 16] = *b"\xB9\x1B\x8D\xCA\x0F\x00\x4F\x15\x58\x9F\xAE\x2D\x1A\x87\xE2\xD6";
const QOI: [u8; 16] = *b"\xF8\x9A\xAE\x4D\x99\xB3\xF6\x4D\xB4\x3A\x66\x2F\xD9\xC0\xF5\xD6";
const QOIZ: [u8; 16] = *b"\xDC\xC6\x9C\x22\x60\xA8\x52\x4B\xB4\xD8\x05\x3A\x22\xB3\x89\x2B";
const REMOTEFX: [u8; 16] = *b"\x12\x2F\x77\x76\x72\xBD\x63\x44\xAF\xB3\xB7\x3C\x9C\x6F\x78\x86";
const LIMIT: u32 = 64 * 1024;

/// A codec of a client: GUID, number, properties.
type Codec<'a> = ([u8; 16], u8, &'a [u8]);

fn set(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = (body.len() + 4) as u16;
    [&kind.to_le_bytes()[..], &length.to_le_bytes(), body].concat()
}

fn codec_set(codecs: &[Codec<'_>]) -> Vec<u8> {
    let mut body = vec![codecs.len() as u8];
    for (guid, id, properties) in codecs {
        body.extend_from_slice(guid);
        body.push(*id);
        body.extend_from_slice(&(properties.len() as u16).to_le_bytes());
        body.extend_from_slice(properties);
    }
    set(0x1D, &body)
}

/// A Confirm Active of a client that takes surface commands with these codecs.
fn confirm(pair: &Pair, codecs: &[u8]) -> Vec<u8> {
    let mut general = [0; 20];
    general[10] = 1;
    let sets = [
        set(1, &general),
        set(0x1A, &LIMIT.to_le_bytes()),
        set(0x1C, &[0x12, 0, 0, 0, 0, 0, 0, 0]),
        codecs.to_vec(),
    ];
    let mut body = vec![0xEA, 3, 1, 0, 0xEA, 3, 0, 0, 0, 0];
    body.extend_from_slice(&[sets.len() as u8, 0, 0, 0]);
    body.extend(sets.concat());
    let length = (body.len() + 6) as u16;
    let share = [&length.to_le_bytes()[..], &[0x13, 0, 1, 0], &body].concat();
    send_data_request(pair.result.io_channel_id, &share)
}

fn with_codecs(codecs: &[Codec<'_>]) -> (Pair, FrameWriter) {
    let mut pair = client::connect(&Options {
        egfx: false,
        ..Options::default()
    });
    pair.start();
    pair.take_writer().expect("the first one");
    pair.session.resize_legacy(DESKTOP, &mut Vec::new());
    let io = pair.result.io_channel_id;
    let confirm = confirm(&pair, &codec_set(codecs));
    pair.say(&confirm);
    pair.say(&share_data(io, 39, &[0, 0, 0, 0, 3, 0, 50, 0]));
    let writer = pair.take_writer().expect("reactivated");
    (pair, writer)
}

/// RLGR1 alone, in a `TS_RFX_CLNT_CAPS_CONTAINER`.
fn rlgr1() -> Vec<u8> {
    let mut container = vec![0; 12 + 8 + 13];
    container.extend_from_slice(&[0, 1, 64, 0, 1, 1, 1, 1]);
    container
}

#[test]
fn the_best_codec_that_both_ends_have_is_chosen() {
    let (nscodec, rfx): (Codec<'_>, _) = ((NSCODEC, 1, &[1, 0, 3]), rlgr1());
    let rfx: Codec<'_> = (REMOTEFX, 3, &rfx);
    let all = [nscodec, rfx, (QOI, 10, &[][..]), (QOIZ, 11, &[][..])];
    let lossy = SurfaceCodec::NsCodec {
        dynamic_fidelity: true,
        subsampling: false,
        color_loss: 3,
    };
    let chosen = [lossy, SurfaceCodec::RemoteFx, SurfaceCodec::Qoi, SurfaceCodec::Qoiz];
    for (count, codec) in (1..).zip(chosen) {
        let (_pair, writer) = with_codecs(&all[..count]);
        assert_eq!(writer.kind(), FramePipe::SurfaceCommands { codec });
    }
    for none in [
        &[][..],
        &[(NSCODEC, 1, &[1, 0, 0][..])],
        &[(NSCODEC, 1, &[1][..])],
        &[([7; 16], 9, &[1, 2][..])],
    ] {
        let (_pair, writer) = with_codecs(none);
        assert!(matches!(writer.kind(), FramePipe::Bitmap { .. }), "{none:?}");
    }
}

fn tile(payload: TilePayload) -> FrameCommand {
    FrameCommand::Tile {
        rect: Rect::new(64, 128, 48, 16),
        payload,
    }
}

fn frame(commands: Vec<FrameCommand>) -> EncodedFrame {
    EncodedFrame {
        generation: Generation(1),
        size: DESKTOP,
        commands,
    }
}

#[test]
fn tiles_carry_the_clients_number_of_their_codec() {
    let rfx = rlgr1();
    let all: [Codec<'_>; 4] = [
        (NSCODEC, 1, &[1, 1, 3]),
        (REMOTEFX, 3, &rfx),
        (QOI, 10, &[]),
        (QOIZ, 77, &[]),
    ];
    let (mut pair, mut writer) = with_codecs(&all);
    let data: Arc<[u8]> = Arc::from(*b"coded");
    let plane: Arc<[u8]> = Arc::from([0; 4]);
    let commands = vec![
        tile(TilePayload::NsCodec(data.clone())),
        tile(TilePayload::Qoi(data.clone())),
        tile(TilePayload::Qoiz(data.clone())),
        tile(TilePayload::Uncompressed(vec![0; 48 * 16 * 4].into())),
        FrameCommand::Rfx {
            clip: vec![Rect::new(0, 0, 64, 64)],
            quant: RfxQuant([6; 10]),
            tiles: vec![RfxTile {
                x: 0,
                y: 0,
                planes: [plane.clone(), plane.clone(), plane],
            }],
        },
    ];
    let mut out = Vec::new();
    writer.write(&frame(commands), 0, &mut out).unwrap();
    pair.deliver(&out);
    let mut seen = Vec::new();
    for (code, update) in reassemble(&pair.updates) {
        assert_eq!(code, UpdateCode::SurfaceCommands);
        if let SurfaceCommand::SetSurfaceBits(bits) = decode::<SurfaceCommand<'_>>(&update).expect("a command") {
            let bitmap = &bits.extended_bitmap_data;
            assert_eq!(bitmap.bpp, 32);
            seen.push(bitmap.codec_id);
            if bitmap.data == &data[..] {
                assert_eq!((bits.destination.left, bits.destination.top), (64, 128));
                assert_eq!((bitmap.width, bitmap.height), (48, 16));
            }
        }
    }
    assert_eq!(seen, [1, 10, 77, 0, 3]);
}

#[test]
fn what_the_client_has_no_number_for_is_refused() {
    let (_pair, mut writer) = with_codecs(&[(QOI, 10, &[])]);
    let small: Arc<[u8]> = Arc::from(*b"coded");
    let long: Arc<[u8]> = vec![0; LIMIT as usize].into();
    let bad = [
        TilePayload::NsCodec(small.clone()),
        TilePayload::Qoiz(small.clone()),
        TilePayload::Planar(small.clone()),
        TilePayload::Qoi(long),
        TilePayload::Qoi(Arc::from([])),
    ];
    for payload in bad {
        let mut out = vec![42];
        let result = writer.write(&frame(vec![tile(payload)]), 0, &mut out);
        let refused = matches!(result, Err(FrameError::Unsupported { .. } | FrameError::Invalid(_)));
        assert!(refused && out == [42], "{result:?}");
    }
    assert!(writer.set_layout(Vec::new()).is_err() && writer.framing().is_none() && writer.fork().is_none());
    let mut out = Vec::new();
    writer
        .write(&frame(vec![tile(TilePayload::Qoi(small))]), 0, &mut out)
        .unwrap();
}

#[test]
fn codec_lists_that_are_cut_end_the_session() {
    let whole = codec_set(&[(NSCODEC, 1, &[1, 0, 3]), (QOI, 10, &[1; 9])]);
    for length in 5..whole.len() {
        let mut pair = client::connect(&Options {
            egfx: false,
            ..Options::default()
        });
        pair.start();
        pair.session.resize_legacy(DESKTOP, &mut Vec::new());
        let mut cut = whole[..length].to_vec();
        cut[2..4].copy_from_slice(&(length as u16).to_le_bytes());
        let confirm = confirm(&pair, &cut);
        let result = pair.session.feed(&confirm, &mut pair.events, &mut Vec::new());
        assert!(matches!(result, Err(SessionError::Peer { .. })), "{length}");
    }
}
