//! What a character device's backend was: from a text of the configuration, an option of QEMU's command line or what QEMU
//! says of it now, and back into what QMP takes. What could not be made again exactly is an error by name.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A backend that can be made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Output goes nowhere.
    Null,
    /// QEMU's own output and input.
    Stdio,
    /// QEMU keeps this many bytes.
    Ringbuf(Option<u64>),
    /// Output is appended.
    File(PathBuf),
    /// A terminal, with a link to it if there is a path.
    Pty(Option<PathBuf>),
    /// Datagrams to one place.
    Udp {
        /// Where to.
        remote: (String, String),
        /// Where from.
        local: Option<(String, String)>,
    },
    /// A server, one client at a time.
    Unix(PathBuf),
    /// The same over TCP.
    Tcp {
        /// Its address.
        host: String,
        /// Its port.
        port: String,
    },
}

/// A backend with what goes with every kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// What it was.
    pub backend: Backend,
    /// All output is appended there, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
}

/// Why a backend could not be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// There is no such kind, or not here.
    #[error("its backend `{0}` cannot be put back")]
    Kind(String),
    /// It is not said, or in no form that is known.
    #[error("`{0}` has a form that is not known")]
    Form(String),
    /// It would be lost.
    #[error("its option `{0}` could not be put back")]
    Option(String),
    /// QEMU dials.
    #[error("its backend is a client of {0}, not a server")]
    Client(String),
    /// It would be somewhere else.
    #[error("the path {} does not begin with /", .0.display())]
    Relative(PathBuf),
}

impl Spec {
    /// A backend without anything else.
    pub fn plain(backend: Backend) -> Self {
        Self { backend, log: None }
    }

    /// Reads what QEMU's `-serial` takes, as far as it can be put back: `null`, `stdio`, `ringbuf`, `file:PATH`, `pty`,
    /// `pty:LINK`, `udp:HOST:PORT@LOCAL:PORT`, `unix:PATH,server=on` and `tcp:HOST:PORT,server=on`.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let backend = match (kind, rest) {
            ("null", "") => Backend::Null,
            ("stdio", "") => Backend::Stdio,
            ("ringbuf", "") => Backend::Ringbuf(None),
            ("pty", "") => Backend::Pty(None),
            ("pty", link) => Backend::Pty(Some(link.into())),
            ("file", path) if !path.is_empty() => Backend::File(path.into()),
            ("udp", places) if !places.is_empty() => udp(places)?,
            ("unix" | "tcp", rest) if !rest.is_empty() => return Self::socket(kind, rest),
            ("null" | "stdio" | "ringbuf" | "file" | "udp" | "unix" | "tcp", _) => {
                return Err(SpecError::Form(text.to_owned()));
            }
            (other, _) => return Err(SpecError::Kind(other.to_owned())),
        };
        Ok(Self::plain(backend))
    }

    fn socket(kind: &str, rest: &str) -> Result<Self, SpecError> {
        let mut options = options(rest).into_iter();
        let (place, _) = options.next().ok_or_else(|| SpecError::Form(rest.to_owned()))?;
        let mut all = match kind {
            "unix" => vec![("path".to_owned(), place)],
            _ => {
                let (host, port) = place.rsplit_once(':').ok_or(SpecError::Form(place.clone()))?;
                vec![
                    ("host".to_owned(), host.to_owned()),
                    ("port".to_owned(), port.to_owned()),
                ]
            }
        };
        all.extend(options);
        Self::from_options("socket", &all)
    }

    /// Reads an option `-chardev KIND,key=value,…` without its `id`.
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn from_options(kind: &str, options: &[(String, String)]) -> Result<Self, SpecError> {
        let mut left: Vec<_> = options.to_vec();
        let mut take = |key: &str| {
            let index = left.iter().position(|(name, _)| name == key)?;
            Some(left.remove(index).1)
        };
        let log = take("logfile").map(PathBuf::from);
        // Whatever it was: the log that we go on with is appended to, or half of it would be gone.
        take("logappend");
        let missing = |key: &str| SpecError::Form(format!("{kind} without {key}"));
        let backend = match kind {
            "null" => Backend::Null,
            "stdio" => Backend::Stdio,
            "ringbuf" | "memory" => {
                let size = take("size").map(|size| size.parse().map_err(|_| SpecError::Form(size)));
                Backend::Ringbuf(size.transpose()?)
            }
            "file" => {
                take("append");
                Backend::File(take("path").ok_or_else(|| missing("path"))?.into())
            }
            "pty" => Backend::Pty(take("path").map(PathBuf::from)),
            "udp" => {
                let remote = (
                    take("host").unwrap_or_else(|| "localhost".to_owned()),
                    take("port").ok_or_else(|| missing("port"))?,
                );
                let local = (take("localaddr"), take("localport"));
                let local = match local {
                    (None, None) => None,
                    (host, port) => Some((host.unwrap_or_default(), port.unwrap_or_else(|| "0".to_owned()))),
                };
                Backend::Udp { remote, local }
            }
            "socket" => socket_backend(&mut take)?,
            other => return Err(SpecError::Kind(other.to_owned())),
        };
        match left.first() {
            Some((key, _)) => Err(SpecError::Option(key.clone())),
            None => Ok(Self { backend, log }),
        }
    }

    /// With all paths from `directory` on; without one they have to be whole.
    ///
    /// # Errors
    /// [`SpecError::Relative`].
    pub fn anchored(mut self, directory: Option<&Path>) -> Result<Self, SpecError> {
        let own = match &mut self.backend {
            Backend::File(path) | Backend::Unix(path) | Backend::Pty(Some(path)) => Some(path),
            _ => None,
        };
        for path in own.into_iter().chain(&mut self.log) {
            if path.is_relative() {
                let directory = directory.ok_or_else(|| SpecError::Relative(path.clone()))?;
                *path = directory.join(&*path);
            }
        }
        Ok(self)
    }

    /// What `chardev-change` takes to make it again. Links to terminals are made by us: only QEMU 9.2 and later does it.
    pub(super) fn to_qmp(&self) -> Value {
        let (kind, mut data) = match &self.backend {
            Backend::Null => ("null", json!({})),
            Backend::Stdio => ("stdio", json!({})),
            Backend::Ringbuf(None) => ("ringbuf", json!({})),
            Backend::Ringbuf(Some(size)) => ("ringbuf", json!({ "size": size })),
            Backend::File(path) => ("file", json!({ "out": path, "append": true })),
            Backend::Pty(_) => ("pty", json!({})),
            Backend::Udp { remote, local } => {
                let mut data = json!({ "remote": inet(remote) });
                if let Some(local) = local {
                    data["local"] = inet(local);
                }
                ("udp", data)
            }
            Backend::Unix(path) => ("socket", server(json!({ "type": "unix", "data": { "path": path } }))),
            Backend::Tcp { host, port } => ("socket", server(inet(&(host.clone(), port.clone())))),
        };
        if let Some(log) = &self.log {
            data["logfile"] = json!(log);
            data["logappend"] = json!(true);
        }
        json!({ "type": kind, "data": data })
    }

    /// Whether a backend of QEMU's type, with what QEMU calls its file name, is of this kind.
    pub(super) fn fits(&self, kind: &str, filename: &str) -> bool {
        let serves = |scheme: &str| {
            let place = filename.strip_prefix("disconnected:").unwrap_or(filename);
            kind == "chardev-socket" && place.starts_with(scheme) && place.contains(",server=on")
        };
        match &self.backend {
            Backend::Null => kind == "chardev-null",
            Backend::Stdio => kind == "chardev-stdio",
            Backend::Ringbuf(_) => matches!(kind, "chardev-ringbuf" | "chardev-memory"),
            Backend::File(_) => kind == "chardev-file",
            Backend::Pty(_) => kind == "chardev-pty",
            Backend::Udp { .. } => kind == "chardev-udp",
            Backend::Unix(_) => serves("unix:"),
            Backend::Tcp { .. } => serves("tcp:"),
        }
    }

    /// What is known without any record: nothing gets lost, or QEMU itself says all of it.
    pub(super) fn told(kind: &str, filename: &str) -> Option<Self> {
        let backend = match kind {
            "chardev-null" => Backend::Null,
            "chardev-stdio" => Backend::Stdio,
            "chardev-pty" => Backend::Pty(None),
            "chardev-ringbuf" => Backend::Ringbuf(None),
            "chardev-socket" => {
                let place = filename.strip_prefix("disconnected:").unwrap_or(filename);
                let path = place.strip_prefix("unix:")?.strip_suffix(",server=on")?;
                Backend::Unix(path.into())
            }
            _ => return None,
        };
        Self::plain(backend).anchored(None).ok()
    }
}

fn socket_backend(take: &mut impl FnMut(&str) -> Option<String>) -> Result<Backend, SpecError> {
    let is_on = |value: Option<String>| value.is_some_and(|value| matches!(value.as_str(), "on" | "yes" | "true"));
    let is_server = is_on(take("server"));
    // Waiting for a client would make QEMU wait now.
    for harmless in ["wait", "nowait", "nodelay", "delay"] {
        take(harmless);
    }
    for unsafe_to_lose in ["telnet", "websocket"] {
        if is_on(take(unsafe_to_lose)) {
            return Err(SpecError::Option(unsafe_to_lose.to_owned()));
        }
    }
    let backend = match (take("path"), take("host"), take("port")) {
        (Some(path), None, None) => Backend::Unix(path.into()),
        (None, host, Some(port)) => Backend::Tcp {
            host: host.unwrap_or_default(),
            port,
        },
        _ => return Err(SpecError::Form("socket without one address".to_owned())),
    };
    match is_server {
        true => Ok(backend),
        false => Err(SpecError::Client(Spec::plain(backend).to_string())),
    }
}

fn udp(places: &str) -> Result<Backend, SpecError> {
    let place = |text: &str| {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| SpecError::Form(text.to_owned()))?;
        Ok((host.to_owned(), port.to_owned()))
    };
    let (remote, local) = match places.split_once('@') {
        Some((remote, local)) => (remote, Some(place(local)?)),
        None => (places, None),
    };
    let (host, port) = place(remote)?;
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    Ok(Backend::Udp {
        remote: (host, port),
        local,
    })
}

fn inet((host, port): &(String, String)) -> Value {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    json!({ "type": "inet", "data": { "host": host, "port": port } })
}

fn server(address: Value) -> Value {
    json!({ "addr": address, "server": true, "wait": false })
}

/// QEMU's `a,b=c,d=e,,f`: two commas stand for one; what has no `=` is switched on, or off as `noNAME`.
pub(super) fn options(text: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, words.last_mut()) {
            (',', Some(word)) if letters.next_if_eq(&',').is_some() => word.push(','),
            (',', _) => words.push(String::new()),
            (letter, Some(word)) => word.push(letter),
            (_, None) => {}
        }
    }
    let mut words = words.into_iter();
    // The first may be a value alone.
    let first = words.next().map(|word| (word, String::new()));
    first
        .into_iter()
        .chain(words.filter(|word| !word.is_empty()).map(pair))
        .collect()
}

pub(super) fn pair(word: String) -> (String, String) {
    match word.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (word, "on".to_owned()),
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.backend {
            Backend::Null => f.write_str("null"),
            Backend::Stdio => f.write_str("stdio"),
            Backend::Ringbuf(_) => f.write_str("ringbuf"),
            Backend::File(path) => write!(f, "file:{}", path.display()),
            Backend::Pty(None) => f.write_str("pty"),
            Backend::Pty(Some(path)) => write!(f, "pty:{}", path.display()),
            Backend::Udp { remote, local: None } => write!(f, "udp:{}:{}", remote.0, remote.1),
            Backend::Udp {
                remote,
                local: Some(local),
            } => write!(f, "udp:{}:{}@{}:{}", remote.0, remote.1, local.0, local.1),
            Backend::Unix(path) => write!(f, "unix:{},server=on", path.display()),
            Backend::Tcp { host, port } => write!(f, "tcp:{host}:{port},server=on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serial_takes_is_read_and_said_the_same() {
        for text in [
            "null",
            "stdio",
            "ringbuf",
            "file:/var/log/web1.log",
            "file:/a,b=c",
            "pty",
            "pty:/run/web1.tty",
            "udp:10.0.0.1:514",
            "udp:localhost:514@127.0.0.1:99",
            "unix:/run/web1.sock,server=on",
            "tcp:127.0.0.1:4555,server=on",
            "tcp:[::1]:4555,server=on",
        ] {
            let spec = Spec::parse(text).expect(text);
            assert_eq!(spec.to_string(), text);
            let kept = serde_json::to_string(&spec).expect("json");
            assert_eq!(serde_json::from_str::<Spec>(&kept).expect("back"), spec);
        }
        let old = Spec::parse("unix:/a,,b,server,nowait").expect("old form");
        assert_eq!(old.backend, Backend::Unix("/a,b".into()));
    }

    #[test]
    fn what_cannot_be_put_back_is_said_by_name() {
        for (text, why) in [
            ("vc", "its backend `vc` cannot be put back"),
            ("mon:stdio", "its backend `mon` cannot be put back"),
            (
                "telnet:127.0.0.1:1,server=on",
                "its backend `telnet` cannot be put back",
            ),
            (
                "tcp:h:1,server=on,telnet=on",
                "its option `telnet` could not be put back",
            ),
            (
                "tcp:h:1,server=on,tls-creds=t",
                "its option `tls-creds` could not be put back",
            ),
            ("unix:/a", "its backend is a client of unix:/a,server=on, not a server"),
            ("file:", "`file:` has a form that is not known"),
            ("tcp:h", "`h` has a form that is not known"),
            ("", "its backend `` cannot be put back"),
        ] {
            assert_eq!(Spec::parse(text).expect_err(text).to_string(), why);
        }
        let relative = Spec::parse("file:a.log").expect("form");
        assert!(relative.clone().anchored(None).is_err());
        let whole = relative.anchored(Some(Path::new("/var"))).expect("whole");
        assert_eq!(whole.to_string(), "file:/var/a.log");
    }

    #[test]
    fn qemu_gets_back_what_it_had_and_appends() {
        let given = |text: &str| Spec::parse(text).expect(text).to_qmp();
        assert_eq!(
            given("file:/a"),
            json!({ "type": "file", "data": { "out": "/a", "append": true } })
        );
        assert_eq!(given("pty:/l"), json!({ "type": "pty", "data": {} }));
        let address = json!({ "type": "inet", "data": { "host": "::1", "port": "5" } });
        assert_eq!(
            given("tcp:[::1]:5,server=on"),
            json!({ "type": "socket", "data": { "addr": address, "server": true, "wait": false } })
        );
        let logged = [("path", "/a"), ("logfile", "/l")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let logged = Spec::from_options("file", &logged).expect("file").to_qmp();
        assert_eq!(logged["data"]["logfile"], "/l");
        assert_eq!(logged["data"]["logappend"], true);
    }

    #[test]
    fn a_record_has_to_fit_what_qemu_has_now() {
        let fits = |text: &str, kind, filename| Spec::parse(text).expect(text).fits(kind, filename);
        assert!(fits(
            "unix:/a,server=on",
            "chardev-socket",
            "disconnected:unix:/a,server=on"
        ));
        assert!(fits(
            "tcp:h:1,server=on",
            "chardev-socket",
            "tcp:127.0.0.1:1,server=on <-> 127.0.0.1:2"
        ));
        assert!(!fits(
            "tcp:h:1,server=on",
            "chardev-socket",
            "telnet:127.0.0.1:1,server=on"
        ));
        assert!(!fits(
            "unix:/a,server=on",
            "chardev-socket",
            "disconnected:fd:rdpmux-serial0"
        ));
        assert!(!fits("file:/a", "chardev-null", "null"));
        let told = |kind, filename| Spec::told(kind, filename).map(|spec| spec.to_string());
        assert_eq!(
            told("chardev-socket", "disconnected:unix:/a,server=on").as_deref(),
            Some("unix:/a,server=on")
        );
        assert_eq!(told("chardev-socket", "disconnected:unix:a,server=on"), None);
        assert_eq!(told("chardev-socket", "unix:/a"), None);
        assert_eq!(told("chardev-file", "file"), None);
    }
}
