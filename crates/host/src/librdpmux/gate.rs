//! Who comes in at a machine's own port: the daemon's users by their grants, the users of a credential file, or everybody.
//! It may be changed while clients come; who is in stays in. At the shared port none of this counts.

use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use rdpmux_model::{ClipboardPolicy, DesktopName, Rights};
use rdpmux_server::streams::Visitor;
use rdpmux_server::{Accounts, DesktopHandle, Directory, Logins, NtHash, Streams};
use tracing::warn;

use crate::auth::Users;
use crate::registry::Board;

/// The gate of one machine.
pub(super) struct Gate {
    machine: DesktopName,
    board: Arc<Board>,
    /// The daemon's users.
    users: Arc<Users>,
    state: RwLock<State>,
}

struct State {
    required: bool,
    /// What stands for everybody's password while none is required: a client that was let in so comes back by its cookie
    /// only until one is. Nobody knows a password of that hash.
    mark: NtHash,
    /// Of the credential file, if one was named.
    file: Option<Arc<Users>>,
}

/// Who is believed now.
#[derive(Clone)]
enum Keys {
    Daemon(Arc<Users>),
    File(Arc<Users>),
    Nobodys(NtHash),
}

impl Gate {
    /// A gate for `machine`, with the users of a file in SAM form if one is named (the text is not empty), else with the
    /// daemon's; if nothing is `required`, for everybody.
    pub(super) fn new(machine: DesktopName, board: Arc<Board>, users: Arc<Users>, file: &str, required: bool) -> Self {
        let gate = Self {
            machine,
            board,
            users,
            state: RwLock::new(State {
                required,
                mark: fresh_mark(),
                file: None,
            }),
        };
        gate.set_file(file);
        gate.tell();
        gate
    }

    /// Whether a password is asked for.
    pub(super) fn is_required(&self) -> bool {
        self.state.read().required
    }

    /// Asks for passwords from now on, or no longer.
    pub(super) fn require(&self, required: bool) {
        let mut state = self.state.write();
        (state.required, state.mark) = (required, fresh_mark());
        drop(state);
        self.tell();
    }

    /// Takes the users of another file; of an empty name: the daemon's.
    pub(super) fn set_file(&self, file: &str) {
        let file = (!file.is_empty()).then(|| Arc::new(Users::from_sam(Path::new(file))));
        self.state.write().file = file;
    }

    fn tell(&self) {
        if !self.is_required() {
            warn!(machine = %self.machine, "ANYBODY who reaches this machine's own port may see and control it: no password is asked for there");
        }
    }

    fn keys(&self) -> Keys {
        let state = self.state.read();
        match &state.file {
            _ if !state.required => Keys::Nobodys(state.mark),
            Some(file) => Keys::File(file.clone()),
            None => Keys::Daemon(self.users.clone()),
        }
    }

    fn is_here(&self, desktop: &DesktopName) -> bool {
        desktop.vm().eq_ignore_ascii_case(self.machine.vm())
    }
}

fn fresh_mark() -> NtHash {
    let mut mark = [0; 16];
    getrandom::fill(&mut mark).expect("the kernel's random source is always there on Linux");
    NtHash(mark)
}

impl Accounts for Gate {
    fn nt_hash(&self, user: &str) -> Option<NtHash> {
        match self.keys() {
            Keys::Daemon(users) | Keys::File(users) => users.nt_hash(user),
            Keys::Nobodys(mark) => Some(mark),
        }
    }

    fn verify(&self, user: &str, password: &str) -> bool {
        match self.keys() {
            Keys::Daemon(users) | Keys::File(users) => users.verify(user, password),
            Keys::Nobodys(_) => {
                warn!(machine = %self.machine, user, "let in without a password, under a name that nobody proved");
                true
            }
        }
    }

    fn logins(&self, offered: Logins) -> Logins {
        match self.keys() {
            Keys::Daemon(_) => offered,
            Keys::File(_) => Logins::NLA,
            Keys::Nobodys(_) => Logins::TLS,
        }
    }
}

impl Directory for Gate {
    fn find(&self, name: &DesktopName) -> Option<DesktopHandle> {
        self.board.find(name).filter(|found| self.is_here(found.name()))
    }

    fn default_desktop(&self) -> Option<DesktopHandle> {
        self.board.find(&self.machine)
    }

    fn rights(&self, user: &str, desktop: &DesktopName) -> Rights {
        match self.keys() {
            Keys::Daemon(_) => self.board.rights(user, desktop),
            Keys::File(_) | Keys::Nobodys(_) if self.is_here(desktop) => Rights::CONTROL,
            Keys::File(_) | Keys::Nobodys(_) => Rights::default(),
        }
    }

    /// Who did not prove to be anybody gets nothing that others copied.
    fn clipboard(&self, user: &str, desktop: &DesktopName) -> ClipboardPolicy {
        match self.keys() {
            Keys::Daemon(_) => self.board.clipboard(user, desktop),
            Keys::File(_) => ClipboardPolicy::ALL,
            Keys::Nobodys(_) => ClipboardPolicy::NONE,
        }
    }

    /// Only the daemon's own users have grants.
    fn streams_for(&self, user: &str, desktop: &DesktopName) -> Option<(Streams, Visitor)> {
        match self.keys() {
            Keys::Daemon(_) => self.board.streams_for(user, desktop),
            Keys::File(_) | Keys::Nobodys(_) => None,
        }
    }
}
