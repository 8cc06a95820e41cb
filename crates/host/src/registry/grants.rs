//! Who may do what: grants by patterns, added up, and the desktop for clients that name none.

use rdpmux_model::{DesktopName, Rights};

use crate::pattern::Pattern;

/// Rights on some machines for some users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Names of users.
    pub users: Vec<Pattern>,
    /// Names of machines; all heads of a machine go together.
    pub vms: Vec<Pattern>,
    /// What they may do.
    pub rights: Rights,
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
        let matching =
            |grant: &&Grant| grant.users.iter().any(|pattern| pattern.matches(user)) && grant.covers(desktop.vm());
        self.grants
            .iter()
            .filter(matching)
            .fold(Rights::default(), |sum, grant| Rights {
                view: sum.view || grant.rights.view,
                control: sum.control || grant.rights.control,
                power: sum.power || grant.rights.power,
                sound: sum.sound.max(grant.rights.sound),
                resize: sum.resize || grant.rights.resize,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(users: &[&str], vms: &[&str], rights: Rights) -> Grant {
        let patterns = |list: &[&str]| list.iter().map(|text| Pattern::new(*text)).collect();
        Grant {
            users: patterns(users),
            vms: patterns(vms),
            rights,
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
