//! What a test holds of a guest: its task and heads, with waits that have limits.

use std::collections::BTreeMap;
use std::time::Duration;

use rdpmux_guest::{GuestEvent, GuestSpec, GuestTask, HeadPort, Notice, spawn};
use rdpmux_model::{HeadState, InputEvent, Scancode, Size};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longest wait for anything. The machine that tests run on may be busy.
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct Viewer {
    /// Ends the backend with the viewer.
    pub task: GuestTask,
    pub heads: BTreeMap<u32, HeadPort>,
    pub name: Option<String>,
    pub notices: Vec<Notice>,
    events: mpsc::Receiver<GuestEvent>,
}

impl Viewer {
    pub async fn of(spec: GuestSpec) -> Self {
        let (sender, events) = mpsc::channel(64);
        let mut viewer = Self {
            task: spawn(spec, "web1".to_owned(), sender),
            heads: BTreeMap::new(),
            name: None,
            notices: Vec::new(),
            events,
        };
        viewer
            .until_event("head 0", |viewer| viewer.heads.contains_key(&0))
            .await;
        viewer
    }

    pub fn head(&mut self) -> &mut HeadPort {
        self.heads.get_mut(&0).expect("head 0 stays")
    }

    pub async fn until_event(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        while !done(self) {
            let event = timeout(LIMIT, self.events.recv()).await;
            match event
                .unwrap_or_else(|_| panic!("no {what} in time"))
                .expect("the backend runs")
            {
                GuestEvent::HeadAdded(port) => drop(self.heads.insert(port.index, port)),
                GuestEvent::HeadRemoved { index } => drop(self.heads.remove(&index)),
                GuestEvent::Identified { name, .. } => self.name = name,
                GuestEvent::StreamAdded(_) => {}
                GuestEvent::Notice(notice) => self.notices.push(notice),
            }
        }
    }

    /// Waits until head 0's state is as wanted.
    pub async fn until_state(&mut self, what: &str, done: impl FnMut(&HeadState) -> bool) {
        let state = &mut self.head().state;
        let waited = timeout(LIMIT, state.wait_for(done)).await.map(|found| found.is_ok());
        assert!(
            matches!(waited, Ok(true)),
            "not {what} in time, but {:?}",
            *self.head().state.borrow()
        );
    }

    /// Waits until head 0's picture is as wanted.
    pub async fn until_picture(&mut self, what: &str, mut done: impl FnMut(Size, &[u8]) -> bool) {
        let head = self.head();
        let waited = timeout(LIMIT, async {
            loop {
                head.frames.borrow_and_update();
                let (size, pixels) = head.surface.snapshot();
                if done(size, &pixels) {
                    return;
                }
                // A look now and then besides: what is compared with may change too.
                let _ = timeout(Duration::from_millis(200), head.frames.changed()).await;
            }
        });
        assert!(waited.await.is_ok(), "no {what} in time; size {}", head.surface.size());
    }

    pub async fn press(&mut self, code: u8, extended: bool) {
        let scancode = Scancode::new(code, extended).expect("a valid code");
        for down in [true, false] {
            let event = InputEvent::Key { scancode, down };
            self.head().input.send(event).await.expect("the backend runs");
        }
    }
}
