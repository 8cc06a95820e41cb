//! The first bytes of a connection, before TLS: which of the three openings is it, and what does it ask for?
//!
//! Pure functions over a growing buffer. They are called by the server's accept path with what has arrived so far and
//! answer `None` until there is enough. Every size that a stranger can announce is bounded here, before it is waited for.

use ironrdp_pdu::nego::SecurityProtocol;

/// No message before login is longer than this, in bytes. The connection of whoever announces more ends.
pub const MAX_MESSAGE: usize = 4096;

/// Longest preconnection PDU in bytes: its 18 bytes of header and 1024 UTF-16 units.
const MAX_PRECONNECTION: usize = 18 + 2 * 1024;
/// Longest X.224 Connection Request in bytes: its length indicator is one byte, so 5 + 254 and a TPKT header less.
const MAX_CONNECTION_REQUEST: usize = 4 + 1 + 254;

const TPKT_VERSION: u8 = 3;
const TPKT_HEADER: usize = 4;
const X224_CONNECTION_REQUEST: u8 = 0xE0;
/// Length indicator, code, destination reference, source reference, class.
const X224_FIXED: usize = 7;
const TLS_HANDSHAKE: u8 = 22;
const NEGOTIATION_REQUEST: u8 = 1;
const NEGOTIATION_REQUEST_SIZE: usize = 8;
const CORRELATION_INFO_PRESENT: u8 = 0x08;
const CORRELATION_INFO_SIZE: usize = 36;
const USER_PREFIX: &str = "Cookie: mstshash=";
const TOKEN_PREFIX: &str = "Cookie: msts=";

/// Why the first bytes of a connection end it. All of these are the peer's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrontError {
    /// The bytes are no opening of RDP: a port scanner, a browser, a typo.
    #[error("the first bytes are no RDP connection")]
    NotRdp,
    /// A length field asks for more than anyone needs before login.
    #[error("the peer announced {announced} bytes where at most {limit} are taken")]
    Oversized {
        /// Announced length in bytes.
        announced: usize,
        /// Limit in bytes.
        limit: usize,
    },
    /// A field contradicts another one or the specification.
    #[error("malformed {message}: {field}")]
    Malformed {
        /// Name of the message.
        message: &'static str,
        /// What is wrong with it.
        field: &'static str,
    },
}

/// What a connection opens with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// A preconnection PDU ([MS-RDPEPS] 2.2.1); any of the other two follows.
    Preconnection,
    /// An X.224 Connection Request ([MS-RDPBCGR] 2.2.1.1).
    ConnectionRequest,
    /// TLS at once: Hyper-V's order, in which X.224 comes after CredSSP.
    TlsClientHello,
}

/// Tells the opening from the first bytes. `None` if there are too few.
///
/// # Errors
/// [`FrontError::NotRdp`] if it is none of the three, and [`FrontError::Oversized`] if a preconnection PDU is too long.
pub fn opening(first: &[u8]) -> Result<Option<Opening>, FrontError> {
    let (Some(&a), Some(&b)) = (first.first(), first.get(1)) else {
        return Ok(None);
    };
    match (a, b) {
        // TPKT: version 3, reserved 0, big-endian length.
        (TPKT_VERSION, 0) => {
            // The same two bytes start a preconnection PDU of 3 bytes, which cannot be: it has at least 16.
            Ok(Some(Opening::ConnectionRequest))
        }
        (TLS_HANDSHAKE, 3) => match first.get(2) {
            // Record version 3.0 to 3.4; `16 03 0x 00` as a little-endian size would be far beyond the limit.
            Some(0..=4) => Ok(Some(Opening::TlsClientHello)),
            Some(_) => Err(FrontError::NotRdp),
            None => Ok(None),
        },
        _ => {
            let Some(size) = first.first_chunk::<4>() else {
                return Ok(None);
            };
            match u32::from_le_bytes(*size) as usize {
                16..=MAX_PRECONNECTION => Ok(Some(Opening::Preconnection)),
                // Anything larger is far more likely a stranger (`GET `, `SSH-`) than a preconnection PDU.
                announced @ 0..=0xFFFF if announced > MAX_PRECONNECTION => Err(FrontError::Oversized {
                    announced,
                    limit: MAX_PRECONNECTION,
                }),
                _ => Err(FrontError::NotRdp),
            }
        }
    }
}

/// A preconnection PDU: the first of the ways to choose a desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preconnection {
    /// `Id` field; Hyper-V and FreeRDP's `/pcid` put a number here.
    pub id: u32,
    /// `wszPCB` of version 2 without its terminator (FreeRDP's `/pcb`, mstsc's `pcb:s:`). `None` in version 1 and when empty.
    pub name: Option<String>,
}

/// Parses a preconnection PDU ([MS-RDPEPS] 2.2.1) and says how many bytes it took. `None` if it is not complete.
///
/// # Errors
/// [`FrontError::Oversized`] or [`FrontError::Malformed`].
pub fn preconnection(buf: &[u8]) -> Result<Option<(Preconnection, usize)>, FrontError> {
    let malformed = |field| FrontError::Malformed {
        message: "preconnection PDU",
        field,
    };
    let Some(header) = buf.first_chunk::<16>() else {
        return Ok(None);
    };
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let size = word(0) as usize;
    if size > MAX_PRECONNECTION {
        return Err(FrontError::Oversized {
            announced: size,
            limit: MAX_PRECONNECTION,
        });
    }
    if size < 16 {
        return Err(malformed("cbSize is below 16"));
    }
    let Some(pdu) = buf.get(..size) else {
        return Ok(None);
    };
    // 2.2.1.1: the version field is ignored by servers; what counts is whether there is room for a string.
    let name = match pdu.get(16..18) {
        None => None,
        Some(count) => {
            let units = u16::from_le_bytes([count[0], count[1]]) as usize;
            let text = pdu
                .get(18..18 + 2 * units)
                .ok_or_else(|| malformed("cchPCB is beyond cbSize"))?;
            let units = text.chunks_exact(2).map(|c| u16::from_le_bytes([c[0], c[1]]));
            let text = char::decode_utf16(units.take_while(|&u| u != 0))
                .collect::<Result<String, _>>()
                .map_err(|_| malformed("wszPCB is no UTF-16"))?;
            Some(text).filter(|t| !t.is_empty())
        }
    };
    Ok(Some((Preconnection { id: word(12), name }, size)))
}

/// Security protocols that a client offers ([MS-RDPBCGR] 2.2.1.1.1 `requestedProtocols`). None set: legacy RDP security only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protocols {
    /// TLS with the password inside the session.
    pub tls: bool,
    /// CredSSP (NLA).
    pub hybrid: bool,
    /// CredSSP with an early verdict.
    pub hybrid_ex: bool,
    /// Whether it asked at all: who did not takes no answer.
    pub(crate) asked: bool,
    /// All bits as sent: the server core data repeats them, and clients compare.
    wire: u32,
}

impl Protocols {
    pub(crate) fn wire(self) -> SecurityProtocol {
        SecurityProtocol::from_bits_retain(self.wire)
    }
}

/// An X.224 Connection Request: cookies to choose a desktop by, and the client's security protocols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRequest {
    /// `Cookie: mstshash=` value, by convention (the start of) a user name.
    pub cookie: Option<String>,
    /// `Cookie: msts=` value or any other printable text in that place, such as FreeRDP's `/load-balance-info`.
    pub routing_token: Option<String>,
    /// What the client offers.
    pub protocols: Protocols,
}

/// Parses an X.224 Connection Request ([MS-RDPBCGR] 2.2.1.1) and says how many bytes it took. `None` if it is not complete.
///
/// # Errors
/// [`FrontError::Oversized`] or [`FrontError::Malformed`].
pub fn connection_request(buf: &[u8]) -> Result<Option<(ConnectionRequest, usize)>, FrontError> {
    let malformed = |field| FrontError::Malformed {
        message: "connection request",
        field,
    };
    let Some(header) = buf.first_chunk::<TPKT_HEADER>() else {
        return Ok(None);
    };
    if header[0] != TPKT_VERSION {
        return Err(malformed("TPKT version"));
    }
    let size = u16::from_be_bytes([header[2], header[3]]) as usize;
    if size > MAX_CONNECTION_REQUEST {
        return Err(FrontError::Oversized {
            announced: size,
            limit: MAX_CONNECTION_REQUEST,
        });
    }
    if size < TPKT_HEADER + X224_FIXED {
        return Err(malformed("TPKT length"));
    }
    let Some(pdu) = buf.get(TPKT_HEADER..size) else {
        return Ok(None);
    };
    if usize::from(pdu[0]) + 1 != pdu.len() {
        return Err(malformed("X.224 length indicator"));
    }
    if pdu[1] & 0xF0 != X224_CONNECTION_REQUEST {
        return Err(malformed("X.224 code"));
    }
    let mut rest = &pdu[X224_FIXED..];
    let (mut cookie, mut routing_token) = (None, None);
    // Some gateways put a token and a user cookie one after the other: as many lines as there are, at most one of each.
    while let Some(end) = rest.windows(2).position(|w| w == b"\r\n") {
        let line = printable(&rest[..end]).ok_or_else(|| malformed("cookie is not printable"))?;
        rest = &rest[end + 2..];
        if let Some(user) = line.strip_prefix(USER_PREFIX) {
            cookie.get_or_insert_with(|| user.to_owned());
        } else {
            let token = line.strip_prefix(TOKEN_PREFIX).unwrap_or(line);
            routing_token.get_or_insert_with(|| token.to_owned());
        }
    }
    let protocols = negotiation_request(rest).map_err(malformed)?;
    let request = ConnectionRequest {
        cookie: cookie.filter(|c| !c.is_empty()),
        routing_token: routing_token.filter(|t| !t.is_empty()),
        protocols,
    };
    Ok(Some((request, size)))
}

/// `RDP_NEG_REQ` with its optional `RDP_NEG_CORRELATION_INFO`, or nothing at all in clients of before RDP 5.2.
fn negotiation_request(rest: &[u8]) -> Result<Protocols, &'static str> {
    if rest.is_empty() {
        return Ok(Protocols::default());
    }
    let Some((request, correlation)) = rest.split_first_chunk::<NEGOTIATION_REQUEST_SIZE>() else {
        return Err("negotiation request is truncated");
    };
    if request[0] != NEGOTIATION_REQUEST || request[2..4] != [8, 0] {
        return Err("negotiation request has a wrong type or length");
    }
    let expected = if request[1] & CORRELATION_INFO_PRESENT != 0 {
        CORRELATION_INFO_SIZE
    } else {
        0
    };
    if correlation.len() != expected {
        return Err("bytes after the negotiation request");
    }
    let offered = u32::from_le_bytes([request[4], request[5], request[6], request[7]]);
    let wire = offered;
    let offered = SecurityProtocol::from_bits_truncate(offered);
    Ok(Protocols {
        asked: true,
        wire,
        tls: offered.contains(SecurityProtocol::SSL),
        hybrid: offered.contains(SecurityProtocol::HYBRID),
        hybrid_ex: offered.contains(SecurityProtocol::HYBRID_EX),
    })
}

fn printable(line: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(line).ok()?;
    text.chars().all(|c| !c.is_control()).then_some(text)
}
