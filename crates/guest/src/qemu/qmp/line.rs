//! One line of QMP as a type. QEMU's JSON is not trusted further than its shape.

use serde::Deserialize;
use serde_json::Value;

/// Longest line in bytes.
pub const MAX_LINE: usize = 1 << 20;

/// What QEMU said.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// The first line of a connection.
    Greeting(Version),
    /// A command succeeded.
    Return(Value),
    /// A command failed; the text is QEMU's.
    Error(String),
    /// Something happened to the machine.
    Event(String),
}

/// QEMU's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
    /// The third.
    pub micro: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// A line that is not QMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line is not qmp")]
pub struct NotQmp;

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "QMP")]
    greeting: Option<RawGreeting>,
    event: Option<String>,
    error: Option<RawError>,
    #[serde(rename = "return")]
    value: Option<Value>,
}

#[derive(Deserialize)]
struct RawGreeting {
    version: RawVersion,
}

#[derive(Deserialize)]
struct RawVersion {
    qemu: Version,
}

#[derive(Deserialize)]
struct RawError {
    desc: String,
}

/// Parses one line without its line feed.
///
/// # Errors
/// [`NotQmp`] if it is not JSON or not one of QMP's shapes.
pub fn parse(line: &[u8]) -> Result<Line, NotQmp> {
    let raw: Raw = serde_json::from_slice(line).map_err(|_| NotQmp)?;
    match raw {
        Raw {
            greeting: Some(greeting),
            ..
        } => Ok(Line::Greeting(greeting.version.qemu)),
        Raw { event: Some(name), .. } => Ok(Line::Event(name)),
        Raw { error: Some(error), .. } => Ok(Line::Error(error.desc)),
        Raw { value: Some(value), .. } => Ok(Line::Return(value)),
        _ => Err(NotQmp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_real_qemu_are_read() {
        let greeting = br#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}"#;
        let version = Version {
            major: 7,
            minor: 2,
            micro: 22,
        };
        assert_eq!(parse(greeting), Ok(Line::Greeting(version)));
        assert!(
            version
                < Version {
                    major: 10,
                    minor: 0,
                    micro: 0
                }
        );
        assert_eq!(parse(br#"{"return": {}}"#), Ok(Line::Return(serde_json::json!({}))));
        let event = br#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESET", "data": {"guest": false}}"#;
        assert_eq!(parse(event), Ok(Line::Event("RESET".to_owned())));
        let error = br#"{"error": {"class": "GenericError", "desc": "File descriptor named 'x' not found"}}"#;
        assert_eq!(
            parse(error),
            Ok(Line::Error("File descriptor named 'x' not found".to_owned()))
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for line in [
            "",
            "{}",
            "[]",
            "null",
            "{\"QMP\":{}}",
            "{\"event\":5}",
            "\u{0}",
            "{\"error\":{}}",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(NotQmp), "{line}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(parse(deep.as_bytes()), Err(NotQmp));
    }
}
