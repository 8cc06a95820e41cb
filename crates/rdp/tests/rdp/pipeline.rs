//! The graphics pipeline message by message.

use std::sync::Arc;

use ironrdp_core::{Decode as _, ReadCursor};
use ironrdp_egfx::pdu::{self as egfx, CapabilitySet, GfxPdu};
use ironrdp_graphics::zgfx::Decompressor;
use rdpmux_model::{Client, Color, EncodedFrame, FrameCommand, Generation, Point, Rect, Size};
use rdpmux_rdp::{CacheOffer, FrameError, FrameNumbers, FramePipe, FrameWriter, Monitor, SessionError, SessionEvent};

use crate::client::{self, DESKTOP, Options, Pair};
use crate::videos::avc420;

/// Everything there is: H.264 and the large cache.
pub fn able() -> CapabilitySet {
    CapabilitySet::V10_7 {
        flags: egfx::CapabilitiesV107Flags::empty(),
    }
}

pub fn pair(offer: CapabilitySet) -> (Pair, FrameWriter) {
    shared(offer, &FrameNumbers::new())
}

pub fn shared(offer: CapabilitySet, numbers: &FrameNumbers) -> (Pair, FrameWriter) {
    let mut pair = client::connect_offering(&Options::default(), Some(offer));
    pair.session.share_numbers(numbers.clone());
    pair.start();
    let writer = pair.take_writer().expect("a writer");
    (pair, writer)
}

pub fn frame(size: Size, commands: Vec<FrameCommand>) -> EncodedFrame {
    EncodedFrame {
        generation: Generation(1),
        size,
        commands,
    }
}

pub fn fill(rect: Rect<Client>) -> FrameCommand {
    FrameCommand::SolidFill {
        rect,
        color: Color { b: 1, g: 2, r: 3 },
    }
}

/// The client's side of the bulk compression, and the messages in it.
pub struct Tap(Decompressor);

impl Tap {
    pub fn new() -> Self {
        Self(Decompressor::new())
    }

    pub fn read(&mut self, parts: &[bytes::Bytes]) -> Vec<GfxPdu> {
        let mut pdus = Vec::new();
        for part in parts {
            let mut plain = Vec::new();
            self.0.decompress(part, &mut plain).expect("ZGFX");
            let mut cursor = ReadCursor::new(&plain);
            while !cursor.is_empty() {
                pdus.push(GfxPdu::decode(&mut cursor).expect("a message"));
            }
        }
        pdus
    }

    pub fn commands(&mut self, writer: &mut FrameWriter, commands: Vec<FrameCommand>) -> Vec<GfxPdu> {
        let compressed = writer.compress(&[(0, &frame(DESKTOP, commands))], 0).expect("a frame");
        self.read(&compressed.parts)
    }
}

pub fn pixels(rect: Rect<Client>, seed: u8) -> Arc<[u8]> {
    let shade = |i: u32| [seed, (i / 3) as u8, (i * 7 / 11) as u8 ^ seed, 0xFF];
    (0..rect.width * rect.height).flat_map(shade).collect()
}

pub fn clear(rect: Rect<Client>, seed: u8) -> FrameCommand {
    FrameCommand::Clear {
        rect,
        pixels: pixels(rect, seed),
    }
}

pub fn edges(r: &ironrdp_pdu::geometry::ExclusiveRectangle) -> [u16; 4] {
    [r.left, r.top, r.right, r.bottom]
}

#[test]
fn every_version_says_what_its_client_decodes() {
    use egfx::{
        CapabilitiesV8Flags as F8, CapabilitiesV10Flags as F10, CapabilitiesV81Flags as F81,
        CapabilitiesV103Flags as F103, CapabilitiesV104Flags as F104, CapabilitiesV107Flags as F107,
    };
    let rows = [
        (CapabilitySet::V8 { flags: F8::empty() }, (true, false, false, 25_600)),
        (
            CapabilitySet::V8 { flags: F8::THIN_CLIENT },
            (false, false, false, 4_096),
        ),
        (
            CapabilitySet::V8 { flags: F8::SMALL_CACHE },
            (true, false, false, 4_096),
        ),
        (
            CapabilitySet::V8_1 {
                flags: F81::AVC420_ENABLED,
            },
            (true, true, false, 25_600),
        ),
        (
            CapabilitySet::V8_1 {
                flags: F81::SMALL_CACHE,
            },
            (true, false, false, 4_096),
        ),
        (CapabilitySet::V10 { flags: F10::empty() }, (true, false, true, 25_600)),
        (
            CapabilitySet::V10 {
                flags: F10::AVC_DISABLED,
            },
            (true, false, false, 25_600),
        ),
        (CapabilitySet::V10_1, (true, false, true, 25_600)),
        (
            CapabilitySet::V10_2 {
                flags: F10::SMALL_CACHE,
            },
            (true, false, true, 4_096),
        ),
        (
            CapabilitySet::V10_3 {
                flags: F103::AVC_THIN_CLIENT,
            },
            (true, false, true, 4_096),
        ),
        (
            CapabilitySet::V10_4 { flags: F104::empty() },
            (true, true, true, 25_600),
        ),
        (
            CapabilitySet::V10_6 {
                flags: F104::AVC_DISABLED,
            },
            (true, false, false, 25_600),
        ),
        (
            CapabilitySet::V10_7 {
                flags: F107::SMALL_CACHE,
            },
            (true, true, true, 4_096),
        ),
    ];
    for (offer, expected) in rows {
        let version = offer.version().0;
        let (pair, writer) = pair(offer);
        let FramePipe::Egfx {
            progressive,
            version: agreed,
            avc420,
            avc444,
            cache_slots,
            cache_bytes,
        } = writer.kind()
        else {
            panic!("{}", writer.kind());
        };
        assert_eq!(agreed, version);
        assert_eq!((progressive, avc420, avc444, cache_slots), expected, "{version:#x}");
        assert_eq!(cache_bytes >> 20, if cache_slots == 4_096 { 16 } else { 100 });
        assert_eq!(pair.screen.lock().unwrap().confirmed, [version]);
    }
}

#[test]
fn clear_codec_is_decoded_by_the_client_in_order() {
    let (mut pair, mut writer) = pair(able());
    let rects = [
        Rect::new(10, 20, 200, 60),
        Rect::new(0, 0, 1, 1),
        Rect::new(795, 590, 5, 10),
    ];
    for _ in 0..2 {
        let mut out = Vec::new();
        let commands = rects.iter().map(|r| clear(*r, 9)).collect();
        writer.write(&frame(DESKTOP, commands), 0, &mut out).unwrap();
        pair.deliver(&out);
    }
    let screen = pair.screen.lock().unwrap();
    assert_eq!(screen.bitmaps.len(), 6);
    for (shown, rect) in screen.bitmaps.iter().zip(rects.iter().cycle()) {
        assert_eq!((u32::from(shown.left), u32::from(shown.width)), (rect.x, rect.width));
        let same = |(a, b): (&[u8], &[u8])| a[..3] == [b[2], b[1], b[0]];
        assert!(shown.rgba.chunks(4).zip(pixels(*rect, 9).chunks(4)).all(same));
    }
}

#[test]
fn cached_bitmaps_are_stored_shown_and_forgotten() {
    let (_pair, mut writer) = pair(able());
    let commands = vec![
        FrameCommand::CacheStore {
            rect: Rect::new(1, 2, 30, 40),
            slot: 25_600,
            key: 0x0102_0304_0506_0708,
        },
        FrameCommand::CacheShow {
            slot: 25_600,
            size: Size::new(30, 40),
            at: vec![Point::new(5, 6), Point::new(770, 560)],
        },
        FrameCommand::CacheEvict { slot: 7 },
        FrameCommand::CacheEvict { slot: 25_600 },
    ];
    let pdus = Tap::new().commands(&mut writer, commands);
    let [
        ..,
        GfxPdu::SurfaceToCache(store),
        GfxPdu::CacheToSurface(show),
        GfxPdu::EvictCacheEntry(evict),
        _,
    ] = &pdus[..]
    else {
        panic!("{pdus:?}");
    };
    assert_eq!((store.cache_key, store.cache_slot), (0x0102_0304_0506_0708, 25_600));
    assert_eq!(edges(&store.source_rectangle), [1, 2, 31, 42]);
    let points: Vec<_> = show.destination_points.iter().map(|p| (p.x, p.y)).collect();
    assert_eq!((show.cache_slot, points), (25_600, vec![(5, 6), (770, 560)]));
    assert_eq!(evict.cache_slot, 25_600, "slot 7 is empty: a client may end over that");
}

#[test]
fn a_cache_slot_is_evicted_before_it_is_filled_again() {
    let (_pair, mut writer) = pair(able());
    let store = FrameCommand::CacheStore {
        rect: Rect::new(0, 0, 64, 64),
        slot: 3,
        key: 1,
    };
    let pdus = Tap::new().commands(&mut writer, vec![store.clone(), store]);
    let [
        ..,
        GfxPdu::SurfaceToCache(_),
        GfxPdu::EvictCacheEntry(evict),
        GfxPdu::SurfaceToCache(_),
        _,
    ] = &pdus[..]
    else {
        panic!("{pdus:?}");
    };
    assert_eq!(evict.cache_slot, 3);
}

#[test]
fn commands_that_the_client_could_not_take_are_refused_before_a_byte_is_compressed() {
    let small = CapabilitySet::V8 {
        flags: egfx::CapabilitiesV8Flags::SMALL_CACHE,
    };
    let (_pair, mut writer) = pair(small);
    let store = |rect, slot| FrameCommand::CacheStore { rect, slot, key: 1 };
    let show = |slot, at| FrameCommand::CacheShow {
        slot,
        size: Size::new(64, 64),
        at,
    };
    let inside = Rect::new(0, 0, 64, 64);
    let bad = [
        store(inside, 0),
        store(inside, 4097),
        store(Rect::new(790, 0, 64, 64), 1),
        show(1, Vec::new()),
        show(1, vec![Point::new(750, 0)]),
        show(1, vec![Point::new(u32::MAX, 0)]),
        show(5000, vec![Point::new(0, 0)]),
        FrameCommand::CacheEvict { slot: 0 },
        FrameCommand::Clear {
            rect: inside,
            pixels: Arc::from([0; 64]),
        },
        avc420(inside),
    ];
    for command in bad {
        let result = writer.compress(&[(0, &frame(DESKTOP, vec![fill(inside), command.clone()]))], 0);
        let refused = matches!(result, Err(FrameError::Invalid(_) | FrameError::Unsupported { .. }));
        assert!(refused, "{command:?} {result:?}");
    }
    assert_eq!(Tap::new().commands(&mut writer, vec![fill(inside)]).len(), 6);
}

fn monitors() -> Vec<Monitor> {
    let monitor = |rect, primary| Monitor { rect, primary };
    vec![
        monitor(Rect::new(0, 100, 640, 480), false),
        monitor(Rect::new(640, 0, 800, 600), true),
    ]
}

#[test]
fn every_monitor_has_a_surface_where_it_stands() {
    let (mut pair, mut writer) = pair(able());
    writer.set_layout(monitors()).unwrap();
    let (left, right) = (
        frame(Size::new(640, 480), vec![fill(Rect::new(0, 0, 640, 480))]),
        frame(
            DESKTOP,
            vec![fill(Rect::new(0, 0, 4, 4)), clear(Rect::new(8, 8, 9, 9), 1)],
        ),
    );
    let first = writer.compress(&[(1, &right), (0, &left)], 0).unwrap();
    let pdus = Tap::new().read(&first.parts);
    let GfxPdu::ResetGraphics(reset) = &pdus[0] else {
        panic!("{pdus:?}");
    };
    assert_eq!((reset.width, reset.height), (1440, 600));
    let at: Vec<_> = reset
        .monitors
        .iter()
        .map(|m| (m.left, m.top, m.right, m.bottom))
        .collect();
    assert_eq!(at, [(-640, 100, -1, 579), (0, 0, 799, 599)]);
    let mapped: Vec<_> = pdus
        .iter()
        .filter_map(|p| match p {
            GfxPdu::MapSurfaceToOutput(map) => Some((map.surface_id, map.output_origin_x, map.output_origin_y)),
            _ => None,
        })
        .collect();
    assert_eq!(mapped, [(0, 0, 100), (1, 640, 0)]);
    let filled: Vec<_> = pdus
        .iter()
        .filter_map(|p| match p {
            GfxPdu::SolidFill(fill) => Some(fill.surface_id),
            _ => None,
        })
        .collect();
    assert_eq!(filled, [1, 0]);
    let mut out = Vec::new();
    writer.framing().unwrap().frame(&first.parts, &mut out);
    // One of them alone, then a change of the layout.
    writer.write_many(&[(0, &left)], 1, &mut out).unwrap();
    writer.set_layout(Vec::new()).unwrap();
    writer.write(&right, 2, &mut out).unwrap();
    pair.deliver(&out);
    let screen = pair.screen.lock().unwrap();
    assert_eq!(screen.resets, [(1440, 600), (800, 600)]);
    assert_eq!((screen.deleted.len(), screen.frames.len()), (2, 3));
}

#[test]
fn frames_for_monitors_that_are_not_there_are_refused() {
    let (_pair, mut writer) = pair(able());
    let whole = frame(DESKTOP, Vec::new());
    let frames: [&[(usize, &EncodedFrame)]; 3] = [&[], &[(1, &whole)], &[(0, &whole), (1, &whole)]];
    for frames in frames {
        assert!(writer.compress(frames, 0).is_err());
    }
    writer.set_layout(monitors()).unwrap();
    assert!(writer.compress(&[(0, &whole)], 0).is_err(), "another size");
    assert!(writer.compress(&[(1, &whole)], 0).is_ok());
    let far = Monitor {
        rect: Rect::new(u32::MAX, 0, 64, 64),
        primary: true,
    };
    assert!(writer.set_layout(vec![far]).is_err());
    assert!(writer.set_layout(vec![monitors()[0]; 17]).is_err());
}

#[test]
fn offers_that_do_not_add_up_end_the_session_or_are_cut() {
    let header = |length: u32| [&[0x10, 0, 0, 0][..], &length.to_le_bytes()].concat();
    let offer = |count: u16, entries: usize| {
        let mut bytes = header(10 + entries as u32 * 12);
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.resize(bytes.len() + entries * 12, 0xAA);
        bytes
    };
    for broken in [
        offer(2, 1),
        offer(u16::MAX, 5000),
        offer(1, 1)[..9].to_vec(),
        header(4),
        header(u32::MAX),
    ] {
        let (mut pair, _writer) = pair(able());
        assert!(
            crate::frames::say_graphics_bytes(&mut pair, &broken).is_err(),
            "{:02x?}",
            &broken[..9]
        );
    }
    let (mut pair, _writer) = pair(able());
    let result = crate::frames::say_graphics_bytes(&mut pair, &offer(6200, 6200));
    assert!(matches!(result, Err(SessionError::Oversized { .. })));
    let (mut pair, _writer) = self::pair(able());
    // More than the specification allows, but not more bytes than are taken.
    let _ = crate::frames::say_graphics_bytes(&mut pair, &offer(5500, 5500));
    let most = pair.events.iter().filter_map(|e| match e {
        SessionEvent::CacheOffer(entries) => Some(entries.len()),
        _ => None,
    });
    assert!(most.max() <= Some(5462));
}

#[test]
fn what_a_client_kept_of_an_earlier_session_is_told_and_taken_over() {
    let (mut pair, mut writer) = pair(able());
    let entries: Vec<_> = (0..6000_u64)
        .map(|key| egfx::CacheEntryMetadata {
            cache_key: key,
            bitmap_len: 4096,
        })
        .take(5462)
        .collect();
    let offer = GfxPdu::CacheImportOffer(egfx::CacheImportOfferPdu { cache_entries: entries });
    crate::frames::say_graphics(&mut pair, &offer);
    let at = pair
        .events
        .iter()
        .position(|e| matches!(e, SessionEvent::CacheOffer(_)))
        .expect("told");
    let SessionEvent::CacheOffer(offered) = pair.events.remove(at) else {
        panic!();
    };
    assert_eq!(offered.len(), 5462);
    assert_eq!(offered[17], CacheOffer { key: 17, bytes: 4096 });
    assert!(writer.accept_cache(vec![25_601]).is_err());
    assert!(writer.accept_cache(vec![1; 5463]).is_err());
    writer.accept_cache(vec![9, 0, 11]).unwrap();
    let show = FrameCommand::CacheShow {
        slot: 11,
        size: Size::new(32, 32),
        at: vec![Point::new(0, 0)],
    };
    let mut tap = Tap::new();
    let pdus = tap.commands(&mut writer, vec![show]);
    let GfxPdu::CacheImportReply(reply) = &pdus[0] else {
        panic!("{pdus:?}");
    };
    assert_eq!(reply.cache_slots, [9, 0, 11]);
    let again = tap.commands(&mut writer, Vec::new());
    assert!(!again.iter().any(|p| matches!(p, GfxPdu::CacheImportReply(_))));
}

#[test]
fn a_renegotiated_pipe_gets_surfaces_that_its_client_cannot_have() {
    let numbers = FrameNumbers::new();
    let (mut pair, mut writer) = shared(able(), &numbers);
    let mut out = Vec::new();
    writer.write(&frame(DESKTOP, Vec::new()), 0, &mut out).unwrap();
    pair.deliver(&out);
    let again = GfxPdu::CapabilitiesAdvertise(egfx::CapabilitiesAdvertisePdu::from_typed(&[able()]));
    assert!(!crate::frames::say_graphics(&mut pair, &again).is_empty());
    let mut fresh = pair.take_writer().expect("a fresh writer");
    let mut out = Vec::new();
    fresh.write(&frame(DESKTOP, Vec::new()), 0, &mut out).unwrap();
    pair.deliver(&out);
    assert_eq!(pair.screen.lock().unwrap().surfaces, [0, 1]);
}
