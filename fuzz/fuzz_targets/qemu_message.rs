//! Whatever a peer sends to a display listener: raw bytes, and bodies under a well-formed header of each method.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdpmux_guest::GuestSink;
use rdpmux_guest::qemu::listener::{Screen, SharedFrames};
use rdpmux_model::Size;

const METHODS: [(&str, &str, &str); 8] = [
    ("org.qemu.Display1.Listener", "Scanout", "uuuuay"),
    ("org.qemu.Display1.Listener", "Update", "iiiiuuay"),
    ("org.qemu.Display1.Listener", "CursorDefine", "iiiiay"),
    ("org.qemu.Display1.Listener", "MouseSet", "iii"),
    ("org.qemu.Display1.Listener", "Disable", ""),
    ("org.qemu.Display1.Listener.Unix.Map", "ScanoutMap", "huuuuu"),
    ("org.qemu.Display1.Listener.Unix.Map", "UpdateMap", "iiii"),
    ("org.freedesktop.DBus.Properties", "GetAll", "s"),
];

fuzz_target!(|data: &[u8]| {
    let (sink, _input, _port) = GuestSink::open(0, String::new(), Size::new(64, 64));
    let mut screen = Screen::new(sink, "fuzz".to_owned(), SharedFrames::Offered);
    let mut rest = data;
    while let Some((head, tail)) = rest.split_first_chunk::<3>() {
        let [method, low, high] = *head;
        let length = usize::from(u16::from_le_bytes([low, high])).min(tail.len());
        let (body, after) = tail.split_at(length);
        rest = after;
        let message = match METHODS.get(usize::from(method)) {
            Some(method) => call(method, body),
            None => body.to_vec(),
        };
        // As in the daemon, the connection ends with the first message that is refused.
        if screen.handle(&message, Vec::new(), 1, |_| Ok(())).is_err() {
            return;
        }
        let _ = screen.settle();
    }
});

fn call((interface, member, signature): &(&str, &str, &str), body: &[u8]) -> Vec<u8> {
    let mut out = vec![b'l', 1, 0, 1];
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(5_u32.to_le_bytes());
    out.extend([0; 4]);
    for (code, kind, text) in [
        (1, b'o', "/org/qemu/Display1/Listener"),
        (2, b's', interface),
        (3, b's', member),
    ] {
        pad(&mut out);
        out.extend([code, 1, kind, 0]);
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
        out.push(0);
    }
    pad(&mut out);
    out.extend([8, 1, b'g', 0, signature.len() as u8]);
    out.extend(signature.as_bytes());
    out.push(0);
    let fields = (out.len() - 16) as u32;
    out[12..16].copy_from_slice(&fields.to_le_bytes());
    pad(&mut out);
    out.extend(body);
    out
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(8), 0);
}
