//! A well-formed call of a D-Bus method with any body, for the targets and tests of QEMU's listeners.

/// The message: `to` is the object's path and interface, `what` the method and its signature.
pub fn call(to: (&str, &str), what: (&str, &str), body: &[u8]) -> Vec<u8> {
    let mut out = vec![b'l', 1, 0, 1];
    out.extend((body.len() as u32).to_le_bytes());
    out.extend(5_u32.to_le_bytes());
    out.extend([0; 4]);
    for (code, kind, text) in [(1, b'o', to.0), (2, b's', to.1), (3, b's', what.0)] {
        pad(&mut out);
        out.extend([code, 1, kind, 0]);
        out.extend((text.len() as u32).to_le_bytes());
        out.extend(text.as_bytes());
        out.push(0);
    }
    pad(&mut out);
    out.extend([8, 1, b'g', 0, what.1.len() as u8]);
    out.extend(what.1.as_bytes());
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
