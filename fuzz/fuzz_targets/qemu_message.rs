//! Whatever a peer sends to a display listener: raw bytes, and bodies under a well-formed header of each method.

use crate::call;

use call::call;
use rdpmux_guest::GuestSink;
use rdpmux_guest::qemu::listener::{Screen, SharedFrames};
use rdpmux_model::Size;

const PATH: &str = "/org/qemu/Display1/Listener";
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

/// One input.
pub fn fuzz(data: &[u8]) {
    let (sink, _input, _port) = GuestSink::open(0, String::new(), Size::new(64, 64));
    let mut screen = Screen::new(sink, "fuzz".to_owned(), SharedFrames::Offered);
    let mut rest = data;
    while let Some((head, tail)) = rest.split_first_chunk::<3>() {
        let [method, low, high] = *head;
        let length = usize::from(u16::from_le_bytes([low, high])).min(tail.len());
        let (body, after) = tail.split_at(length);
        rest = after;
        let message = match METHODS.get(usize::from(method)) {
            Some((interface, member, signature)) => call((PATH, interface), (member, signature), body),
            None => body.to_vec(),
        };
        // As in the daemon, the connection ends with the first message that is refused.
        if screen.handle(&message, Vec::new(), 1, |_| Ok(())).is_err() {
            return;
        }
        let _ = screen.settle();
    }
}
