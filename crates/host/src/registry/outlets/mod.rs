//! Where a machine's streams go besides to their clients: into files, and to a Unix socket each for programs that know
//! nothing of rdpmux (socat, screen, conserver). Both are clients of the stream as any other; a socket's types, too.

mod record;
mod socket;

use std::collections::HashMap;
use std::path::PathBuf;

use rdpmux_server::Streams;
use rdpmux_server::streams::{Local, Said, Visitor};
use rdpmux_streams::hub::Label;
use rdpmux_streams::{Kind, Replay, Rights, Text};
use time::OffsetDateTime;
use tracing::{info, warn};

pub use record::Records;

use crate::task::TaskGuard;
use record::Record;

/// What all machines have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlets {
    /// Files of what was said; `None`: none.
    pub records: Option<Records>,
    /// The directory of the sockets; `None`: none.
    pub sockets: Option<PathBuf>,
}

/// The outlets of one machine's streams. Dropping it closes them.
pub(super) struct Opened {
    outlets: Outlets,
    streams: Streams,
    vm: String,
    by_stream: HashMap<Text<'static>, Vec<TaskGuard>>,
}

impl Opened {
    pub(super) fn new(outlets: Outlets, streams: Streams, vm: &str) -> Self {
        Self {
            outlets,
            streams,
            vm: vm.to_owned(),
            by_stream: HashMap::new(),
        }
    }

    /// Brings them up to date with the streams that there are.
    pub(super) fn fit(&mut self, labels: &[Label]) {
        self.by_stream
            .retain(|name, _| labels.iter().any(|label| label.name == *name));
        for label in labels {
            if !self.by_stream.contains_key(&label.name) {
                let tasks = self.open(label);
                self.by_stream.insert(label.name.clone(), tasks);
            }
        }
    }

    fn open(&self, label: &Label) -> Vec<TaskGuard> {
        let mut tasks = Vec::new();
        // A file that is read already is on disk, and QEMU's monitor is told passwords.
        let is_recorded = !matches!(label.kind, Kind::Log | Kind::Monitor);
        if let Some(records) = self.outlets.records.as_ref().filter(|_| is_recorded) {
            let record = Record::new(records, &self.vm, label.name.as_str());
            let visitor = Visitor {
                who: Text::cleaned("record"),
                rights: Box::new(|_| Rights::WATCH.with(Rights::HISTORY)),
            };
            let watching = Local::open(&self.streams, label.name.clone(), Replay::From(0), visitor);
            tasks.push(TaskGuard::spawn(keep(record, watching)));
        }
        if let Some(dir) = &self.outlets.sockets {
            let path = dir
                .join(record::escaped(&self.vm))
                .join(record::escaped(label.name.as_str()));
            let serving = socket::serve(path, self.streams.clone(), label.name.clone());
            tasks.push(TaskGuard::spawn(serving));
        }
        tasks
    }
}

/// Writes what a stream says into its record until the stream ends.
async fn keep(mut record: Record, mut stream: Local) {
    info!(file = %record.path().display(), "stream is recorded");
    let mut was_told = false;
    while let Some(said) = stream.next().await {
        let bytes = match said {
            Said::Output { bytes, .. } => bytes,
            Said::Missing(bytes) => {
                record.missed(bytes);
                continue;
            }
            Said::Writer { .. } | Said::Taken => continue,
            Said::Ended(_) => return,
        };
        let at = OffsetDateTime::now_utc();
        // A disk may be slow.
        let written = tokio::task::spawn_blocking(move || {
            let written = record.write(at, &bytes);
            (record, written)
        });
        let Ok((back, written)) = written.await else { return };
        record = back;
        match written {
            Ok(()) => was_told = false,
            Err(error) if !was_told => {
                warn!(file = %record.path().display(), %error, "a stream's record cannot be written; it is tried again");
                was_told = true;
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
