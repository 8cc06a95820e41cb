//! A VNC viewer's bytes in pieces: the handshake, then messages; and updates of strange sizes in whatever format and encoding
//! it asked for. Messages of 2009 come back as they were written.

use rdpmux_model::{PointerShape, Rect, Size};
use rdpmux_rfb::{Encoder, Event, Front, SizeNews, Step, Strip, Update, Viewer, profile_2009};

/// The number for 2009's streams.
const DEVICES: i32 = -900;

/// One input.
pub fn fuzz(data: &[u8]) {
    let Some(([kind, piece, width, height], data)) = data.split_first_chunk() else {
        return;
    };
    if kind & 1 == 0 {
        return front(data, usize::from(*piece) + 1);
    }
    let size = Size::new(u32::from(*width) + 1, u32::from(*height) + 1);
    viewer(data, usize::from(*piece) + 1, size);
}

fn front(data: &[u8], piece: usize) {
    let mut out = Vec::new();
    let mut front = Front::new(&mut out);
    let mut held = Vec::new();
    for part in data.chunks(piece) {
        held.extend_from_slice(part);
        loop {
            let Ok((used, step)) = front.feed(&held, &mut out) else {
                return;
            };
            held.drain(..used);
            match step {
                Step::NeedInput => break,
                Step::StartTls => front.tls_done(),
                Step::Judge(login) if login.password.is_empty() => return front.refuse("no", &mut out),
                Step::Judge(_) => front.accept(&mut out),
                Step::Established => return,
            }
        }
        assert!(held.len() < 4096);
    }
}

fn viewer(data: &[u8], piece: usize, size: Size) {
    let mut viewer = Viewer::new(Some(DEVICES));
    let mut encoder = Encoder::default();
    let (mut held, mut events) = (Vec::new(), Vec::new());
    for part in data.chunks(piece) {
        held.extend_from_slice(part);
        let Ok(used) = viewer.feed(&held, &mut events) else {
            return;
        };
        held.drain(..used);
        assert!(held.len() < 80 << 10);
        for event in events.drain(..) {
            match event {
                Event::Request(_) => update(&viewer, &mut encoder, size, data),
                Event::Devices(message) => {
                    let mut written = Vec::new();
                    message.encode(&mut written);
                    let length = written.len();
                    assert_eq!(profile_2009::ToServer::decode(&written), Ok(Some((message, length))));
                }
                Event::Key { keysym, .. } => {
                    let _ = (rdpmux_rfb::keysym::key(keysym), rdpmux_rfb::keysym::character(keysym));
                }
                _ => {}
            }
        }
    }
}

fn update(viewer: &Viewer, encoder: &mut Encoder, size: Size, data: &[u8]) {
    let bgrx: Vec<u8> = data.iter().copied().cycle().take(size.area() as usize * 4).collect();
    let strip = Strip {
        rect: Rect::new(3, 5, size.width, size.height),
        bgrx,
    };
    let update = Update {
        shown: viewer.shown(),
        size,
        size_news: Some(SizeNews::Now),
        pointer: Some(PointerShape::Default),
        confirm_keys: true,
    };
    let mut out = Vec::new();
    let count = encoder.encode(&update, [strip], &mut out);
    assert!((1..=4).contains(&count));
    assert!(out.len() < 4096 + size.area() as usize * 5);
}
