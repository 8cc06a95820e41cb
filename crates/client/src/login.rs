//! From a TCP connection to a session: preconnection blob, X.224, TLS and trust, CredSSP, the connection sequence. It
//! blocks, with a deadline for every answer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use ironrdp_connector::credssp::CredsspSequence;
use ironrdp_connector::{
    ClientConnector, ClientConnectorState, Config, ConnectionOutcome, ConnectionResult, ConnectorError,
    ConnectorErrorKind, Credentials, Sequence,
};
use ironrdp_core::WriteBuf;
use ironrdp_pdu::PduHint;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Stream};
use x509_cert::der::Decode;

use crate::channel::Channels;
use crate::config::plain_config;
use crate::trust::{Fingerprint, Trust};
use crate::{ConnectError, PATIENCE, Target};

/// A session that is established.
pub(crate) struct Arrival {
    pub(crate) socket: TcpStream,
    pub(crate) tls: ClientConnection,
    pub(crate) session: ConnectionResult,
    pub(crate) channels: Channels,
    /// What was read after the last byte of the login.
    pub(crate) ahead: Vec<u8>,
    /// Bytes of the login, received and sent.
    pub(crate) counted: (u64, u64),
}

/// Takes the connection through the sequence.
pub(crate) fn login(socket: TcpStream, target: &Target, trust: &Trust<'_>) -> Result<Arrival, ConnectError> {
    let faults = Faults(target);
    let address = prepare(&socket, target).map_err(|error| faults.io(error))?;
    let channels = Channels::default();
    let mut connector = ClientConnector::new(config(target), address);
    connector.attach_static_channel(channels.client());
    let mut tally = Tally::new(&socket);
    let mut plain = Wire::new(&mut tally);
    plain.run(&mut connector).map_err(|fault| faults.fault(fault))?;
    let mut tls = handshake(&mut tally, target, trust)?;
    let key = public_key(&tls).ok_or_else(|| faults.protocol("its certificate cannot be read"))?;
    connector.mark_security_upgrade_as_done();
    let mut wire = Wire::new(Stream::new(&mut tls, &mut tally));
    let ClientConnectorState::Credssp { selected_protocol } = connector.state else {
        return Err(faults.protocol("it does not offer NLA"));
    };
    let (domain, user) = split_user(&target.user);
    let (sequence, first) = CredsspSequence::init(
        credentials(user, target),
        domain,
        selected_protocol,
        target.host.as_str().into(),
        key,
        None,
    )
    .map_err(|error| faults.connector(&error))?;
    wire.credssp(sequence, first).map_err(|fault| faults.credssp(fault))?;
    connector.mark_credssp_as_done();
    wire.run(&mut connector).map_err(|fault| faults.fault(fault))?;
    let ahead = wire.ahead;
    let Some(ConnectionOutcome::Connected(session)) = connector.state.take_outcome() else {
        return Err(faults.protocol("it sends clients elsewhere"));
    };
    let counted = (tally.received, tally.sent);
    Ok(Arrival {
        counted,
        socket,
        tls,
        session,
        channels,
        ahead,
    })
}

/// Deadlines, and the machine's name in a preconnection PDU of version 2 ([MS-RDPEPS] 2.2.1.2): the first of the hints
/// by which the daemon chooses, and one that no part of the name can be mistaken in.
fn prepare(mut socket: &TcpStream, target: &Target) -> io::Result<std::net::SocketAddr> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let name: Vec<u16> = target.vm.encode_utf16().chain([0]).collect();
    let size = 18 + 2 * name.len();
    let mut blob = Vec::with_capacity(size);
    for word in [size as u32, 0, 2, 0] {
        blob.extend_from_slice(&word.to_le_bytes());
    }
    blob.extend_from_slice(&(name.len() as u16).to_le_bytes());
    blob.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
    socket.write_all(&blob)?;
    socket.local_addr()
}

/// TLS, and whether the certificate is the right one.
fn handshake(socket: &mut Tally<'_>, target: &Target, trust: &Trust<'_>) -> Result<ClientConnection, ConnectError> {
    let faults = Faults(target);
    let failed = |source| ConnectError::Tls {
        address: target.address(),
        source,
    };
    let name = ServerName::try_from(target.host.clone());
    let name = name.map_err(|_| failed(rustls::Error::General("the host's name is none for TLS".to_owned())))?;
    let config = trust.config().map_err(failed)?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(failed)?;
    while tls.is_handshaking() {
        tls.complete_io(socket)
            .map_err(|error| match error.downcast::<rustls::Error>() {
                Ok(source) => failed(source),
                Err(error) => faults.io(error),
            })?;
    }
    let shown = tls.peer_certificates().and_then(<[_]>::first);
    let found = Fingerprint::of(shown.ok_or_else(|| faults.protocol("it has no certificate"))?);
    let address = target.address();
    match trust {
        Trust::Fingerprint(wanted) if *wanted != found => Err(ConnectError::Fingerprint { address, found }),
        Trust::Ask(ask) if !ask(found) => Err(ConnectError::Untrusted { address, found }),
        _ => Ok(tls),
    }
}

/// What CredSSP binds to ([MS-CSSP] 3.1.5).
fn public_key(tls: &ClientConnection) -> Option<Vec<u8>> {
    let leaf = tls.peer_certificates()?.first()?;
    let parsed = x509_cert::Certificate::from_der(leaf).ok()?;
    let info = parsed.tbs_certificate().subject_public_key_info();
    Some(info.subject_public_key.raw_bytes().to_vec())
}

/// `DOMAIN\user`.
fn split_user(name: &str) -> (Option<&str>, &str) {
    name.split_once('\\')
        .map_or((None, name), |(domain, user)| (Some(domain), user))
}

fn credentials(user: &str, target: &Target) -> Credentials {
    Credentials::UsernamePassword {
        username: user.to_owned(),
        password: target.password.clone(),
    }
}

/// A socket that counts.
struct Tally<'a> {
    socket: &'a TcpStream,
    received: u64,
    sent: u64,
}

impl<'a> Tally<'a> {
    fn new(socket: &'a TcpStream) -> Self {
        Self {
            socket,
            received: 0,
            sent: 0,
        }
    }
}

impl Read for Tally<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.read(buffer)?;
        self.received += count as u64;
        Ok(count)
    }
}

impl Write for Tally<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.socket.write(bytes)?;
        self.sent += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection with what was read too much.
struct Wire<S> {
    stream: S,
    ahead: Vec<u8>,
}

/// Why the sequence ended.
enum Fault {
    Io(io::Error),
    Connector(ConnectorError),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<ConnectorError> for Fault {
    fn from(error: ConnectorError) -> Self {
        Self::Connector(error)
    }
}

impl<S: Read + Write> Wire<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    /// Goes on with the sequence until it is done, or needs TLS or CredSSP.
    fn run(&mut self, connector: &mut ClientConnector) -> Result<(), Fault> {
        let is_over = |connector: &ClientConnector| {
            connector.should_perform_security_upgrade()
                || connector.should_perform_credssp()
                || connector.state().is_terminal()
        };
        while !is_over(connector) {
            let mut out = WriteBuf::new();
            match connector.next_pdu_hint() {
                None => {
                    connector.step_no_input(&mut out)?;
                }
                Some(hint) => {
                    let pdu = self.next(hint)?;
                    connector.step(&pdu, None, &mut out)?;
                }
            }
            self.stream.write_all(out.filled())?;
            self.stream.flush()?;
        }
        Ok(())
    }

    fn credssp(
        &mut self,
        mut sequence: CredsspSequence,
        mut request: ironrdp_connector::sspi::credssp::TsRequest,
    ) -> Result<(), Fault> {
        loop {
            let state = sequence.process_ts_request(request).resolve_to_result();
            let state = state.map_err(|error| ConnectorError::new("CredSSP", ConnectorErrorKind::Credssp(error)))?;
            let mut out = WriteBuf::new();
            sequence.handle_process_result(state, &mut out)?;
            self.stream.write_all(out.filled())?;
            self.stream.flush()?;
            let Some(hint) = sequence.next_pdu_hint() else {
                return Ok(());
            };
            let answer = self.next(hint)?;
            match sequence.decode_server_message(&answer)? {
                Some(next) => request = next,
                None => return Ok(()),
            }
        }
    }

    /// The next PDU, as long as `hint` says.
    fn next(&mut self, hint: &dyn PduHint) -> Result<Vec<u8>, Fault> {
        loop {
            let size = hint.find_size(&self.ahead).map_err(ConnectorError::decode_of)?;
            match size {
                Some((_, size)) if size <= self.ahead.len() => return Ok(self.ahead.drain(..size).collect()),
                _ if self.ahead.len() > MOST => return Err(io::Error::from(ErrorKind::InvalidData).into()),
                _ => self.more()?,
            }
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.ahead.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}

trait DecodeFault {
    fn decode_of(error: ironrdp_core::DecodeError) -> ConnectorError;
}

impl DecodeFault for ConnectorError {
    fn decode_of(error: ironrdp_core::DecodeError) -> ConnectorError {
        ConnectorError::new("PDU", ConnectorErrorKind::Decode(error))
    }
}

/// Says what went wrong with whom.
struct Faults<'a>(&'a Target);

impl Faults<'_> {
    fn io(&self, source: io::Error) -> ConnectError {
        let source = match source.kind() {
            ErrorKind::WouldBlock => io::Error::new(ErrorKind::TimedOut, "no answer"),
            ErrorKind::UnexpectedEof => io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"),
            _ => source,
        };
        ConnectError::Io {
            address: self.0.address(),
            source,
        }
    }

    fn protocol(&self, reason: &str) -> ConnectError {
        ConnectError::Protocol {
            address: self.0.address(),
            reason: reason.to_owned(),
        }
    }

    fn connector(&self, error: &ConnectorError) -> ConnectError {
        match error.kind() {
            ConnectorErrorKind::Negotiation(_) => self.protocol("it does not offer NLA"),
            ConnectorErrorKind::AccessDenied | ConnectorErrorKind::Credssp(_) => self.login(),
            _ => self.protocol(&error.report().to_string()),
        }
    }

    fn fault(&self, fault: Fault) -> ConnectError {
        match fault {
            Fault::Io(error) => self.io(error),
            Fault::Connector(error) => self.connector(&error),
        }
    }

    /// Within CredSSP a server may also say no by closing the connection.
    fn credssp(&self, fault: Fault) -> ConnectError {
        match fault {
            Fault::Io(error) if error.kind() == ErrorKind::UnexpectedEof => self.login(),
            fault => self.fault(fault),
        }
    }

    fn login(&self) -> ConnectError {
        ConnectError::Login {
            address: self.0.address(),
            user: self.0.user.clone(),
        }
    }
}

fn config(target: &Target) -> Config {
    let (domain, user) = split_user(&target.user);
    Config {
        enable_tls: false,
        enable_credssp: true,
        domain: domain.map(str::to_owned),
        enable_server_pointer: false,
        support_dyn_vc_gfx_protocol: true,
        ..plain_config("rdpmux-console", user.to_owned(), target.password.clone())
    }
}

/// Bytes that a message of the login may have.
const MOST: usize = 64 << 10;
