//! One compressed stream for several clients: how they come to it and leave it.

use std::sync::Arc;

use ironrdp_egfx::pdu::{self as egfx, CapabilitySet, Codec1Type, GfxPdu};
use rdpmux_model::{EncodedFrame, FrameCommand, Rect, RfxQuant, RfxTile, Size, TilePayload};
use rdpmux_rdp::FrameNumbers;

use crate::client::DESKTOP;
use crate::pipeline::{Tap, able, clear, fill, frame, pixels, shared};
use crate::videos::avc420;

/// Text-like pixels that repeat, a tile of RemoteFX, a copy and a fill: all that has a history.
fn busy(seed: u8) -> EncodedFrame {
    let rect = Rect::new(u32::from(seed) * 8 % 400, 40, 200, 50);
    let plane: Arc<[u8]> = Arc::from([seed; 90]);
    let raw = Rect::new(0, 300, 64, 64);
    frame(
        DESKTOP,
        vec![
            fill(Rect::new(0, 0, 800, 10)),
            clear(rect, seed % 3),
            FrameCommand::Tile {
                rect: raw,
                payload: TilePayload::Uncompressed(pixels(raw, 5)),
            },
            FrameCommand::Rfx {
                clip: vec![Rect::new(64, 128, 64, 64)],
                quant: RfxQuant([6; 10]),
                tiles: vec![RfxTile {
                    x: 1,
                    y: 2,
                    planes: [plane.clone(), plane.clone(), plane],
                }],
            },
        ],
    )
}

#[test]
fn a_joiner_decodes_the_stream_of_others_from_then_on() {
    let numbers = FrameNumbers::new();
    let ((mut first, mut stream), (mut second, mut joiner)) = (shared(able(), &numbers), shared(able(), &numbers));
    let (to_first, to_second) = (stream.framing().unwrap(), joiner.framing().unwrap());
    let mut out = Vec::new();
    for seed in 0..7 {
        stream.write(&busy(seed), 0, &mut out).unwrap();
    }
    stream
        .write(&frame(DESKTOP, vec![avc420(Rect::new(1, 1, 64, 64))]), 0, &mut out)
        .unwrap();
    first.deliver(&std::mem::take(&mut out));
    let mut tap = Tap::new();
    let own = joiner.compress(&[(0, &busy(100))], 0).unwrap();
    tap.read(&own.parts);
    to_second.frame(&own.parts, &mut out);
    joiner.accept_cache(vec![1]).unwrap();
    second.deliver(&std::mem::take(&mut out));

    let joined = stream.join(joiner).expect("they can");
    assert_eq!((joined.members.len(), joined.joiner.len()), (1, 1));
    tap.read(&joined.joiner);
    to_first.frame(&joined.members, &mut out);
    first.deliver(&std::mem::take(&mut out));
    to_second.frame(&joined.joiner, &mut out);
    second.deliver(&std::mem::take(&mut out));
    let before = (
        first.screen.lock().unwrap().bitmaps.len(),
        second.screen.lock().unwrap().bitmaps.len(),
    );
    let mut ids = Vec::new();
    for seed in 0..40 {
        let compressed = stream.compress(&[(0, &busy(seed))], 0).unwrap();
        ids.push(compressed.id.0);
        assert!(!tap.read(&compressed.parts).is_empty());
        for (pair, framing) in [(&mut first, to_first), (&mut second, to_second)] {
            framing.frame(&compressed.parts, &mut out);
            pair.deliver(&std::mem::take(&mut out));
        }
    }
    let (a, b) = (first.screen.lock().unwrap(), second.screen.lock().unwrap());
    assert_eq!((&a.surfaces[..1], &b.surfaces[..1]), (&[0][..], &[0][..]));
    assert!(a.frames.ends_with(&ids) && b.frames.ends_with(&ids));
    let (shown, also) = (&a.bitmaps[before.0..], &b.bitmaps[before.1..]);
    assert!(shown.len() >= 80 && shown.len() == also.len());
    for (shown, also) in shown.iter().zip(also) {
        assert_eq!((shown.left, shown.top), (also.left, also.top));
        assert!(shown.rgba == also.rgba);
    }
}

/// FreeRDP ends a session in which a slot is evicted that holds nothing.
#[test]
fn joining_empties_the_caches_of_all_and_of_each_what_it_holds() {
    let store = |slot| FrameCommand::CacheStore {
        rect: Rect::new(0, 0, 64, 64),
        slot,
        key: u64::from(slot),
    };
    let evicted = |pdus: &[GfxPdu]| {
        let slots = pdus.iter().filter_map(|pdu| match pdu {
            GfxPdu::EvictCacheEntry(evict) => Some(evict.cache_slot),
            _ => None,
        });
        slots.collect::<Vec<_>>()
    };
    let numbers = FrameNumbers::new();
    let ((_a, mut stream), (_b, mut joiner)) = (shared(able(), &numbers), shared(able(), &numbers));
    let (mut tap, mut other) = (Tap::new(), Tap::new());
    let evict = FrameCommand::CacheEvict { slot: 2 };
    tap.commands(&mut stream, vec![store(1), store(2), store(5), evict.clone()]);
    other.commands(&mut joiner, vec![store(2)]);
    joiner.accept_cache(vec![7]).unwrap();
    let joined = stream.join(joiner).unwrap();
    assert_eq!(evicted(&tap.read(&joined.members)), [1, 5]);
    assert_eq!(evicted(&other.read(&joined.joiner)), [2, 7]);
    let shared = stream.compress(&[(0, &frame(DESKTOP, vec![store(1), store(2)]))], 0);
    assert!(evicted(&other.read(&shared.unwrap().parts)).is_empty());
    let mut alone = stream.fork().unwrap();
    let both = vec![FrameCommand::CacheEvict { slot: 1 }, evict];
    assert_eq!(evicted(&other.commands(&mut alone, both)), [1, 2]);
}

/// The sequence numbers of ClearCodec messages, for which FreeRDP ends a session where they do not follow each other.
fn sequences(pdus: &[GfxPdu]) -> Vec<(u8, u8)> {
    let clear = pdus.iter().filter_map(|p| match p {
        GfxPdu::WireToSurface1(p) if p.codec_id == Codec1Type::ClearCodec => Some((p.bitmap_data[0], p.bitmap_data[1])),
        _ => None,
    });
    clear.collect()
}

#[test]
fn messages_of_clear_codec_follow_each_other_through_fork_and_join() {
    const RESET: u8 = 4;
    let numbers = FrameNumbers::new();
    let ((_a, mut stream), (_b, mut joiner)) = (shared(able(), &numbers), shared(able(), &numbers));
    let (mut tap, mut other) = (Tap::new(), Tap::new());
    let mut seen = sequences(&tap.commands(&mut stream, vec![clear(Rect::new(0, 0, 9, 9), 1); 3]));
    let mut seen_by_other = sequences(&other.commands(&mut joiner, vec![clear(Rect::new(0, 0, 9, 9), 1); 250]));
    let joined = stream.join(joiner).unwrap();
    assert!(joined.members.is_empty());
    seen_by_other.extend(sequences(&other.read(&joined.joiner)));
    let shared = stream.compress(&[(0, &busy(1))], 0).unwrap();
    seen.extend(sequences(&tap.read(&shared.parts)));
    seen_by_other.extend(sequences(&other.read(&shared.parts)));
    // The joiner leaves again.
    let mut alone = stream.fork().unwrap();
    seen_by_other.extend(sequences(
        &other.commands(&mut alone, vec![clear(Rect::new(0, 0, 9, 9), 1)]),
    ));
    seen.extend(sequences(
        &tap.commands(&mut stream, vec![clear(Rect::new(0, 0, 9, 9), 1)]),
    ));
    assert_eq!(seen, [(RESET, 0), (0, 1), (0, 2), (RESET, 3), (0, 4)]);
    assert_eq!(seen_by_other.last(), Some(&(RESET, 4)));
    assert!(
        seen_by_other.windows(2).all(|w| w[1].1 == w[0].1.wrapping_add(1)),
        "{seen_by_other:?}"
    );
}

#[test]
fn only_clients_with_the_same_surfaces_and_abilities_join() {
    let numbers = FrameNumbers::new();
    let (_a, mut stream) = shared(able(), &numbers);
    let whole = frame(DESKTOP, Vec::new());
    stream.compress(&[(0, &whole)], 0).unwrap();
    let (_b, blank) = shared(able(), &numbers);
    let mut late = stream.join(blank).expect_err("it has no surface yet");
    late.compress(&[(0, &frame(Size::new(640, 480), Vec::new()))], 0)
        .unwrap();
    let mut late = stream.join(late).expect_err("another size");
    late.compress(&[(0, &whole)], 0).unwrap();
    let mut late = stream.join(late).expect_err("the same size under another number");
    // Both go where neither was.
    for writer in [&mut stream, &mut late] {
        writer
            .compress(&[(0, &frame(Size::new(320, 200), Vec::new()))], 0)
            .unwrap();
    }
    stream.join(late).expect("the same now");
    let less = CapabilitySet::V8 {
        flags: egfx::CapabilitiesV8Flags::empty(),
    };
    let (_c, mut old) = shared(less, &numbers);
    old.compress(&[(0, &frame(Size::new(320, 200), Vec::new()))], 0)
        .unwrap();
    assert!(stream.join(old).is_err(), "another version");
}

#[test]
fn who_goes_to_another_desktop_joins_the_stream_there() {
    let (here, there) = (FrameNumbers::new(), FrameNumbers::new());
    let (_other, mut stream) = shared(able(), &there);
    for size in [Size::new(640, 480), DESKTOP] {
        stream.compress(&[(0, &frame(size, Vec::new()))], 0).unwrap();
    }
    stream.compress(&[(0, &busy(1))], 0).unwrap();
    let (mut pair, mut mover) = shared(able(), &here);
    let framing = mover.framing().unwrap();
    let mut out = Vec::new();
    let video = frame(DESKTOP, vec![avc420(Rect::new(1, 1, 64, 64))]);
    for seen in [&busy(2), &video] {
        mover.write(seen, 0, &mut out).unwrap();
    }
    let parts = mover.move_to(there.clone());
    framing.frame(&parts, &mut out);
    let mut mover = stream.join(mover).expect_err("its client shows nothing yet");
    mover.write(&busy(1), 0, &mut out).unwrap();
    pair.deliver(&std::mem::take(&mut out));
    let before = pair.screen.lock().unwrap().bitmaps.len();

    let joined = stream.join(mover).expect("it has the surfaces of this desktop");
    framing.frame(&joined.joiner, &mut out);
    let compressed = stream.compress(&[(0, &busy(3))], 0).unwrap();
    framing.frame(&compressed.parts, &mut out);
    pair.deliver(&std::mem::take(&mut out));
    let screen = pair.screen.lock().unwrap();
    assert!(screen.bitmaps.len() > before);
    let of_desktop = screen.surfaces.iter().rfind(|id| **id < 0x8000);
    assert_eq!(of_desktop, Some(&1), "the desktop's second layout");
    assert!(screen.frames.ends_with(&[compressed.id.0]));
}
