//! How the process ends: exit codes of `sysexits.h`, one message on standard error, and no panic unreported.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use rdpmux_client::ConnectError;
use rdpmux_host::admin::{CallError, Problem, ProblemKind};
use rdpmux_host::auth::UsersError;
use rdpmux_host::{CertificateError, ConfigError, StartError};

/// Wrong configuration or command line.
pub(crate) const CONFIGURATION: u8 = 64;
/// The address cannot be listened on, or what is asked for is not there.
const UNAVAILABLE: u8 = 69;
/// A bug.
const BUG: u8 = 70;
/// A file or terminal cannot be read or written.
const IO: u8 = 74;
/// The user may not.
const DENIED: u8 = 77;

/// A mistake in how the command was called, or in what it was given.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Usage {}

/// Runs the program and turns its outcome into an exit code.
pub(crate) fn guard(program: impl FnOnce() -> anyhow::Result<ExitCode>) -> ExitCode {
    match panic::catch_unwind(AssertUnwindSafe(program)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            if !crate::output::is_broken_pipe(&error) {
                eprintln!("rdpmux: {error:#}");
            }
            ExitCode::from(code(&error))
        }
        Err(_) => {
            eprintln!("rdpmux: this is a bug; please report it with the lines above");
            ExitCode::from(BUG)
        }
    }
}

fn code(error: &anyhow::Error) -> u8 {
    if error.is::<StartError>() {
        UNAVAILABLE
    } else if let Some(error) = error.downcast_ref::<CallError>() {
        call_code(error)
    } else if let Some(error) = error.downcast_ref::<ConnectError>() {
        connect_code(error)
    } else if error.is::<ConfigError>()
        || error.is::<CertificateError>()
        || error.is::<UsersError>()
        || error.is::<Usage>()
    {
        CONFIGURATION
    } else if error.chain().any(|cause| cause.is::<std::io::Error>()) {
        IO
    } else {
        BUG
    }
}

fn connect_code(error: &ConnectError) -> u8 {
    match error {
        ConnectError::Io { .. } | ConnectError::Tls { .. } | ConnectError::Protocol { .. } => UNAVAILABLE,
        ConnectError::Fingerprint { .. }
        | ConnectError::Untrusted { .. }
        | ConnectError::Login { .. }
        | ConnectError::Ended(_)
        | ConnectError::NotOffered { .. } => DENIED,
    }
}

fn call_code(error: &CallError) -> u8 {
    match error {
        CallError::NoDaemon(_) | CallError::Strange(_) => UNAVAILABLE,
        CallError::Io { .. } => IO,
        CallError::Refused(Problem { kind, .. }) => match kind {
            ProblemKind::BadRequest => CONFIGURATION,
            ProblemKind::NotFound | ProblemKind::Unavailable => UNAVAILABLE,
            ProblemKind::Denied => DENIED,
        },
    }
}
