//! Who may do what: grants by patterns, added up, and the desktop for clients that name none.

use rdpmux_model::{ClipboardPolicy, DesktopName, Pattern, Rights};
use rdpmux_streams::Kind;

/// Rights on some machines for some users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Names of users.
    pub users: Vec<Pattern>,
    /// Names of machines; all heads of a machine go together.
    pub vms: Vec<Pattern>,
    /// What they may do.
    pub rights: Rights,
    /// What they may do with the clipboard; nothing without control.
    pub clipboard: ClipboardPolicy,
    /// What they may do with its streams.
    pub streams: StreamGrant,
}

/// What users may do with a machine's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamGrant {
    /// On its serial ports and consoles.
    pub rights: rdpmux_streams::Rights,
    /// And on its other streams: ports of programs, QEMU's monitor.
    pub all: bool,
}

impl StreamGrant {
    /// None of them is even listed.
    pub const NONE: Self = Self {
        rights: rdpmux_streams::Rights::NONE,
        all: false,
    };
}

impl Grant {
    /// Whether it is about that machine.
    pub fn covers(&self, vm: &str) -> bool {
        self.vms.iter().any(|pattern| pattern.matches(vm))
    }
}

/// What the operator decided: it may be replaced while the daemon runs.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// All grants; a user's rights are the sum of those that match.
    pub grants: Vec<Grant>,
    /// Desktop for clients that name none.
    pub default_desktop: Option<DesktopName>,
}

impl Policy {
    /// What `user` may do with `desktop`; nothing without a grant.
    pub fn rights(&self, user: &str, desktop: &DesktopName) -> Rights {
        self.matching(user, desktop)
            .fold(Rights::default(), |sum, grant| Rights {
                view: sum.view || grant.rights.view,
                control: sum.control || grant.rights.control,
                power: sum.power || grant.rights.power,
                sound: sum.sound.max(grant.rights.sound),
                resize: sum.resize || grant.rights.resize,
            })
    }

    /// What `user` may do with the clipboard of the desktop's machine. A grant to see only brings nothing.
    pub fn clipboard(&self, user: &str, desktop: &DesktopName) -> ClipboardPolicy {
        self.matching(user, desktop)
            .filter(|grant| grant.rights.control)
            .fold(ClipboardPolicy::NONE, |sum, grant| sum.or(grant.clipboard))
    }

    /// What `user` may do with streams of a kind of the desktop's machine.
    pub fn streams(&self, user: &str, desktop: &DesktopName, kind: Kind) -> rdpmux_streams::Rights {
        let is_usual = matches!(kind, Kind::Serial | Kind::Console | Kind::Log);
        self.matching(user, desktop)
            .filter(|grant| is_usual || grant.streams.all)
            .fold(rdpmux_streams::Rights::NONE, |sum, grant| {
                sum.with(grant.streams.rights)
            })
    }

    fn matching<'a>(&'a self, user: &'a str, desktop: &'a DesktopName) -> impl Iterator<Item = &'a Grant> {
        let is_for = |grant: &Grant| grant.users.iter().any(|pattern| pattern.matches(user));
        self.grants
            .iter()
            .filter(move |grant| is_for(grant) && grant.covers(desktop.vm()))
    }
}

#[cfg(test)]
mod tests {
    use rdpmux_model::ClipboardKinds;

    use super::*;

    fn grant(users: &[&str], vms: &[&str], rights: Rights) -> Grant {
        let patterns = |list: &[&str]| list.iter().map(|text| Pattern::new(*text)).collect();
        Grant {
            users: patterns(users),
            vms: patterns(vms),
            rights,
            clipboard: ClipboardPolicy::ALL,
            streams: StreamGrant::NONE,
        }
    }

    #[test]
    fn the_clipboard_comes_with_control_and_adds_up_per_direction() {
        let one_way = |inward, outward, vms: &[&str]| Grant {
            clipboard: ClipboardPolicy {
                inward,
                outward,
                limit: 1,
            },
            ..grant(&["alice"], vms, Rights::CONTROL)
        };
        let (all, none) = (ClipboardKinds::ALL, ClipboardKinds::NONE);
        let policy = Policy {
            grants: vec![
                grant(&["*"], &["*"], Rights::VIEW),
                one_way(all, none, &["web*"]),
                one_way(none, all, &["web2"]),
            ],
            default_desktop: None,
        };
        let clipboard = |user, desktop| policy.clipboard(user, &DesktopName::new(desktop).expect("valid"));
        assert_eq!(
            clipboard("bob", "web1"),
            ClipboardPolicy::NONE,
            "who only sees takes nothing"
        );
        let web1 = clipboard("alice", "web1");
        assert_eq!((web1.inward, web1.outward), (all, none));
        let web2 = clipboard("alice", "web2");
        assert_eq!((web2.inward, web2.outward), (all, all));
    }

    #[test]
    fn streams_are_granted_apart_from_the_screen_and_by_kind() {
        let watch = rdpmux_streams::Rights::WATCH;
        let to = |users: &[&str], rights, all| Grant {
            streams: StreamGrant { rights, all },
            ..grant(users, &["web*"], Rights::VIEW)
        };
        let policy = Policy {
            grants: vec![
                grant(&["*"], &["*"], Rights::POWER),
                to(&["alice", "bob"], watch, false),
                to(&["bob"], rdpmux_streams::Rights::WRITE, false),
                to(&["root"], rdpmux_streams::Rights::ALL, true),
            ],
            default_desktop: None,
        };
        let streams = |user, desktop, kind| policy.streams(user, &DesktopName::new(desktop).expect("valid"), kind);
        assert_eq!(streams("alice", "web1", Kind::Serial), watch);
        assert_eq!(streams("root", "web1", Kind::Monitor), rdpmux_streams::Rights::ALL);
        assert_eq!(
            streams("bob", "web1/1", Kind::Console),
            watch.with(rdpmux_streams::Rights::WRITE)
        );
        for (user, desktop, kind) in [
            ("carol", "web1", Kind::Serial),
            ("bob", "db1", Kind::Serial),
            ("bob", "web1", Kind::Monitor),
            ("bob", "web1", Kind::Port),
            ("root", "db1", Kind::Monitor),
        ] {
            assert_eq!(
                streams(user, desktop, kind),
                rdpmux_streams::Rights::NONE,
                "{user} {desktop}"
            );
        }
    }

    #[test]
    fn rights_of_all_matching_grants_add_up_and_all_else_is_nothing() {
        let policy = Policy {
            grants: vec![
                grant(&["*"], &["lobby"], Rights::VIEW),
                grant(&["alice", "op-*"], &["web*"], Rights::CONTROL),
                grant(&["bob"], &["*"], Rights::VIEW),
                grant(&["op-*"], &["*"], Rights::POWER),
            ],
            default_desktop: None,
        };
        let rights = |user, desktop| policy.rights(user, &DesktopName::new(desktop).expect("valid"));
        assert_eq!(rights("Alice", "WEB1"), Rights::CONTROL);
        assert_eq!(
            rights("op-7", "web2/1"),
            Rights {
                power: true,
                ..Rights::CONTROL
            },
            "a further head goes with its machine"
        );
        assert_eq!(rights("bob", "web1"), Rights::VIEW);
        assert_eq!(rights("mallory", "lobby"), Rights::VIEW);
        assert_eq!(rights("mallory", "web1"), Rights::default());
        assert_eq!(rights("alice", "db1"), Rights::default());
        assert_eq!(
            Policy::default().rights("alice", &DesktopName::new("web1").expect("valid")),
            Rights::default()
        );
    }
}
