//! Which discovered machines there are, from what each scan found. Pure: time and viewers come in, changes go out.
//!
//! ```text
//!   (none) --found--> present --not found--> missing --30 s without viewers--> (none)
//!                        ^----------found---------'
//! ```
//! A socket that vanished keeps its desktop for a while: QEMU may come back, and viewers stay and see a card.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdpmux_model::DesktopName;

/// How long a machine without socket and viewers is kept.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// What a scan means for the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Add {
        name: DesktopName,
        socket: PathBuf,
    },
    Remove {
        name: DesktopName,
    },
    /// The file is left alone; said once per file.
    Refuse {
        socket: PathBuf,
        why: &'static str,
    },
}

#[derive(Debug, Default)]
pub(super) struct Roster {
    machines: HashMap<DesktopName, Entry>,
    /// Names of the configuration, which discovery never takes.
    reserved: HashSet<DesktopName>,
    refused: HashSet<PathBuf>,
}

#[derive(Debug)]
struct Entry {
    socket: PathBuf,
    missing_since: Option<Instant>,
}

impl Roster {
    pub(super) fn new(reserved: impl IntoIterator<Item = DesktopName>) -> Self {
        Self {
            reserved: reserved.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Takes the sockets of one scan. `viewers` tells how many look at a machine now.
    pub(super) fn reconcile(
        &mut self,
        found: &[PathBuf],
        now: Instant,
        viewers: impl Fn(&DesktopName) -> usize,
    ) -> Vec<Change> {
        self.refused.retain(|socket| found.contains(socket));
        let mut changes: Vec<Change> = found.iter().filter_map(|socket| self.appear(socket)).collect();
        self.machines.retain(|name, entry| {
            if found.contains(&entry.socket) {
                entry.missing_since = None;
                return true;
            }
            if viewers(name) > 0 {
                entry.missing_since = Some(now);
                return true;
            }
            let since = *entry.missing_since.get_or_insert(now);
            let keep = now.saturating_duration_since(since) < GRACE;
            if !keep {
                changes.push(Change::Remove { name: name.clone() });
            }
            keep
        });
        changes
    }

    fn appear(&mut self, socket: &Path) -> Option<Change> {
        if self.refused.contains(socket) {
            return None;
        }
        let stem = socket.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let refusal = match DesktopName::new(stem) {
            Ok(name) if self.reserved.contains(&name) => "a [[vm]] of the configuration has that name",
            Ok(name) => match self.machines.get(&name) {
                Some(entry) if entry.socket == socket => return None,
                Some(_) => "another discovered socket has that name",
                None => {
                    self.machines.insert(
                        name.clone(),
                        Entry {
                            socket: socket.to_owned(),
                            missing_since: None,
                        },
                    );
                    return Some(Change::Add {
                        name,
                        socket: socket.to_owned(),
                    });
                }
            },
            Err(_) => "its name cannot name a desktop",
        };
        self.refused.insert(socket.to_owned());
        Some(Change::Refuse {
            socket: socket.to_owned(),
            why: refusal,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DesktopName {
        DesktopName::new(text).expect("valid")
    }

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| Path::new("/vm").join(name)).collect()
    }

    fn add(text: &str) -> Change {
        Change::Add {
            name: name(text),
            socket: Path::new("/vm").join(format!("{text}.qmp")),
        }
    }

    #[test]
    fn machines_come_once_and_go_after_the_grace() {
        let start = Instant::now();
        let mut roster = Roster::default();
        let nobody = |_: &DesktopName| 0;
        assert_eq!(
            roster.reconcile(&paths(&["a.qmp", "b.qmp"]), start, nobody),
            [add("a"), add("b")]
        );
        assert_eq!(roster.reconcile(&paths(&["a.qmp", "b.qmp"]), start, nobody), []);
        assert_eq!(roster.reconcile(&paths(&["a.qmp"]), start, nobody), []);
        let almost = start + GRACE - Duration::from_millis(1);
        assert_eq!(roster.reconcile(&paths(&["a.qmp"]), almost, nobody), []);
        assert_eq!(
            roster.reconcile(&paths(&["a.qmp"]), start + GRACE, nobody),
            [Change::Remove { name: name("b") }]
        );
        assert_eq!(
            roster.reconcile(&paths(&["a.qmp", "b.qmp"]), start + GRACE, nobody),
            [add("b")]
        );
    }

    #[test]
    fn a_socket_that_returns_in_time_keeps_its_machine() {
        let start = Instant::now();
        let mut roster = Roster::default();
        let nobody = |_: &DesktopName| 0;
        roster.reconcile(&paths(&["a.qmp"]), start, nobody);
        roster.reconcile(&[], start + GRACE, nobody);
        assert_eq!(roster.reconcile(&paths(&["a.qmp"]), start + GRACE * 3 / 2, nobody), []);
        assert_eq!(
            roster.reconcile(&[], start + GRACE * 2, nobody),
            [],
            "the grace starts anew"
        );
    }

    #[test]
    fn viewers_keep_a_machine_whose_socket_is_gone() {
        let start = Instant::now();
        let mut roster = Roster::default();
        roster.reconcile(&paths(&["a.qmp"]), start, |_| 0);
        for minutes in 0..10 {
            let now = start + Duration::from_secs(60 * minutes);
            assert_eq!(roster.reconcile(&[], now, |_| 1), []);
        }
        let left = start + Duration::from_secs(540);
        assert_eq!(roster.reconcile(&[], left + GRACE / 2, |_| 0), []);
        assert_eq!(
            roster.reconcile(&[], left + GRACE, |_| 0),
            [Change::Remove { name: name("a") }]
        );
    }

    #[test]
    fn files_that_cannot_be_machines_are_refused_once() {
        let start = Instant::now();
        let mut roster = Roster::new([name("web1")]);
        let found = paths(&["WEB1.qmp", "a b.qmp", "c.qmp", "c.sock"]);
        let changes = roster.reconcile(&found, start, |_| 0);
        let refused = changes
            .iter()
            .filter(|change| matches!(change, Change::Refuse { .. }))
            .count();
        assert_eq!((refused, changes.len()), (3, 4));
        assert_eq!(roster.reconcile(&found, start, |_| 0), []);
    }
}
