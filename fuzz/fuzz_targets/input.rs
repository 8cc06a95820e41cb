//! Any input of a client that is logged in: fast-path and slow-path events, and messages of the touch channel.

use crate::client;

use client::{CLIENT, send_data, whole};

const IO: u16 = 1003;
const DRDYNVC: u16 = 1004;
/// Numbers that the server may have given to its dynamic channels.
const CHANNELS: u8 = 12;

/// One input.
pub fn fuzz(data: &[u8]) {
    let mut session = client::session(CLIENT);
    let (mut events, mut out) = (Vec::new(), Vec::new());
    session.start(&mut events, &mut out);
    // Version 1, and then every channel is opened but that of the graphics.
    let _ = session.feed(&dynamic(&[0x50, 0, 1, 0]), &mut events, &mut out);
    for id in 1..CHANNELS {
        let _ = session.feed(&dynamic(&[0x10, id, 0, 0, 0, 0]), &mut events, &mut out);
    }
    let mut rest = data;
    while let Some((&[kind, length], after)) = rest.split_first_chunk::<2>() {
        let (body, after) = after.split_at(usize::from(length).min(after.len()).min(120));
        let pdu = match kind % 4 {
            0 => [&[kind & 0x3C, body.len() as u8 + 2][..], body].concat(),
            1 => slow(body),
            2 => dynamic(&[&[0x30, kind >> 2 & 0xF][..], body].concat()),
            _ => {
                let length = (body.len() as u32 + 6).to_le_bytes();
                dynamic(&[&[0x30, kind >> 2 & 0xF, 3, 0][..], &length, body].concat())
            }
        };
        out.clear();
        events.clear();
        match session.feed(&pdu, &mut events, &mut out) {
            Ok(used) => assert!(used <= pdu.len()),
            Err(_) => return,
        }
        // An event has a byte at least, and makes three at most: a position and both extended buttons.
        assert!(events.len() <= 3 * 256);
        assert!(session.cut_surrogates() <= data.len() as u64);
        rest = after;
    }
}

/// A share data PDU with input events ([MS-RDPBCGR] 2.2.8.1.1.3).
fn slow(body: &[u8]) -> Vec<u8> {
    let total = (18 + body.len() as u16).to_le_bytes();
    let header = [
        total[0], total[1], 0x17, 0, 0xEA, 3, 0xEA, 3, 1, 0, 0, 1, 0, 0, 28, 0, 0, 0,
    ];
    send_data(IO, &[&header[..], body].concat())
}

fn dynamic(message: &[u8]) -> Vec<u8> {
    send_data(DRDYNVC, &whole(message))
}
