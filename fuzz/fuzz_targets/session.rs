//! Any bytes from a client that is logged in: raw, and with the headers that lead to the inner parsers.

use crate::client;

use std::sync::Arc;

use client::{CLIENT, send_data, whole};
use rdpmux_model::{
    Color, EncodedFrame, FrameCommand, Generation, Point, Rect, Size, TilePayload, VideoRegion, VideoStream,
};
use rdpmux_rdp::{ChannelKind, FrameWriter, Session, SessionEvent};

const IO: u16 = 1003;
const DRDYNVC: u16 = 1004;
const MESSAGES: u16 = 1005;

/// One input.
pub fn fuzz(data: &[u8]) {
    let mut session = client::session(CLIENT);
    let (mut events, mut out) = (Vec::new(), Vec::new());
    let mut writer = None;
    session.permit_streams();
    let _ = session.add_channel(ChannelKind::Dynamic, "FUZZ");
    session.start(&mut events, &mut out);
    assert!(
        session.awaits_graphics(),
        "the recorded client has the graphics pipeline"
    );
    let mut rest = data;
    while let Some((&[kind, length], after)) = rest.split_first_chunk::<2>() {
        let (body, after) = after.split_at(usize::from(length).min(after.len()));
        let pdu = match kind % 8 {
            0 => body.to_vec(),
            1 => send_data(IO, body),
            2 => send_data(DRDYNVC, body),
            3 => send_data(MESSAGES, body),
            4 => {
                ask(&mut session, body, &mut out);
                Vec::new()
            }
            5 => {
                draw(&mut writer, body);
                Vec::new()
            }
            _ => send_data(DRDYNVC, &whole(body)),
        };
        out.clear();
        match session.feed(&pdu, &mut events, &mut out) {
            Ok(used) => assert!(used <= pdu.len()),
            Err(_) => return,
        }
        for event in events.drain(..) {
            match event {
                SessionEvent::GraphicsReady(fresh) | SessionEvent::Reactivated(fresh) => writer = Some(fresh),
                SessionEvent::CacheOffer(entries) => {
                    let slots = (1..).take(entries.len()).collect();
                    let _ = writer.as_mut().map(|w| w.accept_cache(slots));
                }
                _ => {}
            }
        }
        rest = after;
    }
}

fn ask(session: &mut Session, body: &[u8], out: &mut Vec<u8>) {
    for what in body {
        match what % 6 {
            4 => drop(session.echo(body, out)),
            5 => session.write_channel(0, body, out),
            0 => drop(session.round_trip(out)),
            1 => drop(session.bandwidth_start(out)),
            2 => drop(session.bandwidth_stop(out)),
            _ => session.resize_legacy(Size::new(1 + u32::from(*what), 480), out),
        }
    }
}

/// A frame of any commands, through what is at hand: it is written whole or not at all.
fn draw(writer: &mut Option<FrameWriter>, body: &[u8]) {
    let Some(writer) = writer else { return };
    let Some((&width, body)) = body.split_first() else {
        return;
    };
    let frame = EncodedFrame {
        generation: Generation(1),
        size: Size::new(u32::from(width) * 2, 200),
        commands: body.as_chunks::<6>().0.iter().map(command).collect(),
    };
    let mut out = vec![42];
    match writer.write(&frame, 7, &mut out) {
        Ok(_) => {}
        Err(_) => assert_eq!(out, [42]),
    }
    if width % 16 == 0
        && let Some(fork) = writer.fork()
    {
        let _ = writer.join(fork).map(|joined| assert!(joined.joiner.len() <= 1));
    }
}

fn command(bytes: &[u8; 6]) -> FrameCommand {
    let [kind, rect @ .., extra] = *bytes;
    let [x, y, width, height] = rect.map(u32::from);
    let (rect, slot) = (Rect::new(x, y, width, height), u16::from(extra) << 7);
    let data: Arc<[u8]> = vec![extra; (width * height * 4) as usize].into();
    let at = vec![Point::new(y, x); usize::from(extra % 3)];
    let region = |rect| VideoRegion {
        rect,
        quantizer: extra % 54,
        quality: extra % 110,
    };
    match kind % 10 {
        0 => FrameCommand::SolidFill {
            rect,
            color: Color { b: x as u8, g: 2, r: 3 },
        },
        1 => FrameCommand::Copy {
            source: rect,
            destination: Point::new(u32::from(extra), x),
        },
        2 => FrameCommand::Tile {
            rect,
            payload: TilePayload::Uncompressed(data),
        },
        3 => FrameCommand::Clear { rect, pixels: data },
        4 => FrameCommand::CacheStore { rect, slot, key: 1 },
        5 => FrameCommand::CacheShow {
            slot,
            size: Size::new(width, height),
            at,
        },
        6 => FrameCommand::CacheEvict { slot },
        7 => FrameCommand::Video {
            rect,
            regions: vec![region(Rect::new(x, y, width.min(9), height)); usize::from(extra % 3)],
            stream: VideoStream::Avc420(data),
        },
        8 => FrameCommand::Tile {
            rect,
            payload: TilePayload::NsCodec(data),
        },
        _ => FrameCommand::Tile {
            rect,
            payload: TilePayload::Planar(data),
        },
    }
}
