//! FreeRDP's codecs behind a pipe (`xtask/peers/freerdp_codecs.c`): a foreign decoder, and a peer to be faster than.
//! Used by the bench and by `cargo xtask e2e codecs`, which compile the program; `cargo test` does without it.

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A codec of FreeRDP, with what it must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// ClearCodec; only decodes.
    Clear,
    /// NSCodec; colour loss level and whether chroma is subsampled matter to the encoder only.
    Nsc { loss: u8, subsampled: bool },
    /// RDP 6.0 planar, rows bottom-up.
    Planar,
    /// Interleaved RLE at so many bits per pixel; encodes at 24.
    Interleaved { bits_per_pixel: u8 },
    /// ZGFX; only decodes, to any length.
    Zgfx,
    /// RemoteFX messages, RLGR 1 or 3.
    Rfx { rlgr: u8 },
    /// RemoteFX progressive; the number of the frame matters to the decoder.
    Progressive { frame: u32 },
}

/// One process of FreeRDP's codecs: one connection, as its contexts live as long.
pub struct FreeRdp {
    child: Child,
    requests: ChildStdin,
    answers: ChildStdout,
}

impl FreeRdp {
    /// Starts the program, whose log goes nowhere.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: &Path) -> io::Result<Self> {
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let broken = || io::Error::other("no pipe");
        Ok(Self {
            requests: child.stdin.take().ok_or_else(broken)?,
            answers: child.stdout.take().ok_or_else(broken)?,
            child,
        })
    }

    /// Pixels as B, G, R and a byte without meaning; for ZGFX the bytes.
    ///
    /// # Errors
    /// When FreeRDP refuses the bytes, or died of them.
    pub fn decode(&mut self, codec: Codec, size: (u32, u32), bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.ask(0, codec, size, bytes).map(|(_, pixels)| pixels)
    }

    /// Encodes a picture a few times; gives the seconds of processor time of the fastest run, and its bytes.
    ///
    /// # Errors
    /// When FreeRDP cannot.
    pub fn encode(&mut self, codec: Codec, size: (u32, u32), pixels: &[u8]) -> io::Result<(f64, Vec<u8>)> {
        self.ask(1, codec, size, pixels)
    }

    fn ask(&mut self, task: u32, codec: Codec, size: (u32, u32), bytes: &[u8]) -> io::Result<(f64, Vec<u8>)> {
        let (number, parameter) = match codec {
            Codec::Clear => (0, 0),
            Codec::Nsc { loss, subsampled } => (1, u32::from(loss) | u32::from(subsampled) << 4),
            Codec::Planar => (2, 1),
            Codec::Interleaved { bits_per_pixel } => (3, u32::from(bits_per_pixel)),
            Codec::Zgfx => (4, 0),
            Codec::Rfx { rlgr } => (5, u32::from(rlgr)),
            Codec::Progressive { frame } => (6, frame),
        };
        let header = [task, number, size.0, size.1, parameter, bytes.len() as u32];
        self.requests.write_all(header.map(u32::to_ne_bytes).as_flattened())?;
        self.requests.write_all(bytes)?;
        self.requests.flush()?;
        let mut head = [0; 16];
        self.answers.read_exact(&mut head)?;
        let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let seconds = f64::from_ne_bytes(std::array::from_fn(|i| head[4 + i]));
        let mut out = vec![0; word(12) as usize];
        self.answers.read_exact(&mut out)?;
        if word(0) != 0 {
            return Err(io::Error::other(format!("FreeRDP refuses {codec:?} of {size:?}")));
        }
        Ok((seconds, out))
    }
}

impl Drop for FreeRdp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
