//! The protocol of streams on a connection to the daemon, from the client's side. It blocks.
//!
//! A thread of its own always reads, so that the daemon's PING is answered while the terminal, or whoever reads our
//! output, takes its time. What it has read and nobody took is little: output needs credit.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use rdpmux_streams::frame::MAX_PAYLOAD;
use rdpmux_streams::{Frame, MAJOR, MINOR, Splitter, Text, ToClient, ToServer};

/// A connection on which the daemon said WELCOME.
pub(crate) struct Line {
    writer: Writer,
    read: Receiver<std::io::Result<Vec<u8>>>,
    /// Has something to read whenever `read` has.
    bell: UnixStream,
    splitter: Splitter,
}

type Writer = Arc<Mutex<UnixStream>>;

impl Line {
    /// Greets the daemon on a connection that it gave over to streams.
    pub(crate) fn greet(socket: UnixStream) -> anyhow::Result<Self> {
        socket.set_read_timeout(None)?;
        let reader = socket.try_clone()?;
        let writer = Arc::new(Mutex::new(socket));
        let (bell, ringer) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ringer.set_nonblocking(true)?;
        let (sender, read) = mpsc::channel();
        let answers = writer.clone();
        std::thread::Builder::new()
            .name("line".to_owned())
            .spawn(move || follow(reader, &answers, &sender, &ringer))?;
        let mut line = Self {
            writer,
            read,
            bell,
            splitter: splitter(),
        };
        line.say(&ToServer::Hello {
            major: MAJOR,
            minor: MINOR,
            caps: 0,
            max_frame: MAX_PAYLOAD,
            client: Text::cleaned(concat!("rdpmux ", env!("CARGO_PKG_VERSION"))),
            vm: Text::default(),
        })?;
        let is_welcome = line.hear(|message| Some(matches!(message, ToClient::Welcome { .. })))?;
        if !is_welcome {
            bail!("what listens there is no rdpmux of this version");
        }
        Ok(line)
    }

    /// Can be read when [`Self::read_ready`] has something to do.
    pub(crate) fn bell(&self) -> &UnixStream {
        &self.bell
    }

    pub(crate) fn say(&mut self, message: &ToServer<'_>) -> anyhow::Result<()> {
        say(&self.writer, message).context("the daemon is gone")
    }

    /// Waits for a message for which `then` has an answer; others are passed over.
    pub(crate) fn hear<T>(&mut self, mut then: impl FnMut(&ToClient<'_>) -> Option<T>) -> anyhow::Result<T> {
        loop {
            while let Some(frame) = self.splitter.next_frame()? {
                if let Some(answer) = heard(&frame, &mut then)? {
                    return Ok(answer);
                }
            }
            self.read()?;
        }
    }

    /// Gives all messages that are there to `then`.
    pub(crate) fn read_all(&mut self, mut then: impl FnMut(&ToClient<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        while let Some(frame) = self.splitter.next_frame()? {
            heard(&frame, &mut |message| Some(then(message)))?.transpose()?;
        }
        Ok(())
    }

    /// Waits for more bytes.
    pub(crate) fn read(&mut self) -> anyhow::Result<()> {
        match self.read.recv() {
            Ok(bytes) => self.take(bytes),
            Err(mpsc::RecvError) => bail!(CLOSED),
        }
    }

    /// Takes the bytes that are there.
    pub(crate) fn read_ready(&mut self) -> anyhow::Result<()> {
        // First the bell: what comes from here on rings again.
        while matches!((&self.bell).read(&mut [0; 64]), Ok(1..)) {}
        while let Ok(bytes) = self.read.try_recv() {
            self.take(bytes)?;
        }
        Ok(())
    }

    fn take(&mut self, bytes: std::io::Result<Vec<u8>>) -> anyhow::Result<()> {
        match bytes {
            Ok(bytes) if bytes.is_empty() => bail!(CLOSED),
            Ok(bytes) => self.splitter.feed(&bytes),
            Err(error) => return Err(error).context("the daemon is gone"),
        }
        Ok(())
    }
}

fn splitter() -> Splitter {
    let mut splitter = Splitter::default();
    splitter.set_limit(MAX_PAYLOAD);
    splitter
}

fn say(writer: &Writer, message: &ToServer<'_>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    writer.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes)
}

/// Hands everything on, and answers the questions in it. An empty piece is the end.
fn follow(mut reader: UnixStream, writer: &Writer, sender: &Sender<std::io::Result<Vec<u8>>>, ringer: &UnixStream) {
    let mut splitter = splitter();
    let mut buffer = [0; 16 << 10];
    loop {
        let read = match reader.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.map(|count| buffer[..count].to_vec()),
        };
        let goes_on = read.as_ref().is_ok_and(|bytes| !bytes.is_empty());
        if let Ok(bytes) = &read {
            splitter.feed(bytes);
            // A broken frame is found again, and reported, by whoever reads the line.
            while let Ok(Some(frame)) = splitter.next_frame() {
                if let Ok(Some(ToClient::Ping(value))) = ToClient::decode(&frame) {
                    let _ = say(writer, &ToServer::Pong(value));
                }
            }
        }
        if sender.send(read).is_err() || !goes_on {
            let _ = (&*ringer).write(&[1]);
            return;
        }
        // Full: it rings enough.
        let _ = (&*ringer).write(&[1]);
    }
}

fn heard<T>(frame: &Frame<'_>, then: &mut impl FnMut(&ToClient<'_>) -> Option<T>) -> anyhow::Result<Option<T>> {
    match ToClient::decode(frame)? {
        Some(ToClient::Error { text, .. }) => bail!("the daemon ended the connection: {text}"),
        Some(message) => Ok(then(&message)),
        None => Ok(None),
    }
}

const CLOSED: &str = "the daemon closed the connection";
