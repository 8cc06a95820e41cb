//! One look at a QMP socket for `rdpmux check`: who answers and whether its display is ours to use. It connects, asks and
//! leaves; following a machine is the `guest` crate's work.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer line in bytes.
const LINE: u64 = 1 << 20;

/// What QEMU says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuFacts {
    /// For example `7.2.22`.
    pub version: String,
    /// `-name` of the machine.
    pub name: Option<String>,
    /// Type of its display, for example `dbus` or `gtk`.
    pub display: String,
    /// Whether the D-Bus display takes direct connections (`p2p=yes`).
    pub p2p: bool,
}

/// Why a socket gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The socket cannot be reached or broke off.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A QMP socket serves one program at a time.
    #[error("no answer within 2 s; another program holds the socket (a running rdpmux does)")]
    Busy,
    /// Something else answers.
    #[error("what answers does not speak QMP")]
    NotQmp,
}

/// Asks the QEMU behind a QMP socket what it is. Blocks for up to 2 s per answer.
///
/// # Errors
/// [`ProbeError`] says why there is no answer.
pub fn probe_qmp(socket: &Path) -> Result<QemuFacts, ProbeError> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream);
    let greeting = read_line(&mut lines)?;
    let number = &greeting["QMP"]["version"]["qemu"];
    let part = |key: &str| number[key].as_u64().ok_or(ProbeError::NotQmp);
    let version = format!("{}.{}.{}", part("major")?, part("minor")?, part("micro")?);
    ask(&mut lines, "qmp_capabilities")?;
    let name = ask(&mut lines, "query-name")?["name"].as_str().map(str::to_owned);
    let display = ask(&mut lines, "query-display-options")?;
    Ok(QemuFacts {
        version,
        name,
        display: display["type"].as_str().unwrap_or("unknown").to_owned(),
        p2p: display["p2p"].as_bool().unwrap_or(false),
    })
}

/// Sends a command and returns what it returns, `null` if it fails. Events in between are passed over.
fn ask(lines: &mut BufReader<UnixStream>, command: &str) -> Result<Value, ProbeError> {
    let mut text = json!({ "execute": command }).to_string();
    text.push('\n');
    lines.get_mut().write_all(text.as_bytes())?;
    for _ in 0..100 {
        let mut answer = read_line(lines)?;
        if answer.get("return").is_some() || answer.get("error").is_some() {
            return Ok(answer["return"].take());
        }
    }
    Err(ProbeError::NotQmp)
}

fn read_line(lines: &mut BufReader<UnixStream>) -> Result<Value, ProbeError> {
    let mut line = String::new();
    match io::Read::take(&mut *lines, LINE).read_line(&mut line) {
        Ok(_) => serde_json::from_str(&line).map_err(|_| ProbeError::NotQmp),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(ProbeError::Busy)
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(ProbeError::NotQmp),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    fn answer_with(lines: &'static [&'static str]) -> Result<QemuFacts, ProbeError> {
        let directory = tempfile::tempdir().expect("tempdir");
        let socket = directory.path().join("qmp");
        let listener = UnixListener::bind(&socket).expect("bind");
        let peer = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("accept");
            let mut reader = BufReader::new(stream);
            for (index, line) in lines.iter().enumerate() {
                if index > 0 {
                    reader.read_line(&mut String::new()).expect("command");
                }
                reader.get_mut().write_all(line.as_bytes()).expect("answer");
            }
        });
        let result = probe_qmp(&socket);
        peer.join().expect("peer");
        result
    }

    #[test]
    fn qemu_says_what_it_is() {
        let facts = answer_with(&[
            "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"\"}}}\r\n",
            "{\"return\": {}}\r\n",
            "{\"event\": \"RESUME\"}\r\n{\"return\": {\"name\": \"web1\"}}\r\n",
            "{\"return\": {\"p2p\": true, \"type\": \"dbus\"}}\r\n",
        ]);
        let expected = QemuFacts {
            version: "7.2.22".into(),
            name: Some("web1".into()),
            display: "dbus".into(),
            p2p: true,
        };
        assert_eq!(facts.expect("facts"), expected);
    }

    #[test]
    fn what_is_not_qmp_is_said_to_be_not_qmp() {
        assert!(matches!(answer_with(&["SSH-2.0-OpenSSH\r\n"]), Err(ProbeError::NotQmp)));
        assert!(matches!(answer_with(&["\r\n"]), Err(ProbeError::NotQmp)));
    }
}
