//! The main loop: reads what the daemon says and hands it on, writes what waits, and finds the daemon again when it was
//! restarted. A plain poll over one socket and one eventfd.
//!
//! A daemon that closes the connection of a machine and lives on wants it to be closed; only another one is registered
//! with. Who is there says its unique name on the bus.

use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use rdpmux_wire::{v5, v6};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::bus;
use crate::feed::Answer;
use crate::link::{Address, Incoming, Link};
use crate::machine::{Error, Machine, Runner, farewell};
use crate::report;

/// Pauses between attempts to find a daemon.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

/// What the daemon said that is not for the program is answered here; the rest is handed to `take`. Returns when
/// [`Machine::stop`] was called, from another thread or from `take`.
///
/// # Errors
/// [`Error::Order`] if there was no connection yet, or a main loop runs already.
pub(crate) fn run(machine: &Machine, take: &mut dyn FnMut(Incoming)) -> Result<(), Error> {
    {
        let mut state = machine.lock();
        if state.runner != Runner::Nobody {
            return Err(Error::Order("the main loop runs already"));
        }
        if state.link.is_none() {
            return Err(Error::Order(
                "there is no connection yet: mux_connect comes before mux_mainloop",
            ));
        }
        state.runner = Runner::Thread(thread::current().id());
    }
    let _ended = Ended(machine);
    let mut search = Search::default();
    loop {
        let mut incoming = Vec::new();
        let is_up = match serve(machine, &mut incoming) {
            Served::Stopping => break,
            Served::Up => true,
            Served::Down => false,
        };
        for message in incoming {
            take(message);
        }
        if is_up {
            search = Search::default();
        } else {
            search.go_on(machine);
        }
        wait(machine, search.next);
    }
    let link = machine.lock().link.take();
    farewell(link);
    Ok(())
}

/// Lets others know that the loop is over, however it ends.
struct Ended<'a>(&'a Machine);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.runner = Runner::Nobody;
        state.lose_link();
        drop(state);
        self.0.ended.notify_all();
    }
}

enum Served {
    Stopping,
    Up,
    Down,
}

/// One turn with the daemon, without waiting.
fn serve(machine: &Machine, incoming: &mut Vec<Incoming>) -> Served {
    let mut state = machine.lock();
    if state.is_stopping {
        return Served::Stopping;
    }
    let Some(link) = &mut state.link else {
        return Served::Down;
    };
    let was_ready = link.is_ready();
    let result = link.flush().and_then(|()| link.receive(incoming));
    let is_ready = link.is_ready();
    incoming.retain(|message| !state.take_answer(message));
    if let Err(error) = result {
        state.lose_link();
        report::error(&error);
        return Served::Down;
    }
    if is_ready && !was_ready {
        state.introduce();
    }
    // What was answered or introduced is written in the next turn, which does not wait as long as something is to be.
    Served::Up
}

impl crate::machine::State {
    /// Takes what a message says of pictures; whether that was all of it.
    fn take_answer(&mut self, message: &Incoming) -> bool {
        match message {
            Incoming::Five(v5::ToGuest::UpdateComplete { success, rate }) => {
                let answer = if *success { Answer::CopiedOrRate } else { failed() };
                if let Some(head) = self.heads.get_mut(&0) {
                    head.feed.answered(answer, (*rate).into(), Instant::now());
                }
                true
            }
            Incoming::Six(v6::ToGuest::Complete {
                head,
                serial,
                success,
                rate,
            }) => {
                match self.heads.get_mut(head) {
                    Some(head) if head.serial == *serial => {
                        let answer = if *success { Answer::Copied } else { failed() };
                        head.feed.answered(answer, *rate, Instant::now());
                    }
                    Some(head) => head.feed.set_rate(*rate),
                    None => {}
                }
                true
            }
            Incoming::Five(_) | Incoming::Six(_) => false,
        }
    }
}

fn failed() -> Answer {
    report::error("the daemon cannot read the picture's memory; if it is not root, let its group (RDPMUX_GROUP)");
    Answer::Failed
}

/// Waits for the daemon, for a call that wakes, or until `next`.
fn wait(machine: &Machine, next: Option<Instant>) {
    let link = {
        let mut state = machine.lock();
        let Some(link) = &mut state.link else {
            drop(state);
            return wait_for(machine, None, next);
        };
        // What a handshake or a PING asks to be answered.
        let _ = link.flush();
        let events = if link.wants_to_write() {
            PollFlags::IN | PollFlags::OUT
        } else {
            PollFlags::IN
        };
        // A descriptor of its own: another thread may put another connection in the place of this one.
        link.as_fd().try_clone_to_owned().ok().map(|socket| (socket, events))
    };
    wait_for(machine, link, next);
}

fn wait_for(machine: &Machine, link: Option<(std::os::fd::OwnedFd, PollFlags)>, next: Option<Instant>) {
    let timeout = next.map(|next| timespec(next.saturating_duration_since(Instant::now())));
    let mut set = vec![PollFd::new(&machine.wake, PollFlags::IN)];
    set.extend(link.iter().map(|(socket, events)| PollFd::new(socket, *events)));
    // Interrupted or not: the loop looks itself.
    let _ = poll(&mut set, timeout.as_ref());
    let _ = rustix::io::read(&machine.wake, &mut [0u8; 8]);
}

/// Waits until a connection takes bytes, for `limit` at most.
pub(crate) fn wait_to_write(link: &Link, limit: Duration) {
    let _ = poll(&mut [PollFd::new(link, PollFlags::OUT)], Some(&timespec(limit)));
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// The search for a daemon while there is none.
#[derive(Default)]
struct Search {
    next: Option<Instant>,
    pause: Option<Duration>,
}

impl Search {
    /// Tries, if it is time to.
    fn go_on(&mut self, machine: &Machine) {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            return;
        }
        // Not at once: a daemon that ended needs a moment to be there again.
        if self.pause.is_some() && find(machine) {
            *self = Self::default();
            return;
        }
        let pause = self.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE));
        self.pause = Some(pause);
        self.next = Some(Instant::now() + pause);
    }
}

/// Looks for another daemon, registers with it and connects.
fn find(machine: &Machine) -> bool {
    let (registration, registered, address, features) = {
        let state = machine.lock();
        let registration = state.registration.clone();
        (
            registration,
            state.registered.clone(),
            state.address.clone(),
            state.features,
        )
    };
    let address = match (registration, registered) {
        (Some(registration), Some(known)) => {
            if bus::owner(&registration).is_ok_and(|owner| owner == known.owner) {
                return false;
            }
            match bus::register(&registration) {
                Ok(found) => {
                    let address = Address::parse(&found.path).ok();
                    machine.lock().registered = Some(found);
                    address
                }
                Err(_) => None,
            }
        }
        _ => address,
    };
    let Some(address) = address else { return false };
    let Ok(link) = Link::connect(&address, machine.uuid, features) else {
        return false;
    };
    machine.lock().put_link(address, link);
    true
}
