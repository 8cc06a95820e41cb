//! A VNC viewer without a screen that wants streams only: the handshake with VeNCrypt, the private pseudo-encoding, and the
//! protocol of streams in its chunks. And what 2009 would have said. Called by `rfb`.

use crate::e2e::hostile::{Tls, tls};
use anyhow::{Context, Result, bail, ensure};
use rdpmux_streams::{Splitter, ToClient, ToServer};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The number of the pseudo-encoding.
const STREAMS: i32 = 0x7264_4D58;
/// The type of a chunk.
const CHUNK: u8 = 183;

/// The number under which the suite serves the profile of 2009.
pub const OF_2009: i32 = -900;

/// A viewer that was given a desktop.
pub struct Viewer {
    tls: Tls,
    inbound: Vec<u8>,
    splitter: Splitter,
    /// Our chunks may begin.
    pub is_confirmed: bool,
}

/// Logs in; the error is what the server said.
///
/// # Errors
/// When the server refuses.
pub fn login(address: &str, user: &str, password: &str) -> Result<Tls> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    expect(&mut stream, b"RFB 003.008\n")?;
    stream.write_all(b"RFB 003.008\n")?;
    expect(&mut stream, &[1, 19])?;
    stream.write_all(&[19])?;
    expect(&mut stream, &[0, 2])?;
    stream.write_all(&[0, 2])?;
    expect(&mut stream, &[0, 1, 0, 0, 1, 6])?;
    stream.write_all(&[0, 0, 1, 6])?;
    expect(&mut stream, &[1])?;
    let mut tls = tls(stream)?;
    let lengths = [user, password].map(|text| (text.len() as u32).to_be_bytes());
    tls.write_all(&[lengths.concat(), user.into(), password.into()].concat())?;
    let mut verdict = [0; 4];
    tls.read_exact(&mut verdict)?;
    if verdict != [0; 4] {
        let reason = text(&mut tls)?;
        bail!("refused: {reason}");
    }
    Ok(tls)
}

fn expect(stream: &mut TcpStream, wanted: &[u8]) -> Result<()> {
    let mut found = vec![0; wanted.len()];
    stream.read_exact(&mut found)?;
    ensure!(found == wanted, "the server said {found:?}, not {wanted:?}");
    Ok(())
}

fn text(tls: &mut Tls) -> Result<String> {
    let mut length = [0; 4];
    tls.read_exact(&mut length)?;
    let mut bytes = vec![0; u32::from_be_bytes(length).min(1 << 17) as usize];
    tls.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Viewer {
    /// Logs in and asks for streams.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn start(address: &str, user: &str, password: &str) -> Result<Self> {
        let mut tls = login(address, user, password)?;
        tls.write_all(&[1])?;
        let mut init = [0; 20];
        tls.read_exact(&mut init)?;
        text(&mut tls)?;
        tls.write_all(&[&[2, 0, 0, 2, 0, 0, 0, 0][..], &STREAMS.to_be_bytes()].concat())?;
        Ok(Self {
            tls,
            inbound: Vec::new(),
            splitter: Splitter::default(),
            is_confirmed: false,
        })
    }

    /// Says something of streams.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn say(&mut self, message: &ToServer<'_>) -> Result<()> {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        // In two chunks: they know nothing of frames.
        let (head, tail) = frame.split_at(3);
        for part in [head, tail] {
            let length = (part.len() as u32).to_be_bytes();
            self.tls.write_all(&[&[CHUNK, 1, 0, 0][..], &length, part].concat())?;
        }
        Ok(())
    }

    /// Hears messages until `wanted` takes one.
    ///
    /// # Errors
    /// When it does not within 60 s, or the connection is gone.
    pub fn hear<T>(&mut self, what: &str, mut wanted: impl FnMut(&ToClient<'_>) -> Option<T>) -> Result<T> {
        let started = Instant::now();
        loop {
            while let Some(frame) = self.splitter.next_frame()? {
                if let Some(found) = ToClient::decode(&frame)?.and_then(|message| wanted(&message)) {
                    return Ok(found);
                }
            }
            ensure!(started.elapsed() < Duration::from_secs(60), "not heard: {what}");
            self.read().with_context(|| format!("waiting for {what}"))?;
        }
    }

    /// Waits until streams are confirmed.
    ///
    /// # Errors
    /// As [`Viewer::hear`].
    pub fn confirmed(&mut self) -> Result<()> {
        while !self.is_confirmed {
            self.read()?;
        }
        Ok(())
    }

    /// Whether nothing comes for a second.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn is_silent(&mut self) -> Result<bool> {
        self.tls.sock.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut byte = [0];
        match self.tls.read(&mut byte) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(_) => Ok(false),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what there is and takes whole messages of it.
    fn read(&mut self) -> Result<()> {
        let mut piece = [0; 16 << 10];
        let count = self.tls.read(&mut piece)?;
        ensure!(count > 0, "the server closed the connection");
        self.inbound.extend_from_slice(&piece[..count]);
        loop {
            let length = match self.inbound.first() {
                Some(0) => 16,
                Some(&CHUNK) if self.inbound.len() < 8 => 8,
                Some(&CHUNK) => 8 + u32::from_be_bytes(self.inbound[4..8].try_into()?) as usize,
                Some(other) => bail!("message type {other}"),
                None => return Ok(()),
            };
            if self.inbound.len() < length {
                return Ok(());
            }
            let message: Vec<u8> = self.inbound.drain(..length).collect();
            match message[0] {
                0 => {
                    let wanted = [&[0, 0, 0, 1][..], &[0; 8], &STREAMS.to_be_bytes()].concat();
                    ensure!(message == wanted, "an update that nobody asked for: {message:?}");
                    self.is_confirmed = true;
                }
                _ => self.splitter.feed(&message[8..]),
            }
        }
    }
}

/// Does what a viewer of 2009 would have done: waits for a device's announcement, starts its capture, types, reads until it has
/// said `wanted`, and ends.
///
/// # Errors
/// When the server says something else.
pub fn capture_of_2009(
    address: &str,
    (user, password): (&str, &str),
    name: &str,
    typed: &[u8],
    wanted: &str,
) -> Result<()> {
    let mut tls = login(address, user, password)?;
    tls.write_all(&[1])?;
    tls.read_exact(&mut [0; 20])?;
    text(&mut tls)?;
    tls.write_all(&[&[2, 0, 0, 1][..], &OF_2009.to_be_bytes()].concat())?;
    let mut announced = [0; 16];
    tls.read_exact(&mut announced)?;
    ensure!(
        announced == *[&[0, 0, 0, 1][..], &[0; 8], &OF_2009.to_be_bytes()].concat(),
        "announced by {announced:?}"
    );
    ensure!(text(&mut tls)? == name, "another device was announced");
    let length = |bytes: &[u8]| (bytes.len() as u32).to_be_bytes();
    tls.write_all(&[&[255, 2, 0][..], &length(name.as_bytes()), name.as_bytes()].concat())?;
    let (operation, id) = operation_of_2009(&mut tls)?;
    ensure!(operation == 0 && text(&mut tls)? == name, "the capture did not start");
    tls.write_all(&[&[255, 2, 2][..], &id, &length(typed), typed].concat())?;
    let mut said = String::new();
    while !said.contains(wanted) {
        ensure!(operation_of_2009(&mut tls)? == (2, id), "data of another capture");
        said += &text(&mut tls).with_context(|| format!("the guest said {said:?}"))?;
    }
    tls.write_all(&[&[255, 2, 1][..], &id].concat())?;
    while operation_of_2009(&mut tls)? != (1, id) {
        text(&mut tls)?;
    }
    Ok(())
}

/// The operation of a message, and its number.
fn operation_of_2009(tls: &mut Tls) -> Result<(u8, [u8; 4])> {
    let mut head = [0; 7];
    tls.read_exact(&mut head)?;
    let [255, 2, operation, id @ ..] = head else {
        bail!("not a message of streams: {head:?}");
    };
    Ok((operation, id))
}
