//! What FreeRDP gives the program that it starts for the channel `rdp2tcp`: each message of the server with its length
//! before it, a `u32` in the machine's own order that FreeRDP adds by itself. In the other direction it adds nothing.

/// Takes the lengths out of what such a program reads.
#[derive(Debug, Default)]
pub struct Unframed {
    length: [u8; 4],
    /// Bytes of `length` that are there.
    have: usize,
    /// Bytes of the message that are still to come.
    left: usize,
}

impl Unframed {
    /// Appends the content of the messages to `out`, whatever pieces they come in.
    pub fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let (content, rest) = bytes.split_at(bytes.len().min(self.left));
                out.extend_from_slice(content);
                self.left -= content.len();
                bytes = rest;
                continue;
            }
            self.length[self.have] = *first;
            self.have += 1;
            bytes = rest;
            if self.have == self.length.len() {
                self.have = 0;
                self.left = u32::from_ne_bytes(self.length) as usize;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_taken_out_however_the_pieces_are_cut() {
        let mut whole = Vec::new();
        for message in ["abc", "", "d", "efghij"] {
            whole.extend((message.len() as u32).to_ne_bytes());
            whole.extend(message.bytes());
        }
        for size in 1..=whole.len() {
            let (mut unframed, mut out) = (Unframed::default(), Vec::new());
            for piece in whole.chunks(size) {
                unframed.take(piece, &mut out);
            }
            assert_eq!(out, b"abcdefghij", "in pieces of {size}");
        }
    }
}
