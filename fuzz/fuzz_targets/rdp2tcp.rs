//! What FreeRDP hands to a helper, cut anywhere: the content of the messages comes out, and nothing else.

use rdpmux_streams::rdp2tcp::Unframed;

/// One input.
pub fn fuzz(data: &[u8]) {
    let Some((&[size, piece], data)) = data.split_first_chunk() else {
        return;
    };
    let mut framed = Vec::new();
    for message in data.chunks(usize::from(size) + 1) {
        framed.extend_from_slice(&(message.len() as u32).to_ne_bytes());
        framed.extend_from_slice(message);
    }
    let (mut unframed, mut out) = (Unframed::default(), Vec::new());
    for part in framed.chunks(usize::from(piece) + 1) {
        unframed.take(part, &mut out);
    }
    assert_eq!(out, data);
    // As a stranger may have it.
    Unframed::default().take(data, &mut out);
    assert!(out.len() <= 2 * data.len());
}
