//! What to do with each character device of a machine: pure, from what QEMU shows, what was recorded and what is wanted.

use std::collections::BTreeMap;

use rdpmux_streams::Kind;

use super::command_line::Said;
use super::spec::{Backend, Spec};
use crate::qemu::chardev::front::Front;

/// A character device as QEMU shows it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) label: String,
    /// QEMU's type of its backend.
    pub(super) backend: String,
    pub(super) filename: String,
    /// The guest has its end open.
    pub(super) is_open: bool,
    /// Name of the descriptor that it was given, if it is a socket that was.
    pub(super) descriptor: Option<String>,
    /// The device that uses it.
    pub(super) front: Option<Front>,
}

/// How we call the descriptor that a device is given: whatever happens to us, QEMU says it.
pub(super) fn descriptor_name(label: &str) -> String {
    format!("rdpmux-{label}")
}

impl Seen {
    /// It has, or had, its other end here.
    pub(super) fn is_ours(&self) -> bool {
        self.descriptor.as_deref() == Some(&descriptor_name(&self.label))
    }
}

/// What to do with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing.
    Leave,
    /// Nothing, although it is wanted: why.
    Refuse(String),
    /// Take it over; it is put back as that.
    Take(Spec),
    /// A crash left it without its other end, and nobody wants it now.
    PutBack(Spec),
}

/// What is known besides.
pub(super) struct Known<'a> {
    /// Whether a label is to be taken over.
    pub(super) is_wanted: &'a dyn Fn(&str) -> bool,
    /// What the operator said.
    pub(super) restore: &'a BTreeMap<String, Spec>,
    /// What was taken over before.
    pub(super) journal: &'a BTreeMap<String, Spec>,
    /// QEMU's command line.
    pub(super) said: &'a Said,
}

pub(super) fn plan(seen: &Seen, known: &Known<'_>) -> Plan {
    let is_wanted = (known.is_wanted)(&seen.label) && !is_never(seen);
    if seen.is_ours() {
        return match known.journal.get(&seen.label).or(known.restore.get(&seen.label)) {
            Some(spec) if is_wanted => Plan::Take(spec.clone()),
            Some(spec) => Plan::PutBack(spec.clone()),
            None => Plan::Refuse(format!(
                "it was taken over once, and what it was before is not known; {}",
                advice(&seen.label)
            )),
        };
    }
    if !is_wanted {
        return Plan::Leave;
    }
    match record(seen, known) {
        Ok(spec) => Plan::Take(spec),
        Err(why) => Plan::Refuse(why),
    }
}

/// Monitors, agents, and what has a better way already. `vc` is D-Bus with the display that we use.
fn is_never(seen: &Seen) -> bool {
    let is_agent = seen.front.as_ref().is_some_and(Front::is_private);
    let is_other = matches!(
        seen.backend.as_str(),
        "chardev-dbus" | "chardev-vc" | "chardev-spicevmc" | "chardev-spiceport"
    );
    seen.front.is_none() || is_agent || is_other
}

fn record(seen: &Seen, known: &Known<'_>) -> Result<Spec, String> {
    let label = &seen.label;
    let backend = seen.backend.strip_prefix("chardev-").unwrap_or(&seen.backend);
    if let Some(spec) = known.restore.get(label) {
        let fits = spec.fits(&seen.backend, &seen.filename);
        return fits
            .then(|| spec.clone())
            .ok_or_else(|| format!("restore.{label} says {spec}, but it is {} now", seen.filename));
    }
    match known.said.get(label) {
        Some(Ok(spec)) if spec.fits(&seen.backend, &seen.filename) => return Ok(spec.clone()),
        Some(Err(why)) => return Err(why.to_string()),
        _ => {}
    }
    let told = Spec::told(&seen.backend, &seen.filename);
    told.ok_or_else(|| {
        let what = match backend {
            "file" => "its file is not known".to_owned(),
            "udp" => "where its datagrams go is not known".to_owned(),
            "socket" => format!("its socket {} cannot be put back", seen.filename),
            other => return format!("its backend `{other}` cannot be put back"),
        };
        format!("{what}; {}", advice(label))
    })
}

fn advice(label: &str) -> String {
    format!("write restore.{label} = \"file:PATH\", or what it is")
}

/// Virtio ports can only be changed while the machine runs, all others without a stall only while it does not.
pub(super) fn is_stopped_for(seen: &Seen) -> bool {
    !seen
        .front
        .as_ref()
        .is_some_and(|front| matches!(front.kind, Kind::Console | Kind::Port))
}

/// Where a terminal can be found, if nobody said.
pub(super) fn with_link(spec: &Spec, link: std::path::PathBuf) -> Spec {
    match spec.backend {
        Backend::Pty(None) => Spec {
            backend: Backend::Pty(Some(link)),
            log: spec.log.clone(),
        },
        _ => spec.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(backend: &str, filename: &str) -> Seen {
        Seen {
            label: "serial0".to_owned(),
            backend: backend.to_owned(),
            filename: filename.to_owned(),
            is_open: true,
            descriptor: None,
            front: Some(Front {
                kind: Kind::Serial,
                port: None,
            }),
        }
    }

    fn planned(seen: &Seen, restore: Option<&str>, journal: Option<&str>, is_wanted: bool) -> Plan {
        let kept = |text: Option<&str>| {
            let spec = text.map(|text| Spec::parse(text).expect(text));
            spec.map(|spec| (seen.label.clone(), spec)).into_iter().collect()
        };
        let (restore, journal): (BTreeMap<_, _>, BTreeMap<_, _>) = (kept(restore), kept(journal));
        let known = Known {
            is_wanted: &|_| is_wanted,
            restore: &restore,
            journal: &journal,
            said: &Said::new(),
        };
        plan(seen, &known)
    }

    #[test]
    fn only_what_can_be_put_back_is_taken() {
        let take = |text: &str| Plan::Take(Spec::parse(text).expect(text));
        let null = seen("chardev-null", "null");
        assert_eq!(planned(&null, None, None, true), take("null"));
        assert_eq!(planned(&null, None, None, false), Plan::Leave);
        let file = seen("chardev-file", "file");
        let advice = "write restore.serial0 = \"file:PATH\", or what it is";
        let unknown = Plan::Refuse(format!("its file is not known; {advice}"));
        assert_eq!(planned(&file, None, None, true), unknown);
        assert_eq!(planned(&file, Some("file:/l"), None, true), take("file:/l"));
        let other = Plan::Refuse("restore.serial0 says pty, but it is file now".to_owned());
        assert_eq!(planned(&file, Some("pty"), None, true), other);
        let mux = Plan::Refuse("its backend `mux` cannot be put back".to_owned());
        assert_eq!(planned(&seen("chardev-mux", "mux"), None, None, true), mux);
    }

    #[test]
    fn monitors_agents_and_what_d_bus_has_are_never_touched() {
        let monitor = Seen {
            front: None,
            ..seen("chardev-null", "null")
        };
        let agent = Seen {
            front: Some(Front {
                kind: Kind::Port,
                port: Some("org.qemu.guest_agent.0".to_owned()),
            }),
            ..seen("chardev-null", "null")
        };
        for never in [monitor, agent, seen("chardev-dbus", "dbus"), seen("chardev-vc", "vc")] {
            assert_eq!(planned(&never, Some("null"), None, true), Plan::Leave, "{never:?}");
        }
    }

    #[test]
    fn what_a_crash_left_is_taken_again_or_put_back_as_the_journal_says() {
        let left = Seen {
            descriptor: Some("rdpmux-serial0".to_owned()),
            ..seen("chardev-socket", "disconnected:fd:rdpmux-serial0")
        };
        let spec = Spec::parse("file:/l").expect("spec");
        let journal = Some("file:/l");
        assert_eq!(planned(&left, None, journal, true), Plan::Take(spec.clone()));
        assert_eq!(planned(&left, None, journal, false), Plan::PutBack(spec.clone()));
        assert_eq!(planned(&left, journal, None, true), Plan::Take(spec));
        assert!(matches!(planned(&left, None, None, true), Plan::Refuse(why) if why.contains("once")));
    }
}
