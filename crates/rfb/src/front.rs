//! From the first byte to a login inside TLS (RFB 7.1, 7.2; VeNCrypt 0.2 with X509Plain), then ClientInit.
//!
//! ```text
//! Version ─▶ Security ─▶ Vencrypt ─▶ Subtype ─▶ StartTls ─▶ Plain ─▶ Judge ─accept─▶ Init ─▶ Established
//! ```
//! VeNCrypt is the only security type offered: no password and no picture travels without TLS.

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// More bytes are needed.
    NeedInput,
    /// TLS begins with the next byte, both ways, once what was written is sent.
    StartTls,
    /// Somebody wants in: [`Front::accept`] or [`Front::refuse`] comes next.
    Judge(Login),
    /// The viewer waits for [`server_init`].
    Established,
}

/// A name and a password, as they were typed.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl core::fmt::Debug for Login {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Why a connection gets no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrontError {
    /// The first line is not RFB's.
    #[error("the first bytes are not RFB")]
    NotRfb,
    /// RFB 3.3, in which the server decides and VeNCrypt cannot be.
    #[error("the viewer speaks RFB 3.3, which knows no VeNCrypt")]
    TooOld,
    /// The viewer chose a security type that was not offered.
    #[error("the viewer chose security type {0}, which was not offered")]
    Security(u8),
    /// The viewer chose a version of VeNCrypt that is not known.
    #[error("the viewer speaks VeNCrypt {0}.{1}, not 0.2")]
    Vencrypt(u8, u8),
    /// The viewer chose a subtype that was not offered.
    #[error("the viewer chose VeNCrypt's subtype {0}, which was not offered")]
    Subtype(u32),
    /// A name or password that nobody has.
    #[error("a name or password of {0} bytes")]
    Long(u32),
    /// A name or password that is not UTF-8.
    #[error("a name or password is not UTF-8")]
    NotText,
    /// Bytes in a step that takes none.
    #[error("a message came out of order")]
    OutOfOrder,
}

/// The handshake's state machine.
#[derive(Debug)]
pub struct Front {
    state: State,
    /// The viewer is told why it is refused: RFB 3.8 and later.
    explains: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Version,
    Security,
    Vencrypt,
    Subtype,
    Tls,
    Plain,
    Judged,
    Init,
    Done,
}

const VERSION: &[u8; 12] = b"RFB 003.008\n";
/// Security type VeNCrypt.
const VENCRYPT: u8 = 19;
/// Its subtype: TLS with a certificate, then name and password.
const X509_PLAIN: u32 = 262;
/// Bytes of a name or a password.
const LONGEST: u32 = 1024;

impl Front {
    /// The server speaks first: appends its version.
    pub fn new(out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(VERSION);
        Self {
            state: State::Version,
            explains: false,
        }
    }

    /// Takes bytes; returns how many were used and what comes next. What is appended to `out` is sent in any case, also
    /// before an error ends the connection.
    ///
    /// # Errors
    /// [`FrontError`].
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, Step), FrontError> {
        let mut used = 0;
        loop {
            let Some((count, step)) = self.one(&input[used..], out)? else {
                return Ok((used, Step::NeedInput));
            };
            used += count;
            if let Some(step) = step {
                return Ok((used, step));
            }
        }
    }

    /// TLS is up.
    pub fn tls_done(&mut self) {
        if self.state == State::Tls {
            self.state = State::Plain;
        }
    }

    /// The login is good.
    pub fn accept(&mut self, out: &mut Vec<u8>) {
        self.state = State::Init;
        out.extend_from_slice(&[0; 4]);
    }

    /// The login is not; viewers show the reason.
    pub fn refuse(&mut self, reason: &str, out: &mut Vec<u8>) {
        self.state = State::Done;
        out.extend_from_slice(&1u32.to_be_bytes());
        if self.explains {
            explain(reason, out);
        }
    }

    fn one(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<(usize, Option<Step>)>, FrontError> {
        let done = |count| Ok(Some((count, None)));
        match self.state {
            State::Version => match input.first_chunk::<12>() {
                Some(line) => self.version(line, out).and_then(|()| done(12)),
                None if VERSION.starts_with(&input[..input.len().min(4)]) => Ok(None),
                None => Err(FrontError::NotRfb),
            },
            State::Security => match input.first() {
                Some(&VENCRYPT) => {
                    self.state = State::Vencrypt;
                    out.extend_from_slice(&[0, 2]);
                    done(1)
                }
                Some(other) => Err(FrontError::Security(*other)),
                None => Ok(None),
            },
            State::Vencrypt => match input.first_chunk() {
                Some([0, 2]) => {
                    self.state = State::Subtype;
                    out.extend_from_slice(&[0, 1]);
                    out.extend_from_slice(&X509_PLAIN.to_be_bytes());
                    done(2)
                }
                Some([major, minor]) => {
                    out.push(1);
                    Err(FrontError::Vencrypt(*major, *minor))
                }
                None => Ok(None),
            },
            State::Subtype => match input.first_chunk().map(|wire| u32::from_be_bytes(*wire)) {
                Some(X509_PLAIN) => {
                    self.state = State::Tls;
                    out.push(1);
                    Ok(Some((4, Some(Step::StartTls))))
                }
                Some(other) => {
                    out.push(0);
                    Err(FrontError::Subtype(other))
                }
                None => Ok(None),
            },
            State::Plain => self.plain(input),
            State::Init => Ok(input.first().map(|_shared| {
                self.state = State::Done;
                (1, Some(Step::Established))
            })),
            State::Tls | State::Judged | State::Done => Err(FrontError::OutOfOrder),
        }
    }

    fn version(&mut self, line: &[u8; 12], out: &mut Vec<u8>) -> Result<(), FrontError> {
        let minor = line.strip_prefix(b"RFB 003.").and_then(|rest| rest.strip_suffix(b"\n"));
        let minor = minor
            .filter(|digits| digits.iter().all(u8::is_ascii_digit))
            .ok_or(FrontError::NotRfb)?;
        match minor {
            b"007" => {}
            // 3.889 is Apple's; RFB 7.1.1 takes other numbers for 3.3.
            b"008" | b"889" => self.explains = true,
            _ => {
                out.extend_from_slice(&[0; 4]);
                explain(
                    "this server takes logins inside TLS (VeNCrypt) only, from RFB 3.7 on",
                    out,
                );
                return Err(FrontError::TooOld);
            }
        }
        self.state = State::Security;
        out.extend_from_slice(&[1, VENCRYPT]);
        Ok(())
    }

    fn plain(&mut self, input: &[u8]) -> Result<Option<(usize, Option<Step>)>, FrontError> {
        let Some((lengths, rest)) = input.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let [a, b, c, d, e, f, g, h] = *lengths;
        let lengths = [[a, b, c, d], [e, f, g, h]].map(u32::from_be_bytes);
        if let Some(long) = lengths.into_iter().find(|length| *length > LONGEST) {
            return Err(FrontError::Long(long));
        }
        let [name, password] = lengths.map(|length| length as usize);
        let Some(both) = rest.get(..name + password) else {
            return Ok(None);
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| FrontError::NotText);
        let login = Login {
            user: text(&both[..name])?,
            password: text(&both[name..])?,
        };
        self.state = State::Judged;
        Ok(Some((8 + both.len(), Some(Step::Judge(login)))))
    }
}

fn explain(reason: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&(reason.len() as u32).to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Appends ServerInit (RFB 7.3.2): size in pixels, at most 65,535 each way, and the desktop's name.
pub fn server_init(size: rdpmux_model::Size, name: &str, out: &mut Vec<u8>) {
    for edge in [size.width, size.height] {
        out.extend_from_slice(&u16::try_from(edge).unwrap_or(u16::MAX).to_be_bytes());
    }
    crate::PixelFormat::BGRX.encode(out);
    explain(name, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A front that has been given `bytes` one by one, what it said, and its last step.
    fn after(bytes: &[u8]) -> (Front, Vec<u8>, Result<Step, FrontError>) {
        let mut out = Vec::new();
        let mut front = Front::new(&mut out);
        let mut held = Vec::new();
        let mut last = Ok(Step::NeedInput);
        for byte in bytes {
            held.push(*byte);
            last = match front.feed(&held, &mut out) {
                Ok((used, step)) => {
                    held.drain(..used);
                    Ok(step)
                }
                Err(error) => return (front, out, Err(error)),
            };
        }
        (front, out, last)
    }

    const TO_TLS: &[u8] = b"RFB 003.008\n\x13\x00\x02\x00\x00\x01\x06";

    #[test]
    fn a_viewer_logs_in_inside_tls() {
        let (mut front, mut out, step) = after(TO_TLS);
        assert_eq!(step, Ok(Step::StartTls));
        assert_eq!(out, b"RFB 003.008\n\x01\x13\x00\x02\x00\x01\x00\x00\x01\x06\x01");
        assert_eq!(front.feed(b"x", &mut out), Err(FrontError::OutOfOrder));
        front.tls_done();
        let mut login = vec![0, 0, 0, 5, 0, 0, 0, 2];
        login.extend_from_slice(b"alicepw!");
        let judged = Step::Judge(Login {
            user: "alice".to_owned(),
            password: "pw".to_owned(),
        });
        assert_eq!(front.feed(&login[..14], &mut out), Ok((0, Step::NeedInput)));
        assert_eq!(front.feed(&login, &mut out), Ok((15, judged)));
        out.clear();
        front.accept(&mut out);
        assert_eq!(out, [0; 4]);
        assert_eq!(front.feed(&[1], &mut out), Ok((1, Step::Established)));
    }

    #[test]
    fn a_refused_viewer_is_told_why_if_it_listens() {
        let (mut front, mut out, _) = after(TO_TLS);
        front.tls_done();
        out.clear();
        front.refuse("no", &mut out);
        assert_eq!(out, [0, 0, 0, 1, 0, 0, 0, 2, b'n', b'o']);
        let (mut front, mut out, step) = after(b"RFB 003.007\n\x13\x00\x02\x00\x00\x01\x06");
        assert_eq!(step, Ok(Step::StartTls));
        out.clear();
        front.refuse("no", &mut out);
        assert_eq!(out, [0, 0, 0, 1]);
    }

    #[test]
    fn every_other_beginning_is_refused_by_name() {
        for (bytes, error) in [
            (&b"RFB 003.003\n"[..], FrontError::TooOld),
            (b"RFB 004.001\n", FrontError::NotRfb),
            (b"RFB 003.00x\n", FrontError::NotRfb),
            (b"GET / HTTP/1.1", FrontError::NotRfb),
            (b"\x16\x03\x01", FrontError::NotRfb),
            (b"RFB 003.008\n\x01", FrontError::Security(1)),
            (b"RFB 003.008\n\x13\x00\x01", FrontError::Vencrypt(0, 1)),
            (b"RFB 003.008\n\x13\x00\x02\x00\x00\x01\x04", FrontError::Subtype(260)),
        ] {
            assert_eq!(after(bytes).2, Err(error), "{bytes:?}");
        }
        let (mut front, mut out, _) = after(TO_TLS);
        front.tls_done();
        assert_eq!(front.feed(&[0xFF; 8], &mut out), Err(FrontError::Long(u32::MAX)));
        assert_eq!(
            front.feed(&[0, 0, 0, 1, 0, 0, 0, 0, 0xFF], &mut out),
            Err(FrontError::NotText)
        );
    }
}
