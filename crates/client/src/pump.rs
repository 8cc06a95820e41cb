//! One thread between the session and the socket pair: what comes on the channel goes to the socket, what is written to
//! the socket goes into the channel. All else that the server says is passed over. Each side is read only while the
//! other takes.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ironrdp_core::{decode, encode_vec};
use ironrdp_dvc::DrdynvcClient;
use ironrdp_pdu::mcs::{McsMessage, SendDataRequest};
use ironrdp_pdu::rdp::server_error_info::ServerSetErrorInfoPdu;
use ironrdp_pdu::x224::X224;
use ironrdp_pdu::{Action, find_size};
use ironrdp_svc::{ChannelFlags, SvcMessage, client_encode_svc_messages};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{debug, warn};

use crate::login::Arrival;
use crate::plain::Plain;

/// What came of the channel.
pub(crate) enum Verdict {
    Open,
    NotOffered,
    /// The session ended before, and why.
    Ended(String),
}

pub(crate) struct Pump {
    rdp: Arrival,
    local: UnixStream,
    /// For the socket pair.
    waiting: Vec<u8>,
    verdict: Option<mpsc::Sender<Verdict>>,
    /// Until when the channel is waited for.
    due: Instant,
    /// Why the server ends the session.
    reason: Option<String>,
    counted: Counted,
}

/// Bytes, for the log.
#[derive(Debug, Default)]
struct Counted {
    received: u64,
    sent: u64,
    streamed_in: u64,
    streamed_out: u64,
}

impl Pump {
    pub(crate) fn new(mut rdp: Arrival, local: UnixStream, verdict: mpsc::Sender<Verdict>) -> io::Result<Self> {
        rdp.socket.set_nonblocking(true)?;
        local.set_nonblocking(true)?;
        let no_pictures = suppress_output(&rdp)?;
        rdp.tls.writer().write_all(&no_pictures)?;
        let (received, sent) = rdp.counted;
        Ok(Self {
            rdp,
            local,
            waiting: Vec::new(),
            verdict: Some(verdict),
            due: Instant::now() + OFFER,
            reason: None,
            counted: Counted {
                received,
                sent,
                ..Counted::default()
            },
        })
    }

    /// Runs until either side ends.
    pub(crate) fn run(mut self) {
        let ended = self.serve();
        let said = self.reason.take();
        debug!(?ended, ?said, counted = ?self.counted, "the session over RDP is over");
        let why = match (said, ended) {
            (Some(said), _) => said,
            (None, Err(error)) => error.to_string(),
            (None, Ok(())) => return,
        };
        match self.verdict.take() {
            Some(verdict) => {
                let _ = verdict.send(Verdict::Ended(why));
            }
            None => warn!("the session over RDP ended: {why}"),
        }
    }

    fn serve(&mut self) -> io::Result<()> {
        // What came with the last bytes of the login.
        self.read_plain()?;
        self.digest()?;
        loop {
            self.flush()?;
            if self.has_missed() {
                return Ok(());
            }
            let (remote, local) = self.wait()?;
            if remote && !self.receive()? {
                return Ok(());
            }
            if local && !self.forward()? {
                return self.leave();
            }
            self.hand_over()?;
        }
    }

    /// Waits until one of the sides has or takes something: the server, the socket.
    fn wait(&mut self) -> io::Result<(bool, bool)> {
        let wants = |read: bool, write: bool| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, read);
            flags.set(PollFlags::OUT, write);
            flags
        };
        let is_open = self.verdict.is_none();
        let sends = self.rdp.tls.wants_write();
        let remote = wants(self.waiting.len() < MOST, sends);
        let local = wants(is_open && !sends, !self.waiting.is_empty());
        let mut ready = [PollFd::new(&self.rdp.socket, remote), PollFd::new(&self.local, local)];
        let limit = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        match poll(&mut ready, (!is_open).then_some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let hung_up = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        let local = ready[1].revents();
        Ok((
            ready[0].revents().intersects(hung_up),
            local.intersects(hung_up) && (is_open && !sends || local.contains(PollFlags::HUP)),
        ))
    }

    /// Reads what the server sent. `false`: it closed the connection.
    fn receive(&mut self) -> io::Result<bool> {
        match self.rdp.tls.read_tls(&mut self.rdp.socket) {
            Ok(0) if self.reason.is_some() => return Ok(false),
            Ok(0) => return Err(io::Error::other("the server closed the connection")),
            Ok(count) => self.counted.received += count as u64,
            Err(error) if is_later(&error) => return Ok(true),
            Err(error) => return Err(error),
        }
        self.read_plain()?;
        self.digest()?;
        Ok(self.reason.is_none())
    }

    /// Takes what TLS has decrypted.
    fn read_plain(&mut self) -> io::Result<()> {
        let state = self.rdp.tls.process_new_packets().map_err(io::Error::other)?;
        let start = self.rdp.ahead.len();
        self.rdp.ahead.resize(start + state.plaintext_bytes_to_read(), 0);
        self.rdp.tls.reader().read_exact(&mut self.rdp.ahead[start..])
    }

    /// Takes all whole PDUs.
    fn digest(&mut self) -> io::Result<()> {
        let mut used = 0;
        while let Some(info) = find_size(&self.rdp.ahead[used..]).map_err(io::Error::other)? {
            let Some(pdu) = self.rdp.ahead.get(used..used + info.length) else {
                break;
            };
            used += info.length;
            if info.action == Action::X224 {
                let pdu = pdu.to_vec();
                self.message(&pdu)?;
            }
        }
        self.rdp.ahead.drain(..used);
        self.settle();
        Ok(())
    }

    fn message(&mut self, pdu: &[u8]) -> io::Result<()> {
        let data = match decode::<X224<McsMessage<'_>>>(pdu).map_err(io::Error::other)?.0 {
            McsMessage::SendDataIndication(data) => data,
            McsMessage::DisconnectProviderUltimatum(_) => {
                self.reason.get_or_insert_with(|| "without a reason".to_owned());
                return Ok(());
            }
            _ => return Ok(()),
        };
        let session = &mut self.rdp.session;
        if data.channel_id == session.io_channel_id {
            if let Some(why) = error_info(&data.user_data) {
                self.reason = Some(why);
            }
            return Ok(());
        }
        let user = session.user_channel_id;
        if let Some(channel) = session.static_channels.get_by_channel_id_mut(data.channel_id) {
            let answers = channel.process(&data.user_data).map_err(io::Error::other)?;
            let bytes = client_encode_svc_messages(answers, data.channel_id, user).map_err(io::Error::other)?;
            self.rdp.tls.writer().write_all(&bytes)?;
        }
        Ok(())
    }

    /// Takes what the channels heard.
    fn settle(&mut self) {
        let channels = self.rdp.channels.clone();
        channels.with(|heard| {
            self.counted.streamed_in += heard.bytes.len() as u64;
            self.waiting.append(&mut heard.bytes);
            if heard.open.is_some()
                && let Some(verdict) = self.verdict.take()
            {
                let _ = verdict.send(Verdict::Open);
            }
            if heard.others {
                self.due = self.due.min(Instant::now() + FURTHER);
                heard.others = false;
            }
            if heard.is_closed {
                let closed = || "it closed the channel for streams".to_owned();
                self.reason.get_or_insert_with(closed);
            }
        });
    }

    /// Whether the channel did not come in time; then that was said.
    fn has_missed(&mut self) -> bool {
        if Instant::now() < self.due || self.verdict.is_none() {
            return false;
        }
        if let Some(verdict) = self.verdict.take() {
            let _ = verdict.send(Verdict::NotOffered);
        }
        // A goodbye as good as it gets: nothing waits behind it.
        let _ = self.leave();
        true
    }

    /// Takes what was written to the socket pair. `false`: its other end is gone.
    fn forward(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4 << 10];
        let count = match (&self.local).read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if is_later(&error) => return Ok(true),
            Err(error) => return Err(error),
        };
        let Some(open) = self.rdp.channels.with(|heard| heard.open) else {
            return Ok(true);
        };
        self.counted.streamed_out += count as u64;
        let message = Box::new(Plain(buffer[..count].to_vec()));
        let messages = ironrdp_dvc::encode_dvc_messages(open, vec![message], ChannelFlags::SHOW_PROTOCOL);
        self.send(messages.map_err(io::Error::other)?)?;
        Ok(true)
    }

    fn send(&mut self, messages: Vec<SvcMessage>) -> io::Result<()> {
        let session = &self.rdp.session;
        let carrier = session.static_channels.get_channel_id_by_type::<DrdynvcClient>();
        let carrier = carrier.ok_or_else(|| io::Error::other("the server has no dynamic channels"))?;
        let bytes = client_encode_svc_messages(messages, carrier, session.user_channel_id);
        self.rdp.tls.writer().write_all(&bytes.map_err(io::Error::other)?)
    }

    /// Hands what waits to the socket pair, as far as it takes it.
    fn hand_over(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            match (&self.local).write(&self.waiting) {
                Ok(count) => {
                    self.waiting.drain(..count);
                }
                Err(error) if is_later(&error) => return Ok(()),
                // Whoever reads is gone, which shows at the next look.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.waiting.clear(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes what TLS has, as far as the server takes it.
    fn flush(&mut self) -> io::Result<()> {
        while self.rdp.tls.wants_write() {
            match self.rdp.tls.write_tls(&mut self.rdp.socket) {
                Ok(count) => self.counted.sent += count as u64,
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Tells the server that the user left.
    fn leave(&mut self) -> io::Result<()> {
        self.rdp.tls.writer().write_all(&DISCONNECT)?;
        self.rdp.tls.send_close_notify();
        self.flush()
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Asks for no pictures ([MS-RDPBCGR] 2.2.11.3).
fn suppress_output(rdp: &Arrival) -> io::Result<Vec<u8>> {
    let session = &rdp.session;
    let mut pdu = Vec::new();
    for word in [22, 0x17, session.user_channel_id] {
        pdu.extend_from_slice(&u16::to_le_bytes(word));
    }
    pdu.extend_from_slice(&session.share_id.to_le_bytes());
    pdu.extend_from_slice(&[0, 1, 8, 0, 0x23, 0, 0, 0]);
    pdu.extend_from_slice(&[0; 4]);
    let message = McsMessage::SendDataRequest(SendDataRequest {
        initiator_id: session.user_channel_id,
        channel_id: session.io_channel_id,
        user_data: Cow::Owned(pdu),
    });
    encode_vec(&X224(message)).map_err(io::Error::other)
}

/// What a Set Error Info PDU says ([MS-RDPBCGR] 2.2.5.1), if that is one and is about an error.
fn error_info(data: &[u8]) -> Option<String> {
    const DATA: u8 = 7;
    const SET_ERROR_INFO: u8 = 47;
    if data.get(2)? & 15 != DATA || *data.get(14)? != SET_ERROR_INFO {
        return None;
    }
    let code = u32::from_le_bytes(*data.get(18..22)?.first_chunk()?);
    let text = match code {
        0 => return None,
        5 => "the same user came by another connection".to_owned(),
        9 => "the server denies it".to_owned(),
        _ => match decode::<ServerSetErrorInfoPdu>(&data[18..22]) {
            Ok(info) => info.0.description(),
            Err(_) => format!("code {code:#x}"),
        },
    };
    Some(text)
}

/// MCS Disconnect Provider Ultimatum, "user requested".
const DISCONNECT: [u8; 9] = [3, 0, 0, 9, 2, 0xF0, 0x80, 0x21, 0x80];
/// For the offer of the channel, and for that after other channels were offered.
const OFFER: Duration = Duration::from_secs(30);
const FURTHER: Duration = Duration::from_secs(2);
/// Bytes for the socket pair above which the server is not read.
const MOST: usize = 1 << 20;
