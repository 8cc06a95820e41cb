//! The thread that hands input to the program's handler.

use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;
use rdpmux_model::InputEvent;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::input::{RdpServerInputHandler, deliver};
use super::oversight::Calls;

/// The program's input handler: one thread calls it at a time.
pub(super) type Hands = Arc<Mutex<Box<dyn RdpServerInputHandler>>>;

/// Starts the thread; it ends when the sender is dropped and the handler has returned.
pub(super) fn start(hands: &Hands, calls: Calls) -> std::io::Result<mpsc::Sender<InputEvent>> {
    let (sender, mut events) = mpsc::channel(QUEUE);
    let (hands, runtime) = (Arc::clone(hands), Handle::current());
    thread::Builder::new().name("rdp-input".into()).spawn(move || {
        let _runtime = runtime.enter();
        let mut handler = hands.lock();
        while let Some(event) = events.blocking_recv() {
            calls.call("input handler", || deliver(event, handler.as_mut()));
        }
    })?;
    Ok(sender)
}

/// Events that wait for the handler; behind them wait those that the desktop keeps.
const QUEUE: usize = 256;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::time::Duration;

    use super::*;
    use crate::sdk::{KeyboardEvent, MouseEvent};

    struct Jumpy(Sender<String>);

    impl RdpServerInputHandler for Jumpy {
        fn keyboard(&mut self, _event: KeyboardEvent) {
            panic!("as asked");
        }

        fn mouse(&mut self, event: MouseEvent) {
            self.0.send(format!("{event:?}")).unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_handler_that_panics_gets_the_next_event_as_usual_and_is_let_go_at_the_end() {
        let (sender, told) = channel();
        let handler: Box<dyn RdpServerInputHandler> = Box::new(Jumpy(sender));
        let hands: Hands = Arc::new(Mutex::new(handler));
        let (calls, _oversee) = Calls::new();
        let events = start(&hands, calls).unwrap();
        events.send(InputEvent::Character('a')).await.unwrap();
        events.send(InputEvent::MoveTo { x: 1, y: 2 }).await.unwrap();
        let heard = told.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(heard, "Move { x: 1, y: 2 }");
        drop(events);
        assert!(
            hands.try_lock_for(Duration::from_secs(30)).is_some(),
            "the thread has ended"
        );
    }
}
