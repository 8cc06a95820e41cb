//! What an operator can ask, and the shape of the answers. A request is one line of JSON with a `do`; an answer is one
//! line with `ok` or `error`, after which come as many raw bytes as its `payload` says.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest request in bytes.
pub const MAX_LINE: usize = 64 << 10;
/// Chords in one request.
const MAX_CHORDS: usize = 64;
/// Bytes of typed text in one request.
const MAX_TEXT: usize = 32 << 10;

/// One request. Where a request has `as`, it is done only if that user's grants allow it; without it the operator asks,
/// who may do everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Press chords one after the other, then type a text. Needs `control`.
    Keys {
        /// The desktop.
        desktop: String,
        /// Chords such as `ctrl-alt-del`.
        #[serde(default)]
        chords: Vec<String>,
        /// A text to type.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// The guest's keyboard layout, for the text; without it the configured one, else `us`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        layout: Option<String>,
        /// On whose behalf.
        #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
    /// Switch the machine. Needs `power`.
    Power {
        /// One of its desktops.
        desktop: String,
        /// How.
        action: PowerWord,
        /// On whose behalf.
        #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
    /// The picture as PNG, in the payload. Needs `view`.
    Screenshot {
        /// The desktop.
        desktop: String,
        /// On whose behalf.
        #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
    /// The machine's streams: after the answer the connection speaks the protocol of docs/streams.md. Nothing may be sent
    /// before the answer. Needs a grant's `streams`.
    Streams {
        /// One of its desktops.
        desktop: String,
        /// On whose behalf.
        #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
        user: Option<String>,
    },
    /// The sessions: `ok` is a list of [`SessionLine`].
    Sessions {},
    /// Close sessions that match all that is given; `ok` is how many.
    Disconnect {
        /// That session, for example `s12`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<String>,
        /// All of that user.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// All of that desktop.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        desktop: Option<String>,
        /// Tell the client that it was logged off, not only disconnected.
        #[serde(default)]
        logoff: bool,
    },
}

/// What can be done to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerWord {
    /// Press the power button.
    Button,
    /// Reset the machine.
    Reset,
    /// Stop its processors.
    Pause,
    /// Let them run on.
    Resume,
}

/// One session in the answer to [`Request::Sessions`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionLine {
    /// Its name, for example `s12`.
    pub session: String,
    /// Who logged in.
    pub user: String,
    /// What it shows.
    pub desktop: String,
    /// Where the client is.
    pub peer: String,
    /// The client by its own words.
    pub client: String,
    /// `view`, `control`, `power`.
    pub rights: Vec<String>,
    /// The machine hears its microphone now.
    #[serde(default)]
    pub microphone: bool,
    /// Age in seconds.
    pub seconds: u64,
}

/// What the daemon answers. Just one of `ok` and `error` is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// It was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<Value>,
    /// It was not done, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// Bytes that follow the line.
    #[serde(default)]
    pub payload: usize,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs.
    pub kind: ProblemKind,
    /// For people.
    pub text: String,
}

/// Kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    /// It cannot be understood.
    BadRequest,
    /// There is no such desktop, or no such session.
    NotFound,
    /// The user that it was asked for may not.
    Denied,
    /// The machine cannot do it, or not now.
    Unavailable,
}

impl Answer {
    pub(super) fn ok(value: Value, payload: usize) -> Self {
        Self {
            ok: Some(value),
            error: None,
            payload,
        }
    }

    pub(super) fn error(problem: Problem) -> Self {
        Self {
            ok: None,
            error: Some(problem),
            payload: 0,
        }
    }
}

impl Problem {
    /// One of that kind, said in `text`.
    pub fn new(kind: ProblemKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
impl std::error::Error for Problem {}

impl Request {
    /// What the log says of it: never what was typed.
    pub(super) fn summary(&self) -> String {
        let behalf = |user: &Option<String>| user.as_ref().map(|user| format!(" as {user:?}")).unwrap_or_default();
        match self {
            Self::Keys {
                desktop,
                chords,
                text,
                user,
                ..
            } => {
                let characters = text.as_ref().map_or(0, |text| text.chars().count());
                let chords = chords.len();
                format!(
                    "{chords} chords and {characters} characters to {desktop:?}{}",
                    behalf(user)
                )
            }
            Self::Power { desktop, action, user } => format!("power {action:?} of {desktop:?}{}", behalf(user)),
            Self::Screenshot { desktop, user } => format!("screenshot of {desktop:?}{}", behalf(user)),
            Self::Streams { desktop, user } => format!("streams of {desktop:?}{}", behalf(user)),
            Self::Sessions {} => "list of sessions".to_owned(),
            Self::Disconnect {
                session, user, desktop, ..
            } => format!("disconnect session {session:?} user {user:?} desktop {desktop:?}"),
        }
    }
}

/// Reads one request without its line feed.
///
/// # Errors
/// [`Problem`] says what is wrong.
pub fn parse(line: &[u8]) -> Result<Request, Problem> {
    let wrong = |text: String| Problem::new(ProblemKind::BadRequest, text);
    if line.len() > MAX_LINE {
        return Err(wrong(format!("a request has {MAX_LINE} bytes at most")));
    }
    let request = serde_json::from_slice(line).map_err(|error| wrong(format!("this is no request: {error}")))?;
    match &request {
        Request::Keys { chords, text, .. } => {
            if chords.len() > MAX_CHORDS {
                return Err(wrong(format!("{MAX_CHORDS} chords at most, not {}", chords.len())));
            }
            if text.as_ref().is_some_and(|text| text.len() > MAX_TEXT) {
                return Err(wrong(format!("a text of {MAX_TEXT} bytes at most")));
            }
            if chords.is_empty() && text.as_ref().is_none_or(String::is_empty) {
                return Err(wrong("there is nothing to press and nothing to type".to_owned()));
            }
        }
        Request::Disconnect {
            session: None,
            user: None,
            desktop: None,
            ..
        } => return Err(wrong("say which sessions: a session, a user or a desktop".to_owned())),
        _ => {}
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_written_alike() {
        let lines = [
            r#"{"do":"keys","desktop":"web1","chords":["ctrl-alt-del"],"text":"a","as":"alice"}"#,
            r#"{"do":"power","desktop":"web1","action":"reset"}"#,
            r#"{"do":"screenshot","desktop":"web1"}"#,
            r#"{"do":"streams","desktop":"web1","as":"alice"}"#,
            r#"{"do":"sessions"}"#,
            r#"{"do":"disconnect","session":"s1","logoff":false}"#,
        ];
        for line in lines {
            let request = parse(line.as_bytes()).expect(line);
            assert_eq!(serde_json::to_string(&request).expect("serializes"), line);
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let deep = "[".repeat(50_000);
        let many = format!(r#"{{"do":"keys","desktop":"a","chords":[{}"a"]}}"#, "\"a\",".repeat(64));
        let long = format!(r#"{{"do":"keys","desktop":"a","text":"{}"}}"#, "x".repeat(MAX_TEXT + 1));
        let huge = " ".repeat(MAX_LINE + 1);
        for line in [
            "",
            "{}",
            "null",
            "[]",
            "\"sessions\"",
            r#"{"do":"quit"}"#,
            r#"{"do":"keys","desktop":"a"}"#,
            r#"{"do":"keys","desktop":"a","text":""}"#,
            r#"{"do":"keys","desktop":5,"text":"a"}"#,
            r#"{"do":"power","desktop":"a","action":"explode"}"#,
            r#"{"do":"disconnect"}"#,
            r#"{"do":"screenshot","desktop":"a","path":"/etc/passwd"}"#,
            &deep,
            &many,
            &long,
            &huge,
        ] {
            let problem = parse(line.as_bytes()).expect_err(line);
            assert_eq!(problem.kind, ProblemKind::BadRequest, "{line}");
        }
    }

    #[test]
    fn the_log_never_says_what_was_typed() {
        let request = parse(br#"{"do":"keys","desktop":"web1","chords":["s"],"text":"hunter2"}"#).expect("valid");
        assert_eq!(request.summary(), "1 chords and 7 characters to \"web1\"");
    }
}
